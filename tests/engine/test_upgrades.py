"""Real engines become newer ones, and move to another port or zone, while clients write and read: nothing acknowledged is lost,
nothing fails that is tried once more, and endpoints stay what they are. How long clients wait is measured by the bench.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import redis

from cachefleet.model.group import Engine
from tests.engine.engine_processes import build_of
from tests.engine.groups import (
    address,
    await_available,
    await_cluster,
    await_healthy,
    cache_cluster,
    describe,
    describe_cluster,
    primary_member,
    replication_group,
)
from tests.engine.test_replica_counts import messages
from tests.fixtures.machine import data_folder
from tests.fixtures.operator import as_operator
from tests.fixtures.service import Service, running_service, wait_for
from tests.traffic.changes import version
from tests.traffic.traffic import traffic
from tests.traffic.writer import EndpointWriter

Version = tuple[str, str]
ALL: list[Version] = [("redis", "6.2"), ("redis", "7.0"), ("valkey", "8.1"), ("valkey", "9.1")]
JUMP = [ALL[0], ALL[3]]


def need(path: Sequence[Version]) -> None:
    for engine, number in path:
        build_of(Engine(engine), number)


def running_versions(service: Service, group: str) -> set[str]:
    """Of the engines of the group's processes, by their own word."""
    found = set()
    shown = describe(service.client(), group)
    assert shown is not None
    for member in shown["MemberClusters"]:
        cluster = describe_cluster(service.client(), member)
        assert cluster is not None
        with redis.Redis(*address(cluster["CacheNodes"][0]["Endpoint"]), socket_timeout=5) as node:
            said = node.info("server")
            found.add(str(said.get("valkey_version") or said["redis_version"]))
    return found


def endpoints(group: dict[str, Any]) -> list[Any]:
    return [group.get("ConfigurationEndpoint"), *(shard.get("PrimaryEndpoint") for shard in group["NodeGroups"])]


# A node without a replica gets a temporary one of the new version, and what follows is the same: each pair of versions is
# tried once, with replicas, and the longest jump without. From 7.0 to 9.1 is tests/faults/test_changes_under_load.py's.


@pytest.mark.parametrize(("path", "nodes"), [(ALL, 3), (JUMP, 1)], ids=["step by step, 3", "6.2 to 9.1, 1"])
def test_cluster_mode_disabled(service: Service, path: list[Version], nodes: int) -> None:
    need(path)
    api = service.client()
    (engine, number), *later = path
    request = {"NumCacheClusters": nodes, "AutomaticFailoverEnabled": nodes > 1, "Engine": engine, "EngineVersion": number}
    with data_folder() as folder, replication_group(api, "newer", **request) as group:
        before = endpoints(group)
        with traffic(
            ["redis-py", "glide"], address(group["NodeGroups"][0]["PrimaryEndpoint"]), folder, clustered=False
        ) as running:
            for step in later:
                version(*step).make(api, "newer")
                running.await_operations(100)
            running.end()
            assert running.flaws() == {}
        shown = await_healthy(api, "newer")
        assert endpoints(shown) == before
        assert len(shown["MemberClusters"]) == nodes
        assert running_versions(service, "newer") == {build_of(Engine(path[-1][0]), path[-1][1]).version}
        told = messages(api, "newer-001")
        assert f"Succeeded applying modification to engine version to {path[-1][0]} {path[-1][1]}" in told[-1]
        assert not any("temporary" in line or "ecover" in line for line in told + messages(api, "newer")), told


@pytest.mark.parametrize(("path", "replicas"), [(ALL, 1), (JUMP, 0)], ids=["step by step, 1", "6.2 to 9.1, 0"])
def test_cluster_mode_enabled(service: Service, path: list[Version], replicas: int) -> None:
    need(path)
    api = service.client()
    (engine, number), *later = path
    request = {"NumNodeGroups": 2, "ReplicasPerNodeGroup": replicas, "Engine": engine, "EngineVersion": number}
    with data_folder() as folder, replication_group(api, "clnewer", AutomaticFailoverEnabled=True, **request) as group:
        before = endpoints(group)
        with traffic(["redis-py-cluster"], address(group["ConfigurationEndpoint"]), folder, clustered=True) as running:
            for step in later:
                version(*step).make(api, "clnewer")
                running.await_operations(100)
            running.end()
            assert running.flaws() == {}
        shown = await_healthy(api, "clnewer")
        assert endpoints(shown) == before
        assert running_versions(service, "clnewer") == {build_of(Engine(path[-1][0]), path[-1][1]).version}


def test_a_standalone_node_keeps_its_data_and_its_address(service: Service, elasticache: Any) -> None:
    need(ALL)
    with cache_cluster(elasticache, "lonely", Engine="redis", EngineVersion="6.2", NumCacheNodes=1) as cluster:
        endpoint = address(cluster["CacheNodes"][0]["Endpoint"])
        with EndpointWriter(*endpoint) as writer:
            writer.await_writes(100)
            elasticache.modify_cache_cluster(CacheClusterId="lonely", EngineVersion="7.0", ApplyImmediately=True)
            await_cluster(elasticache, "lonely")
            writer.await_writes(100)
        shown = await_cluster(elasticache, "lonely")
        assert address(shown["CacheNodes"][0]["Endpoint"]) == endpoint
        assert shown["EngineVersion"].startswith("7.0")
        with redis.Redis(*endpoint) as client:
            assert writer.acknowledged <= {int(value) for value in client.lrange("log", 0, -1)}
        assert len([name for name in service.engine_pids().values() if ".lonely." in name]) == 1


def test_an_upgrade_goes_on_after_the_control_plane_was_killed(service: Service, elasticache: Any) -> None:
    """In each of some places."""
    need(ALL[1:4:2])
    request = {"NumCacheClusters": 2, "AutomaticFailoverEnabled": True, "Engine": "redis", "EngineVersion": "7.0"}
    with replication_group(elasticache, "killed", **request) as group:
        endpoint = address(group["NodeGroups"][0]["PrimaryEndpoint"])
        with EndpointWriter(*endpoint) as writer:
            writer.await_writes(100)
            elasticache.modify_replication_group(
                ReplicationGroupId="killed", Engine="valkey", EngineVersion="9.1", ApplyImmediately=True
            )
            for writes in (1, 20, 200, 400, 800):
                writer.await_writes(writes)
                service.kill(signal.SIGKILL)
                writer.await_writes(50)
                service.start()
            await_available(service.client(), "killed")
            await_healthy(service.client(), "killed")
            writer.await_writes(100)
        with redis.Redis(*endpoint) as client:
            assert writer.acknowledged <= {int(value) for value in client.lrange("log", 0, -1)}
        assert running_versions(service, "killed") == {build_of(Engine.VALKEY, "9.1").version}
        assert sum(".killed-" in name for name in service.engine_pids().values()) == 2


# --- versions that do not start ------------------------------------------------------------------------------------


def broken_engine(folder: Path) -> Path:
    """Says that it is Valkey 9.9.9 and ends at its start."""
    binary = folder / "valkey-server"
    binary.write_text(
        f"#!{sys.executable}\nimport sys\n"
        "if '--version' in sys.argv:\n    print('Valkey server v=9.9.9 sha=0 malloc=libc bits=64 build=0')\n"
        "else:\n    sys.exit('Fatal: this build does not start')\n"
    )
    binary.chmod(0o755)
    return binary


@pytest.mark.parametrize("nodes", [1, 2])
def test_a_version_that_does_not_start_is_taken_back(nodes: int) -> None:
    need(ALL[3:])
    with data_folder() as folder:
        broken = broken_engine(folder)
        with running_service(folder / "data", start=False) as own:
            own.start(environment={"CACHEFLEET_ENGINES_BINARIES": str(broken)})
            api = own.client()
            request = {"NumCacheClusters": nodes, "AutomaticFailoverEnabled": nodes > 1, "EngineVersion": "9.1"}
            with replication_group(api, "brave", **request) as group:
                endpoint = address(group["NodeGroups"][0]["PrimaryEndpoint"])
                with EndpointWriter(*endpoint) as writer:
                    writer.await_writes(50)
                    api.modify_replication_group(ReplicationGroupId="brave", EngineVersion="9.9", ApplyImmediately=True)
                    shown = await_available(api, "brave", 60)
                    writer.await_writes(50)
                    assert writer.errors == []
                assert await_healthy(api, "brave")["MemberClusters"] == group["MemberClusters"]
                assert primary_member(shown) == "brave-001"
                cluster = describe_cluster(api, "brave-001")
                assert cluster is not None and cluster["EngineVersion"].startswith("9.1")
                failed = [line for line in messages(api, "brave-001") if line.startswith("Failed applying modification")]
                assert len(failed) == 1 and "valkey 9.9.9" in failed[0] and "does not start" in failed[0], failed


# --- port and zones ------------------------------------------------------------------------------------------------


def tag(api: Any, arn: str, key: str, value: str) -> None:
    api.add_tags_to_resource(ResourceName=arn, Tags=[{"Key": f"cachefleet:{key}", "Value": value}])


def test_the_port_of_a_group_is_changed_by_a_tag(elasticache: Any) -> None:
    with replication_group(elasticache, "moved", NumCacheClusters=2, AutomaticFailoverEnabled=True) as group:
        host, port = address(group["NodeGroups"][0]["PrimaryEndpoint"])
        with redis.Redis(host, port) as client:
            client.set("a", 1)
        tag(elasticache, group["ARN"], "port", "6390")
        shown: list[tuple[str, int]] = []

        def done() -> bool:
            """At every look the endpoint that is shown is one that works, or was one a moment ago."""
            found = describe(elasticache, "moved")
            assert found is not None
            shown.append(address(found["NodeGroups"][0]["PrimaryEndpoint"]))
            return bool(found["Status"] == "available")

        wait_for("the port is changed", done)
        assert {pair for pair in pairwise(port for _, port in shown) if pair[0] != pair[1]} == {(6379, 6390)}
        after = await_healthy(elasticache, "moved")
        (shard,) = after["NodeGroups"]
        places = [shard["PrimaryEndpoint"], shard["ReaderEndpoint"]]
        for where in [*places, *(node["ReadEndpoint"] for node in shard["NodeGroupMembers"])]:
            assert where["Port"] == 6390
            with redis.Redis(*address(where)) as client:
                assert client.get("a") == b"1"
        assert shard["PrimaryEndpoint"]["Address"] == host
        assert messages(elasticache, "moved-001")[-1] == "Succeeded applying modification to port to 6390."


def test_nodes_follow_their_subnet_group(elasticache: Any) -> None:
    subnets = elasticache.describe_cache_subnet_groups(CacheSubnetGroupName="default")["CacheSubnetGroups"][0]["Subnets"]
    zones = {subnet["SubnetAvailabilityZone"]["Name"]: subnet["SubnetIdentifier"] for subnet in subnets}
    first, last = min(zones), max(zones)
    for name, zone in (("first", first), ("last", last)):
        elasticache.create_cache_subnet_group(
            CacheSubnetGroupName=name, CacheSubnetGroupDescription="one zone", SubnetIds=[zones[zone]]
        )
    try:
        with replication_group(elasticache, "nomad", NumCacheClusters=2, CacheSubnetGroupName="first") as group:
            endpoint = address(group["NodeGroups"][0]["PrimaryEndpoint"])
            with EndpointWriter(*endpoint) as writer:
                writer.await_writes(50)
                tag(elasticache, group["ARN"], "subnet-group", "last")
                after = await_healthy(elasticache, "nomad")
                writer.await_writes(50)
            (shard,) = after["NodeGroups"]
            assert {node["PreferredAvailabilityZone"] for node in shard["NodeGroupMembers"]} == {last}
            assert address(shard["PrimaryEndpoint"]) == endpoint
            before = {node["ReadEndpoint"]["Address"] for node in group["NodeGroups"][0]["NodeGroupMembers"]}
            assert before.isdisjoint(node["ReadEndpoint"]["Address"] for node in shard["NodeGroupMembers"])
            with redis.Redis(*endpoint) as client:
                assert writer.acknowledged <= {int(value) for value in client.lrange("log", 0, -1)}
            shown = describe_cluster(elasticache, "nomad-001")
            assert shown is not None and shown["CacheSubnetGroupName"] == "last"
    finally:
        for name in ("first", "last"):
            elasticache.delete_cache_subnet_group(CacheSubnetGroupName=name)


# --- sizes ---------------------------------------------------------------------------------------------------------


def test_memory_that_is_changed_by_hand_is_set_back(elasticache: Any) -> None:
    """By somebody who got in as us: clients may not."""
    with replication_group(elasticache, "sized", NumCacheClusters=1) as group:
        where = address(group["NodeGroups"][0]["PrimaryEndpoint"])
        with redis.Redis(*where, **as_operator(where)) as client:
            before = client.config_get("maxmemory")
            client.config_set("maxmemory", 2_000_000)
            wait_for("it is set back", lambda: client.config_get("maxmemory") == before)
        found = describe(elasticache, "sized")
        assert found is not None and found["Status"] == "available"
