"""ModifyCacheCluster: what holds at once, what equal values mean, what is refused."""

from __future__ import annotations

from cachefleet.model.resource import Kind
from tests.component.api_groups.stage import GroupStage, on_groups

MODIFY = "ModifyCacheCluster"
CLUSTER = Kind.CACHE_CLUSTER


@on_groups
async def test_settings_change_at_once(stage: GroupStage) -> None:
    await stage.make_security_groups("sg-7")
    await stage.make_topics("news")
    await stage.create_cluster()
    await stage.settle("alone", CLUSTER)
    reply = await stage.call(
        MODIFY,
        CacheClusterId="Alone",
        PreferredMaintenanceWindow="tue:01:00-tue:02:00",
        SnapshotWindow="07:00-08:00",
        SnapshotRetentionLimit=4,
        NotificationTopicArn="arn:aws:sns:local-1:000000000000:news",
        AutoMinorVersionUpgrade=False,
        SecurityGroupIds=["sg-7"],
    )
    shown = await stage.cluster("alone")
    assert shown == reply["CacheCluster"]
    assert (shown["CacheClusterStatus"], shown["PreferredMaintenanceWindow"]) == ("available", "tue:01:00-tue:02:00")
    assert (shown["SnapshotWindow"], shown["SnapshotRetentionLimit"]) == ("07:00-08:00", 4)
    assert shown["NotificationConfiguration"]["TopicStatus"] == "active"
    assert (shown["AutoMinorVersionUpgrade"], shown["SecurityGroups"][0]["SecurityGroupId"]) == (False, "sg-7")


@on_groups
async def test_equal_values_change_nothing(stage: GroupStage) -> None:
    await stage.create_cluster("mem", Engine="memcached", NumCacheNodes=2, AZMode="cross-az")
    await stage.settle("mem", CLUSTER)
    before = await stage.row(stage.key("mem", CLUSTER))
    stage.woken.clear()
    await stage.call(
        MODIFY,
        CacheClusterId="mem",
        NumCacheNodes=2,
        AZMode="cross-az",
        CacheNodeType="cache.t4g.micro",
        Engine="memcached",
        EngineVersion="1.6.18",
        CacheParameterGroupName="default.memcached1.6",
        SnapshotRetentionLimit=0,
        CacheNodeIdsToRemove=[],
        ApplyImmediately=True,
    )
    assert await stage.row(before.key) == before and stage.woken == []


@on_groups
async def test_changes_that_cannot_be(stage: GroupStage) -> None:
    await stage.create_cluster("mem", Engine="memcached", NumCacheNodes=2)
    await stage.settle("mem", CLUSTER)
    await stage.refused(
        "InvalidParameterCombination", "Memcached has no AUTH", MODIFY, CacheClusterId="mem", AuthToken="0123456789abcdef"
    )
    await stage.refused(
        "InvalidParameterCombination", "Memcached has no snapshots", MODIFY, CacheClusterId="mem", SnapshotRetentionLimit=1
    )
    await stage.refused("InvalidParameterValue", "SecurityGroupIds", MODIFY, CacheClusterId="mem", SecurityGroupIds=["x"])


@on_groups
async def test_a_member_is_changed_through_its_group(stage: GroupStage) -> None:
    await stage.create_group()
    await stage.settle()
    window = (await stage.cluster("demo-001"))["PreferredMaintenanceWindow"]
    await stage.call(MODIFY, CacheClusterId="demo-001", PreferredMaintenanceWindow=window, NumCacheNodes=1)
    await stage.refused(
        "InvalidParameterCombination",
        "member of replication group demo, .* use ModifyReplicationGroup",
        MODIFY,
        CacheClusterId="demo-001",
        PreferredMaintenanceWindow="tue:01:00-tue:02:00",
    )


@on_groups
async def test_a_cluster_that_is_not_available_is_not_changed(stage: GroupStage) -> None:
    await stage.create_cluster()
    await stage.refused("InvalidCacheClusterState", "creating", MODIFY, CacheClusterId="alone", SnapshotRetentionLimit=1)
    await stage.settle("alone", CLUSTER)
    await stage.call("DeleteCacheCluster", CacheClusterId="alone")
    await stage.refused("InvalidCacheClusterState", "deleting", MODIFY, CacheClusterId="alone", SnapshotRetentionLimit=1)
