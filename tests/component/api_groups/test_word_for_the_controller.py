"""Where several services share a store: every change of a group leaves word for the controller, in the same transaction."""

from __future__ import annotations

import msgspec

from cachefleet.model.resource import Key, Kind
from tests.component.api_groups.stage import GroupStage, on_groups


async def word(stage: GroupStage) -> list[Key]:
    """What was left since the last call; and this service's own controller must have been told the same."""
    taken = await stage.store.take_wakes()
    assert sorted(set(stage.woken)) == taken
    stage.woken.clear()
    return taken


@on_groups
async def test_every_change_leaves_word(stage: GroupStage) -> None:
    stage.context = msgspec.structs.replace(stage.context, shared=True)
    group, alone = stage.key("demo"), stage.key("alone", Kind.CACHE_CLUSTER)
    await stage.create_group(NumCacheClusters=3, AutomaticFailoverEnabled=True)
    assert await word(stage) == [group]
    await stage.settle()
    await stage.call("ModifyReplicationGroup", ReplicationGroupId="demo", ReplicationGroupDescription="new")
    assert await word(stage) == [group]
    await stage.call("RebootCacheCluster", CacheClusterId="demo-001", CacheNodeIdsToReboot=["0001"])
    assert await word(stage) == [group]
    await stage.settle()
    await stage.call("TestFailover", ReplicationGroupId="demo", NodeGroupId="0001")
    assert await word(stage) == [group]
    await stage.create_cluster()
    assert await word(stage) == [alone]
    await stage.settle("alone", Kind.CACHE_CLUSTER)
    await stage.call(
        "CreateReplicationGroup",
        ReplicationGroupId="grown",
        ReplicationGroupDescription="of alone",
        PrimaryClusterId="alone",
    )
    assert await word(stage) == sorted([alone, stage.key("grown")])
    await stage.call("DeleteReplicationGroup", ReplicationGroupId="demo")
    assert await word(stage) == [group]


@on_groups
async def test_the_only_service_of_a_store_leaves_none(stage: GroupStage) -> None:
    await stage.create_group()
    assert stage.woken == [stage.key("demo")]
    assert await stage.store.take_wakes() == []
