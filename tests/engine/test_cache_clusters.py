"""Cache clusters of one node, every engine version in both modes, members by id, conversions, and boto3's waiters."""

from __future__ import annotations

import os
import signal
import socket
from typing import Any

import pytest
import redis
from botocore.exceptions import ClientError, WaiterError
from redis.cluster import RedisCluster

from cachefleet.model.group import Engine
from tests.engine.engine_processes import build_of, every_version
from tests.engine.groups import (
    address,
    await_available,
    await_cluster,
    await_healthy,
    cache_cluster,
    delete,
    delete_cluster,
    describe,
    describe_cluster,
    primary_member,
    replication_group,
)
from tests.fixtures.service import Service, wait_for


def connect(endpoint: dict[str, Any]) -> redis.Redis:
    host, port = address(endpoint)
    return redis.Redis(host, port, socket_timeout=2, decode_responses=True)


def own_endpoint(cluster: dict[str, Any]) -> dict[str, Any]:
    (node,) = cluster["CacheNodes"]
    return dict(node["Endpoint"])


def put(endpoint: dict[str, Any], key: str, value: str) -> bool:
    try:
        with connect(endpoint) as client:
            return bool(client.set(key, value))
    except redis.exceptions.RedisError:
        return False


def get(endpoint: dict[str, Any], key: str) -> str | None:
    """None when it is not there, or nobody answers."""
    try:
        with connect(endpoint) as client:
            value = client.get(key)
            return None if value is None else str(value)
    except redis.exceptions.RedisError:
        return None


def code_of(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])


# --- one node ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["valkey", "redis"])
def test_a_cluster_of_one_node_serves_is_emptied_by_a_reboot_and_goes(service: Service, elasticache: Any, engine: str) -> None:
    build_of(Engine(engine), "9.1" if engine == "valkey" else "7.0")
    name = f"one-{engine}"
    with cache_cluster(elasticache, name, Engine=engine, NumCacheNodes=1) as cluster:
        endpoint = own_endpoint(cluster)
        assert cluster["Engine"] == engine
        assert "ReplicationGroupId" not in cluster
        assert put(endpoint, "a", "1")
        with connect(endpoint) as client:
            info = client.info("server")
            assert cluster["EngineVersion"] == (info.get("valkey_version") or info["redis_version"])
        before = service.pid_of(name)
        reply = elasticache.reboot_cache_cluster(CacheClusterId=name, CacheNodeIdsToReboot=["0001"])
        assert reply["CacheCluster"]["CacheClusterStatus"] == "rebooting cluster nodes"
        assert own_endpoint(await_cluster(elasticache, name)) == endpoint
        assert service.pid_of(name) != before
        assert put(endpoint, "b", "2")
        assert get(endpoint, "a") is None
        os.kill(service.pid_of(name), signal.SIGKILL)
        wait_for("the node serves again", lambda: put(endpoint, "c", "3"))
        assert get(endpoint, "b") is None
    assert not any(f".{name}." in found for found in service.engine_pids().values())
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address(endpoint), 1)


# --- versions ------------------------------------------------------------------------------------------------------


@every_version
def test_every_version_replicates_and_fails_over(service: Service, elasticache: Any, engine: Engine, version: str) -> None:
    build = build_of(engine, version)
    request = {"Engine": engine.value, "EngineVersion": version, "NumCacheClusters": 2, "AutomaticFailoverEnabled": True}
    name = f"rep-{engine.value}-{version.replace('.', '-')}"
    with replication_group(elasticache, name, **request) as group:
        shard = group["NodeGroups"][0]
        member = describe_cluster(elasticache, f"{name}-001")
        assert member is not None
        assert member["EngineVersion"] == build.version
        with connect(shard["PrimaryEndpoint"]) as client:
            assert client.set("a", "1")
            assert client.wait(1, 2000) == 1
        assert get(shard["ReaderEndpoint"], "a") == "1"
        os.kill(service.pid_of(f"{name}-001"), signal.SIGKILL)
        wait_for("writes go on", lambda: put(shard["PrimaryEndpoint"], "b", "2"))
        assert get(shard["PrimaryEndpoint"], "a") == "1"
        healed = await_healthy(elasticache, name)
        assert primary_member(healed) == f"{name}-002"
        wait_for("the replica gives it, too", lambda: get(shard["ReaderEndpoint"], "b") == "2")


@every_version
def test_every_version_makes_a_cluster_that_fails_over(
    service: Service, elasticache: Any, engine: Engine, version: str
) -> None:
    build_of(engine, version)
    request = {"NumNodeGroups": 2, "ReplicasPerNodeGroup": 1, "AutomaticFailoverEnabled": True}
    name = f"clu-{engine.value}-{version.replace('.', '-')}"
    with replication_group(elasticache, name, Engine=engine.value, EngineVersion=version, **request) as group:
        host, port = address(group["ConfigurationEndpoint"])
        with RedisCluster(host, port, decode_responses=True, socket_timeout=2) as client:
            assert all(client.set(f"key:{number}", number) for number in range(100))
            for node in client.get_primaries():
                assert client.execute_command("WAIT", 1, 2000, target_nodes=node) == 1
        os.kill(service.pid_of(f"{name}-0001-001"), signal.SIGKILL)

        def whole() -> bool:
            try:
                with RedisCluster(host, port, decode_responses=True, socket_timeout=2) as client:
                    return [client.get(f"key:{number}") for number in range(100)] == [str(number) for number in range(100)]
            except redis.exceptions.RedisError:
                return False

        wait_for("every key is there", whole, 15)
        await_healthy(elasticache, name)


# --- members by id, conversions ------------------------------------------------------------------------------------


def test_a_replica_is_added_and_removed_by_its_id(service: Service, elasticache: Any) -> None:
    with replication_group(elasticache, "grows", NumCacheClusters=1) as group:
        shard = group["NodeGroups"][0]
        assert put(shard["PrimaryEndpoint"], "a", "1")
        for extra in ("one-more", "another"):
            elasticache.create_cache_cluster(CacheClusterId=extra, ReplicationGroupId="grows")
            await_cluster(elasticache, extra)
        grown = await_healthy(elasticache, "grows")
        assert sorted(grown["MemberClusters"]) == ["another", "grows-001", "one-more"]
        assert get(shard["ReaderEndpoint"], "a") == "1"
        with connect(shard["ReaderEndpoint"]) as reader:
            assert reader.info("replication")["role"] == "slave"
        with pytest.raises(ClientError) as refused:
            elasticache.delete_cache_cluster(CacheClusterId="grows-001")
        assert code_of(refused) == "InvalidCacheClusterState"
        delete_cluster(elasticache, "one-more")
        shrunk = await_healthy(elasticache, "grows")
        assert sorted(shrunk["MemberClusters"]) == ["another", "grows-001"]
        wait_for("its process is gone", lambda: not any(".one-more." in name for name in service.engine_pids().values()))
        wait_for("the reader endpoint leads on", lambda: get(shard["ReaderEndpoint"], "a") == "1")
        with pytest.raises(ClientError) as refused:
            elasticache.delete_cache_cluster(CacheClusterId="another")
        assert code_of(refused) == "InvalidCacheClusterState"


def test_a_cluster_becomes_a_group_and_the_group_a_cluster_again(service: Service, elasticache: Any) -> None:
    with cache_cluster(elasticache, "root", Engine="valkey", NumCacheNodes=1) as cluster:
        endpoint = own_endpoint(cluster)
        assert put(endpoint, "a", "1")
        before = service.pid_of("root")
        elasticache.create_replication_group(
            ReplicationGroupId="tree", ReplicationGroupDescription="of a cluster", PrimaryClusterId="root"
        )
        shard = await_available(elasticache, "tree")["NodeGroups"][0]
        assert get(shard["PrimaryEndpoint"], "a") == "1"
        elasticache.create_cache_cluster(CacheClusterId="leaf", ReplicationGroupId="tree")
        grown = await_healthy(elasticache, "tree")
        assert sorted(grown["MemberClusters"]) == ["leaf", "root"]
        assert primary_member(grown) == "root"
        assert service.pid_of("root") == before
        assert get(shard["ReaderEndpoint"], "a") == "1"

        elasticache.delete_replication_group(ReplicationGroupId="tree", RetainPrimaryCluster=True)
        wait_for("the group is gone", lambda: describe(elasticache, "tree") is None)
        kept = await_cluster(elasticache, "root")
        assert own_endpoint(kept) == endpoint
        assert "ReplicationGroupId" not in kept
        wait_for("the replica is gone", lambda: describe_cluster(elasticache, "leaf") is None)
        wait_for("its process is gone", lambda: not any(".leaf." in name for name in service.engine_pids().values()))
        assert service.pid_of("root") == before
        assert get(endpoint, "a") == "1"
        assert put(endpoint, "b", "2")


# --- waiters -------------------------------------------------------------------------------------------------------

QUICK = {"Delay": 1, "MaxAttempts": 30}


def test_all_four_waiters_of_boto3(elasticache: Any) -> None:
    elasticache.create_replication_group(
        ReplicationGroupId="awaited", ReplicationGroupDescription="test", CacheNodeType="cache.t4g.micro", Engine="valkey"
    )
    elasticache.create_cache_cluster(
        CacheClusterId="awaited-too", CacheNodeType="cache.t4g.micro", Engine="valkey", NumCacheNodes=1
    )
    try:
        elasticache.get_waiter("replication_group_available").wait(ReplicationGroupId="awaited", WaiterConfig=QUICK)
        elasticache.get_waiter("cache_cluster_available").wait(CacheClusterId="awaited-too", WaiterConfig=QUICK)
        group, cluster = describe(elasticache, "awaited"), describe_cluster(elasticache, "awaited-too")
        assert group is not None
        assert cluster is not None
        assert group["Status"] == cluster["CacheClusterStatus"] == "available"
        elasticache.delete_replication_group(ReplicationGroupId="awaited")
        elasticache.delete_cache_cluster(CacheClusterId="awaited-too")
        elasticache.get_waiter("replication_group_deleted").wait(ReplicationGroupId="awaited", WaiterConfig=QUICK)
        elasticache.get_waiter("cache_cluster_deleted").wait(CacheClusterId="awaited-too", WaiterConfig=QUICK)
        assert describe(elasticache, "awaited") is None
        assert describe_cluster(elasticache, "awaited-too") is None
    finally:
        if describe(elasticache, "awaited"):
            delete(elasticache, "awaited")
        if describe_cluster(elasticache, "awaited-too"):
            delete_cluster(elasticache, "awaited-too")


def test_a_waiter_for_what_does_not_exist_ends_at_once(elasticache: Any) -> None:
    with pytest.raises(WaiterError, match="ReplicationGroupNotFoundFault"):
        elasticache.get_waiter("replication_group_available").wait(ReplicationGroupId="nowhere", WaiterConfig=QUICK)
