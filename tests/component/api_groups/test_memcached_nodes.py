"""ModifyCacheCluster with another number of nodes: who comes, who goes, in which zones, and what is refused."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from cachefleet.model.group import NodeMemory
from cachefleet.model.resource import Kind
from tests.component.api_groups.stage import GroupStage, on_groups

MODIFY = "ModifyCacheCluster"
CLUSTER = Kind.CACHE_CLUSTER


async def begin(stage: GroupStage, nodes: int = 3, **request: Any) -> None:
    await stage.create_cluster("mem", Engine="memcached", NumCacheNodes=nodes, **request)
    await stage.settle("mem", CLUSTER)
    stage.woken.clear()


async def modify(stage: GroupStage, **request: Any) -> dict[str, Any]:
    reply = await stage.call(MODIFY, CacheClusterId="Mem", **{"ApplyImmediately": True, **request})
    return dict(reply["CacheCluster"])


async def zones(stage: GroupStage) -> dict[str, str]:
    """By node, in order."""
    return {node.name: node.zone[-1] for node in (await stage.row(stage.key("mem", CLUSTER))).desired.nodes}


@on_groups
async def test_nodes_are_added(stage: GroupStage) -> None:
    await begin(stage)
    shown = await modify(stage, NumCacheNodes=5, PreferredMaintenanceWindow="tue:01:00-tue:02:00")
    assert (shown["CacheClusterStatus"], shown["NumCacheNodes"]) == ("modifying", 5)
    assert shown["PreferredMaintenanceWindow"] == "tue:01:00-tue:02:00"
    assert await zones(stage) == dict.fromkeys([f"mem.000{number}" for number in range(1, 6)], "a")
    assert stage.woken == [stage.key("mem", CLUSTER)]
    assert (await stage.events())[0] == "cache-cluster mem: Increasing number of requested nodes"
    assert [name for name, _ in await stage.store.members(stage.context.scope)] == ["mem"]
    await stage.refused(
        "InvalidCacheClusterState", "modifying", MODIFY, CacheClusterId="mem", NumCacheNodes=6, ApplyImmediately=True
    )


@on_groups
async def test_nodes_are_removed_and_their_ids_are_free_when_they_are_gone(stage: GroupStage) -> None:
    await begin(stage)
    shown = await modify(stage, NumCacheNodes=1, CacheNodeIdsToRemove=["0001", "0002"])
    assert (shown["CacheClusterStatus"], shown["NumCacheNodes"]) == ("modifying", 1)
    assert list(await zones(stage)) == ["mem.0003"]
    row = await stage.row(stage.key("mem", CLUSTER))
    assert "mem.0001" in row.memory.nodes and "mem.0001" not in row.status.nodes
    row = await stage.settle("mem", CLUSTER)
    await stage.write(replace(row, memory=replace(row.memory, nodes={**row.memory.nodes, "mem.0001": NodeMemory(zone="x")})))
    await modify(stage, NumCacheNodes=3)
    assert list(await zones(stage)) == ["mem.0003", "mem.0002", "mem.0004"]
    assert [node["CacheNodeId"] for node in (await stage.cluster("mem", ShowCacheNodeInfo=True))["CacheNodes"]] == [
        "0003",
        "0002",
        "0004",
    ]


@on_groups
async def test_zones_of_new_nodes(stage: GroupStage) -> None:
    await begin(stage, 2, AZMode="cross-az")
    await modify(stage, NumCacheNodes=4)
    assert list((await zones(stage)).values()) == ["a", "b", "c", "a"]
    await stage.settle("mem", CLUSTER)
    await modify(stage, NumCacheNodes=6, NewAvailabilityZones=["local-1c", "local-1c"])
    assert list((await zones(stage)).values()) == ["a", "b", "c", "a", "c", "c"]


@on_groups
async def test_one_zone_becomes_several(stage: GroupStage) -> None:
    await begin(stage, 2)
    shown = await modify(stage, NumCacheNodes=3, NewAvailabilityZones=["local-1b"])
    assert shown["PreferredAvailabilityZone"] == "Multiple"
    assert list((await zones(stage)).values()) == ["a", "a", "b"]
    await stage.settle("mem", CLUSTER)
    shown = await modify(stage, AZMode="cross-az", ApplyImmediately=False)
    assert (shown["CacheClusterStatus"], shown["PreferredAvailabilityZone"]) == ("available", "Multiple")


@on_groups
async def test_several_zones_are_for_new_nodes(stage: GroupStage) -> None:
    await begin(stage, 2)
    shown = await modify(stage, NumCacheNodes=3, AZMode="cross-az")
    assert shown["PreferredAvailabilityZone"] == "Multiple"
    assert list((await zones(stage)).values()) == ["a", "a", "b"]


@on_groups
async def test_changes_that_are_refused(stage: GroupStage) -> None:
    await begin(stage)
    key = stage.key("mem", CLUSTER)
    before = await stage.row(key)
    value, combination = "InvalidParameterValue", "InvalidParameterCombination"
    for code, rule, request in (
        (value, "at least 1", {"NumCacheNodes": 0}),
        ("NodeQuotaForClusterExceeded", "41 nodes", {"NumCacheNodes": 41}),
        (combination, "names 0 nodes, but NumCacheNodes asks for 1 fewer", {"NumCacheNodes": 2}),
        (combination, "names 2 nodes", {"NumCacheNodes": 2, "CacheNodeIdsToRemove": ["0001", "0002"]}),
        (combination, "names 1 nodes", {"NumCacheNodes": 4, "CacheNodeIdsToRemove": ["0001"]}),
        (combination, "asks for 0 fewer", {"CacheNodeIdsToRemove": ["0001"]}),
        (value, "no node of the cluster; its nodes are 0001", {"NumCacheNodes": 2, "CacheNodeIdsToRemove": ["0009"]}),
        (value, "more than once", {"NumCacheNodes": 1, "CacheNodeIdsToRemove": ["0001", "0001"]}),
        (combination, "names 1 zones, but", {"NumCacheNodes": 5, "NewAvailabilityZones": ["local-1a"]}),
        (combination, "0 more nodes", {"NewAvailabilityZones": ["local-1a"]}),
        (value, "not an availability zone", {"NumCacheNodes": 4, "NewAvailabilityZones": ["mars-1a"]}),
        (combination, "in several zones", {"NumCacheNodes": 4, "NewAvailabilityZones": ["local-1b"], "AZMode": "single-az"}),
        (combination, "at least two", {"NumCacheNodes": 1, "CacheNodeIdsToRemove": ["0001", "0002"], "AZMode": "cross-az"}),
        (value, "AZMode: 'everywhere' must be", {"AZMode": "everywhere"}),
        (combination, "all 3 nodes would stand in local-1a", {"AZMode": "cross-az"}),
        (
            combination,
            "all 4 nodes would stand in local-1a",
            {"NumCacheNodes": 4, "NewAvailabilityZones": ["local-1a"], "AZMode": "cross-az"},
        ),
        (
            combination,
            "all 2 nodes would stand in local-1a",
            {"NumCacheNodes": 2, "CacheNodeIdsToRemove": ["0001"], "AZMode": "cross-az"},
        ),
    ):
        request = {"ApplyImmediately": True, **request}
        await stage.refused(code, rule, MODIFY, CacheClusterId="mem", **request)
    stage.context = replace(stage.context, refuses=lambda nodes, size_bytes: f"no room for {nodes}")
    await stage.refused(
        "InsufficientCacheClusterCapacity",
        "no room for 2",
        MODIFY,
        CacheClusterId="mem",
        NumCacheNodes=5,
        ApplyImmediately=True,
    )
    assert await stage.row(key) == before


@on_groups
async def test_a_cluster_of_another_engine_has_one_node(stage: GroupStage) -> None:
    await stage.create_cluster()
    await stage.settle("alone", CLUSTER)
    await stage.create_group()
    await stage.settle()
    await stage.call(MODIFY, CacheClusterId="alone", NumCacheNodes=1, AZMode="single-az", ApplyImmediately=True)
    for cluster, code, rule, request in (
        ("alone", "InvalidParameterValue", "has one node; make it the primary", {"NumCacheNodes": 2}),
        ("demo-001", "InvalidParameterValue", "has one node; use IncreaseReplicaCount", {"NumCacheNodes": 2}),
        ("alone", "InvalidParameterCombination", "for Memcached", {"AZMode": "cross-az"}),
        ("alone", "InvalidParameterCombination", "for Memcached", {"CacheNodeIdsToRemove": ["0001"]}),
        ("alone", "InvalidParameterCombination", "for Memcached", {"NewAvailabilityZones": ["local-1a"]}),
        ("alone", "InvalidParameterValue", "must be single-az or", {"AZMode": "none"}),
    ):
        await stage.refused(code, rule, MODIFY, CacheClusterId=cluster, ApplyImmediately=True, **request)
