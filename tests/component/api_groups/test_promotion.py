"""ModifyReplicationGroup's PrimaryClusterId: a named replica becomes primary, where users may say who is."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from cachefleet.model.group import DesiredShard
from cachefleet.model.resource import Kind
from tests.component.api_groups.stage import BusyStore, GroupStage, on_groups

MODIFY = "ModifyReplicationGroup"


async def ready(stage: GroupStage, **request: Any) -> None:
    await stage.create_group(**{"NumCacheClusters": 3, **request})
    await stage.settle()
    stage.woken.clear()


async def promote(stage: GroupStage, cluster: str, **more: Any) -> dict[str, Any]:
    reply = await stage.call(MODIFY, ReplicationGroupId="demo", PrimaryClusterId=cluster, **more)
    return dict(reply["ReplicationGroup"])


async def refused(stage: GroupStage, code: str, rule: str, cluster: str, **more: Any) -> None:
    before = await stage.row(stage.key("demo"))
    await stage.refused(code, rule, MODIFY, ReplicationGroupId="demo", PrimaryClusterId=cluster, **more)
    assert await stage.row(before.key) == before


async def shard(stage: GroupStage) -> DesiredShard:
    (found,) = (await stage.row(stage.key("demo"))).desired.shards
    return found


@on_groups
async def test_it_begins_at_once_and_is_pending_until_then(stage: GroupStage) -> None:
    await ready(stage)
    shown = await promote(stage, "Demo-002")
    assert shown == await stage.group()
    assert (shown["Status"], shown["PendingModifiedValues"]) == ("available", {"PrimaryClusterId": "demo-002"})
    assert ((await shard(stage)).handovers, (await shard(stage)).handover_to) == (1, "demo-002")
    assert stage.woken == [stage.key("demo")]
    await stage.put_shard_memory(primary="demo-002", handovers=1, taken=False)
    assert (await stage.group())["PendingModifiedValues"] == {}


@on_groups
async def test_whoever_has_the_role_or_is_about_to_is_not_promoted_again(stage: GroupStage) -> None:
    await ready(stage)
    before = await stage.row(stage.key("demo"))
    await promote(stage, "demo-001", ApplyImmediately=True)
    assert (await stage.row(before.key), stage.woken) == (before, [])
    await promote(stage, "demo-002")
    await promote(stage, "demo-002")
    assert (await shard(stage)).handovers == 1


@on_groups
async def test_together_with_other_settings(stage: GroupStage) -> None:
    await ready(stage)
    shown = await promote(stage, "demo-003", ReplicationGroupDescription="new words", ApplyImmediately=True)
    assert (shown["Description"], shown["PendingModifiedValues"]) == ("new words", {"PrimaryClusterId": "demo-003"})


@on_groups
async def test_it_survives_the_controllers_writes(stage: GroupStage) -> None:
    await ready(stage)
    stage.context = replace(stage.context, store=BusyStore(stage.store, turns=2))
    await promote(stage, "demo-002")
    assert (await shard(stage)).handovers == 1


@on_groups
async def test_not_while_failover_chooses_the_primary(stage: GroupStage) -> None:
    """Disable, promote, enable again."""
    await ready(stage, AutomaticFailoverEnabled=True, MultiAZEnabled=True)
    combination = "InvalidParameterCombination"
    await refused(stage, combination, "MultiAZEnabled and AutomaticFailoverEnabled to false", "demo-002")
    off: dict[str, Any] = {"AutomaticFailoverEnabled": False, "MultiAZEnabled": False}
    await refused(stage, combination, "automatic failover is enabled", "demo-002", **off)
    await stage.call(MODIFY, ReplicationGroupId="demo", **off)
    await refused(stage, combination, "automatic failover is enabled", "demo-002", AutomaticFailoverEnabled=True)
    await promote(stage, "demo-002")
    await stage.call(MODIFY, ReplicationGroupId="demo", AutomaticFailoverEnabled=True, MultiAZEnabled=True)
    assert (await stage.group())["PendingModifiedValues"] == {"PrimaryClusterId": "demo-002"}


@on_groups
async def test_only_members_that_have_everything(stage: GroupStage) -> None:
    await ready(stage)
    await refused(stage, "CacheClusterNotFound", "'other' is no cluster of", "other")
    await stage.put_member_state("demo-002", "recovering")
    await refused(stage, "InvalidCacheClusterState", "demo-002 cannot become primary: its status is modifying", "demo-002")
    await promote(stage, "demo-003")


@on_groups
async def test_one_at_a_time(stage: GroupStage) -> None:
    await ready(stage)
    await promote(stage, "demo-002")
    await stage.put_shard_memory(primary="demo-002", handing_from="demo-001", taken=False)
    await refused(stage, "InvalidReplicationGroupState", "is failing over", "demo-003")
    await stage.put_shard_memory(handovers=1, handing_from="", taken=True)
    await promote(stage, "demo-003")


@on_groups
async def test_one_that_has_not_begun_is_replaced_or_taken_back(stage: GroupStage) -> None:
    """Its node may have died since; nothing may wait for it for ever."""
    await ready(stage)
    for turn, cluster in enumerate(("demo-002", "demo-003", "demo-001"), start=1):
        assert (await promote(stage, cluster))["PendingModifiedValues"] == {"PrimaryClusterId": cluster}
        assert ((await shard(stage)).handovers, (await shard(stage)).handover_to) == (turn, cluster)


@on_groups
async def test_who_has_the_role_only_until_another_is_back_may_keep_it(stage: GroupStage) -> None:
    await ready(stage)
    await stage.put_shard_memory(primary="demo-002", return_to="demo-001")
    before = await stage.row(stage.key("demo"))
    await promote(stage, "demo-001")
    assert await stage.row(before.key) == before
    await promote(stage, "demo-002")
    assert ((await shard(stage)).handovers, (await shard(stage)).handover_to) == (1, "demo-002")


@on_groups
async def test_who_is_about_to_be_primary_cannot_be_deleted(stage: GroupStage) -> None:
    await ready(stage)
    await promote(stage, "demo-002")
    await stage.refused("InvalidCacheClusterState", "about to become primary", "DeleteCacheCluster", CacheClusterId="demo-002")
    await stage.refused(
        "InvalidReplicationGroupState",
        "is failing over",
        "DeleteReplicationGroup",
        ReplicationGroupId="demo",
        RetainPrimaryCluster=True,
    )


@on_groups
async def test_what_was_handed_over_is_remembered_when_members_change(stage: GroupStage) -> None:
    """The planner compares the number with its own: one that began at 0 again would ask for nothing any more."""
    await ready(stage)
    await promote(stage, "demo-002")
    await stage.put_shard_memory(primary="demo-002", handovers=1, taken=True)
    await stage.call("DeleteCacheCluster", CacheClusterId="demo-003")
    await stage.settle()
    await stage.put_shard_memory(handovers=1)
    await stage.call("CreateCacheCluster", CacheClusterId="more", ReplicationGroupId="demo")
    assert (await shard(stage)).handovers == 1
    await stage.settle()
    await stage.put_shard_memory(handovers=1)
    await stage.call("DeleteReplicationGroup", ReplicationGroupId="demo", RetainPrimaryCluster=True)
    (found,) = (await stage.row(stage.key("demo-001", Kind.CACHE_CLUSTER))).desired.shards
    assert (found.handovers, found.handover_to) == (1, "")


@on_groups
async def test_a_group_without_a_primary_gets_the_one_that_is_named(stage: GroupStage) -> None:
    """Whatever forbids it otherwise, and again when the first choice came to nothing."""
    await ready(stage, AutomaticFailoverEnabled=True)
    await stage.put_shard_memory(headless=True)
    for cluster in ("demo-001", "demo-002", "demo-003"):
        await stage.put_member_state(cluster, "recovering")
    await refused(stage, "InvalidCacheClusterState", "demo-001 has ended", "demo-001")
    await promote(stage, "demo-002")
    await promote(stage, "demo-003")
    assert ((await shard(stage)).handovers, (await shard(stage)).handover_to) == (2, "demo-003")
