"""Cluster mode changes while the old primary, a new node or the control plane dies in the middle, and clients go on writing."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import redis
from botocore.exceptions import ConnectionClosedError

from tests.engine.groups import address, await_healthy, primary_member, replication_group
from tests.fixtures.machine import data_folder
from tests.fixtures.operator import as_operator
from tests.fixtures.service import Service, running_service, wait_for
from tests.traffic.writer import EndpointWriter

PROGRAM = (sys.executable, str(Path(__file__).with_name("doomed_service.py")))
CONVERGENCE_S = 60.0
WRITES = 300
POINTS = ["before ChangeMode", "within Promotion", "within Retirement", "after ChangeMode", "amid Launch", "within Save"]


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with data_folder() as data, running_service(data, program=PROGRAM) as running:
        yield running


def ask(service: Service, group: str, mode: str) -> None:
    """The control plane may die before it has answered."""
    with suppress(ConnectionClosedError):
        service.client().modify_replication_group(ReplicationGroupId=group, ClusterMode=mode, ApplyImmediately=True)


def carried_out(service: Service, group: str, mode: str) -> None:
    found = await_healthy(service.client(), group, CONVERGENCE_S)
    assert found["ClusterMode"] == mode


def lost(writer: EndpointWriter, where: tuple[str, int]) -> set[int]:
    with redis.Redis(*where) as cache:
        return writer.acknowledged - {int(value) for value in cache.lrange("log", 0, -1)}


@pytest.mark.parametrize("point", POINTS)
def test_the_control_plane_dies(service: Service, point: str) -> None:
    """There and back; no write is lost, and there is never a second primary for long, since the first one was paused."""
    name = "m-" + point.lower().replace(" ", "-")
    with replication_group(service.client(), name, NumCacheClusters=2, AutomaticFailoverEnabled=True) as group:
        where = address(group["NodeGroups"][0]["PrimaryEndpoint"])
        with EndpointWriter(*where) as writer:
            for mode in ("compatible", "disabled"):
                writer.await_writes(WRITES)
                (service.data / "doom").write_text(point)
                ask(service, name, mode)
                assert service.process is not None
                assert service.process.wait(CONVERGENCE_S) == -signal.SIGKILL
                service.process = None
                service.start()
                with suppress(Exception):  # it died before this was written down
                    ask(service, name, mode)
                carried_out(service, name, mode)
                writer.await_writes(WRITES)
        assert lost(writer, where) == set()


@pytest.mark.parametrize("mode", ["compatible", "disabled"])
def test_the_old_primary_dies(service: Service, mode: str) -> None:
    """While the first replica is launched anew: the other one has everything and succeeds it, whatever form it has by then."""
    name = f"old-{mode}"
    with replication_group(service.client(), name, NumCacheClusters=3, AutomaticFailoverEnabled=True) as group:
        where = address(group["NodeGroups"][0]["PrimaryEndpoint"])
        old = primary_member(group)
        if mode == "disabled":
            ask(service, name, "compatible")
            carried_out(service, name, "compatible")
            old = holder(service, name, where[0])
        before = set(service.engine_pids().values())
        with EndpointWriter(*where) as writer:
            writer.await_writes(WRITES)
            ask(service, name, mode)
            wait_for("a replica is launched anew", lambda: set(service.engine_pids().values()) - before)
            os.kill(service.pid_of(old), signal.SIGKILL)
            carried_out(service, name, mode)
            writer.await_writes(WRITES)
        assert lost(writer, where) == set()


def holder(service: Service, group: str, endpoint: str) -> str:
    """The member that listens on the endpoint."""
    for member in service.client().describe_replication_groups(ReplicationGroupId=group)["ReplicationGroups"][0][
        "MemberClusters"
    ]:
        (cluster,) = service.client().describe_cache_clusters(CacheClusterId=member, ShowCacheNodeInfo=True)["CacheClusters"]
        where = address(cluster["CacheNodes"][0]["Endpoint"])
        with redis.Redis(*where, **as_operator(where)) as node:
            if endpoint in node.config_get("bind")["bind"].split():
                return str(member)
    raise AssertionError(f"nobody listens on {endpoint}")
