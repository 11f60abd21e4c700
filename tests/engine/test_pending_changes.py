"""Changes that wait for the maintenance window: shown, replaced, taken back, begun when it opens, at once when asked to."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from redis import Redis

from cachefleet.model.group import Engine
from tests.engine.clocked_service import HOUR_S, clocked_service, move_clock, pending, stays, window_in
from tests.engine.engine_processes import build_of
from tests.engine.groups import address, await_cluster, await_healthy, cache_cluster, describe, replication_group
from tests.fixtures.operator import as_operator
from tests.fixtures.service import Service, wait_for

MICRO, SMALL = "cache.t4g.micro", "cache.t4g.small"
MICRO_BYTES, SMALL_BYTES = 536_870_912 * 3 // 4, 1_471_026_299 * 3 // 4
MINUTE_S = 60


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with clocked_service() as made:
        yield made


def memory_bytes(group: dict[str, Any]) -> set[int]:
    """What the members may hold."""
    found = set()
    for member in group["NodeGroups"][0]["NodeGroupMembers"]:
        where = address(member["ReadEndpoint"])
        with Redis(*where, socket_timeout=2, **as_operator(where)) as node:
            found.add(int(node.config_get("maxmemory")["maxmemory"]))
    return found


def versions(group: dict[str, Any]) -> set[str]:
    found = set()
    for member in group["NodeGroups"][0]["NodeGroupMembers"]:
        with Redis(*address(member["ReadEndpoint"]), socket_timeout=2) as node:
            info = node.info("server")
            found.add(str(info.get("valkey_version", info["redis_version"])))
    return found


def refused(code: str, rule: str, call: Any, **request: Any) -> None:
    with pytest.raises(ClientError, match=rule) as refusal:
        call(**request)
    assert refusal.value.response["Error"]["Code"] == code


def test_a_node_type_waits_for_the_window(service: Service, elasticache: Any) -> None:
    with replication_group(elasticache, "pt", NumCacheClusters=2, PreferredMaintenanceWindow=window_in(service, 2)) as group:
        pids = service.engine_pids()
        shown = elasticache.modify_replication_group(ReplicationGroupId="pt", CacheNodeType=SMALL)["ReplicationGroup"]
        assert (shown["Status"], shown["CacheNodeType"]) == ("available", MICRO)
        stays("it waits", lambda: memory_bytes(group) == {MICRO_BYTES})
        assert [pending(elasticache, member) for member in group["MemberClusters"]] == [{"CacheNodeType": SMALL}] * 2
        move_clock(service, 2 * HOUR_S + MINUTE_S)
        wait_for("it holds", lambda: memory_bytes(group) == {SMALL_BYTES})
        shown = await_healthy(elasticache, "pt")
        assert (shown["CacheNodeType"], service.engine_pids()) == (SMALL, pids)
        assert [pending(elasticache, member) for member in group["MemberClusters"]] == [{}] * 2
        events = elasticache.describe_events(SourceIdentifier="pt-001", Duration=600)["Events"]
        assert events[0]["Message"] == f"Succeeded applying modification to cache node type to {SMALL}."


def test_a_window_that_is_open_lets_it_begin_at_once(service: Service, elasticache: Any) -> None:
    with replication_group(elasticache, "po", NumCacheClusters=1, PreferredMaintenanceWindow=window_in(service, -0.5)) as group:
        elasticache.modify_replication_group(ReplicationGroupId="po", CacheNodeType=SMALL)
        wait_for("it holds", lambda: memory_bytes(group) == {SMALL_BYTES})


def test_a_version_waits_is_replaced_and_taken_back(service: Service, elasticache: Any) -> None:
    build_of(Engine.VALKEY, "8.1")
    old = build_of(Engine.REDIS, "6.2")
    with replication_group(
        elasticache,
        "pv",
        Engine="redis",
        EngineVersion="6.2",
        NumCacheClusters=2,
        PreferredMaintenanceWindow=window_in(service, 5),
    ) as group:
        elasticache.modify_replication_group(ReplicationGroupId="pv", EngineVersion="7.0")
        assert pending(elasticache, "pv-001")["EngineVersion"].startswith("7.0.")
        elasticache.modify_replication_group(ReplicationGroupId="pv", Engine="valkey", EngineVersion="8.1")
        assert pending(elasticache, "pv-001")["EngineVersion"].startswith("8.1.")
        elasticache.modify_replication_group(ReplicationGroupId="pv", Engine="redis", EngineVersion="6.x")
        assert pending(elasticache, "pv-001") == {}
        elasticache.modify_replication_group(ReplicationGroupId="pv", EngineVersion="7.0", CacheNodeType=SMALL)
        for request, waits in (({"EngineVersion": "7.0"}, "CacheNodeType"), ({"CacheNodeType": SMALL}, "EngineVersion")):
            refused(
                "InvalidReplicationGroupState",
                f"Give {waits} as well",
                elasticache.modify_replication_group,
                ReplicationGroupId="pv",
                ApplyImmediately=True,
                **request,
            )
        assert (versions(group), memory_bytes(group)) == ({old.version}, {MICRO_BYTES})
        with Redis(*address(group["NodeGroups"][0]["PrimaryEndpoint"])) as client:
            client.set("kept", "1")
        elasticache.modify_replication_group(
            ReplicationGroupId="pv", EngineVersion="7.0", CacheNodeType=SMALL, ApplyImmediately=True
        )
        after = await_healthy(elasticache, "pv", 60)
        assert all(version.startswith("7.0.") for version in versions(after))
        assert memory_bytes(after) == {SMALL_BYTES}
        with Redis(*address(after["NodeGroups"][0]["PrimaryEndpoint"])) as client:
            assert client.get("kept") == b"1"
        shown = describe(elasticache, "pv")
        assert shown is not None and pending(elasticache, "pv-001") == {}


def test_a_node_that_has_to_be_launched_anew_takes_along_what_is_pending(service: Service, elasticache: Any) -> None:
    with cache_cluster(
        elasticache, "palone", Engine="redis", EngineVersion="6.2", PreferredMaintenanceWindow=window_in(service, 5)
    ) as cluster:
        where = address(cluster["CacheNodes"][0]["Endpoint"])
        elasticache.modify_cache_cluster(CacheClusterId="palone", CacheNodeType=SMALL, EngineVersion="7.0")
        stays("it waits", lambda: set(pending(elasticache, "palone")) == {"CacheNodeType", "EngineVersion"})
        os.kill(service.pid_of("palone"), signal.SIGKILL)
        wait_for("it holds", lambda: pending(elasticache, "palone") == {})
        await_cluster(elasticache, "palone")
        with Redis(*where, socket_timeout=2, **as_operator(where)) as node:
            assert str(node.info("server")["redis_version"]).startswith("7.0.")
            assert int(node.config_get("maxmemory")["maxmemory"]) == SMALL_BYTES
