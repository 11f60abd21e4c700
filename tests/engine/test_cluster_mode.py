"""Cluster mode disabled, compatible and enabled, through boto3, while clients of both kinds write and read back."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack
from typing import Any

import pytest
import redis
from botocore.exceptions import ClientError
from redis.cluster import RedisCluster

from tests.engine.groups import address, await_available, await_healthy, describe, replication_group
from tests.fixtures.long import long
from tests.fixtures.machine import data_folder
from tests.fixtures.service import Service, wait_for
from tests.traffic.traffic import traffic

REGION = "modes-1"
PLAIN, CLUSTERED = ["redis-py", "glide"], ["redis-py-cluster", "glide-cluster"]
AT_WORK = 200  # operations of each client
VERSIONS = [("valkey", "9.1"), long("valkey", "8.1"), ("redis", "7.0")]


@pytest.fixture
def elasticache(service: Service) -> Any:
    return service.client(region=REGION)


def ask(client: Any, group: str, mode: str, **more: Any) -> dict[str, Any]:
    reply = client.modify_replication_group(ReplicationGroupId=group, ClusterMode=mode, ApplyImmediately=True, **more)
    return dict(reply["ReplicationGroup"])


def change(client: Any, group: str, mode: str) -> dict[str, Any]:
    """Returns when the group is available in that mode, all members included."""
    ask(client, group, mode)
    found = await_healthy(client, group)
    assert (found["ClusterMode"], found["PendingModifiedValues"]) == (mode, {})
    return found


def refusal(client: Any, group: str, mode: str, **more: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        ask(client, group, mode, **more)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def told(client: Any, group: str) -> list[str]:
    """Messages of the group's events, oldest first."""
    events = client.describe_events(SourceType="replication-group", SourceIdentifier=group)["Events"]
    return [event["Message"] for event in events][::-1]


@pytest.mark.parametrize(("engine", "version"), VERSIONS)
def test_there_and_back_under_load(elasticache: Any, engine: str, version: str) -> None:
    name = f"modes-{engine}-{version.replace('.', '-')}"
    request = {"NumCacheClusters": 2, "AutomaticFailoverEnabled": True, "Engine": engine, "EngineVersion": version}
    with data_folder() as folder, replication_group(elasticache, name, **request) as before, ExitStack() as stack:
        endpoints = before["NodeGroups"][0]["PrimaryEndpoint"], before["NodeGroups"][0]["ReaderEndpoint"]
        plain = stack.enter_context(traffic(PLAIN, address(endpoints[0]), folder, clustered=False))
        compatible = change(elasticache, name, "compatible")
        assert compatible["ClusterEnabled"]
        (shard,) = compatible["NodeGroups"]
        assert (shard["Slots"], shard["PrimaryEndpoint"], shard["ReaderEndpoint"]) == ("0-16383", *endpoints)
        seeds = address(compatible["ConfigurationEndpoint"])
        with traffic(CLUSTERED, seeds, folder, clustered=True) as clustered:
            clustered.await_operations(AT_WORK)
            plain.await_operations(AT_WORK)
            clustered.end()
            assert clustered.flaws() == {}
        disabled = change(elasticache, name, "disabled")
        (shard,) = disabled["NodeGroups"]
        assert (shard["PrimaryEndpoint"], shard["ReaderEndpoint"]) == endpoints
        assert "Slots" not in shard and "ConfigurationEndpoint" not in disabled and not disabled["ClusterEnabled"]
        plain.await_operations(AT_WORK)
        plain.end()
        assert plain.flaws() == {}


def test_enabled_is_for_cluster_clients_only(elasticache: Any) -> None:
    request = {"NumCacheClusters": 3, "AutomaticFailoverEnabled": True}
    with data_folder() as folder, replication_group(elasticache, "modes-on", **request) as before:
        primary = address(before["NodeGroups"][0]["PrimaryEndpoint"])
        with redis.Redis(*primary) as cache:
            cache.function_load("#!lua name=kept\nredis.register_function('kept', function() return 7 end)")
            cache.set("before", "1")
        assert ask(elasticache, "modes-on", "compatible")["PendingModifiedValues"] == {"ClusterMode": "compatible"}
        compatible = await_healthy(elasticache, "modes-on")
        reader = address(compatible["NodeGroups"][0]["ReaderEndpoint"])
        with redis.Redis(*reader) as reading:  # it says no READONLY, as clients without cluster mode do not
            assert reading.get("before") == b"1"
        seeds = address(compatible["ConfigurationEndpoint"])
        with traffic(CLUSTERED, seeds, folder, clustered=True) as clustered:
            enabled = change(elasticache, "modes-on", "enabled")
            clustered.await_operations(AT_WORK)
            clustered.end()
            assert clustered.flaws() == {}
        assert address(enabled["ConfigurationEndpoint"]) == seeds
        (shard,) = enabled["NodeGroups"]
        assert "PrimaryEndpoint" not in shard and "ReaderEndpoint" not in shard
        with redis.Redis(*primary) as gone, pytest.raises(redis.exceptions.ConnectionError):
            gone.ping()
        with RedisCluster(*seeds) as cache:
            assert cache.get("before") == b"1"
            assert cache.fcall("kept", 0) == 7
            assert len(cache.get_replicas()) == 2
        assert refusal(elasticache, "modes-on", "disabled")[0] == "InvalidParameterCombination"
        parameters = elasticache.describe_cache_clusters(CacheClusterId="modes-on-001")["CacheClusters"][0]
        assert parameters["CacheParameterGroup"]["CacheParameterGroupName"] == "default.valkey9.cluster.on"
        assert told(elasticache, "modes-on")[-2:] == [
            "Cluster mode of replication group modes-on has been changed to compatible",
            "Cluster mode of replication group modes-on has been changed to enabled",
        ]


def test_keys_outside_database_0(elasticache: Any) -> None:
    """Known beforehand they are refused; those that come while the change is under way take it back, and nothing is lost."""
    with replication_group(elasticache, "modes-db", NumCacheClusters=2, AutomaticFailoverEnabled=True) as group:
        primary = address(group["NodeGroups"][0]["PrimaryEndpoint"])
        with redis.Redis(*primary) as cache, redis.Redis(*primary, db=1) as other:
            cache.set("key", "zero")
            ask(elasticache, "modes-db", "compatible")
            other.set("key", "one")
            wait_for("it is taken back", lambda: any("It stays disabled" in text for text in told(elasticache, "modes-db")))
            after = await_healthy(elasticache, "modes-db")
            assert (after["ClusterMode"], after["ClusterEnabled"], after["PendingModifiedValues"]) == ("disabled", False, {})
            assert (cache.get("key"), other.get("key")) == (b"zero", b"one")
            reader = address(after["NodeGroups"][0]["ReaderEndpoint"])
            with redis.Redis(*reader) as replica, redis.Redis(*reader, db=1) as replica_other:
                assert (replica.get("key"), replica_other.get("key")) == (b"zero", b"one")
            code, message = refusal(elasticache, "modes-db", "compatible")
            assert code == "InvalidParameterCombination" and "databases other than 0" in message
            other.flushdb()

            def accepted() -> bool:
                try:
                    ask(elasticache, "modes-db", "compatible")
                except ClientError:
                    return False
                return True

            wait_for("the keys are seen to be gone", accepted, 20, 0.2)
            assert await_available(elasticache, "modes-db")["ClusterMode"] == "compatible"
            assert cache.get("key") == b"zero"


def test_a_compatible_group_fails_over_for_both_kinds_of_clients(elasticache: Any, service: Service) -> None:
    with replication_group(elasticache, "modes-dead", NumCacheClusters=2, AutomaticFailoverEnabled=True) as group:
        primary = address(group["NodeGroups"][0]["PrimaryEndpoint"])
        compatible = change(elasticache, "modes-dead", "compatible")
        with redis.Redis(*primary) as cache, RedisCluster(*address(compatible["ConfigurationEndpoint"])) as clustered:
            cache.set("kept", "1")
            assert cache.wait(1, 5000) == 1
            old = clustered.get_primaries()[0].host
            members = elasticache.describe_cache_clusters(ShowCacheNodeInfo=True, MaxRecords=100)["CacheClusters"]
            (dead,) = [one["CacheClusterId"] for one in members if one["CacheNodes"][0]["Endpoint"]["Address"] == old]
            os.kill(service.pid_of(dead), signal.SIGKILL)

            def served() -> bool:
                try:
                    return bool(cache.set("after", "1")) and cache.get("kept") == b"1" and clustered.get("after") == b"1"
                except (redis.exceptions.RedisError, redis.exceptions.RedisClusterException):
                    return False

            wait_for("both are served again", served, 15)
            found = describe(elasticache, "modes-dead")
            assert found is not None and address(found["NodeGroups"][0]["PrimaryEndpoint"]) == primary
            await_healthy(elasticache, "modes-dead")
