"""Everything that makes a group larger, smaller or newer, while clients write and read: no acknowledged value is lost or there
twice, and nothing fails that is tried once more. How long clients wait is measured by the bench, never asserted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from tests.engine.groups import address, replication_group
from tests.fixtures.long import long
from tests.fixtures.machine import data_folder
from tests.fixtures.service import Service
from tests.traffic.changes import LARGE, SMALL, Change, config, node_type, replicas, shards, version
from tests.traffic.traffic import Traffic, traffic

BETWEEN = 100  # operations of each client between two changes
ENGINES = [("redis", "7.0"), ("valkey", "9.1")]


@contextmanager
def loaded(service: Service, name: str, clustered: bool, **request: Any) -> Iterator[Traffic]:
    """A group with clients at work."""
    kinds = ["redis-py-cluster", "glide-cluster"] if clustered else ["redis-py", "glide"]
    with data_folder() as folder, replication_group(service.client(), name, AutomaticFailoverEnabled=True, **request) as group:
        endpoint = group["ConfigurationEndpoint"] if clustered else group["NodeGroups"][0]["PrimaryEndpoint"]
        with traffic(kinds, address(endpoint), folder, clustered=clustered) as running:
            yield running


def change(service: Service, name: str, running: Traffic, changes: Sequence[Change]) -> None:
    api = service.client()
    for each in changes:
        each.make(api, name)
        running.await_operations(BETWEEN)
    running.end()


@pytest.mark.parametrize(("engine", "asked"), ENGINES)
def test_without_cluster_mode(service: Service, engine: str, asked: str) -> None:
    changes = [replicas(3, 1), replicas(1, 3), node_type(LARGE), node_type(SMALL)]
    with loaded(service, "pair", False, NumCacheClusters=2, Engine=engine, EngineVersion=asked) as running:
        change(service, "pair", running, changes)
        assert running.flaws() == {}


@pytest.mark.parametrize(("engine", "asked"), ENGINES)
def test_with_cluster_mode(service: Service, engine: str, asked: str) -> None:
    changes = [replicas(2, 1), replicas(1, 2), node_type(LARGE), node_type(SMALL)]
    request = {"NumNodeGroups": 2, "ReplicasPerNodeGroup": 1, "Engine": engine, "EngineVersion": asked}
    with loaded(service, "cluster", True, **request) as running:
        change(service, "cluster", running, changes)
        assert running.flaws() == {}


@pytest.mark.parametrize(("engine", "asked"), [long("redis", "7.0"), ("valkey", "9.1")])
def test_shards(service: Service, engine: str, asked: str) -> None:
    changes = [shards(3, 2), shards(5, 3), shards(3, 5)]
    request = {"NumNodeGroups": 2, "ReplicasPerNodeGroup": 1, "Engine": engine, "EngineVersion": asked}
    with loaded(service, "shards", True, **request) as running:
        change(service, "shards", running, changes)
        assert running.flaws() == {}


@pytest.mark.parametrize("clustered", [False, True], ids=["disabled", "enabled"])
def test_clients_get_part_of_config(service: Service, clustered: bool) -> None:
    shape = {"NumNodeGroups": 2, "ReplicasPerNodeGroup": 1} if clustered else {"NumCacheClusters": 2}
    with loaded(service, "config", clustered, **shape) as running:
        change(service, "config", running, [config("get"), config("set"), config("")])
        assert running.flaws() == {}


@pytest.mark.parametrize("clustered", [False, True], ids=["disabled", "enabled"])
def test_redis_becomes_valkey(service: Service, clustered: bool) -> None:
    shape = {"NumNodeGroups": 2, "ReplicasPerNodeGroup": 1} if clustered else {"NumCacheClusters": 2}
    with loaded(service, "newer", clustered, Engine="redis", EngineVersion="7.0", **shape) as running:
        change(service, "newer", running, [version("valkey", "9.1")])
        assert running.flaws() == {}
