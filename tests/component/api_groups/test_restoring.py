"""SnapshotName and SnapshotArns of creations: what a request leaves open, what it may say otherwise, what is refused."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from cachefleet.engine_interfaces import Build
from cachefleet.model.group import Engine, GroupDesired, Shape
from cachefleet.model.resource import Kind
from cachefleet.model.row import GroupRow
from cachefleet.model.snapshot import SnapshotState
from cachefleet.model.snapshot_file import Restore, SnapshotFile
from tests.component.api_groups.snapshot_stage import CLUSTER, SnapshotStage, on_snapshots
from tests.component.api_groups.stage import BusyStore, view
from tests.fakes.catalogue import StaticCatalogue

GROUP, ALONE = "CreateReplicationGroup", "CreateCacheCluster"
BACK: dict[str, Any] = {"ReplicationGroupId": "back", "ReplicationGroupDescription": "again", "SnapshotName": "nightly"}
ARN = "arn:aws:s3:::bucket/a.rdb"
IPC, IPV = "InvalidParameterCombination", "InvalidParameterValue"


async def kept(stage: SnapshotStage, **request: Any) -> GroupDesired:
    """`nightly` of a group that was created so; it is gone by now."""
    await stage.create_group(**request)
    await stage.settle()
    await stage.make()
    row = await stage.row(stage.key("demo"))
    async with stage.store.transaction() as transaction:
        await transaction.delete(row)
    return row.desired


async def back(stage: SnapshotStage, **request: Any) -> GroupDesired:
    """Restored as the request says; its row is removed again."""
    await stage.call(GROUP, **{**BACK, **request})
    return await taken_away(stage, await stage.row(stage.key("back")))


async def taken_away(stage: SnapshotStage, row: GroupRow) -> GroupDesired:
    async with stage.store.transaction() as transaction:
        await transaction.delete(row)
    return row.desired


def shape(desired: GroupDesired) -> list[tuple[str, Any, list[str]]]:
    return [(shard.shard_id, shard.slots, [node.zone[-1] for node in shard.nodes]) for shard in desired.shards]


def zones(*letters: str) -> dict[str, Any]:
    return {
        "PrimaryAvailabilityZone": f"local-1{letters[0]}",
        "ReplicaAvailabilityZones": [f"local-1{letter}" for letter in letters[1:]],
    }


LOPSIDED = [
    {"NodeGroupId": "0003", "Slots": "0-99", "ReplicaCount": 1, **zones("c", "a")},
    {"NodeGroupId": "0007", "Slots": "100-16383", "ReplicaCount": 2, **zones("b", "a", "c")},
]


# --- what is left open ---------------------------------------------------------------------------------------------


@on_snapshots
async def test_a_group_comes_back_as_it_was(stage: SnapshotStage) -> None:
    await stage.make_security_groups("sg-1")
    await stage.make_topics("all")
    before = await kept(
        stage,
        NodeGroupConfiguration=LOPSIDED,
        CacheNodeType="cache.m7g.large",
        EngineVersion="8.1",
        Port=7000,
        MultiAZEnabled=True,
        PreferredMaintenanceWindow="sun:05:00-sun:06:00",
        SnapshotWindow="03:00-04:00",
        SnapshotRetentionLimit=7,
        SecurityGroupIds=["sg-1"],
        NotificationTopicArn="arn:aws:sns:local-1:000000000000:all",
        AutoMinorVersionUpgrade=False,
        KmsKeyId="own",
    )
    files = (await stage.snapshot_row("nightly")).desired.files
    shown = view(await stage.call(GROUP, **BACK))
    assert (shown["Status"], shown["KmsKeyId"], shown["StorageEncryptionType"]) == ("creating", "own", "sse-kms")
    assert (await stage.shown("nightly"))["SnapshotStatus"] == "restoring"
    after = (await stage.row(stage.key("back"))).desired
    assert after.restore == Restore(files, "nightly")
    assert shape(after) == shape(before) == [("0003", ((0, 99),), ["c", "a"]), ("0007", ((100, 16383),), ["b", "a", "c"])]
    assert [node.name for node in after.nodes][:2] == ["back-0003-001", "back-0003-002"]
    fresh = ("uid", "shards", "description", "created_at", "restore", "snapshot_retention_days", "notification_topic")
    assert replace(after, **{field: getattr(before, field) for field in fresh}) == before
    assert (after.snapshot_retention_days, after.notification_topic) == (0, "")


@on_snapshots
async def test_a_description_is_needed(stage: SnapshotStage) -> None:
    await kept(stage)
    await stage.refused(
        IPV, "ReplicationGroupDescription must be provided", GROUP, **{**BACK, "ReplicationGroupDescription": ""}
    )


@on_snapshots
async def test_one_without_cluster_mode(stage: SnapshotStage) -> None:
    before = await kept(stage, NumCacheClusters=3, AutomaticFailoverEnabled=True, AtRestEncryptionEnabled=False)
    after = await back(stage)
    assert (after.shape, after.cluster_mode, after.parameter_group) == (Shape.REPLICATED, "disabled", before.parameter_group)
    assert (shape(after), after.automatic_failover, after.at_rest_encryption) == (shape(before), True, False)


@on_snapshots
async def test_a_cluster_of_its_own(stage: SnapshotStage) -> None:
    await stage.create_cluster(Engine="redis", EngineVersion="7.0", Port=7000, CacheNodeType="cache.m7g.large")
    await stage.settle("alone", CLUSTER)
    await stage.make(CacheClusterId="alone")
    shown = view(await stage.call(ALONE, CacheClusterId="back", SnapshotName="Nightly"))
    assert (shown["Engine"], shown["EngineVersion"], shown["CacheNodeType"]) == ("redis", "7.0.15", "cache.m7g.large")
    desired = await taken_away(stage, await stage.row(stage.key("back", CLUSTER)))
    assert (desired.port, desired.restore and desired.restore.snapshot) == (7000, "nightly")
    group = await back(stage)
    assert (group.engine_version, len(group.nodes), group.cluster_mode) == ("7.0.15", 1, "disabled")


@on_snapshots
async def test_a_cluster_of_a_snapshot_of_a_group(stage: SnapshotStage) -> None:
    await kept(stage, NumCacheClusters=3, AutomaticFailoverEnabled=True, KmsKeyId="own")
    await stage.call(ALONE, CacheClusterId="back", SnapshotName="nightly", CacheNodeType="cache.t4g.small")
    row = await stage.row(stage.key("back", CLUSTER))
    assert (len(row.desired.nodes), row.desired.node_type) == (1, "cache.t4g.small")
    assert (row.desired.at_rest_encryption, row.desired.key_name) == (True, "own")


@on_snapshots
async def test_a_subnet_group_that_is_gone(stage: SnapshotStage) -> None:
    subnets = (await stage.call("DescribeCacheSubnetGroups"))["CacheSubnetGroups"][0]["Subnets"]
    named = {"CacheSubnetGroupName": "small", "CacheSubnetGroupDescription": "one zone"}
    await stage.call("CreateCacheSubnetGroup", **named, SubnetIds=[subnets[2]["SubnetIdentifier"]])
    await kept(stage, CacheSubnetGroupName="small")
    here = await back(stage)
    assert (here.subnet_group, shape(here)) == ("small", [("0001", (), ["c", "c"])])
    async with stage.store.transaction() as transaction:
        await transaction.delete(await stage.row(stage.key("small", Kind.SUBNET_GROUP)))
    elsewhere = await back(stage)
    assert (elsewhere.subnet_group, shape(elsewhere)) == ("default", [("0001", (), ["c", "c"])])
    await stage.refused("CacheSubnetGroupNotFoundFault", "small", GROUP, **BACK, CacheSubnetGroupName="small")


@on_snapshots
async def test_zones_that_the_subnet_group_lacks(stage: SnapshotStage) -> None:
    subnets = (await stage.call("DescribeCacheSubnetGroups"))["CacheSubnetGroups"][0]["Subnets"]
    named = {"CacheSubnetGroupName": "small", "CacheSubnetGroupDescription": "one zone"}
    await stage.call("CreateCacheSubnetGroup", **named, SubnetIds=[subnets[2]["SubnetIdentifier"]])
    await kept(stage, NumCacheClusters=2, AutomaticFailoverEnabled=True, MultiAZEnabled=True)
    moved = await back(stage, CacheSubnetGroupName="small")
    assert (shape(moved), moved.automatic_failover, moved.multi_az) == ([("0001", (), ["c", "c"])], True, False)


# --- what a request may say otherwise ------------------------------------------------------------------------------


@on_snapshots
async def test_other_shards(stage: SnapshotStage) -> None:
    await kept(stage, NodeGroupConfiguration=LOPSIDED)
    lopsided = [("0003", ((0, 99),)), ("0007", ((100, 16383),))]
    for request, shards, replicas in (
        ({"NumNodeGroups": 2}, lopsided, [1, 2]),
        ({"ReplicasPerNodeGroup": 0}, lopsided, [0, 0]),
        ({"NumNodeGroups": 2, "ReplicasPerNodeGroup": 3}, lopsided, [3, 3]),
        ({"NumNodeGroups": 1}, [("0001", ((0, 16383),))], [1]),
        ({"NumNodeGroups": 3}, [("0001", ((0, 5461),)), ("0002", ((5462, 10922),)), ("0003", ((10923, 16383),))], [1, 1, 1]),
        ({"NumNodeGroups": 1, "ReplicasPerNodeGroup": 0}, [("0001", ((0, 16383),))], [0]),
        (
            {"NodeGroupConfiguration": [{"Slots": "0-16000"}, {"Slots": "16001-16383", "ReplicaCount": 1}]},
            [("0001", ((0, 16000),)), ("0002", ((16001, 16383),))],
            [0, 1],
        ),
    ):
        after = await back(stage, **request)
        assert [(shard.shard_id, shard.slots) for shard in after.shards] == shards, request
        assert [len(shard.nodes) - 1 for shard in after.shards] == replicas, request
        assert (after.cluster_mode, after.automatic_failover) == ("enabled", True)


@on_snapshots
async def test_other_nodes_without_cluster_mode(stage: SnapshotStage) -> None:
    """Who names the nodes says about failover, too, as at every creation."""
    await kept(stage, NumCacheClusters=3, AutomaticFailoverEnabled=True, MultiAZEnabled=True)
    one = await back(stage, NumCacheClusters=1)
    assert (len(one.nodes), one.automatic_failover, one.multi_az) == (1, False, False)
    two = await back(stage, ReplicasPerNodeGroup=1, AutomaticFailoverEnabled=True)
    assert (len(two.nodes), two.automatic_failover) == (2, True)
    placed = await back(stage, PreferredCacheClusterAZs=["local-1c", "local-1b", "local-1a"])
    assert shape(placed) == [("0001", (), ["c", "b", "a"])]
    off = await back(stage, AutomaticFailoverEnabled=False)
    assert (len(off.nodes), off.automatic_failover, off.multi_az) == (3, False, False)


@on_snapshots
async def test_into_cluster_mode(stage: SnapshotStage) -> None:
    before = await kept(stage, NumCacheClusters=2, EngineVersion="8.1")
    for request, shards in (
        ({"ClusterMode": "enabled"}, 1),
        ({"CacheParameterGroupName": "default.valkey8.cluster.on"}, 1),
        ({"NumNodeGroups": 3}, 3),
        ({"ClusterMode": "enabled", "NumNodeGroups": 2, "ReplicasPerNodeGroup": 0}, 2),
    ):
        after = await back(stage, **request)
        assert (after.cluster_mode, after.shape, len(after.shards)) == ("enabled", Shape.CLUSTERED, shards), request
        assert after.parameter_group == "default.valkey8.cluster.on"
        assert sum(last - first + 1 for shard in after.shards for first, last in shard.slots) == 16384
        assert after.engine_version == before.engine_version


@on_snapshots
async def test_other_engines(stage: SnapshotStage) -> None:
    await kept(stage, Engine="redis", EngineVersion="6.2")
    for request, engine, version in (
        ({}, "redis", "6.2"),
        ({"Engine": "redis"}, "redis", "6.2"),
        ({"EngineVersion": "7.0"}, "redis", "7.0"),
        ({"Engine": "valkey"}, "valkey", "9.1"),
        ({"Engine": "Valkey", "EngineVersion": "8.1"}, "valkey", "8.1"),
    ):
        after = await back(stage, **request)
        assert (after.engine, after.engine_version.rpartition(".")[0]) == (engine, version)


@on_snapshots
async def test_a_patch_version_may_be_older(stage: SnapshotStage) -> None:
    await kept(stage, EngineVersion="8.1")
    row = await stage.snapshot_row("nightly")
    await stage.put_snapshot("nightly", group=replace(row.desired.group, engine_version="8.1.99"))
    assert (await back(stage)).engine_version.startswith("8.1.")


@on_snapshots
async def test_other_settings(stage: SnapshotStage) -> None:
    await kept(stage, KmsKeyId="own", Port=7000)
    other = await back(
        stage,
        CacheNodeType="cache.m7g.large",
        Port=7001,
        KmsKeyId="other",
        SnapshotRetentionLimit=3,
        SnapshotWindow="01:00-02:00",
        AutoMinorVersionUpgrade=False,
    )
    assert (other.node_type, other.port, other.key_name) == ("cache.m7g.large", 7001, "other")
    assert (other.snapshot_retention_days, other.snapshot_window, other.auto_minor_version_upgrade) == (3, "01:00-02:00", False)
    open_ = await back(stage, AtRestEncryptionEnabled=False)
    assert (open_.at_rest_encryption, open_.key_name) == (False, "")


# --- files from elsewhere ------------------------------------------------------------------------------------------


@on_snapshots
async def test_files_of_a_bucket(stage: SnapshotStage) -> None:
    await stage.create_group("one", SnapshotArns=[ARN])
    desired = (await stage.row(stage.key("one"))).desired
    assert desired.restore == Restore((SnapshotFile(shard_id="0001", object="s3://bucket/a.rdb", sealed=False),))
    assert desired.restore.keys == -1
    await stage.create_cluster(SnapshotArns=[ARN])
    assert (await stage.row(stage.key("alone", CLUSTER))).desired.restore == desired.restore
    shards = [{"Slots": "0-99"}, {"Slots": "100-16383"}]
    arns = [ARN, "arn:aws:s3:::bucket/b.rdb", "arn:aws:s3:::other/c.rdb"]
    await stage.create_group("many", SnapshotArns=arns, NodeGroupConfiguration=shards)
    many = (await stage.row(stage.key("many"))).desired
    assert many.cluster_mode == "enabled" and many.restore is not None
    assert [file.object for file in many.restore.files] == ["s3://bucket/a.rdb", "s3://bucket/b.rdb", "s3://other/c.rdb"]
    assert [file.shard_id for file in many.restore.files] == ["0001", "0002", "0003"]


@on_snapshots
async def test_files_that_cannot_be(stage: SnapshotStage) -> None:
    group = {"ReplicationGroupId": "g", "ReplicationGroupDescription": "text", "CacheNodeType": "cache.t4g.micro"}
    alone = {"CacheClusterId": "c", "CacheNodeType": "cache.t4g.micro"}
    two = [ARN, "arn:aws:s3:::bucket/b.rdb"]
    some = [{"Slots": "0-99"}, {"ReplicaCount": 1}]
    for code, rule, name, request in (
        (IPC, "cannot be given together", GROUP, {**group, "SnapshotArns": [ARN], "SnapshotName": "nightly"}),
        (IPC, "cannot be given together", ALONE, {**alone, "SnapshotArns": [ARN], "SnapshotName": "nightly"}),
        (IPV, "comma", GROUP, {**group, "SnapshotArns": ["arn:aws:s3:::bucket/a,b.rdb"]}),
        (IPV, "twice", GROUP, {**group, "SnapshotArns": [ARN, ARN]}),
        (IPC, "Slots for each shard", GROUP, {**group, "SnapshotArns": two, "NumNodeGroups": 2}),
        (IPC, "Slots for each shard", GROUP, {**group, "SnapshotArns": two, "ClusterMode": "enabled"}),
        (IPC, "Slots for each shard", GROUP, {**group, "SnapshotArns": two, "NodeGroupConfiguration": [{}, {}]}),
        (IPC, "Slots", GROUP, {**group, "SnapshotArns": two, "NodeGroupConfiguration": some}),
        (IPV, "one file", ALONE, {**alone, "SnapshotArns": two}),
        (IPC, "Memcached has no snapshots", ALONE, {**alone, "SnapshotArns": [ARN], "Engine": "memcached"}),
        (IPV, "CacheNodeType", GROUP, {**group, "CacheNodeType": "", "SnapshotArns": [ARN]}),
    ):
        await stage.refused(code, rule, name, **request)
    assert (await stage.call("DescribeReplicationGroups"))["ReplicationGroups"] == []
    await stage.create_group("none", SnapshotArns=[], SnapshotName="")
    assert (await stage.row(stage.key("none"))).desired.restore is None


# --- what is refused -----------------------------------------------------------------------------------------------


@on_snapshots
async def test_snapshots_that_cannot_be_restored(stage: SnapshotStage) -> None:
    await kept(stage)
    for name, request in ((GROUP, BACK), (ALONE, {"CacheClusterId": "c", "SnapshotName": "nightly"})):
        await stage.refused(IPV, "there is no snapshot 'other'", name, **{**request, "SnapshotName": "other"})
        for state in (state for state in SnapshotState if state is not SnapshotState.AVAILABLE):
            await stage.put_snapshot("nightly", state=state)
            await stage.refused(IPV, f"has status {state}", name, **request)
        await stage.put_snapshot("nightly", state=SnapshotState.AVAILABLE)
    memcached = {"CacheClusterId": "c", "SnapshotName": "nightly", "Engine": "memcached"}
    await stage.refused(IPC, "Memcached has no snapshots", ALONE, **memcached)
    await stage.refused(IPC, "CacheNodeType|SnapshotName", GROUP, **BACK, PrimaryClusterId="alone")


@on_snapshots
async def test_out_of_cluster_mode(stage: SnapshotStage) -> None:
    await kept(stage, NumNodeGroups=1, ReplicasPerNodeGroup=1, ClusterMode="enabled")
    rule = "nightly was made with cluster mode enabled and cannot be restored without"
    for request in ({"ClusterMode": "disabled"}, {"CacheParameterGroupName": "default.valkey9"}):
        await stage.refused(IPC, rule, GROUP, **BACK, **request)
    await stage.refused(IPC, rule, ALONE, CacheClusterId="c", SnapshotName="nightly")
    assert (await back(stage)).cluster_mode == "enabled"


@on_snapshots
async def test_engines_that_do_not_read_it(stage: SnapshotStage) -> None:
    await kept(stage, EngineVersion="8.1")
    row = await stage.snapshot_row("nightly")
    await stage.refused(
        IPV, "restoring nightly from Valkey 8.1 to Redis OSS 7.0 is not possible", GROUP, **BACK, Engine="redis"
    )
    await stage.put_snapshot("nightly", group=replace(row.desired.group, engine_version="9.1.2"))
    rule = "a downgrade from Valkey 9.1 to Valkey 8.1 is not possible; name the same version or a newer one"
    await stage.refused(IPV, rule, GROUP, **BACK, EngineVersion="8.1")
    await stage.refused(IPV, rule, ALONE, CacheClusterId="c", SnapshotName="nightly", EngineVersion="8.1")
    redis = replace(row.desired.group, engine=Engine.REDIS, engine_version="7.4.1")
    await stage.put_snapshot("nightly", group=redis)
    await stage.refused(IPV, "Valkey does not read the data of that Redis", GROUP, **BACK, Engine="valkey")
    await stage.refused(IPV, "'7.4' is not installed", GROUP, **BACK)
    await stage.put_snapshot("nightly", group=replace(redis, engine_version="6.2.14"))
    old = StaticCatalogue((Build(Engine.VALKEY, "7.0.0", "/usr/bin/valkey-server", "PATH"),))
    stage.context = replace(stage.context, catalogue=old)
    await stage.refused(IPV, "Valkey 7.2 or later, not into 7.0", GROUP, **BACK, Engine="valkey")


@on_snapshots
async def test_it_survives_the_controllers_writes(stage: SnapshotStage) -> None:
    await kept(stage)
    stage.context = replace(stage.context, store=BusyStore(stage.store, turns=3))
    await stage.call(GROUP, **BACK)
    assert (await stage.row(stage.key("back"))).desired.restore is not None


@on_snapshots
async def test_who_read_a_snapshot_before_it_was_restored_may_not_delete_it(stage: SnapshotStage) -> None:
    await kept(stage)
    before = await stage.snapshot_row("nightly")
    await stage.call(GROUP, **BACK)
    assert (await stage.snapshot_row("nightly")).version > before.version


# --- when it fails -------------------------------------------------------------------------------------------------


@on_snapshots
async def test_what_cannot_be_restored_is_shown_so(stage: SnapshotStage) -> None:
    await kept(stage)
    await stage.call(GROUP, **BACK)
    await stage.call(ALONE, CacheClusterId="single", SnapshotName="nightly")
    for key in (stage.key("back"), stage.key("single", CLUSTER)):
        row = await stage.row(key)
        memory = replace(row.memory, failure="no room", unrestorable=True)
        await stage.write(replace(row, memory=memory, status=replace(row.status, state="create-failed")))
    assert (await stage.group("back"))["Status"] == "create-failed"
    assert (await stage.cluster("back-001"))["CacheClusterStatus"] == "restore-failed"
    assert (await stage.cluster("single"))["CacheClusterStatus"] == "restore-failed"
    assert (await stage.shown("nightly"))["SnapshotStatus"] == "available"
    await stage.call("DeleteReplicationGroup", ReplicationGroupId="back")
    await stage.call("DeleteCacheCluster", CacheClusterId="single")
