"""Caches with a great many keys of every type, and clients that write to them: what a snapshot has of them when it is restored,
into any number of shards. Every key, whole value and end is compared with what the source had.

TEST_KEYS=1500000 (`make restores`) is how it is meant; without, a small share of that.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import ExitStack
from multiprocessing import get_context
from typing import Any, NamedTuple

import pytest
from botocore.exceptions import ClientError

from cachefleet.model.group import Engine
from tests.engine.engine_processes import build_of
from tests.engine.every_key import Name, Node, Reading, Where, differences, functions, primaries, read_all
from tests.engine.groups import address, await_available, delete
from tests.engine.many_keys import LIBRARY, Ends, fill
from tests.engine.numbered_writer import PREFIX, NumberedWriter
from tests.engine.snapshots import await_end, describe_snapshot, remove, why_of
from tests.fixtures.machine import data_folder
from tests.fixtures.service import Service, running_service

KEYS = int(os.environ.get("TEST_KEYS", "20000"))
TIMEOUT_S = 60 + KEYS / 2000
DATABASES = (0, 3, 9)
NODE_TYPE = "cache.m7g.large"
KIND = {"Engine": "valkey", "EngineVersion": "9.1", "CacheNodeType": NODE_TYPE, "AtRestEncryptionEnabled": True}
SHARDS = {"NumNodeGroups": 2, "ReplicasPerNodeGroup": 1, "ClusterMode": "enabled", "AutomaticFailoverEnabled": True}
PAIR = {"NumCacheClusters": 2, "AutomaticFailoverEnabled": True}
TYPES = {"string", "list", "set", "hash", "zset", "stream"}


class Origin(NamedTuple):
    """A snapshot, what was in the cache when it was made, and who wrote to it. The cache is gone."""

    snapshot: str
    before: Reading  # without what the writers wrote
    writers: Sequence[NumberedWriter]
    begun_at: float  # of time.perf_counter
    ended_at: float


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    build_of(Engine.VALKEY, "9.1")
    with data_folder() as data, running_service(data) as made:
        yield made


@pytest.fixture(scope="module")
def pool() -> Iterator[Executor]:
    with ProcessPoolExecutor(os.cpu_count() or 2, get_context("spawn")) as made:
        yield made


def said(what: str, since: float) -> None:
    """For who waits for the large ones."""
    print(f"  {what}: {time.perf_counter() - since:.1f} s", flush=True)


def entrance(group: dict[str, Any]) -> Where:
    return address(group["ConfigurationEndpoint"] if group["ClusterEnabled"] else group["NodeGroups"][0]["PrimaryEndpoint"])


def nodes_of(group: dict[str, Any]) -> list[Node]:
    """Primaries."""
    return primaries(entrance(group)) if group["ClusterEnabled"] else [Node(entrance(group))]


def taken(client: Any, pool: Executor, name: str, shape: dict[str, Any], databases: Sequence[int]) -> Origin:
    client.create_replication_group(ReplicationGroupId=name, ReplicationGroupDescription="test", **KIND, **shape)
    try:
        nodes = nodes_of(await_available(client, name))
        at = time.perf_counter()
        ends = Ends(first_ms=int(time.time() * 1000) + 5000, over_ms=10_000 + KEYS // 3)
        fill(pool, nodes, KEYS, ends, databases)
        said(f"{KEYS} keys put into {name}", at)
        with ExitStack() as stack:
            writers = [stack.enter_context(NumberedWriter(node, databases[-1])) for node in nodes]
            begun_at = time.perf_counter()
            client.create_snapshot(SnapshotName=f"{name}-taken", ReplicationGroupId=name)
            found = await_end(client, f"{name}-taken", TIMEOUT_S)
            ended_at = time.perf_counter()
        assert found["SnapshotStatus"] == "available", why_of(client, found)
        said(f"its snapshot, beside {sum(map(len, writers))} writes", begun_at)
        at = time.perf_counter()
        before = without_writers(read_all(pool, nodes, databases))
        said(f"{len(before.items)} keys read", at)
    finally:
        delete(client, name)
    return Origin(f"{name}-taken", before, writers, begun_at, ended_at)


def without_writers(reading: Reading) -> Reading:
    return reading._replace(items={name: item for name, item in reading.items.items() if not _is_writers(name)})


def _is_writers(name: Name) -> bool:
    return name[1].startswith(PREFIX)


def is_what_it_was(client: Any, pool: Executor, origin: Origin, databases: Sequence[int], **shape: Any) -> None:
    """Restored, compared and deleted again."""
    at = time.perf_counter()
    client.create_replication_group(
        ReplicationGroupId="back", ReplicationGroupDescription="test", SnapshotName=origin.snapshot, **shape
    )
    try:
        group = await_available(client, "back", TIMEOUT_S)
        said(f"restored into {len(group['NodeGroups'])} shards", at)
        at, nodes = time.perf_counter(), nodes_of(group)
        after = read_all(pool, nodes, databases)
        assert differences(origin.before, without_writers(after)) == []
        assert [fault for writer in origin.writers for fault in writer.faults(nodes, origin.begun_at, origin.ended_at)] == []
        assert [functions(node.where) for node in nodes] == [{b"mine": LIBRARY}] * len(nodes)
        said(f"{len(after.items)} keys compared: {after.kinds()}", at)
    finally:
        delete(client, "back")


@pytest.fixture(scope="module")
def of_a_cluster(service: Service, pool: Executor) -> Iterator[Origin]:
    made = taken(service.client(), pool, "shards", SHARDS, (0,))
    yield made
    remove(service.client(), made.snapshot)


def test_what_is_compared_is_all_there_is(of_a_cluster: Origin) -> None:
    """Else the tests below would compare little with little. Some keys have ended since they were put there."""
    assert set(of_a_cluster.before.kinds()) == TYPES
    ended = sum(1 for number in range(0, KEYS, 97))
    assert KEYS - ended <= len(of_a_cluster.before.items) <= KEYS
    assert sum(item.ends_ms >= 0 for item in of_a_cluster.before.items.values()) > KEYS / 5


@pytest.mark.parametrize("shards", [1, 3, 5])
def test_a_cluster_into_any_number_of_shards(service: Service, pool: Executor, of_a_cluster: Origin, shards: int) -> None:
    is_what_it_was(service.client(), pool, of_a_cluster, (0,), NumNodeGroups=shards, ReplicasPerNodeGroup=0)


def test_several_databases_into_the_same_shape_and_into_no_cluster(service: Service, pool: Executor) -> None:
    client = service.client()
    origin = taken(client, pool, "pair", PAIR, DATABASES)
    assert set(origin.before.kinds()) == TYPES
    assert {database for database, _ in origin.before.items} == set(DATABASES)
    is_what_it_was(client, pool, origin, DATABASES)
    with pytest.raises(ClientError, match="databases 3, 9") as refusal:
        client.create_replication_group(
            ReplicationGroupId="no",
            ReplicationGroupDescription="no",
            SnapshotName=origin.snapshot,
            NumNodeGroups=3,
            ReplicasPerNodeGroup=0,
            CacheParameterGroupName="default.valkey9.cluster.on",
            AutomaticFailoverEnabled=True,
        )
    assert refusal.value.response["Error"]["Code"] == "InvalidParameterCombination"
    remove(client, origin.snapshot)
    assert describe_snapshot(client, origin.snapshot) is None
