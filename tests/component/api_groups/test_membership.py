"""Replicas that join and leave a group by their cluster's id; clusters that become groups, and groups that leave one behind."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from cachefleet.model.group import Shape
from cachefleet.model.resource import Kind
from cachefleet.model.row import GroupRow
from tests.component.api_groups.stage import NODE_TYPE, BusyStore, GroupStage, on_groups

CLUSTER = Kind.CACHE_CLUSTER
ADDITIONAL = "Cannot specify additional cache cluster parameters when creating a replica cluster"


async def join(stage: GroupStage, name: str, **request: Any) -> dict[str, Any]:
    reply = await stage.call("CreateCacheCluster", CacheClusterId=name, ReplicationGroupId="Demo", **request)
    return dict(reply["CacheCluster"])


async def members(stage: GroupStage) -> list[str]:
    return [name for name, _ in await stage.store.members(stage.context.scope)]


# --- joining -------------------------------------------------------------------------------------------------------


@on_groups
async def test_a_replica_joins(stage: GroupStage) -> None:
    await stage.create_group(Tags=[{"Key": "team", "Value": "a"}])
    await stage.settle()
    joined = await join(stage, "Third", Tags=[{"Key": "own", "Value": "b"}], AutoMinorVersionUpgrade=True)
    assert (joined["CacheClusterId"], joined["ReplicationGroupId"], joined["CacheClusterStatus"]) == (
        "third",
        "demo",
        "creating",
    )
    assert joined["PreferredAvailabilityZone"] == "local-1c", "the zone that the group used least"
    shown = await stage.group()
    assert (shown["Status"], shown["MemberClusters"]) == ("modifying", ["demo-001", "demo-002", "third"])
    node = (await stage.row(stage.key("demo"))).desired.nodes[-1]
    assert (node.name, node.tags) == ("third", {"team": "a", "own": "b"})
    assert await members(stage) == ["demo-001", "demo-002", "third"]
    assert stage.woken == [stage.key("demo")] * 2
    await stage.refused(
        "InvalidReplicationGroupState", "modifying", "CreateCacheCluster", CacheClusterId="fourth", ReplicationGroupId="demo"
    )


@on_groups
async def test_a_replica_joins_in_the_zone_that_it_asks_for(stage: GroupStage) -> None:
    await stage.create_group()
    await stage.settle()
    assert (await join(stage, "third", PreferredAvailabilityZone="local-1a"))["PreferredAvailabilityZone"] == "local-1a"


@on_groups
async def test_replicas_that_cannot_join(stage: GroupStage) -> None:
    await stage.create_group()
    await stage.settle()
    await stage.create_cluster()
    for code, rule, name, request in (
        ("InvalidParameterCombination", ADDITIONAL, "third", {"CacheNodeType": NODE_TYPE}),
        ("InvalidParameterCombination", ADDITIONAL, "third", {"Engine": "valkey", "NumCacheNodes": 1}),
        ("InvalidParameterCombination", ADDITIONAL, "third", {"AutoMinorVersionUpgrade": False}),
        ("InvalidParameterValue", "not an availability zone", "third", {"PreferredAvailabilityZone": "mars-1a"}),
        ("InvalidParameterValue", "CacheClusterId", "3rd", {}),
        ("CacheClusterAlreadyExists", "demo-002", "demo-002", {}),
        ("CacheClusterAlreadyExists", "alone", "alone", {}),
        ("ReplicationGroupNotFoundFault", "nothing", "third", {"ReplicationGroupId": "nothing"}),
    ):
        request = {"ReplicationGroupId": "demo", **request}
        await stage.refused(code, rule, "CreateCacheCluster", CacheClusterId=name, **request)
    await stage.create_group("big", NumNodeGroups=2)
    await stage.settle("big")
    await stage.refused(
        "InvalidParameterCombination", "cluster mode", "CreateCacheCluster", CacheClusterId="third", ReplicationGroupId="big"
    )
    await stage.create_group("full", NumCacheClusters=6)
    await stage.settle("full")
    await stage.refused(
        "NodeQuotaForClusterExceeded", "5 replicas", "CreateCacheCluster", CacheClusterId="third", ReplicationGroupId="full"
    )
    stage.context = replace(stage.context, refuses=lambda nodes, size_bytes: f"no room for {nodes}")
    await stage.refused(
        "InsufficientCacheClusterCapacity",
        "no room for 1",
        "CreateCacheCluster",
        CacheClusterId="third",
        ReplicationGroupId="demo",
    )
    assert "third" not in await members(stage)


# --- leaving -------------------------------------------------------------------------------------------------------


@on_groups
async def test_a_replica_leaves(stage: GroupStage) -> None:
    await stage.create_group(NumCacheClusters=3, AutomaticFailoverEnabled=True)
    await stage.settle()
    reply = await stage.call("DeleteCacheCluster", CacheClusterId="Demo-002")
    assert reply["CacheCluster"]["CacheClusterId"] == "demo-002"
    assert reply["CacheCluster"]["CacheClusterStatus"] == "deleting"
    assert (await stage.group())["MemberClusters"] == ["demo-001", "demo-003"]
    assert (await stage.group())["Status"] == "modifying"
    assert await members(stage) == ["demo-001", "demo-003"]
    await stage.refused("CacheClusterNotFound", "demo-002", "DescribeCacheClusters", CacheClusterId="demo-002")
    row = await stage.row(stage.key("demo"))
    assert "demo-002" in row.memory.nodes and "demo-002" not in row.status.nodes, "the controller still has to stop it"


@on_groups
async def test_a_replica_that_never_came_up_may_leave(stage: GroupStage) -> None:
    await stage.create_group()
    await stage.settle()
    await join(stage, "third")
    await stage.call("DeleteCacheCluster", CacheClusterId="third")
    assert await members(stage) == ["demo-001", "demo-002"]


@on_groups
async def test_clusters_that_cannot_leave(stage: GroupStage) -> None:
    await stage.create_group("lone", AutomaticFailoverEnabled=True)
    await stage.create_group("far", NumCacheClusters=3, AutomaticFailoverEnabled=True, MultiAZEnabled=True)
    await stage.create_group("big", NumNodeGroups=2, ReplicasPerNodeGroup=1)
    await stage.create_group("new")
    await stage.create_group("busy", NumCacheClusters=3)
    await stage.create_group("pair")
    for name in ("lone", "far", "big", "busy", "pair"):
        await stage.settle(name)
    await stage.call("RebootCacheCluster", CacheClusterId="busy-002", CacheNodeIdsToReboot=["0001"])
    for code, rule, name in (
        ("InvalidCacheClusterState", "serving as primary for replication group lone", "lone-001"),
        ("InvalidParameterValue", "Must have at least 1 replica when cluster mode is disabled with auto failover", "lone-002"),
        ("InvalidCacheClusterState", "Multi-AZ", "far-002"),
        ("InvalidCacheClusterState", "cluster mode enabled", "big-0001-002"),
        ("InvalidCacheClusterState", "not available: its status is creating", "new-002"),
        ("InvalidCacheClusterState", "rebooting", "busy-002"),
        ("InvalidCacheClusterState", "last replica of replication group pair", "pair-002"),
    ):
        before = await members(stage)
        await stage.refused(code, rule, "DeleteCacheCluster", CacheClusterId=name)
        assert await members(stage) == before


@on_groups
async def test_the_primary_is_whoever_has_the_role_now(stage: GroupStage) -> None:
    await stage.create_group(NumCacheClusters=3)
    row = await stage.settle()
    row = await stage.write(_failed_over(row, "demo-002"))
    await stage.refused("InvalidCacheClusterState", "serving as primary", "DeleteCacheCluster", CacheClusterId="demo-002")
    await stage.call("DeleteCacheCluster", CacheClusterId="demo-001")
    assert (await stage.group())["MemberClusters"] == ["demo-002", "demo-003"]


def _failed_over(row: GroupRow, primary: str) -> GroupRow:
    roles = {
        name: replace(status, role="primary" if name == primary else "replica") for name, status in row.status.nodes.items()
    }
    shards = {"0001": replace(row.memory.shards["0001"], primary=primary, epoch=2)}
    return replace(row, status=replace(row.status, nodes=roles), memory=replace(row.memory, shards=shards, epoch=2))


# --- a cluster becomes a group -------------------------------------------------------------------------------------


@on_groups
async def test_a_standalone_cluster_becomes_a_primary(stage: GroupStage) -> None:
    await stage.create_cluster(Tags=[{"Key": "own", "Value": "b"}], CacheSubnetGroupName="default")
    before = await stage.settle("alone", CLUSTER)
    stage.woken.clear()
    created = (
        await stage.call(
            "CreateReplicationGroup",
            ReplicationGroupId="demo",
            ReplicationGroupDescription="grown",
            PrimaryClusterId="Alone",
            AutomaticFailoverEnabled=False,
            SnapshotRetentionLimit=5,
            Tags=[{"Key": "team", "Value": "a"}],
        )
    )["ReplicationGroup"]
    assert (created["MemberClusters"], created["Status"], created["Description"]) == (["alone"], "modifying", "grown")
    row = await stage.row(stage.key("demo"))
    assert (row.desired.uid, row.memory) == (before.desired.uid, before.memory), "the process goes on"
    assert (row.desired.snapshot_retention_days, row.desired.node_type) == (5, before.desired.node_type)
    assert (row.tags, row.desired.nodes[0].tags) == ({"team": "a"}, {"own": "b", "team": "a"})
    assert await stage.store.get(before.key) is None
    assert set(stage.woken) == {before.key, row.key}
    assert (await stage.cluster("alone"))["ReplicationGroupId"] == "demo"
    assert await stage.events() == ["replication-group demo: Replication group demo created"]


@on_groups
async def test_clusters_that_cannot_become_a_primary(stage: GroupStage) -> None:
    request = {"ReplicationGroupId": "demo", "ReplicationGroupDescription": "grown"}
    create = "CreateReplicationGroup"
    await stage.create_cluster()
    await stage.refused("InvalidCacheClusterState", "creating", create, PrimaryClusterId="alone", **request)
    await stage.settle("alone", CLUSTER)
    await stage.create_cluster("mem", Engine="memcached")
    await stage.settle("mem", CLUSTER)
    await stage.create_group("taken")
    await stage.settle("taken")
    for code, rule, more in (
        ("CacheClusterNotFound", "nothing", {"PrimaryClusterId": "nothing"}),
        ("InvalidCacheClusterState", "member of replication group taken", {"PrimaryClusterId": "taken-001"}),
        ("InvalidParameterValue", "Memcached", {"PrimaryClusterId": "mem"}),
        ("InvalidParameterCombination", "NumCacheClusters", {"PrimaryClusterId": "alone", "NumCacheClusters": 2}),
        ("InvalidParameterCombination", "CacheNodeType", {"PrimaryClusterId": "alone", "CacheNodeType": NODE_TYPE}),
        (
            "InvalidParameterCombination",
            "AutomaticFailoverEnabled",
            {"PrimaryClusterId": "alone", "AutomaticFailoverEnabled": True},
        ),
        ("ReplicationGroupAlreadyExists", "taken", {"PrimaryClusterId": "alone", "ReplicationGroupId": "taken"}),
    ):
        await stage.refused(code, rule, create, **{**request, **more})
    assert (await stage.cluster("alone"))["CacheClusterStatus"] == "available"


# --- a group leaves its primary behind -----------------------------------------------------------------------------


@on_groups
async def test_the_primary_is_retained(stage: GroupStage) -> None:
    await stage.create_group(NumCacheClusters=3, AutomaticFailoverEnabled=True, Tags=[{"Key": "team", "Value": "a"}])
    row = await stage.settle()
    before = await stage.write(_failed_over(row, "demo-002"))
    stage.context = replace(stage.context, store=BusyStore(stage.store, turns=2))
    reply = await stage.call("DeleteReplicationGroup", ReplicationGroupId="demo", RetainPrimaryCluster=True)
    assert (reply["ReplicationGroup"]["Status"], len(reply["ReplicationGroup"]["MemberClusters"])) == ("deleting", 3)
    await stage.refused("ReplicationGroupNotFoundFault", "demo", "DescribeReplicationGroups", ReplicationGroupId="demo")
    after = await stage.row(stage.key("demo-002", CLUSTER))
    assert (after.desired.uid, after.memory.nodes) == (before.desired.uid, before.memory.nodes), "the process goes on"
    assert [node.name for node in after.desired.nodes] == ["demo-002"]
    assert (after.desired.shape, after.desired.automatic_failover, after.tags) == (Shape.REPLICATED, False, {"team": "a"})
    assert await members(stage) == ["demo-002"]
    shown = await stage.cluster("demo-002")
    assert "ReplicationGroupId" not in shown and shown["CacheClusterStatus"] == "modifying"
    assert await stage.events() == ["replication-group demo: Replication group demo deleted"]


@on_groups
async def test_primaries_that_cannot_be_retained(stage: GroupStage) -> None:
    await stage.create_group("big", NumNodeGroups=2)
    await stage.create_group("new")
    await stage.settle("big")
    for code, rule, name in (
        ("InvalidParameterCombination", "cluster mode", "big"),
        ("InvalidReplicationGroupState", "creating", "new"),
        ("ReplicationGroupNotFoundFault", "nothing", "nothing"),
    ):
        await stage.refused(code, rule, "DeleteReplicationGroup", ReplicationGroupId=name, RetainPrimaryCluster=True)
    assert (await stage.group("big"))["Status"] == "available"
