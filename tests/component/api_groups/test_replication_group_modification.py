"""ModifyReplicationGroup: what holds at once, what equal values mean, what is refused."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from tests.component.api_groups.stage import BusyStore, GroupStage, on_groups, view

MODIFY = "ModifyReplicationGroup"
TOPIC = "arn:aws:sns:local-1:000000000000:news"


async def ready(stage: GroupStage, **request: object) -> None:
    await stage.create_group(**request)
    await stage.settle()
    stage.woken.clear()


@on_groups
async def test_settings_change_at_once(stage: GroupStage) -> None:
    await stage.make_security_groups("sg-7")
    await stage.make_topics("news")
    await ready(stage)
    reply = await stage.call(
        MODIFY,
        ReplicationGroupId="Demo",
        ReplicationGroupDescription="new words",
        PreferredMaintenanceWindow="tue:01:00-tue:02:00",
        SnapshotWindow="07:00-08:00",
        SnapshotRetentionLimit=9,
        NotificationTopicArn=TOPIC,
        NotificationTopicStatus="inactive",
        AutoMinorVersionUpgrade=False,
        SecurityGroupIds=["sg-7"],
    )
    shown = await stage.group()
    assert shown == reply["ReplicationGroup"]
    assert (shown["Status"], shown["Description"], shown["PendingModifiedValues"]) == ("available", "new words", {})
    assert (shown["SnapshotWindow"], shown["SnapshotRetentionLimit"], shown["SnapshottingClusterId"]) == (
        "07:00-08:00",
        9,
        "demo-002",
    )
    assert not shown["AutoMinorVersionUpgrade"]
    member = await stage.cluster("demo-002")
    assert member["PreferredMaintenanceWindow"] == "tue:01:00-tue:02:00"
    assert member["NotificationConfiguration"] == {"TopicArn": TOPIC, "TopicStatus": "inactive"}
    assert member["SecurityGroups"] == [{"SecurityGroupId": "sg-7", "Status": "active"}]
    assert stage.woken == [stage.key("demo")]
    assert not any("security group" in event for event in await stage.events()), "the controller tells when it holds"


@on_groups
async def test_what_is_left_out_stays(stage: GroupStage) -> None:
    await stage.make_security_groups("sg-1")
    await stage.make_topics("news")
    await ready(stage, SnapshotRetentionLimit=2, NotificationTopicArn=TOPIC, SecurityGroupIds=["sg-1"])
    before = await stage.cluster("demo-001")
    await stage.call(MODIFY, ReplicationGroupId="demo", ReplicationGroupDescription="new words", ApplyImmediately=True)
    assert await stage.cluster("demo-001") == before


@on_groups
async def test_automatic_failover_and_multi_az_switch_on_and_off(stage: GroupStage) -> None:
    await ready(stage)
    for failover, multi_az, word in ((True, True, "enabled"), (False, False, "disabled"), (True, None, "enabled")):
        request: dict[str, Any] = {"AutomaticFailoverEnabled": failover} | (
            {} if multi_az is None else {"MultiAZEnabled": multi_az}
        )
        shown = (await stage.call(MODIFY, ReplicationGroupId="demo", **request))["ReplicationGroup"]
        assert (shown["AutomaticFailover"], shown["Status"]) == (word, "available")
    assert (await stage.group())["MultiAZ"] == "disabled"
    turned = "replication-group demo: Automatic failover has been turned {} for replication group demo"
    assert await stage.events() == [turned.format(word) for word in ("on", "off", "on")]


@on_groups
async def test_failover_that_cannot_be(stage: GroupStage) -> None:
    await ready(stage, NumCacheClusters=1)
    combination = "InvalidParameterCombination"
    await stage.refused(
        combination, "at least 2 cache clusters", MODIFY, ReplicationGroupId="demo", AutomaticFailoverEnabled=True
    )
    await stage.refused(combination, "Multi-AZ needs automatic", MODIFY, ReplicationGroupId="demo", MultiAZEnabled=True)
    await stage.create_group("big", NumNodeGroups=2)
    await stage.settle("big")
    await stage.refused(
        combination,
        "Turning off automatic failover for replication group with cluster mode enabled is not supported",
        MODIFY,
        ReplicationGroupId="big",
        AutomaticFailoverEnabled=False,
    )
    await stage.refused(combination, "at least one replica", MODIFY, ReplicationGroupId="big", MultiAZEnabled=True)
    await stage.create_group("near", PreferredCacheClusterAZs=["local-1a", "local-1a"], AutomaticFailoverEnabled=True)
    await stage.settle("near")
    await stage.refused(combination, "all its nodes in local-1a", MODIFY, ReplicationGroupId="near", MultiAZEnabled=True)
    await stage.create_group("far", AutomaticFailoverEnabled=True, MultiAZEnabled=True)
    await stage.settle("far")
    await stage.refused(
        combination, "set MultiAZEnabled to false as well", MODIFY, ReplicationGroupId="far", AutomaticFailoverEnabled=False
    )
    assert await stage.events() == []


@on_groups
async def test_equal_values_change_nothing(stage: GroupStage) -> None:
    await ready(stage, AutomaticFailoverEnabled=True)
    before = await stage.row(stage.key("demo"))
    await stage.call(
        MODIFY,
        ReplicationGroupId="demo",
        ReplicationGroupDescription="a demo",
        CacheNodeType="cache.t4g.micro",
        Engine="valkey",
        EngineVersion="9.1",
        CacheParameterGroupName="default.valkey9",
        AutomaticFailoverEnabled=True,
        MultiAZEnabled=False,
        PrimaryClusterId="demo-001",
        ClusterMode="disabled",
        TransitEncryptionEnabled=False,
        IpDiscovery="ipv4",
        NodeGroupId="0001",
        ApplyImmediately=True,
    )
    assert await stage.row(before.key) == before
    assert stage.woken == []


@on_groups
async def test_where_automatic_snapshots_are_taken_of(stage: GroupStage) -> None:
    """Shown where there are any, or it was named; a name that has left the group counts no longer."""
    await ready(stage)
    assert "SnapshottingClusterId" not in await stage.group()
    demo = {"ReplicationGroupId": "demo"}
    shown = view(await stage.call(MODIFY, **demo, SnapshotRetentionLimit=3, SnapshotWindow="04:00-05:00"))
    last = (await stage.row(stage.key("demo"))).desired.nodes[-1].name
    assert (shown["SnapshotRetentionLimit"], shown["SnapshotWindow"]) == (3, "04:00-05:00")
    assert shown["SnapshottingClusterId"] == last
    shown = view(await stage.call(MODIFY, **demo, SnapshotRetentionLimit=0, SnapshottingClusterId="Demo-001"))
    assert (shown["SnapshotRetentionLimit"], shown["SnapshottingClusterId"]) == (0, "demo-001")
    row = await stage.row(stage.key("demo"))
    assert (row.desired.snapshotting_cluster, row.status.state) == ("demo-001", "available")
    await stage.write(replace(row, desired=replace(row.desired, snapshotting_cluster="demo-009", snapshot_retention_days=1)))
    assert (await stage.group())["SnapshottingClusterId"] == last


@on_groups
async def test_members_that_name_a_cluster(stage: GroupStage) -> None:
    await ready(stage)
    for member in ("PrimaryClusterId", "SnapshottingClusterId"):
        await stage.refused("CacheClusterNotFound", "is no cluster of", MODIFY, ReplicationGroupId="demo", **{member: "other"})
    await stage.create_group("big", NumNodeGroups=2)
    await stage.settle("big")
    for member in ("PrimaryClusterId", "SnapshottingClusterId"):
        await stage.refused(
            "InvalidParameterCombination", "cluster mode", MODIFY, ReplicationGroupId="big", **{member: "big-0001-001"}
        )


@on_groups
async def test_a_group_that_is_not_available_is_not_changed(stage: GroupStage) -> None:
    await stage.refused("ReplicationGroupNotFoundFault", "not found", MODIFY, ReplicationGroupId="demo")
    await stage.create_group()
    for state in ("creating", "modifying", "create-failed"):
        await stage.put_state(state)
        await stage.refused(
            "InvalidReplicationGroupState", state, MODIFY, ReplicationGroupId="demo", ReplicationGroupDescription="new"
        )


@on_groups
async def test_values_are_checked_before_the_group(stage: GroupStage) -> None:
    await ready(stage)
    for rule, request in (
        ("PreferredMaintenanceWindow", {"PreferredMaintenanceWindow": "sun:05:00-sun:05:30"}),
        ("SnapshotWindow", {"SnapshotWindow": "05:00-05:30"}),
        ("SnapshotRetentionLimit", {"SnapshotRetentionLimit": 36}),
        ("NotificationTopicArn", {"NotificationTopicArn": "news"}),
        ("NotificationTopicStatus", {"NotificationTopicStatus": "on"}),
        ("SecurityGroupIds", {"SecurityGroupIds": ["default"]}),
        ("ReplicationGroupDescription", {"ReplicationGroupDescription": " "}),
        ("CacheSecurityGroupNames", {"CacheSecurityGroupNames": ["default"]}),
    ):
        await stage.refused("InvalidParameterValue", rule, MODIFY, ReplicationGroupId="demo", **request)
    assert stage.woken == []


@on_groups
async def test_a_change_survives_the_controllers_writes(stage: GroupStage) -> None:
    await ready(stage)
    stage.context = replace(stage.context, store=BusyStore(stage.store, turns=2))
    await stage.call(MODIFY, ReplicationGroupId="demo", ReplicationGroupDescription="new words")
    row = await stage.row(stage.key("demo"))
    assert (row.desired.description, row.memory.epoch) == ("new words", 2)
