"""ModifyReplicationGroupShardConfiguration: which shards come and go, who shall own which slots, and what is refused."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from cachefleet.model.group import NodeMemory, ShardMemory, SlotMove
from cachefleet.model.slots import count, union
from cachefleet.settings import ApiSettings, NodeTypeSetting, Settings
from tests.component.api_groups.stage import GroupStage, on_groups

NAME = "ModifyReplicationGroupShardConfiguration"
VALUE, COMBINATION, STATE = "InvalidParameterValue", "InvalidParameterCombination", "InvalidReplicationGroupState"
EVERY_SLOT = ((0, 16383),)


async def big(stage: GroupStage, shards: int = 3, replicas: int = 1, **request: Any) -> None:
    """A group `big` that is available."""
    await stage.create_group("big", NumNodeGroups=shards, ReplicasPerNodeGroup=replicas, **request)
    await stage.settle("big")
    stage.woken.clear()


async def reshard(stage: GroupStage, shards: int, group: str = "big", **request: Any) -> dict[str, Any]:
    request = {"ApplyImmediately": True, "NodeGroupCount": shards, **request}
    return dict((await stage.call(NAME, ReplicationGroupId=group, **request))["ReplicationGroup"])


async def refuse(stage: GroupStage, code: str, rule: str, shards: int, group: str = "big", **request: Any) -> None:
    before = await stage.store.get(stage.key(group))
    request = {"ApplyImmediately": True, "NodeGroupCount": shards, **request}
    await stage.refused(code, rule, NAME, ReplicationGroupId=group, **request)
    assert await stage.store.get(stage.key(group)) == before


async def numbers(stage: GroupStage) -> dict[str, int]:
    """How many slots each shard shall own; together every slot once."""
    shards = (await stage.row(stage.key("big"))).desired.shards
    assert union(*(shard.slots for shard in shards)) == EVERY_SLOT
    assert sum(count(shard.slots) for shard in shards) == 16384
    return {shard.shard_id: count(shard.slots) for shard in shards}


async def zones(stage: GroupStage, shard_id: str) -> str:
    """Letters of the zones of its nodes."""
    shards = (await stage.row(stage.key("big"))).desired.shards
    return "".join(node.zone[-1] for shard in shards if shard.shard_id == shard_id for node in shard.nodes)


def places(*entries: tuple[str, str]) -> list[dict[str, Any]]:
    """(shard or "", letters of zones)."""
    return [
        {
            **({"NodeGroupId": shard_id} if shard_id else {}),
            "PreferredAvailabilityZones": [f"local-1{letter}" for letter in letters],
        }
        for shard_id, letters in entries
    ]


def slots_of(shown: dict[str, Any]) -> dict[str, str]:
    return {shard["NodeGroupId"]: shard["Slots"] for shard in shown["NodeGroups"]}


async def put_books(stage: GroupStage, **slots: Any) -> None:
    """What the planner's books say, by the last digit of the shard's id."""
    row = await stage.row(stage.key("big"))
    books = {f"000{name[-1]}": pairs for name, pairs in slots.items()}
    await stage.write(replace(row, memory=replace(row.memory, slots=books)))


@on_groups
async def test_progress(stage: GroupStage) -> None:
    await big(stage, 2)
    assert (await stage.group("big"))["PendingModifiedValues"] == {}
    await reshard(stage, 1, NodeGroupsToRemove=["2"])
    row = await stage.row(stage.key("big"))
    books = {"0001": ((0, 14335),), "0002": ((14336, 16383),)}
    await stage.write(replace(row, memory=replace(row.memory, slots=books, slots_to_move=8192)))
    shown = await stage.group("big")
    assert shown["PendingModifiedValues"] == {"Resharding": {"SlotMigration": {"ProgressPercentage": 75.0}}}
    assert slots_of(shown) == {"0001": "0-14335", "0002": "14336-16383"}


async def put_used(stage: GroupStage, shard_id: str, used_bytes: int) -> None:
    """How much the nodes of a shard hold."""
    row = await stage.row(stage.key("big"))
    nodes = {
        name: replace(known, used_bytes=used_bytes) if name.startswith(f"big-{shard_id}") else known
        for name, known in row.memory.nodes.items()
    }
    await stage.write(replace(row, memory=replace(row.memory, nodes=nodes)))


# --- more ----------------------------------------------------------------------------------------------------------


@on_groups
async def test_shards_are_added(stage: GroupStage) -> None:
    await big(stage, 2, Tags=[{"Key": "team", "Value": "a"}])
    before = slots_of(await stage.group("big"))
    shown = await reshard(stage, 4)
    assert shown["Status"] == "modifying"
    assert [shard["NodeGroupId"] for shard in shown["NodeGroups"]] == ["0001", "0002", "0003", "0004"]
    assert [shard["Status"] for shard in shown["NodeGroups"]] == ["modifying", "modifying", "creating", "creating"]
    assert shown["MemberClusters"][-2:] == ["big-0004-001", "big-0004-002"]
    assert shown == await stage.group("big")
    assert await numbers(stage) == dict.fromkeys(["0001", "0002", "0003", "0004"], 4096)
    row = await stage.row(stage.key("big"))
    assert row.desired.shards[3].nodes[1].tags == {"team": "a"}
    assert (await stage.cluster("big-0003-001"))["CacheClusterStatus"] == "creating"
    assert stage.woken == [stage.key("big")]
    assert (await stage.events())[0] == "replication-group big: Adding node groups 0003, 0004 to replication group big"
    await put_books(stage, s1=((0, 8191),), s2=((8192, 16383),))
    assert (await stage.group("big"))["PendingModifiedValues"] == {"Resharding": {"SlotMigration": {"ProgressPercentage": 0.0}}}
    assert slots_of(await stage.group("big")) == {**before, "0003": "", "0004": ""}
    for shards in (2, 3, 5):
        await refuse(stage, STATE, "modifying", shards)


@on_groups
async def test_new_shards_are_as_large_as_the_smallest(stage: GroupStage) -> None:
    await big(stage, 2, 3)
    row = await stage.row(stage.key("big"))
    first, second = row.desired.shards
    await stage.write(replace(row, desired=replace(row.desired, shards=(first, replace(second, nodes=second.nodes[:2])))))
    await reshard(stage, 3)
    assert len(await zones(stage, "0003")) == 2


@on_groups
async def test_new_shards_take_the_lowest_free_ids_and_names(stage: GroupStage) -> None:
    entries = [{"NodeGroupId": "0002"}, {"NodeGroupId": "0004"}]
    await stage.create_group("big", NodeGroupConfiguration=entries)
    await stage.create_cluster("big-0003-001")
    row = await stage.settle("big")
    going = {**row.memory.shards, "0001": ShardMemory()}
    await stage.write(replace(row, memory=replace(row.memory, shards=going)))
    await reshard(stage, 4)
    row = await stage.row(stage.key("big"))
    assert [node.name for node in row.desired.nodes] == ["big-0002-001", "big-0003-002", "big-0004-001", "big-0005-001"]


@on_groups
async def test_zones_of_new_shards(stage: GroupStage) -> None:
    await big(stage, 2)
    assert (await zones(stage, "0001"), await zones(stage, "0002")) == ("ab", "bc")
    await reshard(stage, 5, ReshardingConfiguration=places(("9", "cb"), ("", "ba")))
    assert await zones(stage, "0009") == "cb"
    assert await zones(stage, "0003") == "ba"
    assert await zones(stage, "0004") == "ab"  # turns go on where creation left off


@on_groups
async def test_zones_that_do_not_fit(stage: GroupStage) -> None:
    await big(stage, 2, MultiAZEnabled=True)
    field = "ReshardingConfiguration"
    await refuse(stage, COMBINATION, "1 zones.*2 nodes", 3, ReshardingConfiguration=places(("", "a")))
    await refuse(stage, COMBINATION, "2 entries for 1", 3, ReshardingConfiguration=places(("", "ab"), ("", "ab")))
    await refuse(stage, VALUE, f"{field}.*local-1x", 3, ReshardingConfiguration=places(("", "ax")))
    await refuse(stage, COMBINATION, "all its nodes in local-1a", 3, ReshardingConfiguration=places(("", "aa")))
    await refuse(stage, VALUE, "0002 is a node group already", 3, ReshardingConfiguration=places(("2", "ab")))
    await refuse(stage, VALUE, "used more than once", 4, ReshardingConfiguration=places(("3", "ab"), ("0003", "ab")))
    await refuse(stage, VALUE, "from 0001 to 9999", 3, ReshardingConfiguration=places(("0", "ab")))
    row = await stage.row(stage.key("big"))
    memory = replace(row.memory, shards={**row.memory.shards, "0007": ShardMemory()})
    await stage.write(replace(row, memory=memory))
    await refuse(stage, VALUE, "0007 is still being removed", 3, ReshardingConfiguration=places(("7", "ab")))


@on_groups
async def test_zones_without_a_subnet(stage: GroupStage) -> None:
    subnets = (await stage.call("DescribeCacheSubnetGroups"))["CacheSubnetGroups"][0]["Subnets"]
    ids = [found["SubnetIdentifier"] for found in subnets if found["SubnetAvailabilityZone"]["Name"][-1] != "c"]
    description = "two zones"
    await stage.call(
        "CreateCacheSubnetGroup", CacheSubnetGroupName="ab", CacheSubnetGroupDescription=description, SubnetIds=ids
    )
    await big(stage, 1, CacheSubnetGroupName="ab", CacheParameterGroupName="default.valkey9.cluster.on")
    await refuse(stage, VALUE, "no subnet in local-1c", 2, ReshardingConfiguration=places(("", "ac")))
    await reshard(stage, 4)
    assert [await zones(stage, f"000{number}") for number in (2, 3, 4)] == ["ba", "ab", "ba"]


@on_groups
async def test_quotas(stage: GroupStage) -> None:
    await big(stage, 2)
    stage.use(Settings(api=ApiSettings(shards_per_group=3, nodes_per_group=5)))
    await refuse(stage, "NodeGroupsPerReplicationGroupQuotaExceeded", "4 shards.*api.shards_per_group", 4)
    await refuse(stage, "NodeQuotaForCustomerExceeded", "6 nodes.*api.nodes_per_group", 3)
    stage.use(Settings())
    asked = []

    def refuses(nodes: int, memory_bytes: int) -> str:
        asked.append(nodes)
        return "the machine is full"

    stage.context = replace(stage.context, refuses=refuses)
    await refuse(stage, "InsufficientCacheClusterCapacity", "the machine is full", 4)
    assert asked == [4]


# --- fewer ---------------------------------------------------------------------------------------------------------


@on_groups
async def test_shards_are_removed(stage: GroupStage) -> None:
    await big(stage, 4)
    before = await stage.row(stage.key("big"))
    shown = await reshard(stage, 2, NodeGroupsToRemove=["2", "0004"])
    assert shown["Status"] == "modifying"
    assert [shard["NodeGroupId"] for shard in shown["NodeGroups"]] == ["0001", "0002", "0003", "0004"]
    assert await numbers(stage) == {"0001": 8192, "0002": 0, "0003": 8192, "0004": 0}
    row = await stage.row(stage.key("big"))
    assert [shard.leaving for shard in row.desired.shards] == [False, True, False, True]
    assert row.desired.nodes == before.desired.nodes
    assert (await stage.events())[0] == "replication-group big: Removing node groups 0002, 0004 from replication group big"


@on_groups
async def test_shards_are_retained(stage: GroupStage) -> None:
    await big(stage, 4)
    await reshard(stage, 1, NodeGroupsToRetain=["0003"])
    assert await numbers(stage) == {"0001": 0, "0002": 0, "0003": 16384, "0004": 0}


@on_groups
async def test_shards_that_do_not_fit_the_number(stage: GroupStage) -> None:
    await big(stage, 3)
    await refuse(stage, COMBINATION, "exactly one of.*none was given", 2)
    await refuse(stage, COMBINATION, "both were given", 2, NodeGroupsToRemove=["1"], NodeGroupsToRetain=["2", "3"])
    await refuse(stage, COMBINATION, "names 2 node groups.*removes 1", 2, NodeGroupsToRemove=["1", "2"])
    await refuse(stage, COMBINATION, "names 1 node groups.*keeps 2", 2, NodeGroupsToRetain=["1"])
    await refuse(stage, VALUE, "no node group 0009; it has 0001, 0002, 0003", 2, NodeGroupsToRemove=["9"])
    await refuse(stage, VALUE, "0001 is named more than once", 1, NodeGroupsToRemove=["1", "0001"])
    await refuse(stage, VALUE, "NodeGroupsToRetain 'x'", 1, NodeGroupsToRetain=["x"])
    await refuse(stage, VALUE, "must be at least 1", 0, NodeGroupsToRemove=["1", "2", "3"])
    await refuse(stage, VALUE, "must be at least 1", -1, NodeGroupsToRetain=[])
    await refuse(
        stage, COMBINATION, "no shard is added", 2, NodeGroupsToRemove=["1"], ReshardingConfiguration=places(("", "ab"))
    )
    await refuse(stage, COMBINATION, "no shard is removed", 4, NodeGroupsToRemove=["1"])
    await refuse(stage, COMBINATION, "no shard is removed", 4, NodeGroupsToRetain=["1"])
    await refuse(stage, COMBINATION, "only rebalanced", 3, NodeGroupsToRemove=["1"])
    await refuse(stage, COMBINATION, "only rebalanced", 3, NodeGroupsToRetain=["1"])
    await refuse(stage, COMBINATION, "only rebalanced", 3, ReshardingConfiguration=places(("", "ab")))


@on_groups
async def test_data_have_to_fit(stage: GroupStage) -> None:
    stage.use(Settings(node_types={"cache.own.small": NodeTypeSetting(maxmemory_bytes=400 << 20)}))  # 300 MB for data
    await big(stage, 3, CacheNodeType="cache.own.small")
    await put_used(stage, "0001", 200 << 20)
    await put_used(stage, "0002", 150 << 20)
    await put_used(stage, "0003", (250 << 20) + 1)
    await refuse(stage, STATE, r"0003 \(251 MB\).*250 MB free, of 300 MB for data", 2, NodeGroupsToRemove=["3"])
    await refuse(stage, STATE, r"0001, 0002 \(350 MB\).*50 MB free", 1, NodeGroupsToRetain=["3"])
    await put_used(stage, "0003", 250 << 20)
    await reshard(stage, 2, NodeGroupsToRemove=["3"])


@on_groups
async def test_primaries_count_for_their_shards(stage: GroupStage) -> None:
    stage.use(Settings(node_types={"cache.own.small": NodeTypeSetting(maxmemory_bytes=400 << 20)}))
    await big(stage, 2, CacheNodeType="cache.own.small")
    row = await stage.row(stage.key("big"))
    nodes = {**row.memory.nodes, "big-0002-001": NodeMemory(zone="local-1a", used_bytes=400 << 20)}
    await stage.write(replace(row, memory=replace(row.memory, nodes=nodes)))
    await refuse(stage, STATE, "do not fit", 1, NodeGroupsToRemove=["2"])
    await stage.put_shard_memory("big", "0002", primary="big-0002-002")
    await reshard(stage, 1, NodeGroupsToRemove=["2"])


# --- the same number -----------------------------------------------------------------------------------------------


@on_groups
async def test_slots_are_rebalanced(stage: GroupStage) -> None:
    entries = [{"Slots": "0-99"}, {"Slots": "100-16000"}, {"Slots": "16001-16383"}]
    await stage.create_group("big", NodeGroupConfiguration=entries)
    await stage.settle("big")
    shown = await reshard(stage, 3)
    assert shown["Status"] == "modifying"
    assert sorted((await numbers(stage)).values()) == [5461, 5461, 5462]
    assert (await stage.events())[0] == "replication-group big: Rebalancing slots of replication group big"


@on_groups
async def test_slots_that_are_uniform_already(stage: GroupStage) -> None:
    uniform = r"^InvalidReplicationGroupState: Slots in the replication group are uniformly distributed\. Nothing to do\.$"
    await big(stage, 3)
    await refuse(stage, STATE, uniform, 3)
    await put_books(stage, s1=((0, 5459),), s2=((5460, 10922),), s3=((10923, 16383),))
    await reshard(stage, 3)  # what they own counts, not what they were to own
    await stage.settle("big")
    await refuse(stage, STATE, uniform, 3)


# --- refused whatever is asked for ---------------------------------------------------------------------------------


@on_groups
async def test_only_at_once_and_only_in_cluster_mode(stage: GroupStage) -> None:
    await refuse(stage, "ReplicationGroupNotFoundFault", "nobody not found", 2, "nobody")
    await big(stage, 2)
    await refuse(stage, VALUE, "ApplyImmediately: must be true to change shards", 3, ApplyImmediately=False)
    await stage.create_group()
    await stage.settle()
    await refuse(stage, COMBINATION, "cluster mode disabled", 2, "demo")


@on_groups
async def test_one_thing_at_a_time(stage: GroupStage) -> None:
    await big(stage, 3)
    for state in ("creating", "modifying", "rebooting", "deleting"):
        await stage.put_state(state, "big")
        await refuse(stage, STATE, "big has status", 4)
    await stage.put_state("available", "big")
    await stage.put_shard_memory("big", "0002", taken=False)
    await refuse(stage, STATE, "Node group 0002.*failing over", 4)
    await stage.put_shard_memory("big", "0002", taken=False, headless=True)
    await refuse(stage, STATE, "Node group 0002.*no primary", 4)
    row = await stage.settle("big")
    move = SlotMove(slots=((0, 9),), source="0001", target="0002", begun_at=1.0)
    await stage.write(replace(row, memory=replace(row.memory, moves=[move])))
    await refuse(stage, STATE, "being moved", 4)
    await stage.write(replace(await stage.settle("big"), desired=replace(row.desired, deleting=True)))
    await refuse(stage, STATE, "deleting", 4)


@on_groups
async def test_slots_move_gently_where_a_tag_says_so(stage: GroupStage) -> None:
    tag = {"Key": "cachefleet:reshard", "Value": "gentle"}
    await big(stage, 2, Tags=[tag])
    row = await stage.row(stage.key("big"))
    assert row.desired.gentle
    await reshard(stage, 3)
    await stage.call("RemoveTagsFromResource", ResourceName=row.key.arn, TagKeys=[tag["Key"]])
    assert not (await stage.row(row.key)).desired.gentle, "also while slots are moving"
    request = {"ReplicationGroupDescription": "x", "CacheNodeType": "cache.t4g.micro"}
    for shards, value in ((2, "fast"), (1, "gentle")):
        tags = [{**tag, "Value": value}]
        await stage.refused(
            VALUE,
            "cachefleet:reshard (can only be gentle|is for a replication group with cluster mode enabled)",
            "CreateReplicationGroup",
            ReplicationGroupId="other",
            Tags=tags,
            **({"NumNodeGroups": shards} if shards > 1 else {}),
            **request,
        )
