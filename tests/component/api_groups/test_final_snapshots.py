"""FinalSnapshotIdentifier: the snapshot first, then the deletion; what is refused."""

from __future__ import annotations

from msgspec.structs import replace

from cachefleet.model.snapshot import SnapshotState
from tests.component.api_groups.snapshot_stage import CLUSTER, SnapshotStage, on_snapshots
from tests.component.api_groups.stage import view

GROUP, ALONE = "DeleteReplicationGroup", "DeleteCacheCluster"
LAST = {"FinalSnapshotIdentifier": "last"}
DEMO = {"ReplicationGroupId": "demo", **LAST}


async def ready(stage: SnapshotStage) -> None:
    await stage.create_group(NumCacheClusters=3)
    await stage.settle()
    await stage.create_cluster()
    await stage.settle("alone", CLUSTER)
    stage.woken.clear()


@on_snapshots
async def test_the_snapshot_comes_first(stage: SnapshotStage) -> None:
    """To clients it is being deleted from now on: their waiters take snapshotting as a failure."""
    await ready(stage)
    gone = view(await stage.call(GROUP, ReplicationGroupId="DEMO", FinalSnapshotIdentifier="Last"))
    assert gone["Status"] == (await stage.group())["Status"] == "deleting"
    assert (await stage.cluster("demo-001"))["CacheClusterStatus"] == "deleting"
    row, snapshot = await stage.row(stage.key("demo")), await stage.snapshot_row("last")
    assert (row.desired.snapshotting, row.desired.deleting, row.status.state) == ("last", False, "snapshotting")
    assert (snapshot.desired.final, snapshot.desired.state) == (True, SnapshotState.CREATING)
    assert stage.woken == [snapshot.key, row.key]
    assert (await stage.shown("last"))["SnapshotStatus"] == "creating"


@on_snapshots
async def test_of_a_cluster_of_its_own(stage: SnapshotStage) -> None:
    await ready(stage)
    gone = view(await stage.call(ALONE, CacheClusterId="alone", **LAST))
    assert gone["CacheClusterStatus"] == "deleting"
    shown = await stage.cluster("alone", ShowCacheNodeInfo=True)
    assert (shown["CacheClusterStatus"], shown["CacheNodes"][0]["CacheNodeStatus"]) == ("deleting", "deleting")
    row = await stage.row(stage.key("alone", CLUSTER))
    assert (row.desired.snapshotting, row.desired.deleting) == ("last", False)


@on_snapshots
async def test_one_that_fails_leaves_the_cache_whole(stage: SnapshotStage) -> None:
    await ready(stage)
    await stage.call(GROUP, **DEMO)
    await stage.put_snapshot("last", state=SnapshotState.FAILED)
    await stage.release(stage.key("demo"), "last")
    assert (await stage.group())["Status"] == "available"
    await stage.call("CreateSnapshot", SnapshotName="nightly", ReplicationGroupId="demo")
    assert (await stage.group())["Status"] == "snapshotting"
    await stage.keep("nightly")
    row = await stage.row(stage.key("demo"))  # as the keeper begins an automatic one
    await stage.write(replace(row, desired=replace(row.desired, snapshotting="automatic.demo")))
    assert (await stage.group())["Status"] == "available"


@on_snapshots
async def test_a_deletion_need_not_wait_for_it(stage: SnapshotStage) -> None:
    await ready(stage)
    await stage.call(GROUP, **DEMO)
    await stage.refused("InvalidReplicationGroupState", "status deleting", GROUP, **DEMO)
    await stage.call(GROUP, ReplicationGroupId="demo")
    assert (await stage.row(stage.key("demo"))).desired.deleting
    await stage.refused("InvalidReplicationGroupState", "it goes by itself", GROUP, ReplicationGroupId="demo")


@on_snapshots
async def test_what_is_refused(stage: SnapshotStage) -> None:
    await ready(stage)
    await stage.make("nightly")
    await stage.create_group("young")
    young = {"ReplicationGroupId": "young", **LAST}
    both = {**DEMO, "RetainPrimaryCluster": True}
    taken = {**DEMO, "FinalSnapshotIdentifier": "NIGHTLY"}
    for code, rule, name, request in (
        ("ReplicationGroupNotFoundFault", "none", GROUP, {"ReplicationGroupId": "none", **LAST}),
        ("CacheClusterNotFound", "none", ALONE, {"CacheClusterId": "none", **LAST}),
        ("InvalidReplicationGroupState", "status creating", GROUP, young),
        ("InvalidParameterCombination", "RetainPrimaryCluster", GROUP, both),
        ("InvalidParameterCombination", "is a member of replication group demo", ALONE, {"CacheClusterId": "demo-003", **LAST}),
        ("InvalidParameterValue", "FinalSnapshotIdentifier", GROUP, {**DEMO, "FinalSnapshotIdentifier": "not one"}),
        ("SnapshotAlreadyExistsFault", "nightly", GROUP, taken),
    ):
        await stage.refused(code, rule, name, **request)
    assert await stage.listed() == ["nightly"]
    assert (await stage.group())["Status"] == "available"
    await stage.call(ALONE, CacheClusterId="alone", FinalSnapshotIdentifier="")
    assert (await stage.row(stage.key("alone", CLUSTER))).desired.deleting
