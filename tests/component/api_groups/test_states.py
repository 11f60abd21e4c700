"""Every operation that changes a group, in every state that it may be in: none begins while another is under way, and each that
begins says so in its own write. A deletion is always possible."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from cachefleet.model.resource import Kind
from cachefleet.model.row import GroupRow, member_names
from tests.component.api_groups.stage import GroupStage, on_groups

SMALL = "cache.t4g.small"
CLUSTER = Kind.CACHE_CLUSTER
NAME: dict[str, Any] = {"ReplicationGroupId": "demo"}
MEM: dict[str, Any] = {"CacheClusterId": "mem"}
NOW: dict[str, Any] = {"ApplyImmediately": True}
Case = tuple[str, dict[str, Any]]

# Those that touch nodes show "modifying" (or that they reboot) from their own write on.
GROUP_CHANGES: list[Case] = [
    ("ModifyReplicationGroup", {**NAME, **NOW, "CacheNodeType": SMALL}),
    ("ModifyReplicationGroup", {**NAME, **NOW, "EngineVersion": "9.1"}),
    ("IncreaseReplicaCount", {**NAME, **NOW, "NewReplicaCount": 3}),
    ("DecreaseReplicaCount", {**NAME, **NOW, "NewReplicaCount": 1}),
    ("DecreaseReplicaCount", {**NAME, **NOW, "ReplicasToRemove": ["demo-003"]}),
    ("CreateCacheCluster", {**NAME, "CacheClusterId": "more"}),
    ("DeleteCacheCluster", {"CacheClusterId": "demo-003"}),
    ("RebootCacheCluster", {"CacheClusterId": "demo-002", "CacheNodeIdsToReboot": ["0001"]}),
]
GROUP_SETTINGS: list[Case] = [
    ("ModifyReplicationGroup", {**NAME, "CacheNodeType": SMALL}),
    ("ModifyReplicationGroup", {**NAME, "ReplicationGroupDescription": "other"}),
    ("ModifyReplicationGroup", {**NAME, "PrimaryClusterId": "demo-002"}),
]
SHARD_CHANGES: list[Case] = [
    ("ModifyReplicationGroupShardConfiguration", {**NAME, **NOW, "NodeGroupCount": 3}),
    ("ModifyReplicationGroup", {**NAME, **NOW, "CacheNodeType": SMALL}),
    ("IncreaseReplicaCount", {**NAME, **NOW, "NewReplicaCount": 2}),
    ("DecreaseReplicaCount", {**NAME, **NOW, "NewReplicaCount": 0}),
]
CLUSTER_CHANGES: list[Case] = [
    ("ModifyCacheCluster", {**MEM, **NOW, "NumCacheNodes": 3}),
    ("ModifyCacheCluster", {**MEM, **NOW, "NumCacheNodes": 1, "CacheNodeIdsToRemove": ["0001"]}),
    ("ModifyCacheCluster", {**MEM, **NOW, "CacheNodeType": SMALL}),
    ("RebootCacheCluster", {**MEM, "CacheNodeIdsToReboot": ["0001"]}),
]
CLUSTER_SETTINGS: list[Case] = [
    ("ModifyCacheCluster", {**MEM, "NumCacheNodes": 3}),
    ("ModifyCacheCluster", {**MEM, "PreferredMaintenanceWindow": "mon:01:00-mon:02:00"}),
]
CLUSTER_OF_ITS_OWN = {"CacheNodeType": SMALL, "EngineVersion": "7.0"}
SNAPSHOTS: list[Case] = [
    ("CreateSnapshot", {**NAME, "SnapshotName": "nightly"}),
    ("DeleteReplicationGroup", {**NAME, "FinalSnapshotIdentifier": "last"}),
]
HANDOVER: Case = ("TestFailover", {**NAME, "NodeGroupId": "0001"})
RETAINING: Case = ("DeleteReplicationGroup", {**NAME, "RetainPrimaryCluster": True})
BUSY = ("creating", "modifying", "rebooting", "deleting", "create-failed", "snapshotting")


async def begin(stage: GroupStage, **request: Any) -> GroupRow:
    await stage.create_group(Engine="valkey", EngineVersion="8.1", **request)
    return await stage.settle()


async def begin_cluster(stage: GroupStage) -> GroupRow:
    await stage.create_cluster("mem", Engine="memcached", NumCacheNodes=2)
    return await stage.settle("mem", CLUSTER)


async def restore(stage: GroupStage, row: GroupRow) -> None:
    """As it was, with the members that it had."""
    now = await stage.row(row.key)
    async with stage.store.transaction() as transaction:
        await transaction.update(replace(row, version=now.version), member_names(row.key, row.desired))


async def all_refused(stage: GroupStage, cases: list[Case], row: GroupRow) -> None:
    """With the row as it is now, which stays as it is."""
    before = await stage.row(row.key)
    for name, request in cases:
        member = name in ("DeleteCacheCluster", "RebootCacheCluster", "ModifyCacheCluster")
        code = "InvalidCacheClusterState" if member else "InvalidReplicationGroupState"
        await stage.refused(code, "has status|its status is|while|failing over|being recovered", name, **request)
        assert await stage.row(row.key) == before, name


async def each_begins(stage: GroupStage, cases: list[Case], row: GroupRow, *states: str) -> None:
    for name, request in cases:
        await stage.call(name, **request)
        assert (await stage.row(row.key)).status.state in states, (name, request)
        await restore(stage, row)


# --- groups --------------------------------------------------------------------------------------------------------


@on_groups
async def test_changes_of_a_group(stage: GroupStage) -> None:
    row = await begin(stage, NumCacheClusters=3)
    await each_begins(stage, GROUP_CHANGES, row, "modifying", "rebooting")
    await each_begins(stage, GROUP_SETTINGS, row, "available")
    for state in BUSY:
        await stage.put_state(state)
        rebooting = [] if state != "rebooting" else [GROUP_CHANGES[-1]]  # of several members at a time is possible
        cases = [case for case in (*GROUP_CHANGES, *GROUP_SETTINGS, *SNAPSHOTS, RETAINING, HANDOVER) if case not in rebooting]
        if state not in ("modifying", "rebooting", "snapshotting"):
            for member in ("demo-001", "demo-002", "demo-003"):
                await stage.put_member_state(member, "creating" if state.startswith("creat") else state)
        await all_refused(stage, cases, row)
        await restore(stage, row)
    await stage.call(RETAINING[0], **RETAINING[1])


@on_groups
async def test_snapshots_of_a_group(stage: GroupStage) -> None:
    """They may begin while a role is on its way: the keeper waits for it."""
    row = await begin(stage, NumCacheClusters=3)
    for name, request in SNAPSHOTS:
        await stage.put_shard_memory(taken=False)
        await stage.call(name, **request)
        assert (await stage.row(row.key)).status.state == "snapshotting"
        await all_refused(stage, [*GROUP_CHANGES, *GROUP_SETTINGS, *SNAPSHOTS, RETAINING, HANDOVER], row)
        await restore(stage, row)


@on_groups
async def test_changes_of_a_group_whose_role_is_on_its_way(stage: GroupStage) -> None:
    """A hand-over that was asked for, one that has begun, a failover; settings may change nevertheless."""
    row = await begin(stage, NumCacheClusters=3)
    touching = [case for case in GROUP_CHANGES if case[0] not in ("DeleteCacheCluster", "RebootCacheCluster")]
    for memory in ({"taken": False}, {"handovers": -1}, {"taken": False, "handing_from": "demo-001"}):
        await stage.put_shard_memory(**memory)
        await all_refused(stage, [*touching, RETAINING], row)
        await stage.call("ModifyReplicationGroup", **NAME, CacheNodeType=SMALL)
        await stage.call("ModifyReplicationGroup", **NAME, ReplicationGroupDescription="other")
        await restore(stage, row)


@on_groups
async def test_changes_of_shards(stage: GroupStage) -> None:
    row = await begin(stage, NumNodeGroups=2, ReplicasPerNodeGroup=1)
    await each_begins(stage, SHARD_CHANGES, row, "modifying")
    for state in BUSY:
        await stage.put_state(state)
        await all_refused(stage, [*SHARD_CHANGES, *SNAPSHOTS, HANDOVER], row)
        await restore(stage, row)
    await stage.put_shard_memory(shard_id="0002", taken=False)
    await all_refused(stage, SHARD_CHANGES, row)


# --- clusters of their own -----------------------------------------------------------------------------------------


@on_groups
async def test_changes_of_a_cluster(stage: GroupStage) -> None:
    row = await begin_cluster(stage)
    await each_begins(stage, CLUSTER_CHANGES, row, "modifying", "rebooting")
    await each_begins(stage, CLUSTER_SETTINGS, row, "available")
    for state in BUSY:
        await stage.put_state(state, "mem", CLUSTER)
        await all_refused(stage, [*CLUSTER_CHANGES, *CLUSTER_SETTINGS], row)
        await restore(stage, row)


@on_groups
async def test_a_cluster_of_its_own_that_is_recovered(stage: GroupStage) -> None:
    await stage.create_cluster("mem", Engine="redis", EngineVersion="6.2")
    row = await stage.settle("mem", CLUSTER)
    shards = {"0001": replace(row.memory.shards["0001"], taken=False)}
    await stage.write(replace(row, memory=replace(row.memory, shards=shards)))
    cases: list[Case] = [("ModifyCacheCluster", {**MEM, **NOW, change: value}) for change, value in CLUSTER_OF_ITS_OWN.items()]
    await all_refused(stage, cases, row)


# --- deletion ------------------------------------------------------------------------------------------------------


@on_groups
async def test_a_deletion_is_always_possible(stage: GroupStage) -> None:
    rows = [await begin(stage, NumCacheClusters=3), await begin_cluster(stage)]
    deletions: list[Case] = [("DeleteReplicationGroup", NAME), ("DeleteCacheCluster", MEM)]
    for row, (name, request) in zip(rows, deletions, strict=True):
        for state in ("creating", "modifying", "rebooting", "create-failed", "snapshotting", "available"):
            await stage.put_state(state, row.key.name, row.key.kind)
            await stage.call(name, **request)
            assert (await stage.row(row.key)).desired.deleting
            await restore(stage, row)
