"""CreateCacheCluster, DescribeCacheClusters, DeleteCacheCluster and RebootCacheCluster of clusters of their own."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from cachefleet.model.group import Shape
from cachefleet.model.resource import Kind
from cachefleet.settings import ApiSettings, Settings
from tests.component.api_groups.stage import NODE_TYPE, GroupStage, on_groups

CLUSTER = Kind.CACHE_CLUSTER


async def memcached(stage: GroupStage, name: str = "mem", nodes: int = 3, **request: Any) -> dict[str, Any]:
    return await stage.create_cluster(name, Engine="memcached", NumCacheNodes=nodes, **request)


# --- create --------------------------------------------------------------------------------------------------------


@on_groups
async def test_a_standalone_cluster(stage: GroupStage) -> None:
    created = await stage.create_cluster("Alone", Tags=[{"Key": "team", "Value": "a"}], PreferredAvailabilityZone="local-1b")
    assert (created["CacheClusterId"], created["CacheClusterStatus"], created["Engine"]) == ("alone", "creating", "valkey")
    assert created == await stage.cluster("ALONE")
    key = stage.key("alone", CLUSTER)
    row = await stage.row(key)
    assert (row.desired.shape, row.desired.az_mode, row.tags) == (Shape.REPLICATED, "", {"team": "a"})
    assert [(node.name, node.zone) for node in row.desired.nodes] == [("alone", "local-1b")]
    assert stage.woken == [key]


@on_groups
async def test_a_memcached_cluster(stage: GroupStage) -> None:
    created = await memcached(stage, AZMode="cross-az", EngineVersion="1.6.18", Port=11300)
    assert (created["NumCacheNodes"], created["PreferredAvailabilityZone"]) == (3, "Multiple")
    assert created["CacheParameterGroup"]["CacheParameterGroupName"] == "default.memcached1.6"
    await stage.settle("mem", CLUSTER)
    shown = await stage.cluster("mem", ShowCacheNodeInfo=True)
    assert shown["ConfigurationEndpoint"]["Port"] == 11300
    assert [(node["CacheNodeId"], node["CustomerAvailabilityZone"]) for node in shown["CacheNodes"]] == [
        ("0001", "local-1a"),
        ("0002", "local-1b"),
        ("0003", "local-1c"),
    ]
    assert [name for name, _ in await stage.store.members(stage.context.scope)] == ["mem"]


@on_groups
async def test_names_that_are_taken(stage: GroupStage) -> None:
    await stage.create_cluster()
    await stage.create_group()
    for name in ("Alone", "demo-001"):
        await stage.refused(
            "CacheClusterAlreadyExists", name.lower(), "CreateCacheCluster", CacheClusterId=name, CacheNodeType=NODE_TYPE
        )
    await stage.create_cluster("demo")  # the id of a group is no cluster's
    assert await stage.store.get(stage.key("demo-001", CLUSTER)) is None


@on_groups
async def test_creations_that_cannot_be(stage: GroupStage) -> None:
    for code, rule, request in (
        ("InvalidParameterValue", "Engine", {"Engine": "mysql"}),
        ("InvalidParameterValue", "Installed versions: 1.6.18", {"Engine": "memcached", "EngineVersion": "1.6.22"}),
        ("InvalidParameterValue", "full version", {"Engine": "memcached", "EngineVersion": "1.6"}),
        ("InvalidParameterValue", "CacheNodeType is missing", {"CacheNodeType": ""}),
        ("InvalidParameterValue", "use CreateReplicationGroup", {"NumCacheNodes": 2}),
        ("InvalidParameterValue", "at least 1", {"Engine": "memcached", "NumCacheNodes": 0}),
        ("InvalidParameterValue", "Port", {"Port": 0}),
        ("InvalidParameterValue", "Outposts", {"OutpostMode": "single-outpost"}),
        ("InvalidParameterCombination", "TransitEncryptionEnabled", {"Engine": "memcached", "TransitEncryptionEnabled": True}),
        ("InvalidParameterValue", "SnapshotName", {"SnapshotName": "yesterday"}),
        ("InvalidParameterValue", "IpDiscovery", {"IpDiscovery": "ipv6"}),
        ("InvalidParameterCombination", "Memcached has no snapshots", {"Engine": "memcached", "SnapshotRetentionLimit": 1}),
        ("InvalidParameterCombination", "Memcached has no snapshots", {"Engine": "memcached", "SnapshotWindow": "05:00-06:00"}),
        ("InvalidParameterCombination", "cluster-enabled=yes", {"CacheParameterGroupName": "default.valkey9.cluster.on"}),
        ("InvalidParameterCombination", "is for Memcached", {"AZMode": "cross-az"}),
        ("CacheParameterGroupNotFound", "mine", {"CacheParameterGroupName": "mine"}),
        ("CacheSubnetGroupNotFoundFault", "mine", {"CacheSubnetGroupName": "mine"}),
        ("NodeQuotaForClusterExceeded", "40", {"Engine": "memcached", "NumCacheNodes": 41}),
    ):
        request = {"CacheNodeType": NODE_TYPE, **request}
        await stage.refused(code, rule, "CreateCacheCluster", CacheClusterId="other", **request)
    await stage.refused("InvalidParameterValue", "CacheClusterId", "CreateCacheCluster", CacheClusterId="a" * 51)
    assert await stage.store.keys([CLUSTER]) == [] and stage.woken == []


@on_groups
async def test_limits_of_the_host_and_of_the_settings(stage: GroupStage) -> None:
    stage.use(Settings(api=ApiSettings(memcached_nodes=2)))
    await stage.refused(
        "NodeQuotaForClusterExceeded",
        "the 2 that",
        "CreateCacheCluster",
        CacheClusterId="mem",
        CacheNodeType=NODE_TYPE,
        Engine="memcached",
        NumCacheNodes=3,
    )
    stage.context = replace(stage.context, refuses=lambda nodes, size_bytes: f"{size_bytes} bytes are too many")
    await stage.refused(
        "InsufficientCacheClusterCapacity",
        str(2 * 512 * 1024 * 1024),
        "CreateCacheCluster",
        CacheClusterId="mem",
        CacheNodeType=NODE_TYPE,
        Engine="memcached",
        NumCacheNodes=2,
    )


# --- describe ------------------------------------------------------------------------------------------------------


@on_groups
async def test_clusters_of_all_kinds_are_listed_by_name(stage: GroupStage) -> None:
    await stage.create_group()
    await stage.create_cluster("zed")
    await memcached(stage, "alpha", 2)
    listed = await stage.call("DescribeCacheClusters")
    assert [cluster["CacheClusterId"] for cluster in listed["CacheClusters"]] == ["alpha", "demo-001", "demo-002", "zed"]
    assert not any("CacheNodes" in cluster for cluster in listed["CacheClusters"])
    listed = await stage.call("DescribeCacheClusters", ShowCacheClustersNotInReplicationGroups=True, ShowCacheNodeInfo=True)
    assert [(cluster["CacheClusterId"], len(cluster["CacheNodes"])) for cluster in listed["CacheClusters"]] == [
        ("alpha", 2),
        ("zed", 1),
    ]
    assert (await stage.cluster("Demo-002"))["ReplicationGroupId"] == "demo"
    alone = await stage.call("DescribeCacheClusters", CacheClusterId="demo-002", ShowCacheClustersNotInReplicationGroups=True)
    assert alone == {"CacheClusters": []}


@on_groups
async def test_clusters_come_in_pages(stage: GroupStage) -> None:
    for number in range(8):
        await stage.create_group(f"g{number}", NumCacheClusters=3)
    first = await stage.call("DescribeCacheClusters", MaxRecords=20)
    rest = await stage.call("DescribeCacheClusters", MaxRecords=20, Marker=first["Marker"])
    names = [cluster["CacheClusterId"] for cluster in [*first["CacheClusters"], *rest["CacheClusters"]]]
    assert names == [f"g{group}-00{node}" for group in range(8) for node in (1, 2, 3)] and "Marker" not in rest
    await stage.refused("InvalidParameterValue", "MaxRecords", "DescribeCacheClusters", MaxRecords=101)


@on_groups
async def test_clusters_that_are_not_there(stage: GroupStage) -> None:
    await memcached(stage)
    for operation, more in (
        ("DescribeCacheClusters", {}),
        ("DeleteCacheCluster", {}),
        ("ModifyCacheCluster", {}),
        ("RebootCacheCluster", {"CacheNodeIdsToReboot": ["0001"]}),
    ):
        for name in ("nothing", "mem.0001", "y" * 3000):
            await stage.refused("CacheClusterNotFound", "not found", operation, CacheClusterId=name, **more)


# --- delete --------------------------------------------------------------------------------------------------------


@on_groups
async def test_deleting_is_asked_of_the_controller(stage: GroupStage) -> None:
    await stage.create_cluster()
    await stage.settle("alone", CLUSTER)
    reply = await stage.call("DeleteCacheCluster", CacheClusterId="Alone")
    assert reply["CacheCluster"]["CacheClusterStatus"] == "deleting"
    assert (await stage.cluster("alone"))["CacheClusterStatus"] == "deleting"
    assert (await stage.row(stage.key("alone", CLUSTER))).desired.deleting
    await stage.refused("InvalidCacheClusterState", "deleting", "DeleteCacheCluster", CacheClusterId="alone")


@on_groups
async def test_memcached_has_no_final_snapshot(stage: GroupStage) -> None:
    await stage.create_cluster("mem", Engine="memcached")
    await stage.refused(
        "SnapshotFeatureNotSupportedFault",
        "Memcached cluster, which has no snapshots",
        "DeleteCacheCluster",
        CacheClusterId="mem",
        FinalSnapshotIdentifier="last",
    )
    assert not (await stage.row(stage.key("mem", CLUSTER))).desired.deleting


# --- reboot --------------------------------------------------------------------------------------------------------


@on_groups
async def test_a_reboot_of_some_nodes(stage: GroupStage) -> None:
    await memcached(stage)
    await stage.settle("mem", CLUSTER)
    reply = await stage.call("RebootCacheCluster", CacheClusterId="Mem", CacheNodeIdsToReboot=["0003", "0001", "0003"])
    assert reply["CacheCluster"]["CacheClusterStatus"] == "rebooting cluster nodes"
    shown = await stage.cluster("mem", ShowCacheNodeInfo=True)
    assert [node["CacheNodeStatus"] for node in shown["CacheNodes"]] == ["rebooting", "available", "rebooting"]
    key = stage.key("mem", CLUSTER)
    assert [node.reboots for node in (await stage.row(key)).desired.nodes] == [1, 0, 1]
    assert stage.woken == [key, key]
    await stage.refused(
        "InvalidCacheClusterState", "rebooting", "RebootCacheCluster", CacheClusterId="mem", CacheNodeIdsToReboot=["0002"]
    )


@on_groups
async def test_a_reboot_of_a_member(stage: GroupStage) -> None:
    await stage.create_group()
    await stage.settle()
    reply = await stage.call("RebootCacheCluster", CacheClusterId="demo-002", CacheNodeIdsToReboot=["0001"])
    assert reply["CacheCluster"]["CacheClusterStatus"] == "rebooting cluster nodes"
    assert (await stage.cluster("demo-001"))["CacheClusterStatus"] == "available"
    assert (await stage.group())["Status"] == "modifying"
    assert [node.reboots for node in (await stage.row(stage.key("demo"))).desired.nodes] == [0, 1]


@on_groups
async def test_reboots_that_cannot_be(stage: GroupStage) -> None:
    await stage.create_group("big", NumNodeGroups=2)
    await stage.settle("big")
    await stage.create_cluster()
    for code, rule, name, ids in (
        ("InvalidCacheClusterState", "cluster mode enabled", "big-0001-001", ["0001"]),
        ("InvalidCacheClusterState", "creating", "alone", ["0001"]),
        ("InvalidParameterValue", "'0002' is no node of alone; its nodes are 0001", "alone", ["0002"]),
        ("InvalidParameterValue", "is empty", "alone", []),
    ):
        await stage.refused(code, rule, "RebootCacheCluster", CacheClusterId=name, CacheNodeIdsToReboot=ids)
    assert all(node.reboots == 0 for node in (await stage.row(stage.key("big"))).desired.nodes)
