"""Replication groups end to end: boto3 asks, real engines answer real clients."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.cluster import RedisCluster

from tests.engine.groups import address, await_healthy, describe, describe_cluster, primary_member, replication_group
from tests.fixtures.operator import answering, as_operator
from tests.fixtures.service import CACHEFLEET, Service, wait_for
from tests.traffic.writer import EndpointWriter


def connect(endpoint: dict[str, Any], **more: Any) -> redis.Redis:
    host, port = address(endpoint)
    return redis.Redis(host, port, socket_timeout=2, decode_responses=True, **more)


def test_what_the_primary_endpoint_takes_the_reader_endpoint_gives(elasticache: Any) -> None:
    with replication_group(elasticache, "plain", NumCacheClusters=2, AutomaticFailoverEnabled=True) as group:
        shard = group["NodeGroups"][0]
        with connect(shard["PrimaryEndpoint"]) as primary, connect(shard["ReaderEndpoint"]) as reader:
            assert primary.set("greeting", "hello")
            assert primary.wait(1, 2000) == 1
            assert reader.get("greeting") == "hello"
            assert reader.info("replication")["role"] == "slave"
            with pytest.raises(redis.exceptions.ConnectionError):  # close-on-replica-write
                reader.set("greeting", "no")
        member = describe_cluster(elasticache, "plain-001")
        assert member is not None
        assert member["EngineVersion"] == primary_version(shard)


def primary_version(shard: dict[str, Any]) -> str:
    with connect(shard["PrimaryEndpoint"]) as primary:
        info = primary.info("server")
    return str(info.get("valkey_version") or info["redis_version"])


def test_memory_and_parameters_are_those_of_the_default_group(elasticache: Any) -> None:
    with replication_group(elasticache, "params", NumCacheClusters=1) as group:
        endpoint = group["NodeGroups"][0]["PrimaryEndpoint"]
        with connect(endpoint, **as_operator(address(endpoint))) as client:
            config = client.config_get()
        assert int(config["maxmemory"]) == 536870912 * 3 // 4
        assert config["maxmemory-policy"] == "volatile-lru"
        assert config["databases"] == "16"
        assert config["save"] == ""
        assert config["appendonly"] == "no"


def test_glide_reads_and_writes(elasticache: Any) -> None:
    from glide import GlideClient, GlideClientConfiguration, NodeAddress

    async def talk(host: str, port: int) -> bytes | None:
        client = await GlideClient.create(GlideClientConfiguration([NodeAddress(host, port)]))
        await client.set("from", "glide")
        value = await client.get("from")
        await client.close()
        return value

    with replication_group(elasticache, "forglide", NumCacheClusters=2, AutomaticFailoverEnabled=True) as group:
        assert asyncio.run(talk(*address(group["NodeGroups"][0]["PrimaryEndpoint"]))) == b"glide"


def test_a_killed_primary_is_replaced_and_comes_back_as_replica(service: Service, elasticache: Any) -> None:
    with replication_group(elasticache, "failing", NumCacheClusters=3, AutomaticFailoverEnabled=True) as group:
        old = primary_member(group)
        with EndpointWriter(*address(group["NodeGroups"][0]["PrimaryEndpoint"])) as writer:
            writer.await_writes(200)
            os.kill(service.pid_of(old), signal.SIGKILL)
            writer.await_writes(200)
        assert writer.longest_gap_s() < 2.0
        healed = await_healthy(elasticache, "failing")
        assert primary_member(healed) != old
        roles = {member["CacheClusterId"]: member["CurrentRole"] for member in healed["NodeGroups"][0]["NodeGroupMembers"]}
        assert roles[old] == "replica"
        with connect(healed["NodeGroups"][0]["PrimaryEndpoint"]) as client:
            kept = {int(value) for value in client.lrange("log", 0, -1)}
            assert writer.acknowledged - kept <= {max(writer.acknowledged_before_gap())}
        messages = [event["Message"] for event in elasticache.describe_events(SourceIdentifier="failing")["Events"]]
        assert any(message.startswith(f"Failover from primary node {old}") for message in messages)


def test_a_primary_without_replicas_comes_back_empty_at_its_address(service: Service, elasticache: Any) -> None:
    with replication_group(elasticache, "alone", NumCacheClusters=1) as group:
        endpoint = group["NodeGroups"][0]["PrimaryEndpoint"]
        with connect(endpoint) as client:
            client.set("a", "1")
        old_pid = service.pid_of("alone-001")
        os.kill(old_pid, signal.SIGKILL)

        def empty_again() -> bool:
            try:
                with connect(endpoint) as client:
                    return client.get("a") is None and bool(client.set("b", "2"))
            except redis.exceptions.RedisError:
                return False

        wait_for("the node is back", empty_again)


def test_the_reader_endpoint_leads_to_replicas_only_and_follows_them(service: Service, elasticache: Any) -> None:
    """To one replica, or where the kernel can spread connections to all; to the primary when there is none."""
    with replication_group(elasticache, "readers", NumCacheClusters=3, AutomaticFailoverEnabled=True) as group:
        reader = group["NodeGroups"][0]["ReaderEndpoint"]
        nodes = {
            member["ReadEndpoint"]["Address"]: member["CurrentRole"] for member in group["NodeGroups"][0]["NodeGroupMembers"]
        }
        replicas = {host for host, role in nodes.items() if role == "replica"}
        spread = may_spread()
        wait_for("the reader leads to its replicas", lambda: _reached(reader, 40) == replicas if spread else True)
        assert _reached(reader, 40) <= replicas
        victim = next(
            member["CacheClusterId"]
            for member in group["NodeGroups"][0]["NodeGroupMembers"]
            if member["CurrentRole"] == "replica"
        )
        os.kill(service.pid_of(victim), signal.SIGKILL)
        wait_for("the reader still answers", lambda: _reached(reader, 5) <= replicas)
        await_healthy(elasticache, "readers")


def may_spread() -> bool:
    return os.geteuid() == 0 and shutil.which("nft") is not None


def _reached(endpoint: dict[str, Any], connections: int) -> set[str]:
    """Own addresses of the nodes that new connections to the endpoint lead to."""
    reached = set()
    for _ in range(connections):
        try:
            with connect(endpoint) as client:
                reached.add(answering(client))
        except redis.exceptions.ConnectionError:
            continue
    return reached


def test_a_rebooted_primary_keeps_its_role_and_its_data(elasticache: Any, service: Service) -> None:
    with replication_group(elasticache, "reboots", NumCacheClusters=2, AutomaticFailoverEnabled=True) as group:
        primary = primary_member(group)
        with connect(group["NodeGroups"][0]["PrimaryEndpoint"]) as client:
            client.set("kept", "yes")
        before = service.pid_of(primary)
        reply = elasticache.reboot_cache_cluster(CacheClusterId=primary, CacheNodeIdsToReboot=["0001"])
        assert reply["CacheCluster"]["CacheClusterStatus"] == "rebooting cluster nodes"
        wait_for("another process serves the node", lambda: before not in service.engine_pids())
        healed = await_healthy(elasticache, "reboots")
        wait_for("the role is back", lambda: primary_member(describe(elasticache, "reboots") or healed) == primary)
        with connect(healed["NodeGroups"][0]["PrimaryEndpoint"]) as client:
            assert client.get("kept") == "yes"


def test_a_deleted_group_leaves_nothing(service: Service, elasticache: Any) -> None:
    with replication_group(elasticache, "leaving", NumCacheClusters=3, AutomaticFailoverEnabled=True) as group:
        host, port = address(group["NodeGroups"][0]["PrimaryEndpoint"])
        assert sum(".leaving-" in name for name in service.engine_pids().values()) == 3
    assert not any(".leaving-" in name for name in service.engine_pids().values())
    wait_for("folders are erased", lambda: not [f for f in (service.data / "nodes").iterdir() if ".leaving-" in f.name])
    with pytest.raises(redis.exceptions.ConnectionError):
        redis.Redis(host, port, socket_timeout=1).ping()


def test_a_cluster_of_three_shards_serves_cluster_clients(elasticache: Any) -> None:
    request = {"NumNodeGroups": 3, "ReplicasPerNodeGroup": 1, "AutomaticFailoverEnabled": True}
    with replication_group(elasticache, "cluster", **request) as group:
        assert [shard["Slots"] for shard in group["NodeGroups"]] == ["0-5461", "5462-10922", "10923-16383"]
        host, port = address(group["ConfigurationEndpoint"])
        with RedisCluster(host, port, decode_responses=True, socket_timeout=2) as client:
            for number in range(300):
                assert client.set(f"key:{number}", number)
            assert [client.get(f"key:{number}") for number in range(300)] == [str(number) for number in range(300)]
            assert len(client.get_nodes()) == 6
        asyncio.run(_glide_cluster(host, port))


async def _glide_cluster(host: str, port: int) -> None:
    from glide import GlideClusterClient, GlideClusterClientConfiguration, NodeAddress

    client = await GlideClusterClient.create(GlideClusterClientConfiguration([NodeAddress(host, port)]))
    for number in range(50):
        await client.set(f"glide:{number}", str(number))
    assert [await client.get(f"glide:{number}") for number in range(50)] == [str(number).encode() for number in range(50)]
    await client.close()


@pytest.mark.parametrize("shards", [1, 2, 3])
def test_a_killed_cluster_primary_is_succeeded(service: Service, elasticache: Any, shards: int) -> None:
    name = f"cfail{shards}"
    request = {"NumNodeGroups": shards, "ReplicasPerNodeGroup": 1, "AutomaticFailoverEnabled": True, "ClusterMode": "enabled"}
    with replication_group(elasticache, name, **request) as group:
        host, port = address(group["ConfigurationEndpoint"])
        with RedisCluster(host, port, decode_responses=True, socket_timeout=2) as client:
            for number in range(100):
                client.set(f"key:{number}", number)
        os.kill(service.pid_of(f"{name}-0001-001"), signal.SIGKILL)

        def writable() -> bool:
            try:
                with RedisCluster(host, port, decode_responses=True, socket_timeout=2) as client:
                    return all(client.set(f"key:{number}", number) for number in range(100))
            except redis.exceptions.RedisError:
                return False

        wait_for("every slot takes writes again", writable, 10)
        await_healthy(elasticache, name)


def test_the_services_end_leaves_caches_serving_and_the_next_one_adopts_them(service: Service, elasticache: Any) -> None:
    with replication_group(elasticache, "adopted", NumCacheClusters=2, AutomaticFailoverEnabled=True) as group:
        before = service.engine_pids()
        service.kill()
        with connect(group["NodeGroups"][0]["PrimaryEndpoint"]) as client:
            assert client.set("while", "down")
        service.start()
        found = await_healthy(service.client(), "adopted")
        assert service.engine_pids() == before
        os.kill(service.pid_of(primary_member(found)), signal.SIGKILL)
        wait_for("the adopted group fails over", lambda: _reads(group, "while") == "down", 10)


def _reads(group: dict[str, Any], key: str) -> str | None:
    try:
        with connect(group["NodeGroups"][0]["PrimaryEndpoint"]) as client:
            return str(client.get(key)) if client.info("replication")["role"] == "master" else None
    except redis.exceptions.RedisError:
        return None


def test_a_second_service_on_the_same_folder_is_refused(service: Service) -> None:
    command = [CACHEFLEET, "up", "--data", str(service.data), "--listen", "127.0.0.1:0", "--no-demo"]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert refused.returncode == 1
    assert "already runs" in refused.stderr + refused.stdout
    assert "Traceback" not in refused.stderr


def test_the_command_line_waits_for_a_group(service: Service, elasticache: Any) -> None:
    aws = Path(CACHEFLEET).with_name("aws")
    with replication_group(elasticache, "viacli", NumCacheClusters=1):
        done = subprocess.run(
            [aws, "elasticache", "wait", "replication-group-available", "--replication-group-id", "viacli"],
            env=service.environment(), capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr


def test_first_write_comes_soon_after_the_request(elasticache: Any) -> None:
    """Not a timed test: the bound is ten times what is expected; bench/ holds the figure."""
    begun = time.monotonic()
    with (
        replication_group(elasticache, "soon", NumCacheClusters=2, AutomaticFailoverEnabled=True) as group,
        connect(group["NodeGroups"][0]["PrimaryEndpoint"]) as client,
    ):
        assert client.set("a", "b")
        assert time.monotonic() - begun < 10
