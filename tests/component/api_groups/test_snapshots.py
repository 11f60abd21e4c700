"""CreateSnapshot, DescribeSnapshots and DeleteSnapshot: rows, views, refusals, the quota of a day."""

from __future__ import annotations

import asyncio
from typing import Any

from msgspec.structs import replace

from cachefleet.api.snapshots.snapshot_rows import DAY_S
from cachefleet.model.errors import AwsError
from cachefleet.model.network import default_vpc_id
from cachefleet.model.pending import PendingChange
from cachefleet.model.snapshot import SnapshotSource, SnapshotState
from cachefleet.model.snapshot_file import Restore
from cachefleet.settings import ApiSettings, Settings
from tests.component.api_groups.snapshot_stage import CLUSTER, SnapshotStage, on_snapshots
from tests.component.api_groups.stage import BusyStore, view

CREATE, DESCRIBE, DELETE = "CreateSnapshot", "DescribeSnapshots", "DeleteSnapshot"
DEMO = {"SnapshotName": "nightly", "ReplicationGroupId": "demo"}


async def ready(stage: SnapshotStage, name: str = "demo", **request: Any) -> None:
    await stage.create_group(name, **{"AutomaticFailoverEnabled": True, **request})
    await stage.settle(name)
    stage.woken.clear()


def at_most(number: int) -> Settings:
    return Settings(api=ApiSettings(snapshots_per_day=number))


# --- create --------------------------------------------------------------------------------------------------------


@on_snapshots
async def test_a_snapshot_of_a_group(stage: SnapshotStage) -> None:
    await ready(stage, NumNodeGroups=2, ReplicasPerNodeGroup=1)
    made = view(await stage.call(CREATE, SnapshotName="Nightly", ReplicationGroupId="Demo", Tags=[{"Key": "a", "Value": "b"}]))
    assert made == await stage.shown("nightly")
    assert (made["SnapshotName"], made["SnapshotStatus"], made["SnapshotSource"]) == ("nightly", "creating", "manual")
    assert [(node["NodeGroupId"], node["CacheSize"]) for node in made["NodeSnapshots"]] == [("0001", ""), ("0002", "")]
    assert made["ARN"] == "arn:aws:elasticache:local-1:000000000000:snapshot:nightly"
    row, group = await stage.snapshot_row("nightly"), await stage.row(stage.key("demo"))
    desired = row.desired
    assert (desired.state, desired.source, desired.node, desired.key_name) == (
        SnapshotState.CREATING,
        SnapshotSource.MANUAL,
        "",
        "default",
    )
    assert (desired.group_name, desired.replication_group, desired.final, row.tags) == ("demo", True, False, {"a": "b"})
    assert desired.group == replace(group.desired, snapshotting="")
    assert group.desired.snapshotting == "nightly"
    assert stage.woken == [row.key, group.key]
    assert await stage.events() == ["replication-group demo: Snapshot of replication group demo: nightly"]


@on_snapshots
async def test_the_group_is_snapshotting_meanwhile(stage: SnapshotStage) -> None:
    await ready(stage)
    await stage.call(CREATE, **DEMO)
    shown, member = await stage.group(), await stage.cluster("demo-002", ShowCacheNodeInfo=True)
    assert (shown["Status"], shown["NodeGroups"][0]["Status"]) == ("snapshotting", "available")
    assert (member["CacheClusterStatus"], member["CacheNodes"][0]["CacheNodeStatus"]) == ("snapshotting", "available")
    assert "PrimaryEndpoint" in shown["NodeGroups"][0]
    await stage.refused("InvalidReplicationGroupState", "status snapshotting", CREATE, **{**DEMO, "SnapshotName": "other"})
    await stage.keep("nightly")
    assert (await stage.group())["Status"] == "available"


@on_snapshots
async def test_what_is_under_way_is_not_part_of_it(stage: SnapshotStage) -> None:
    await ready(stage)
    row = await stage.row(stage.key("demo"))
    desired = replace(row.desired, restore=Restore((), "old"), pending=PendingChange(node_type="cache.t4g.small"))
    await stage.write(replace(row, desired=desired))
    await stage.call(CREATE, **DEMO)
    group = (await stage.snapshot_row("nightly")).desired.group
    assert (group.restore, group.pending, group.snapshotting) == (None, None, "")


@on_snapshots
async def test_slots_are_those_that_shards_own(stage: SnapshotStage) -> None:
    await ready(stage, NumNodeGroups=2, ReplicasPerNodeGroup=0)
    row = await stage.row(stage.key("demo"))
    slots = {"0001": ((0, 99),), "0002": ((100, 16383),)}
    await stage.write(replace(row, memory=replace(row.memory, slots=slots)))
    await stage.call(CREATE, **DEMO)
    shown = await stage.shown("nightly", ShowNodeGroupConfig=True)
    assert [node["NodeGroupConfiguration"]["Slots"] for node in shown["NodeSnapshots"]] == ["0-99", "100-16383"]


@on_snapshots
async def test_a_snapshot_of_one_node_and_of_a_cluster(stage: SnapshotStage) -> None:
    await ready(stage, NumCacheClusters=3)
    made = view(await stage.call(CREATE, SnapshotName="one", CacheClusterId="Demo-002"))
    assert (made["CacheClusterId"], made["ReplicationGroupId"]) == ("demo-002", "demo")
    assert (await stage.snapshot_row("one")).desired.node == "demo-002"
    await stage.keep("one")
    both = {"ReplicationGroupId": "Demo", "CacheClusterId": "demo-003"}
    assert view(await stage.call(CREATE, SnapshotName="three", **both))["CacheClusterId"] == "demo-003"
    await stage.create_cluster(Engine="redis", EngineVersion="6.2")
    await stage.settle("alone", CLUSTER)
    stage.woken.clear()
    made = view(await stage.call(CREATE, SnapshotName="two", CacheClusterId="alone"))
    assert (made["CacheClusterId"], made["NumCacheNodes"], "ReplicationGroupId" in made) == ("alone", 1, False)
    row = await stage.snapshot_row("two")
    assert (row.desired.replication_group, row.desired.group_name, row.desired.node) == (False, "alone", "")
    assert row.desired.key_name == ""  # a cluster of its own is not encrypted at rest
    assert stage.woken == [row.key, stage.key("alone", CLUSTER)]
    assert (await stage.cluster("alone"))["CacheClusterStatus"] == "snapshotting"
    assert (await stage.events())[0] == "cache-cluster alone: Snapshot of cache cluster alone: two"
    neither = {"ReplicationGroupId": "demo", "CacheClusterId": "alone"}
    await stage.refused(
        "InvalidParameterCombination", "no member of ReplicationGroupId demo", CREATE, SnapshotName="x", **neither
    )


@on_snapshots
async def test_what_it_is_encrypted_with(stage: SnapshotStage) -> None:
    await ready(stage, AtRestEncryptionEnabled=False)
    await ready(stage, "own", KmsKeyId="alias/mine")
    arn = "arn:aws:kms:local-1:000000000000:key/k2"
    cases = (("demo", "", ""), ("demo", "k1", "k1"), ("own", "", "alias/mine"), ("own", arn, arn))
    for number, (group, key, expected) in enumerate(cases):
        name = f"s{number}"
        await stage.make(name, ReplicationGroupId=group, KmsKeyId=key)
        assert (await stage.snapshot_row(name)).desired.key_name == expected
        assert (await stage.shown(name)).get("KmsKeyId", "") == expected


@on_snapshots
async def test_requests_that_make_no_sense(stage: SnapshotStage) -> None:
    await ready(stage)
    before = await stage.row(stage.key("demo"))
    for code, rule, request in (
        ("InvalidParameterValue", "SnapshotName", {"SnapshotName": "1st"}),
        ("InvalidParameterValue", "SnapshotName", {"SnapshotName": "a--b"}),
        ("InvalidParameterValue", "SnapshotName", {"SnapshotName": "automatic.demo-2026-01-01-00-00"}),
        ("InvalidParameterValue", "SnapshotName", {"SnapshotName": "a" * 201}),
        ("InvalidParameterValue", "names no key", {"KmsKeyId": "../../etc/passwd"}),
        ("InvalidParameterValue", "Tags", {"Tags": [{"Key": "aws:x"}]}),
        ("InvalidParameterValue", "cachefleet:port", {"Tags": [{"Key": "cachefleet:port", "Value": "7000"}]}),
        ("CacheClusterNotFound", "own-001", {"CacheClusterId": "own-001"}),
        ("InvalidParameterCombination", "Name what", {"ReplicationGroupId": ""}),
        ("ReplicationGroupNotFoundFault", "other", {"ReplicationGroupId": "other"}),
        ("CacheClusterNotFound", "other", {"ReplicationGroupId": "", "CacheClusterId": "other"}),
    ):
        await stage.refused(code, rule, CREATE, **{**DEMO, **request})
    assert await stage.row(before.key) == before
    assert (await stage.listed(), await stage.events(), stage.woken) == ([], [], [])


@on_snapshots
async def test_a_key_that_cannot_be_used(stage: SnapshotStage) -> None:
    async def refuses(name: str) -> str:
        return f"there is no key {name}" if name == "lost" else ""

    stage.context = replace(stage.context, refuses_key=refuses)
    await ready(stage)
    await stage.refused("InvalidParameterValue", "KmsKeyId: there is no key lost", CREATE, **DEMO, KmsKeyId="lost")
    await stage.make("kept", ReplicationGroupId="demo", KmsKeyId="there")
    copy = {"SourceSnapshotName": "kept", "TargetSnapshotName": "copied"}
    await stage.refused("InvalidParameterValue", "no key lost", "CopySnapshot", **copy, KmsKeyId="lost")
    group = {"ReplicationGroupId": "b", "ReplicationGroupDescription": "text", "CacheNodeType": "cache.t4g.micro"}
    await stage.refused("InvalidParameterValue", "no key lost", "CreateReplicationGroup", **group, KmsKeyId="lost")


@on_snapshots
async def test_what_has_no_snapshots(stage: SnapshotStage) -> None:
    await stage.create_cluster("mem", Engine="memcached")
    await stage.settle("mem", CLUSTER)
    mem = {"SnapshotName": "s", "CacheClusterId": "mem"}
    await stage.refused("SnapshotFeatureNotSupportedFault", "Memcached", CREATE, **mem)
    await ready(stage, CacheNodeType="cache.t1.micro", AutomaticFailoverEnabled=False, AtRestEncryptionEnabled=False)
    await stage.refused("SnapshotFeatureNotSupportedFault", "cache.t1.micro", CREATE, **DEMO)
    await ready(stage, "big", NumNodeGroups=2)
    of_node = {"SnapshotName": "s", "CacheClusterId": "big-0002-001"}
    await stage.refused("InvalidParameterCombination", "give ReplicationGroupId instead", CREATE, **of_node)


@on_snapshots
async def test_only_what_is_available(stage: SnapshotStage) -> None:
    await ready(stage, NumCacheClusters=3)
    for state in ("creating", "modifying", "rebooting", "deleting", "create-failed", "snapshotting"):
        await stage.put_state(state)
        await stage.refused("InvalidReplicationGroupState", "has status", CREATE, **DEMO)
        await stage.refused("InvalidReplicationGroupState", "has status", CREATE, SnapshotName="s", CacheClusterId="demo-002")
    await stage.put_state("available")
    await stage.put_member_state("demo-002", "recovering")
    await stage.refused("InvalidCacheClusterState", "its status is", CREATE, SnapshotName="s", CacheClusterId="demo-002")
    await stage.create_cluster()
    await stage.refused("InvalidCacheClusterState", "creating", CREATE, SnapshotName="s", CacheClusterId="alone")
    await stage.make()


@on_snapshots
async def test_names_are_unique(stage: SnapshotStage) -> None:
    await ready(stage)
    await ready(stage, "other")
    await stage.make()
    before = await stage.row(stage.key("other"))
    await stage.refused("SnapshotAlreadyExistsFault", "nightly", CREATE, SnapshotName="NIGHTLY", ReplicationGroupId="other")
    assert await stage.row(before.key) == before
    assert len(await stage.events()) == 1


@on_snapshots
async def test_it_survives_the_controllers_writes(stage: SnapshotStage) -> None:
    await ready(stage)
    stage.context = replace(stage.context, store=BusyStore(stage.store, turns=2))
    await stage.call(CREATE, **DEMO)
    assert (await stage.row(stage.key("demo"))).desired.snapshotting == "nightly"
    assert len(await stage.events()) == 1


@on_snapshots
async def test_one_of_several_at_once(stage: SnapshotStage) -> None:
    await ready(stage)

    async def attempt(name: str) -> str:
        try:
            await stage.call(CREATE, SnapshotName=name, ReplicationGroupId="demo")
        except AwsError as refusal:
            return refusal.code
        return "done"

    answers = await asyncio.gather(*(attempt(f"s{number}") for number in range(6)))
    assert sorted(answers) == ["InvalidReplicationGroupState"] * 5 + ["done"]
    assert len(await stage.listed()) == len(await stage.events()) == 1


# --- quota ---------------------------------------------------------------------------------------------------------


@on_snapshots
async def test_the_quota_counts_what_was_deleted_and_one_source_only(stage: SnapshotStage) -> None:
    stage.use(at_most(2))
    await ready(stage)
    await ready(stage, "demo2")
    for name in ("s1", "s2"):
        row = await stage.make(name, ReplicationGroupId="demo")
        async with stage.store.transaction() as transaction:
            await transaction.delete(row)
        stage.clock.pass_time(60)
    rule = "2 snapshots of demo .*2 are the maximum number of snapshots within 24 hours.*api.snapshots_per_day"
    await stage.refused("SnapshotQuotaExceededFault", rule, CREATE, **DEMO)
    last = {"ReplicationGroupId": "demo", "FinalSnapshotIdentifier": "last"}
    await stage.refused("SnapshotQuotaExceededFault", rule, "DeleteReplicationGroup", **last)
    assert (await stage.group())["Status"] == "available"
    await stage.make("s3", ReplicationGroupId="demo2")
    await stage.make("s4", CacheClusterId="demo-001")  # counted by itself
    stage.clock.pass_time(DAY_S - 120)
    await stage.make()
    await stage.refused("SnapshotQuotaExceededFault", rule, CREATE, **DEMO)


# --- describe ------------------------------------------------------------------------------------------------------


@on_snapshots
async def test_one_that_is_there(stage: SnapshotStage) -> None:
    topic = "arn:aws:sns:local-1:000000000000:all"
    await stage.make_topics("all")
    await ready(stage, SnapshotRetentionLimit=3, SnapshotWindow="05:00-06:00", NotificationTopicArn=topic)
    await stage.make()
    shown = await stage.shown("NIGHTLY", ShowNodeGroupConfig=True)
    group = (await stage.row(stage.key("demo"))).desired
    (node,) = shown.pop("NodeSnapshots")
    assert shown == {
        "SnapshotName": "nightly",
        "ReplicationGroupId": "demo",
        "ReplicationGroupDescription": "a demo",
        "CacheClusterId": "demo-002",
        "SnapshotStatus": "available",
        "SnapshotSource": "manual",
        "CacheNodeType": "cache.t4g.micro",
        "Engine": "valkey",
        "EngineVersion": group.engine_version,
        "NumCacheNodes": 1,
        "PreferredAvailabilityZone": "local-1b",
        "CacheClusterCreateTime": group.created_at,
        "PreferredMaintenanceWindow": group.maintenance_window,
        "TopicArn": topic,
        "Port": 6379,
        "CacheParameterGroupName": group.parameter_group,
        "CacheSubnetGroupName": "default",
        "VpcId": default_vpc_id(stage.context.scope),
        "AutoMinorVersionUpgrade": True,
        "SnapshotRetentionLimit": 3,
        "SnapshotWindow": "05:00-06:00",
        "NumNodeGroups": 1,
        "AutomaticFailover": "enabled",
        "ARN": "arn:aws:elasticache:local-1:000000000000:snapshot:nightly",
        "DataTiering": "disabled",
    }
    assert node == {
        "CacheClusterId": "demo-002",
        "CacheNodeId": "0001",
        "CacheSize": "6 MB",
        "CacheNodeCreateTime": group.created_at,
        "SnapshotCreateTime": stage.clock.now() + 1,
        "NodeGroupConfiguration": {
            "NodeGroupId": "0001",
            "ReplicaCount": 1,
            "PrimaryAvailabilityZone": "local-1a",
            "ReplicaAvailabilityZones": ["local-1b"],
        },
    }
    assert "NodeGroupConfiguration" not in (await stage.shown("nightly"))["NodeSnapshots"][0]


@on_snapshots
async def test_filters(stage: SnapshotStage) -> None:
    await ready(stage)
    await ready(stage, "other")
    await stage.create_cluster()
    await stage.settle("alone", CLUSTER)
    await stage.make("a-group", ReplicationGroupId="demo")
    await stage.make("b-node", CacheClusterId="demo-001")
    await stage.put_snapshot("b-node", files=())
    await stage.make("c-other", ReplicationGroupId="other")
    await stage.make("d-alone", CacheClusterId="alone")
    await stage.put_snapshot("c-other", source=SnapshotSource.AUTOMATED)
    assert await stage.listed() == ["a-group", "b-node", "c-other", "d-alone"]
    assert await stage.listed(ReplicationGroupId="Demo") == ["a-group", "b-node"]
    assert await stage.listed(ReplicationGroupId="alone") == []
    assert await stage.listed(ReplicationGroupId="nobody") == []
    assert await stage.listed(CacheClusterId="DEMO-001") == ["b-node"]
    assert await stage.listed(CacheClusterId="demo-002") == ["a-group"]
    assert await stage.listed(CacheClusterId="alone") == ["d-alone"]
    assert await stage.listed(CacheClusterId="other-001") == []
    assert await stage.listed(SnapshotSource="system") == ["c-other"]
    assert await stage.listed(SnapshotSource="user", ReplicationGroupId="other") == []
    assert await stage.listed(SnapshotName="a-group", ReplicationGroupId="other") == []
    await stage.refused("CacheClusterNotFound", "gone", DESCRIBE, CacheClusterId="gone")
    await stage.refused("SnapshotNotFoundFault", "e-none", DESCRIBE, SnapshotName="e-none")
    await stage.refused("InvalidParameterValue", "SnapshotSource", DESCRIBE, SnapshotSource="manual")


@on_snapshots
async def test_a_snapshot_outlives_what_it_was_made_of(stage: SnapshotStage) -> None:
    await ready(stage)
    await stage.make()
    row = await stage.row(stage.key("demo"))
    async with stage.store.transaction() as transaction:
        await transaction.delete(row)
    assert await stage.listed(CacheClusterId="demo-002") == ["nightly"]
    assert await stage.listed(ReplicationGroupId="demo") == ["nightly"]


@on_snapshots
async def test_pages(stage: SnapshotStage) -> None:
    stage.use(at_most(100))
    await ready(stage)
    names = [f"s{number:02}" for number in range(53)]
    for name in names:
        await stage.make(name, ReplicationGroupId="demo")
    first = await stage.call(DESCRIBE)
    assert [item["SnapshotName"] for item in first["Snapshots"]] == names[:50]
    rest = await stage.call(DESCRIBE, Marker=first["Marker"])
    assert [item["SnapshotName"] for item in rest["Snapshots"]] == names[50:]
    assert "Marker" not in rest
    assert len((await stage.call(DESCRIBE, MaxRecords=20))["Snapshots"]) == 20
    for wrong in (19, 51):
        await stage.refused("InvalidParameterValue", "between 20 and 50", DESCRIBE, MaxRecords=wrong)


# --- delete --------------------------------------------------------------------------------------------------------


@on_snapshots
async def test_a_deletion_is_asked_of_the_keeper(stage: SnapshotStage) -> None:
    await ready(stage)
    for name, state in (("s1", SnapshotState.AVAILABLE), ("s2", SnapshotState.FAILED)):
        await stage.make(name, ReplicationGroupId="demo")
        await stage.put_snapshot(name, state=state, source=SnapshotSource.AUTOMATED)
        stage.woken.clear()
        gone = view(await stage.call(DELETE, SnapshotName=name.upper()))
        assert gone["SnapshotStatus"] == (await stage.shown(name))["SnapshotStatus"] == "deleting"
        assert stage.woken == [(await stage.snapshot_row(name)).key]
    for state in (SnapshotState.CREATING, SnapshotState.COPYING, SnapshotState.DELETING):
        await stage.put_snapshot("s1", state=state)
        await stage.refused("InvalidSnapshotState", f"has status {state}", DELETE, SnapshotName="s1")
    await stage.refused("SnapshotNotFoundFault", "none", DELETE, SnapshotName="none")


@on_snapshots
async def test_the_controller_of_another_service_is_told(stage: SnapshotStage) -> None:
    await ready(stage)
    stage.context = replace(stage.context, shared=True)
    snapshot, group = (await stage.make()).key, stage.key("demo")
    assert await stage.store.take_wakes() == sorted([snapshot, group])
    await stage.call("CopySnapshot", SourceSnapshotName="nightly", TargetSnapshotName="copied")
    copied = (await stage.keep("copied")).key
    assert await stage.store.take_wakes() == [copied]
    await stage.call(DELETE, SnapshotName="copied")
    assert await stage.store.take_wakes() == [copied]
