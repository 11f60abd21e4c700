"""Memcached: numbers of nodes that wait for the window (reference 2.3), node types in portions, versions."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from cachefleet.model.group import Engine
from cachefleet.model.resource import Kind
from tests.component.api_groups.stage import GroupStage, on_groups
from tests.fakes.catalogue import BUILDS, StaticCatalogue

MODIFY = "ModifyCacheCluster"
CLUSTER = Kind.CACHE_CLUSTER
MICRO, SMALL = "cache.t4g.micro", "cache.t4g.small"
VALUE, COMBINATION = "InvalidParameterValue", "InvalidParameterCombination"


async def begin(stage: GroupStage, nodes: int = 3, **request: Any) -> None:
    await stage.create_cluster("mem", Engine="memcached", NumCacheNodes=nodes, **request)
    await stage.settle("mem", CLUSTER)


async def modify(stage: GroupStage, /, **request: Any) -> dict[str, Any]:
    shown: dict[str, Any] = (await stage.call(MODIFY, CacheClusterId="mem", **request))["CacheCluster"]
    return shown


async def pending(stage: GroupStage, /, **request: Any) -> dict[str, Any]:
    """What is pending after a request that changes nothing at once."""
    shown = await modify(stage, **request)
    assert (shown["CacheClusterStatus"], shown["NumCacheNodes"]) == ("available", 3)
    return dict(shown["PendingModifiedValues"])


async def nodes(stage: GroupStage) -> list[str]:
    row = await stage.row(stage.key("mem", CLUSTER))
    return [f"{node.node_id}{node.zone[-1]}" for node in row.desired.nodes]


# --- how many ------------------------------------------------------------------------------------------------------


@on_groups
async def test_more_nodes_wait_and_more_still_come_on_top(stage: GroupStage) -> None:
    await begin(stage)
    assert await pending(stage, NumCacheNodes=5, NewAvailabilityZones=["local-1b", "local-1c"]) == {"NumCacheNodes": 5}
    assert await pending(stage, NumCacheNodes=5) == {"NumCacheNodes": 5}
    assert await pending(stage, NumCacheNodes=6, NewAvailabilityZones=["local-1a"]) == {"NumCacheNodes": 6}
    assert await pending(stage) == {"NumCacheNodes": 6}
    assert await nodes(stage) == ["0001a", "0002a", "0003a"]
    shown = await modify(stage, ApplyImmediately=True)
    assert (shown["CacheClusterStatus"], shown["NumCacheNodes"], shown["PendingModifiedValues"]) == ("modifying", 6, {})
    assert shown["PreferredAvailabilityZone"] == "Multiple"
    assert await nodes(stage) == ["0001a", "0002a", "0003a", "0004b", "0005c", "0006a"]
    assert await stage.events() == ["cache-cluster mem: Increasing number of requested nodes"]


@on_groups
async def test_the_present_number_takes_back_what_waits(stage: GroupStage) -> None:
    await begin(stage)
    for request in ({"NumCacheNodes": 4}, {"NumCacheNodes": 2, "CacheNodeIdsToRemove": ["0001"]}):
        assert await pending(stage, **request) == request
        assert await pending(stage, NumCacheNodes=3) == {}
    assert (await stage.row(stage.key("mem", CLUSTER))).desired.pending is None


@on_groups
async def test_fewer_than_are_pending_have_to_be_named_or_taken_back(stage: GroupStage) -> None:
    await begin(stage)
    await pending(stage, NumCacheNodes=7)
    for immediately in (True, False):
        await stage.refused(
            COMBINATION,
            "5 is fewer than the 7 .* Name 2 of them .* NumCacheNodes 3",
            MODIFY,
            CacheClusterId="mem",
            NumCacheNodes=5,
            ApplyImmediately=immediately,
        )
    await stage.refused(
        COMBINATION, "names 1 nodes", MODIFY, CacheClusterId="mem", NumCacheNodes=5, CacheNodeIdsToRemove=["0004"]
    )
    assert await pending(stage, NumCacheNodes=5, CacheNodeIdsToRemove=["0004", "0006"]) == {"NumCacheNodes": 5}
    then = await pending(stage, NumCacheNodes=4, CacheNodeIdsToRemove=["0002"])
    assert then == {"NumCacheNodes": 4, "CacheNodeIdsToRemove": ["0002"]}
    await modify(stage, ApplyImmediately=True)
    assert await nodes(stage) == ["0001a", "0003a", "0005a", "0007a"]


@on_groups
async def test_a_removal_replaces_what_waits(stage: GroupStage) -> None:
    await begin(stage)
    await pending(stage, NumCacheNodes=5)
    first = {"NumCacheNodes": 2, "CacheNodeIdsToRemove": ["0003"]}
    assert await pending(stage, **first) == first
    second = {"NumCacheNodes": 1, "CacheNodeIdsToRemove": ["0001", "0003"]}
    assert await pending(stage, **second) == second
    assert await pending(stage, NumCacheNodes=4) == {"NumCacheNodes": 4}, "so do new nodes"
    await modify(stage, NumCacheNodes=2, CacheNodeIdsToRemove=["0002"], ApplyImmediately=True)
    assert await nodes(stage) == ["0001a", "0003a"]
    assert await stage.events() == []


@on_groups
async def test_of_pending_nodes_and_present_ones_as_many_as_are_too_many(stage: GroupStage) -> None:
    await begin(stage)
    await pending(stage, NumCacheNodes=5)
    request = {"NumCacheNodes": 2, "CacheNodeIdsToRemove": ["0001", "0002", "0004"]}
    assert await pending(stage, **request) == {"NumCacheNodes": 2, "CacheNodeIdsToRemove": ["0001", "0002"]}
    await modify(stage, ApplyImmediately=True)
    assert await nodes(stage) == ["0003a", "0005a"]


@on_groups
async def test_az_mode_waits_with_its_nodes(stage: GroupStage) -> None:
    await begin(stage)
    assert await pending(stage, NumCacheNodes=4, AZMode="cross-az") == {"NumCacheNodes": 4}
    assert (await stage.cluster("mem"))["PreferredAvailabilityZone"] == "local-1a"
    await modify(stage, ApplyImmediately=True)
    assert (await stage.cluster("mem"))["PreferredAvailabilityZone"] == "Multiple"
    assert await nodes(stage) == ["0001a", "0002a", "0003a", "0004b"]


@on_groups
async def test_pending_nodes_count_against_the_quota(stage: GroupStage) -> None:
    await begin(stage)
    await pending(stage, NumCacheNodes=40)
    await stage.refused("NodeQuotaForClusterExceeded", "41 nodes", MODIFY, CacheClusterId="mem", NumCacheNodes=41)


# --- of which kind -------------------------------------------------------------------------------------------------


@on_groups
async def test_node_type_and_version_wait_and_begin(stage: GroupStage) -> None:
    newer = replace(BUILDS[-1], version="1.6.22")
    stage.context = replace(stage.context, catalogue=StaticCatalogue([newer, *BUILDS]))
    await begin(stage, EngineVersion="1.6.18")
    assert await pending(stage, CacheNodeType=SMALL) == {"CacheNodeType": SMALL}
    then = {"CacheNodeType": SMALL, "EngineVersion": "1.6.22", "NumCacheNodes": 4}
    assert await pending(stage, EngineVersion="1.6.22", NumCacheNodes=4) == then
    await stage.refused(
        "InvalidCacheClusterState", "pending, so", MODIFY, CacheClusterId="mem", CacheNodeType=SMALL, ApplyImmediately=True
    )
    shown = await modify(stage, CacheNodeType=SMALL, EngineVersion="1.6.22", ApplyImmediately=True)
    assert (shown["CacheNodeType"], shown["EngineVersion"], shown["NumCacheNodes"]) == (SMALL, "1.6.22", 4)
    await stage.settle("mem", CLUSTER)
    for rule, request in (
        ("a downgrade from Memcached 1.6.22", {"EngineVersion": "1.6.18"}),
        ("not installed", {"EngineVersion": "1.6.30"}),
        ("must be a full version", {"EngineVersion": "1.6"}),
        ("cannot become valkey", {"Engine": Engine.VALKEY.value}),
    ):
        await stage.refused(VALUE, rule, MODIFY, CacheClusterId="mem", **request)


@on_groups
async def test_portions(stage: GroupStage) -> None:
    await begin(stage)
    scale = {"ScalePercentage": 30, "ScaleIntervalMinutes": 5}
    assert await pending(stage, CacheNodeType=SMALL, ScaleConfig=scale) == {"CacheNodeType": SMALL, "ScaleConfig": scale}
    assert await pending(stage, NumCacheNodes=3) == {"CacheNodeType": SMALL, "ScaleConfig": scale}
    assert await pending(stage, CacheNodeType="cache.t4g.medium") == {"CacheNodeType": "cache.t4g.medium"}
    assert await pending(stage, CacheNodeType=MICRO) == {}
    shown = await modify(stage, CacheNodeType=SMALL, ScaleConfig=scale, ApplyImmediately=True)
    assert (shown["CacheNodeType"], shown["PendingModifiedValues"]) == (SMALL, {"ScaleConfig": scale})


@on_groups
async def test_portions_that_cannot_be(stage: GroupStage) -> None:
    await begin(stage)
    await stage.create_cluster()
    await stage.settle("alone", CLUSTER)
    for code, rule, name, config in (
        (VALUE, "ScalePercentage 0 must be", "mem", {"ScalePercentage": 0}),
        (VALUE, "ScalePercentage 101 must be", "mem", {"ScalePercentage": 101}),
        (VALUE, "ScaleIntervalMinutes -1 must be", "mem", {"ScalePercentage": 50, "ScaleIntervalMinutes": -1}),
        (COMBINATION, "is for Memcached", "alone", {"ScalePercentage": 50}),
    ):
        await stage.refused(code, rule, MODIFY, CacheClusterId=name, CacheNodeType=SMALL, ScaleConfig=config)
    await stage.refused(
        COMBINATION, "give another CacheNodeType", MODIFY, CacheClusterId="mem", ScaleConfig={"ScalePercentage": 50}
    )
