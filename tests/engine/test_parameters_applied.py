"""Parameter groups through a service: changed on running nodes, kept by new ones, or pending until a reboot."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from redis import Redis

from tests.engine.groups import (
    address,
    await_healthy,
    cache_cluster,
    describe,
    describe_cluster,
    primary_member,
    replication_group,
)
from tests.engine.test_parameters import settings_of
from tests.fixtures.machine import data_folder
from tests.fixtures.operator import as_operator
from tests.fixtures.service import Service, running_service, wait_for

MICRO_BYTES = 536_870_912


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """One of its own: it is killed."""
    with data_folder() as data, running_service(data) as running:
        yield running


def make(client: Any, name: str, family: str, **values: str) -> None:
    client.create_cache_parameter_group(CacheParameterGroupName=name, CacheParameterGroupFamily=family, Description="test")
    modify(client, name, **values)


def modify(client: Any, name: str, **values: str) -> None:
    listed = [{"ParameterName": each.replace("__", "-"), "ParameterValue": value} for each, value in values.items()]
    client.modify_cache_parameter_group(CacheParameterGroupName=name, ParameterNameValues=listed)


def of_nodes(client: Any, group: str, *names: str) -> dict[str, dict[str, str]]:
    """What every member itself says."""
    found = {}
    shown = describe(client, group)
    assert shown is not None
    for member in shown["NodeGroups"][0]["NodeGroupMembers"]:
        where = address(member["ReadEndpoint"])
        with Redis(*where, socket_timeout=2, decode_responses=True, **as_operator(where)) as node:
            found[member["CacheClusterId"]] = {name: str(node.config_get(name)[name]) for name in names}
    return found


def states(client: Any, group: str) -> set[tuple[str, str]]:
    shown = describe(client, group)
    assert shown is not None
    clusters = [describe_cluster(client, member) for member in shown["MemberClusters"]]
    return {
        (cluster["CacheParameterGroup"]["ParameterApplyStatus"], node["ParameterGroupStatus"])
        for cluster in clusters
        if cluster is not None
        for node in cluster["CacheNodes"]
    }


def told(client: Any, group: str) -> list[str]:
    """Its events."""
    found = client.describe_events(SourceIdentifier=group, SourceType="replication-group")["Events"]
    return [event["Message"] for event in found]


def idle_timeout(host: str, port: int) -> str:
    """What a Memcached node itself says; "" while it does not run."""
    try:
        return settings_of(host, port)["idle_timeout"]
    except OSError:
        return ""


def test_values_reach_every_node_and_are_kept(service: Service, elasticache: Any) -> None:
    make(elasticache, "mine", "valkey9", timeout="60", reserved__memory__percent="50")
    with replication_group(
        elasticache,
        "keeps",
        NumCacheClusters=2,
        AutomaticFailoverEnabled=True,
        EngineVersion="9.1",
        CacheParameterGroupName="mine",
    ):
        before = {"timeout": "60", "maxmemory": str(MICRO_BYTES // 2), "maxmemory-policy": "volatile-lru"}
        assert of_nodes(elasticache, "keeps", *before) == {"keeps-001": before, "keeps-002": before}
        modify(elasticache, "mine", timeout="300", maxmemory__policy="allkeys-lfu", reserved__memory__percent="25")
        service.kill()  # whatever of it is done by then
        service.start()
        after = {"timeout": "300", "maxmemory": str(MICRO_BYTES * 3 // 4), "maxmemory-policy": "allkeys-lfu"}
        wait_for("both have it", lambda: of_nodes(elasticache, "keeps", *after) == {"keeps-001": after, "keeps-002": after})
        wait_for("and it is said", lambda: states(elasticache, "keeps") == {("in-sync", "in-sync")})

        elasticache.increase_replica_count(ReplicationGroupId="keeps", NewReplicaCount=2, ApplyImmediately=True)
        members = await_healthy(elasticache, "keeps")["MemberClusters"]
        assert len(members) == 3 and of_nodes(elasticache, "keeps", *after) == dict.fromkeys(members, after)
        elasticache.test_failover(ReplicationGroupId="keeps", NodeGroupId="0001")
        wait_for("another leads", lambda: primary_member(await_healthy(elasticache, "keeps")) != "keeps-001")
        wait_for("the failover is over", lambda: any("completed" in each for each in told(elasticache, "keeps")))
        assert set(map(str, of_nodes(elasticache, "keeps", *after).values())) == {str(after)}

        elasticache.modify_replication_group(
            ReplicationGroupId="keeps", CacheParameterGroupName="default.valkey9", ApplyImmediately=True
        )
        default = {"timeout": "0", "maxmemory-policy": "volatile-lru"}
        wait_for(
            "defaults are back", lambda: set(map(str, of_nodes(elasticache, "keeps", *default).values())) == {str(default)}
        )
        await_healthy(elasticache, "keeps")
        assert states(elasticache, "keeps") == {("in-sync", "in-sync")}
    elasticache.delete_cache_parameter_group(CacheParameterGroupName="mine")


def test_what_memcached_cannot_change_waits_for_a_reboot(elasticache: Any) -> None:
    make(elasticache, "items", "memcached1.6", idle_timeout="60")

    def shown() -> tuple[str, list[str], list[str]]:
        cluster = describe_cluster(elasticache, "items")
        assert cluster is not None
        group = cluster["CacheParameterGroup"]
        nodes = [node["ParameterGroupStatus"] for node in cluster["CacheNodes"]]
        return group["ParameterApplyStatus"], group["CacheNodeIdsToReboot"], nodes

    with cache_cluster(elasticache, "items", Engine="memcached", NumCacheNodes=2, CacheParameterGroupName="items") as cluster:
        places = [address(node["Endpoint"]) for node in cluster["CacheNodes"]]
        assert shown() == ("in-sync", [], ["in-sync", "in-sync"])
        modify(elasticache, "items", idle_timeout="120")
        wait_for("both wait", lambda: shown() == ("pending-reboot", ["0001", "0002"], ["pending-reboot", "pending-reboot"]))
        assert [idle_timeout(*place) for place in places] == ["60", "60"]
        elasticache.reboot_cache_cluster(CacheClusterId="items", CacheNodeIdsToReboot=["0001"])
        wait_for("one has it", lambda: idle_timeout(*places[0]) == "120")
        assert shown() == ("pending-reboot", ["0002"], ["in-sync", "pending-reboot"])
        assert idle_timeout(*places[1]) == "60"
        elasticache.reset_cache_parameter_group(CacheParameterGroupName="items", ResetAllParameters=True)
        wait_for("and now both wait", lambda: shown()[1] == ["0001", "0002"])
    elasticache.delete_cache_parameter_group(CacheParameterGroupName="items")
