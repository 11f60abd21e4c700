"""The loss of a zone, rehearsed with the command: its nodes end, others take over, and it comes back."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis

from tests.engine.groups import address, await_healthy, describe, primary_member, replication_group
from tests.fixtures.service import CACHEFLEET, Service, wait_for


def zone(service: Service, *words: str) -> str:
    return subprocess.run(
        [CACHEFLEET, "zone", *words, "--data", str(service.data)], capture_output=True, text=True, timeout=30, check=True
    ).stdout


@contextmanager
def lost(service: Service, letter: str) -> Iterator[None]:
    zone(service, "out", letter)
    try:
        yield
    finally:
        zone(service, "back", letter)


def nodes_running(service: Service, group: str) -> set[str]:
    """Names of the group's nodes that have a process."""
    names = (incarnation.split(".")[1] for incarnation in service.engine_pids().values())
    return {name for name in names if name.startswith(group)}


def zone_of(group: dict[str, Any], node: str) -> str:
    members = {member["CacheClusterId"]: member for member in group["NodeGroups"][0]["NodeGroupMembers"]}
    return str(members[node]["PreferredAvailabilityZone"])[-1]


def test_a_group_in_two_zones_survives_the_loss_of_its_primarys(service: Service, elasticache: Any) -> None:
    options = {"NumCacheClusters": 2, "AutomaticFailoverEnabled": True, "MultiAZEnabled": True}
    with replication_group(elasticache, "zoned", **options) as group:
        await_healthy(elasticache, "zoned")
        before = primary_member(group)
        (other,) = {"zoned-001", "zoned-002"} - {before}
        assert zone_of(group, before) != zone_of(group, other)
        host, port = address(group["NodeGroups"][0]["PrimaryEndpoint"])
        with redis.Redis(host, port, socket_timeout=2) as client:
            client.set("kept", "yes")
            assert client.wait(1, 5000) == 1
        with lost(service, zone_of(group, before)):
            wait_for("the other one is primary", lambda: primary_member(describe(elasticache, "zoned") or group) == other)
            wait_for("the lost one has ended", lambda: nodes_running(service, "zoned") == {other})
            with redis.Redis(host, port, socket_timeout=2) as client:
                assert client.get("kept") == b"yes"
                client.set("written", "meanwhile")
            assert zone(service, "list").splitlines().count(f"{zone_of(group, before)}  out") == 1
            assert nodes_running(service, "zoned") == {other}
            assert f"zoned: {before} waits for zone local-1{zone_of(group, before)}, which is out" in service.told()
        after = await_healthy(elasticache, "zoned")
        assert primary_member(after) == other
        assert nodes_running(service, "zoned") == {before, other}
        assert "zoned: " not in service.told()
        reader = address(after["NodeGroups"][0]["ReaderEndpoint"])
        with redis.Redis(*reader, socket_timeout=2) as client:
            wait_for("the replica has it all", lambda: client.get("written") == b"meanwhile")
