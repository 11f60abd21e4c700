"""TestFailover: what it asks of the planner, what it tells, what it refuses and with which code."""

from __future__ import annotations

import asyncio
from typing import Any

from msgspec.structs import replace

from cachefleet.api.groups.failovers import CALLED, DAY_S
from cachefleet.model.errors import AwsError
from cachefleet.model.group import DesiredShard
from cachefleet.settings import ApiSettings, Settings
from tests.component.api_groups.stage import BusyStore, GroupStage, on_groups

TEST = "TestFailover"
DEMO = {"ReplicationGroupId": "demo", "NodeGroupId": "0001"}


async def ready(stage: GroupStage, name: str = "demo", **request: Any) -> None:
    await stage.create_group(name, **{"AutomaticFailoverEnabled": True, **request})
    await stage.settle(name)
    stage.woken.clear()


async def shards(stage: GroupStage, name: str = "demo") -> dict[str, DesiredShard]:
    row = await stage.row(stage.key(name))
    return {shard.shard_id: shard for shard in row.desired.shards}


async def finish(stage: GroupStage, name: str = "demo") -> None:
    """The planner has handed over what was asked for."""
    for shard_id, shard in (await shards(stage, name)).items():
        await stage.put_shard_memory(name, shard_id, handovers=shard.handovers, taken=True)


def quota(most: int) -> Settings:
    return Settings(api=ApiSettings(test_failovers_per_day=most))


# --- what it does --------------------------------------------------------------------------------------------------


@on_groups
async def test_it_asks_for_a_hand_over_and_tells_of_it(stage: GroupStage) -> None:
    await ready(stage)
    reply = await stage.call(TEST, ReplicationGroupId="Demo", NodeGroupId="1")
    shown = reply["ReplicationGroup"]
    assert shown == await stage.group()
    assert (shown["ReplicationGroupId"], shown["Status"]) == ("demo", "available")
    assert (shown["NodeGroups"][0]["Status"], shown["PendingModifiedValues"]) == ("available", {})
    (shard,) = (await shards(stage)).values()
    assert (shard.handovers, shard.handover_to) == (1, "")
    assert stage.woken == [stage.key("demo")]
    assert await stage.events() == ["replication-group demo: Test Failover API called for node group 0001"]


@on_groups
async def test_any_replica_may_follow_on_one_that_was_named_before(stage: GroupStage) -> None:
    await ready(stage, AutomaticFailoverEnabled=False)
    await stage.call("ModifyReplicationGroup", ReplicationGroupId="demo", PrimaryClusterId="demo-002")
    await finish(stage)
    await stage.call("ModifyReplicationGroup", ReplicationGroupId="demo", AutomaticFailoverEnabled=True)
    await stage.call(TEST, **DEMO)
    (shard,) = (await shards(stage)).values()
    assert (shard.handovers, shard.handover_to) == (2, "")


@on_groups
async def test_one_shard_of_several(stage: GroupStage) -> None:
    await ready(stage, "big", NumNodeGroups=3, ReplicasPerNodeGroup=1)
    await stage.call(TEST, ReplicationGroupId="big", NodeGroupId="0002")
    assert [shard.handovers for shard in (await shards(stage, "big")).values()] == [0, 1, 0]
    assert await stage.events() == ["replication-group big: Test Failover API called for node group 0002"]


@on_groups
async def test_it_survives_the_controllers_writes(stage: GroupStage) -> None:
    await ready(stage)
    stage.context = replace(stage.context, store=BusyStore(stage.store, turns=2))
    await stage.call(TEST, **DEMO)
    assert [shard.handovers for shard in (await shards(stage)).values()] == [1]
    assert await stage.events() == [f"replication-group demo: {CALLED}0001"]


# --- what is refused -----------------------------------------------------------------------------------------------


@on_groups
async def test_what_does_not_exist(stage: GroupStage) -> None:
    await stage.refused("ReplicationGroupNotFoundFault", "demo not found", TEST, **DEMO)
    await ready(stage)
    await stage.create_cluster("alone")
    await stage.refused("ReplicationGroupNotFoundFault", "not found", TEST, ReplicationGroupId="alone", NodeGroupId="0001")
    await stage.refused("NodeGroupNotFoundFault", "0002; it has 0001", TEST, ReplicationGroupId="demo", NodeGroupId="0002")
    for wrong in ("", "one", "00001", "0", "0001\n"):
        await stage.refused("InvalidParameterValue", "NodeGroupId", TEST, ReplicationGroupId="demo", NodeGroupId=wrong)
    assert [shard.handovers for shard in (await shards(stage)).values()] == [0]
    assert await stage.events() == []


@on_groups
async def test_a_group_that_is_not_available(stage: GroupStage) -> None:
    await ready(stage)
    for state in ("creating", "modifying", "create-failed", "deleting", "rebooting"):
        await stage.put_state(state)
        shown = "modifying" if state == "rebooting" else state
        await stage.refused("InvalidReplicationGroupState", f"has status {shown}", TEST, **DEMO)


@on_groups
async def test_nothing_to_fail_over_to(stage: GroupStage) -> None:
    await ready(stage, AutomaticFailoverEnabled=False)
    await stage.refused("TestFailoverNotAvailableFault", "automatic failover disabled", TEST, **DEMO)
    await ready(stage, "big", NumNodeGroups=2, ReplicasPerNodeGroup=0)
    await stage.refused("TestFailoverNotAvailableFault", "no replica", TEST, ReplicationGroupId="big", NodeGroupId="0001")


@on_groups
async def test_members_that_are_not_available(stage: GroupStage) -> None:
    await ready(stage, NumCacheClusters=3)
    await stage.put_member_state("demo-001", "recovering")
    await stage.refused("InvalidCacheClusterState", "Primary demo-001 is modifying", TEST, **DEMO)
    await stage.put_member_state("demo-001", "available")
    await stage.put_member_state("demo-002", "recovering")
    await stage.put_member_state("demo-003", "creating")
    rule = "no replica that could take over: demo-002 is modifying, demo-003 is creating"
    await stage.refused("InvalidCacheClusterState", rule, TEST, **DEMO)
    await stage.put_member_state("demo-003", "available")
    await stage.call(TEST, **DEMO)


@on_groups
async def test_one_at_a_time_in_a_group(stage: GroupStage) -> None:
    """Asked for, begun, taken: until then no other shard of the group may be tested; other groups may."""
    await ready(stage, "big", NumNodeGroups=2, ReplicasPerNodeGroup=1)
    await ready(stage)
    await stage.call(TEST, ReplicationGroupId="big", NodeGroupId="0001")
    begun: dict[str, Any] = {"handovers": 1, "taken": False}
    for memory in ({}, begun):
        await stage.put_shard_memory("big", **memory)
        for shard_id in ("0001", "0002"):
            request = {"ReplicationGroupId": "big", "NodeGroupId": shard_id}
            await stage.refused(
                "InvalidReplicationGroupState", "0001 of replication group big is failing over", TEST, **request
            )
    await stage.call(TEST, **DEMO)
    await finish(stage, "big")
    await stage.call(TEST, ReplicationGroupId="big", NodeGroupId="0002")
    assert [shard.handovers for shard in (await shards(stage, "big")).values()] == [1, 1]


@on_groups
async def test_a_shard_without_a_primary_may_be_given_one_against_all_rules(stage: GroupStage) -> None:
    """It is the only way out with cluster mode enabled, and may be tried again with nothing done yet."""
    stage.use(quota(1))
    await ready(stage, NumCacheClusters=2)
    await stage.call(TEST, **DEMO)
    await finish(stage)
    await stage.refused("APICallRateForCustomerExceeded", "1 are allowed", TEST, **DEMO)
    await stage.put_shard_memory(headless=True)
    await stage.put_member_state("demo-002", "recovering")
    await stage.call(TEST, **DEMO)
    await stage.call(TEST, **DEMO)
    assert [shard.handovers for shard in (await shards(stage)).values()] == [3]


# --- quota ---------------------------------------------------------------------------------------------------------


@on_groups
async def test_the_quota_of_a_rolling_day(stage: GroupStage) -> None:
    stage.use(quota(3))
    await ready(stage)
    for name in ("demo", "demo", "other"):
        if name == "other":
            await ready(stage, name)
        await stage.call(TEST, ReplicationGroupId=name, NodeGroupId="0001")
        await finish(stage, name)
        stage.clock.pass_time(60)
    await stage.add_event("cache-cluster", "demo-001", CALLED + "0001")
    before = await stage.row(stage.key("demo"))
    stage.woken.clear()
    for name in ("demo", "other"):
        rule = "3 times within 24 hours in this region; 3 are allowed .setting api.test_failovers_per_day"
        await stage.refused("APICallRateForCustomerExceeded", rule, TEST, ReplicationGroupId=name, NodeGroupId="0001")
    assert (await stage.row(before.key), stage.woken) == (before, [])
    stage.clock.pass_time(DAY_S - 180)  # the first of them is 24 hours old
    await stage.call(TEST, **DEMO)
    await finish(stage)
    await stage.refused("APICallRateForCustomerExceeded", "3 are allowed", TEST, **DEMO)


@on_groups
async def test_the_quota_is_15_and_outlives_groups_but_not_regions(stage: GroupStage) -> None:
    for _ in range(15):
        await stage.add_event("replication-group", "gone", CALLED + "0001")
    await ready(stage)
    await stage.refused("APICallRateForCustomerExceeded", "15 are allowed", TEST, **DEMO)
    caller = stage.context.caller
    for elsewhere in (replace(caller, region="local-2"), replace(caller, account="111111111111")):
        stage.context = replace(stage.context, caller=elsewhere)
        await ready(stage)
        await stage.call(TEST, **DEMO)


@on_groups
async def test_no_more_than_the_quota_at_once(stage: GroupStage) -> None:
    stage.use(quota(3))
    names = [f"demo-{number}" for number in range(8)]
    for name in names:
        await ready(stage, name)

    async def attempt(name: str) -> str:
        try:
            await stage.call(TEST, ReplicationGroupId=name, NodeGroupId="0001")
        except AwsError as refusal:
            return refusal.code
        return "done"

    answers = await asyncio.gather(*(attempt(name) for name in names))
    assert sorted(answers) == ["APICallRateForCustomerExceeded"] * 5 + ["done"] * 3
    assert len(await stage.events()) == len(stage.woken) == 3
