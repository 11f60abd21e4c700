"""IncreaseReplicaCount and DecreaseReplicaCount: who comes, who goes, in which zones, and what is refused."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from cachefleet.model.group import NodeMemory
from cachefleet.settings import ApiSettings, Settings
from tests.component.api_groups.stage import GroupStage, on_groups

MORE, FEWER = "IncreaseReplicaCount", "DecreaseReplicaCount"


async def change(stage: GroupStage, name: str, group: str = "demo", **request: Any) -> dict[str, Any]:
    reply = await stage.call(name, ReplicationGroupId=group, **{"ApplyImmediately": True, **request})
    return dict(reply["ReplicationGroup"])


async def refuse(stage: GroupStage, code: str, rule: str, name: str, group: str = "demo", **request: Any) -> None:
    key = stage.key(group)
    before = await stage.store.get(key)
    await stage.refused(code, rule, name, ReplicationGroupId=group, **{"ApplyImmediately": True, **request})
    assert await stage.store.get(key) == before


async def zones(stage: GroupStage, group: str = "demo") -> dict[str, str]:
    """By node, in order."""
    return {node.name: node.zone[-1] for node in (await stage.row(stage.key(group))).desired.nodes}


def per_shard(*entries: tuple[str, int] | tuple[str, int, str]) -> list[dict[str, Any]]:
    """(shard, replicas, letters of zones)."""
    return [
        {
            "NodeGroupId": entry[0],
            "NewReplicaCount": entry[1],
            **({"PreferredAvailabilityZones": [f"local-1{letter}" for letter in entry[2]]} if len(entry) > 2 else {}),
        }
        for entry in entries
    ]


# --- more ----------------------------------------------------------------------------------------------------------


@on_groups
async def test_replicas_are_added(stage: GroupStage) -> None:
    await stage.create_group(Tags=[{"Key": "team", "Value": "a"}])
    await stage.settle()
    stage.woken.clear()
    shown = await change(stage, MORE, NewReplicaCount=3)
    assert (shown["Status"], shown["MemberClusters"]) == (
        "modifying",
        ["demo-001", "demo-002", "demo-003", "demo-004"],
    )
    assert shown == await stage.group()
    assert await zones(stage) == {"demo-001": "a", "demo-002": "b", "demo-003": "c", "demo-004": "a"}
    assert (await stage.row(stage.key("demo"))).desired.nodes[-1].tags == {"team": "a"}
    assert (await stage.cluster("demo-004"))["CacheClusterStatus"] == "creating"
    assert stage.woken == [stage.key("demo")]
    assert (await stage.events())[0] == "replication-group demo: Increasing number of requested nodes"
    await refuse(stage, "InvalidReplicationGroupState", "modifying", MORE, NewReplicaCount=4)
    await refuse(stage, "InvalidReplicationGroupState", "modifying", FEWER, NewReplicaCount=1)


@on_groups
async def test_numbers_that_are_free_are_used_again(stage: GroupStage) -> None:
    await stage.create_group(NumCacheClusters=3)
    await stage.create_cluster("demo-004")
    await stage.settle()
    await change(stage, FEWER, ReplicasToRemove=["demo-002"])
    row = await stage.settle()  # done, but for what another one still is taking away
    await stage.write(replace(row, memory=replace(row.memory, nodes={**row.memory.nodes, "demo-002": NodeMemory(zone="x")})))
    assert (await change(stage, MORE, NewReplicaCount=2))["MemberClusters"] == ["demo-001", "demo-003", "demo-005"]
    await stage.settle()
    assert "demo-002" in (await change(stage, MORE, NewReplicaCount=3))["MemberClusters"]


@on_groups
async def test_replicas_of_some_shards(stage: GroupStage) -> None:
    await stage.create_group(NumNodeGroups=3, ReplicasPerNodeGroup=1)
    await stage.settle()
    await change(stage, MORE, ReplicaConfiguration=per_shard(("3", 2, "aca"), ("0001", 1), ("2", 3)))
    assert await zones(stage) == {
        "demo-0001-001": "a",
        "demo-0001-002": "b",
        "demo-0002-001": "b",
        "demo-0002-002": "c",
        "demo-0002-003": "a",
        "demo-0002-004": "b",
        "demo-0003-001": "c",
        "demo-0003-002": "a",
        "demo-0003-003": "a",
    }
    await stage.settle()
    await refuse(stage, "InvalidParameterValue", "0002 has 3 replicas already, more than 2", MORE, NewReplicaCount=2)
    shown = await change(stage, FEWER, ReplicaConfiguration=per_shard(("0002", 1, "ab"), ("3", 0)))
    assert shown["MemberClusters"] == [
        "demo-0001-001",
        "demo-0001-002",
        "demo-0002-001",
        "demo-0002-003",
        "demo-0003-001",
    ]


@on_groups
async def test_replicas_that_cannot_be_added(stage: GroupStage) -> None:
    await stage.create_group()
    await stage.settle()
    shard = per_shard(("0001", 2))
    for code, rule, request in (
        ("InvalidParameterValue", "ApplyImmediately: must be true", {"NewReplicaCount": 2, "ApplyImmediately": False}),
        ("InvalidParameterCombination", "exactly one of .*; none was given", {}),
        (
            "InvalidParameterCombination",
            "NewReplicaCount and ReplicaConfiguration were",
            {"NewReplicaCount": 2, "ReplicaConfiguration": shard},
        ),
        ("InvalidParameterValue", "NewReplicaCount: 6 must be from 0 to 5", {"NewReplicaCount": 6}),
        ("InvalidParameterValue", "NewReplicaCount: -1 must", {"NewReplicaCount": -1}),
        ("InvalidParameterValue", "of node group 0001: 9 must", {"ReplicaConfiguration": per_shard(("1", 9))}),
        ("NoOperationFault", "as many replicas as asked for", {"NewReplicaCount": 1}),
        ("InvalidParameterValue", "more than 0; use DecreaseReplicaCount", {"NewReplicaCount": 0}),
        ("InvalidParameterValue", "no node group 0002; it has 0001", {"ReplicaConfiguration": per_shard(("2", 2))}),
        ("InvalidParameterValue", "must be a number", {"ReplicaConfiguration": per_shard(("x", 2))}),
        ("InvalidParameterValue", "more than once", {"ReplicaConfiguration": shard * 2}),
        (
            "InvalidParameterValue",
            "Outposts",
            {"ReplicaConfiguration": [{**shard[0], "PreferredOutpostArns": ["arn"]}]},
        ),
        ("InvalidParameterCombination", "2 zones for 3 nodes", {"ReplicaConfiguration": per_shard(("1", 2, "ab"))}),
        ("InvalidParameterCombination", "present nodes.*local-1b", {"ReplicaConfiguration": per_shard(("1", 2, "aac"))}),
        ("InvalidParameterValue", "not an availability zone", {"ReplicaConfiguration": per_shard(("1", 2, "abz"))}),
        ("ReplicationGroupNotFoundFault", "nothing", {"group": "nothing", "NewReplicaCount": 2}),
    ):
        await refuse(stage, code, rule, MORE, **request)
    stage.use(Settings(api=ApiSettings(nodes_per_group=3)))
    await refuse(stage, "NodeQuotaForCustomerExceeded", "4 nodes are more than the 3", MORE, NewReplicaCount=3)
    stage.context = replace(stage.context, refuses=lambda nodes, size_bytes: f"no room for {nodes}")
    await refuse(stage, "InsufficientCacheClusterCapacity", "no room for 1", MORE, NewReplicaCount=2)


@on_groups
async def test_no_replicas_are_added_or_removed_while_a_role_moves(stage: GroupStage) -> None:
    await stage.create_group(NumCacheClusters=3, AutomaticFailoverEnabled=True)
    await refuse(stage, "InvalidReplicationGroupState", "creating", MORE, NewReplicaCount=3)
    await stage.settle()
    await stage.put_shard_memory(taken=False)
    await refuse(stage, "InvalidReplicationGroupState", "failing over", MORE, NewReplicaCount=3)
    await refuse(stage, "InvalidReplicationGroupState", "failing over", FEWER, ReplicasToRemove=["demo-003"])
    await stage.put_shard_memory(taken=True, headless=True)
    await refuse(stage, "InvalidReplicationGroupState", "has no primary", FEWER, NewReplicaCount=1)
    await stage.call("DeleteReplicationGroup", ReplicationGroupId="demo")
    await refuse(stage, "InvalidReplicationGroupState", "deleting", MORE, NewReplicaCount=3)


# --- fewer ---------------------------------------------------------------------------------------------------------


@on_groups
async def test_replicas_are_removed_by_name(stage: GroupStage) -> None:
    await stage.create_group(NumCacheClusters=4, AutomaticFailoverEnabled=True)
    await stage.settle()
    shown = await change(stage, FEWER, ReplicasToRemove=["Demo-002", "demo-003"])
    assert (shown["Status"], shown["MemberClusters"]) == ("modifying", ["demo-001", "demo-004"])
    row = await stage.row(stage.key("demo"))
    assert "demo-002" in row.memory.nodes and "demo-002" not in row.status.nodes
    assert [name for name, _ in await stage.store.members(stage.context.scope)] == ["demo-001", "demo-004"]


@on_groups
async def test_what_is_not_available_goes_first_then_the_fullest_zone(stage: GroupStage) -> None:
    await stage.create_group(PreferredCacheClusterAZs=["local-1a", "local-1b", "local-1b", "local-1c"], NumCacheClusters=4)
    await stage.settle()
    await stage.put_member_state("demo-004", "recovering")
    await change(stage, FEWER, NewReplicaCount=2)
    assert list(await zones(stage)) == ["demo-001", "demo-002", "demo-003"]
    await stage.settle()
    await change(stage, FEWER, NewReplicaCount=1)
    assert list(await zones(stage)) == ["demo-001", "demo-002"]
    await stage.settle()
    await change(stage, FEWER, NewReplicaCount=0)
    assert list(await zones(stage)) == ["demo-001"]


@on_groups
async def test_multi_az_stays_whatever_goes(stage: GroupStage) -> None:
    await stage.create_group(
        NumCacheClusters=4,
        PreferredCacheClusterAZs=["local-1a", "local-1a", "local-1b", "local-1a"],
        AutomaticFailoverEnabled=True,
        MultiAZEnabled=True,
    )
    await stage.settle()
    await stage.put_member_state("demo-003", "recovering")
    await refuse(
        stage, "InvalidParameterCombination", "all its nodes in local-1a", FEWER, ReplicasToRemove=["demo-003", "demo-004"]
    )
    await refuse(stage, "InvalidParameterCombination", "all its nodes", FEWER, ReplicaConfiguration=per_shard(("1", 1, "aa")))
    await refuse(stage, "InvalidParameterCombination", "at least one replica when Multi-AZ", FEWER, NewReplicaCount=0)
    await change(stage, FEWER, NewReplicaCount=1)
    assert list(await zones(stage)) == ["demo-001", "demo-003"]


@on_groups
async def test_the_primary_stays_whoever_it_is(stage: GroupStage) -> None:
    await stage.create_group(NumCacheClusters=3)
    row = await stage.settle()
    roles = {
        name: replace(state, role="primary" if name == "demo-003" else "replica") for name, state in row.status.nodes.items()
    }
    shards = {"0001": replace(row.memory.shards["0001"], primary="demo-003")}
    await stage.write(replace(row, status=replace(row.status, nodes=roles), memory=replace(row.memory, shards=shards)))
    await refuse(stage, "InvalidParameterValue", "demo-003 is a primary", FEWER, ReplicasToRemove=["demo-003"])
    await refuse(
        stage, "InvalidParameterCombination", "the primary's included", FEWER, ReplicaConfiguration=per_shard(("1", 0, "a"))
    )
    await change(stage, FEWER, NewReplicaCount=0)
    assert list(await zones(stage)) == ["demo-003"]


@on_groups
async def test_replicas_that_cannot_be_removed(stage: GroupStage) -> None:
    await stage.create_group(NumCacheClusters=3, AutomaticFailoverEnabled=True)
    await stage.settle()
    for code, rule, request in (
        ("InvalidParameterValue", "ApplyImmediately: must be true", {"NewReplicaCount": 1, "ApplyImmediately": False}),
        ("InvalidParameterCombination", "none was given", {"ReplicasToRemove": []}),
        (
            "InvalidParameterCombination",
            "NewReplicaCount and ReplicasToRemove",
            {"NewReplicaCount": 1, "ReplicasToRemove": ["demo-002"]},
        ),
        ("InvalidParameterValue", "no cluster of replication group demo", {"ReplicasToRemove": ["other-001"]}),
        ("InvalidParameterValue", "more than once", {"ReplicasToRemove": ["demo-002", "Demo-002"]}),
        ("NoOperationFault", "as many replicas", {"NewReplicaCount": 2}),
        ("InvalidParameterValue", "fewer than 4; use IncreaseReplicaCount", {"NewReplicaCount": 4}),
        ("InvalidParameterValue", "^.*Must have at least 1 replica when cluster mode is disabled", {"NewReplicaCount": 0}),
        ("InvalidParameterCombination", "of the nodes that stay", {"ReplicaConfiguration": per_shard(("1", 1, "aa"))}),
        ("ReplicationGroupNotFoundFault", "nothing", {"group": "nothing", "NewReplicaCount": 1}),
    ):
        await refuse(stage, code, rule, FEWER, **request)


@on_groups
async def test_replicas_that_never_came_up_can_be_given_up(stage: GroupStage) -> None:
    await stage.create_group(NumNodeGroups=2, ReplicasPerNodeGroup=1)
    row = await stage.settle()
    await change(stage, MORE, NewReplicaCount=2)
    await refuse(stage, "InvalidReplicationGroupState", "modifying", FEWER, ReplicasToRemove=["demo-0001-002"])
    shown = await change(stage, FEWER, ReplicasToRemove=["demo-0001-003", "demo-0002-003"])
    assert shown["MemberClusters"] == [node.name for node in row.desired.nodes]


@on_groups
async def test_cluster_mode_goes_down_to_primaries(stage: GroupStage) -> None:
    await stage.create_group(NumNodeGroups=2, ReplicasPerNodeGroup=2)
    await stage.settle()
    assert (await change(stage, FEWER, NewReplicaCount=0))["MemberClusters"] == ["demo-0001-001", "demo-0002-001"]
