"""Groups with the tag cachefleet:balance: the same number of shards asks for a rebalancing by load, which is refused where
nobody tells the load.
"""

from __future__ import annotations

from typing import Any

from tests.component.api_groups.stage import GroupStage, on_groups
from tests.component.api_groups.test_shard_configuration import COMBINATION, STATE, VALUE, big, refuse, reshard

BY_LOAD: dict[str, Any] = {"Tags": [{"Key": "cachefleet:balance", "Value": "load"}]}


async def asked(stage: GroupStage) -> int:
    return (await stage.row(stage.key("big"))).desired.rebalances


@on_groups
async def test_it_is_asked_for_and_nothing_is_decided(stage: GroupStage) -> None:
    await big(stage, 3, **BY_LOAD)
    before = await stage.row(stage.key("big"))
    shown = await reshard(stage, 3)
    after = await stage.row(stage.key("big"))
    assert shown["Status"] == "modifying"
    assert (after.desired.shards, after.desired.rebalances) == (before.desired.shards, 1)
    assert stage.woken == [stage.key("big")]
    assert (await stage.events())[0] == "replication-group big: Measuring the load of slots of replication group big"
    await refuse(stage, STATE, "modifying", 3)
    await stage.settle("big")
    await reshard(stage, 3)
    assert await asked(stage) == 2


@on_groups
async def test_shards_that_come_and_go_are_balanced_afterwards(stage: GroupStage) -> None:
    await big(stage, 2, **BY_LOAD)
    await reshard(stage, 3)
    assert await asked(stage) == 1
    await stage.settle("big")
    await reshard(stage, 2, NodeGroupsToRemove=["3"])
    assert await asked(stage) == 2


@on_groups
async def test_one_shard_has_nothing_to_balance(stage: GroupStage) -> None:
    await big(stage, 2, **BY_LOAD)
    await reshard(stage, 1, NodeGroupsToRemove=["2"])
    assert await asked(stage) == 0
    await stage.call("DeleteReplicationGroup", ReplicationGroupId="big")
    await stage.create_group("one", CacheParameterGroupName="default.valkey9.cluster.on", NumNodeGroups=1, **BY_LOAD)
    await stage.settle("one")
    await refuse(stage, STATE, "Nothing to do", 1, "one")


@on_groups
async def test_engines_that_tell_no_load(stage: GroupStage) -> None:
    await big(stage, 2, Engine="redis", EngineVersion="7.0", **BY_LOAD)
    await refuse(stage, COMBINATION, "redis 7.0.15 does not tell the load of slots; upgrade to Valkey 8.0", 2)
    await reshard(stage, 3)
    assert await asked(stage) == 0


@on_groups
async def test_without_the_tag_numbers_count(stage: GroupStage) -> None:
    await big(stage, 3, **BY_LOAD)
    arn = (await stage.group("big"))["ARN"]
    await stage.call("RemoveTagsFromResource", ResourceName=arn, TagKeys=["cachefleet:balance"])
    await refuse(stage, STATE, "uniformly distributed", 3)


@on_groups
async def test_no_other_value(stage: GroupStage) -> None:
    tags = [{"Key": "cachefleet:balance", "Value": "cpu"}]
    request = {"ReplicationGroupDescription": "x", "CacheNodeType": "cache.t4g.micro", "NumNodeGroups": 2}
    await stage.refused(
        VALUE,
        "Tags: cachefleet:balance can only be load",
        "CreateReplicationGroup",
        ReplicationGroupId="big",
        Tags=tags,
        **request,
    )
