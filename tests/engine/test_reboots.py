"""RebootCacheCluster, and deaths where failover is off: ElastiCache's behaviour, but no data is lost that a replica holds."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest
import redis
from botocore.exceptions import ClientError

from tests.engine.groups import address, await_healthy, describe, primary_member, replication_group
from tests.fixtures.service import Service, wait_for
from tests.traffic.writer import EndpointWriter


def messages(client: Any, cluster: str) -> list[str]:
    """Oldest first."""
    found = client.describe_events(SourceIdentifier=cluster, SourceType="cache-cluster")["Events"]
    return [event["Message"] for event in found][::-1]


def primary_is(client: Any, group: str, cluster: str) -> Callable[[], bool]:
    def probe() -> bool:
        found = describe(client, group)
        return found is not None and found["Status"] == "available" and primary_member(found) == cluster

    return probe


def reboot(client: Any, service: Service, cluster: str) -> None:
    """Returns when another process serves the node."""
    before = service.pid_of(cluster)
    reply = client.reboot_cache_cluster(CacheClusterId=cluster, CacheNodeIdsToReboot=["0001"])
    assert reply["CacheCluster"]["CacheClusterStatus"] == "rebooting cluster nodes"
    wait_for(f"{cluster} has another process", lambda: replaced(service, cluster, before))


def replaced(service: Service, cluster: str, before: int) -> bool:
    return any(f".{cluster}." in name and pid != before for pid, name in service.engine_pids().items())


def log_of(endpoint: dict[str, Any]) -> set[int]:
    with redis.Redis(*address(endpoint), socket_timeout=2) as client:
        return {int(value) for value in client.lrange("log", 0, -1)}


@pytest.mark.parametrize("failover", [True, False])
def test_a_rebooted_primary_loses_no_write_and_has_its_role_back(service: Service, elasticache: Any, failover: bool) -> None:
    name = f"again-{failover}".lower()
    with replication_group(elasticache, name, NumCacheClusters=2, AutomaticFailoverEnabled=failover) as group:
        primary, endpoint = f"{name}-001", group["NodeGroups"][0]["PrimaryEndpoint"]
        with EndpointWriter(*address(endpoint)) as writer:
            writer.await_writes(200)
            reboot(elasticache, service, primary)
            wait_for("the role is back", primary_is(elasticache, name, primary))
            writer.await_writes(200)
        await_healthy(elasticache, name)
        assert writer.acknowledged <= log_of(endpoint)
        told = messages(elasticache, primary)
        assert told.index("Cache node 0001 shutdown") < told.index("Cache node 0001 restarted")


def test_a_rebooted_replica_is_filled_again(service: Service, elasticache: Any) -> None:
    with replication_group(elasticache, "refilled", NumCacheClusters=2, AutomaticFailoverEnabled=True) as group:
        shard = group["NodeGroups"][0]
        with EndpointWriter(*address(shard["PrimaryEndpoint"])) as writer:
            writer.await_writes(200)
            reboot(elasticache, service, "refilled-002")
            healed = await_healthy(elasticache, "refilled")
            writer.await_writes(100)
        assert writer.errors == []
        assert primary_member(healed) == "refilled-001"
        wait_for("the replica has it all", lambda: writer.acknowledged <= log_of(shard["ReaderEndpoint"]))


def test_a_primary_without_replicas_is_emptied_by_a_reboot(service: Service, elasticache: Any) -> None:
    with replication_group(elasticache, "emptied", NumCacheClusters=1) as group:
        endpoint = group["NodeGroups"][0]["PrimaryEndpoint"]
        with redis.Redis(*address(endpoint)) as client:
            client.rpush("log", 1)
        reboot(elasticache, service, "emptied-001")
        healed = await_healthy(elasticache, "emptied")
        assert healed["NodeGroups"][0]["PrimaryEndpoint"] == endpoint
        assert log_of(endpoint) == set()


def test_a_member_of_a_cluster_is_not_rebooted(elasticache: Any) -> None:
    with replication_group(elasticache, "stays", NumNodeGroups=1, ReplicasPerNodeGroup=1, ClusterMode="enabled"):
        with pytest.raises(ClientError, match="cluster mode enabled") as refused:
            elasticache.reboot_cache_cluster(CacheClusterId="stays-0001-001", CacheNodeIdsToReboot=["0001"])
        assert refused.value.response["Error"]["Code"] == "InvalidCacheClusterState"


def test_a_dead_primary_with_failover_off_has_its_role_back_and_its_data(service: Service, elasticache: Any) -> None:
    """A replica serves meanwhile: only writes that no replica had are lost, as in a failover."""
    with replication_group(elasticache, "manual", NumCacheClusters=3, AutomaticFailoverEnabled=False) as group:
        endpoint = group["NodeGroups"][0]["PrimaryEndpoint"]
        with EndpointWriter(*address(endpoint)) as writer:
            writer.await_writes(200)
            before = service.pid_of("manual-001")
            os.kill(before, signal.SIGKILL)
            wait_for("it is back", lambda: replaced(service, "manual-001", before))
            wait_for("the role is back", primary_is(elasticache, "manual", "manual-001"))
            writer.await_writes(200)
        await_healthy(elasticache, "manual")
        assert len(writer.acknowledged - log_of(endpoint)) <= 1  # what it had acknowledged and not sent on yet
