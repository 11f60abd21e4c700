"""Whether what describes tell of an installation agrees: groups with their members, slots, snapshots, users, tags, events.

Through the API alone; raises AssertionError that names what differs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from tests.component.api_groups.stage import built

Ask = Callable[..., Awaitable[Any]]  # (operation, **request) -> reply

SLOTS = 16384
_LISTS = {
    "ReplicationGroups": "DescribeReplicationGroups",
    "CacheClusters": "DescribeCacheClusters",
    "Snapshots": "DescribeSnapshots",
    "Users": "DescribeUsers",
    "UserGroups": "DescribeUserGroups",
    "CacheSubnetGroups": "DescribeCacheSubnetGroups",
    "CacheParameterGroups": "DescribeCacheParameterGroups",
    "Events": "DescribeEvents",
}
_SHARED = (  # by a group and its members
    "CacheNodeType",
    "Engine",
    "AtRestEncryptionEnabled",
    "TransitEncryptionEnabled",
    "AuthTokenEnabled",
    "AutoMinorVersionUpgrade",
    "SnapshotRetentionLimit",
    "SnapshotWindow",
)


async def check_consistent(ask: Ask, *, told: bool = False) -> None:
    """told: the controller's events are there, too."""
    found = {member: await _all(ask, member, name) for member, name in _LISTS.items()}
    groups = {group["ReplicationGroupId"]: group for group in found["ReplicationGroups"]}
    clusters = {cluster["CacheClusterId"]: cluster for cluster in found["CacheClusters"]}
    subnet_groups = {group["CacheSubnetGroupName"]: group for group in found["CacheSubnetGroups"]}
    parameter_groups = {group["CacheParameterGroupName"] for group in found["CacheParameterGroups"]}
    assert {cluster["CacheParameterGroup"]["CacheParameterGroupName"] for cluster in clusters.values()} <= parameter_groups
    for name, group in groups.items():
        assert group == (await _one(ask, "DescribeReplicationGroups", ReplicationGroupId=name.upper())), name
        _check_group(name, group, clusters)
    for name, cluster in clusters.items():
        assert cluster == await _one(ask, "DescribeCacheClusters", CacheClusterId=name, ShowCacheNodeInfo=True), name
        _check_cluster(name, cluster, groups, subnet_groups[cluster["CacheSubnetGroupName"]])
    alone = await _all(ask, "CacheClusters", "DescribeCacheClusters", ShowCacheClustersNotInReplicationGroups=True)
    assert alone == [cluster for cluster in clusters.values() if "ReplicationGroupId" not in cluster]
    _check_snapshots(found["Snapshots"], groups, clusters)
    _check_users(found["Users"], found["UserGroups"], groups)
    await _check_tags(ask, found, groups, clusters)
    dates = [event["Date"] for event in found["Events"]]
    assert dates == sorted(dates, reverse=True)
    created = {event["SourceIdentifier"] for event in found["Events"] if event["Message"].endswith("created")}
    available = {name for name, group in groups.items() if group["Status"] == "available"}
    assert not told or available <= created, f"{available - created} came to be without an event"


async def _all(ask: Ask, member: str, name: str, **request: Any) -> list[dict[str, Any]]:
    """Every page, small ones."""
    if name == "DescribeCacheClusters":
        request["ShowCacheNodeInfo"] = True
    if name == "DescribeEvents":
        request["Duration"] = 14 * 24 * 60
    found: list[dict[str, Any]] = []
    marker: str | None = None
    while True:
        reply = built(await ask(name, MaxRecords=20, **request, **({"Marker": marker} if marker else {})))
        found += reply[member]
        marker = reply.get("Marker")
        if not marker:
            return found


async def _one(ask: Ask, name: str, **request: Any) -> dict[str, Any]:
    ((found,),) = built(await ask(name, **request)).values()
    return dict(found)


def _check_group(name: str, group: dict[str, Any], clusters: dict[str, Any]) -> None:
    members = sorted(key for key, cluster in clusters.items() if cluster.get("ReplicationGroupId") == name)
    assert group["MemberClusters"] == members, name
    for member in members:
        for field in _SHARED:
            assert clusters[member].get(field) == group.get(field), f"{field} of {member}"
    shards = group.get("NodeGroups", [])
    if shards:
        assert sorted(node["CacheClusterId"] for shard in shards for node in shard["NodeGroupMembers"]) == members, name
    if group["Status"] != "available":
        return
    assert shards, f"{name} is available and shows no node groups"
    for shard in shards:
        for node in shard["NodeGroupMembers"]:
            cluster = clusters[node["CacheClusterId"]]
            assert cluster["PreferredAvailabilityZone"] == node["PreferredAvailabilityZone"], node
    if group["ClusterEnabled"]:
        assert "ConfigurationEndpoint" in group, name
        assert _slots(shards) == list(range(SLOTS)), f"{name} does not show each slot once"
    else:
        roles = [node["CurrentRole"] for shard in shards for node in shard["NodeGroupMembers"]]
        assert roles.count("primary") == 1, f"{name} has the roles {roles}"


def _slots(shards: list[dict[str, Any]]) -> list[int]:
    found: list[int] = []
    for shard in shards:
        for part in filter(None, shard["Slots"].split(",")):
            first, _, last = part.partition("-")
            found += range(int(first), int(last or first) + 1)
    return sorted(found)


def _check_cluster(name: str, cluster: dict[str, Any], groups: dict[str, Any], subnet_group: dict[str, Any]) -> None:
    assert cluster.get("ReplicationGroupId", next(iter(groups), "")) in {"", *groups}, f"{name} is of a group that is not there"
    assert len(cluster["CacheNodes"]) == cluster["NumCacheNodes"], name
    zones = {subnet["SubnetAvailabilityZone"]["Name"] for subnet in subnet_group["Subnets"]}
    assert {node["CustomerAvailabilityZone"] for node in cluster["CacheNodes"]} <= zones, name
    if cluster["CacheClusterStatus"] == "available":
        assert all("Endpoint" in node for node in cluster["CacheNodes"]), name


def _check_snapshots(snapshots: list[dict[str, Any]], groups: dict[str, Any], clusters: dict[str, Any]) -> None:
    being_made = set()
    for snapshot in snapshots:
        name = snapshot["SnapshotName"]
        if snapshot["SnapshotStatus"] == "creating":
            being_made.add(snapshot.get("ReplicationGroupId") or snapshot["CacheClusterId"])
        if snapshot["SnapshotStatus"] == "available":
            assert snapshot["NodeSnapshots"], f"{name} is available and of no node"
    for name, whole in {**groups, **{key: one for key, one in clusters.items() if "ReplicationGroupId" not in one}}.items():
        if whole.get("Status", whole.get("CacheClusterStatus")) == "snapshotting":
            assert name in being_made, f"{name} is snapshotting, and no snapshot of it is being made"


def _check_users(users: list[dict[str, Any]], user_groups: list[dict[str, Any]], groups: dict[str, Any]) -> None:
    members = {group["UserGroupId"]: group["UserIds"] for group in user_groups}
    for user in users:
        assert user["UserGroupIds"] == sorted(key for key, ids in members.items() if user["UserId"] in ids), user["UserId"]
    known = {user["UserId"] for user in users}
    for group in user_groups:
        assert set(group["UserIds"]) <= known, group["UserGroupId"]
        using = sorted(name for name, one in groups.items() if group["UserGroupId"] in one["UserGroupIds"])
        assert group["ReplicationGroups"] == using, group["UserGroupId"]


async def _check_tags(ask: Ask, found: dict[str, Any], groups: dict[str, Any], clusters: dict[str, Any]) -> None:
    tags: dict[str, Any] = {}
    for member in ("ReplicationGroups", "CacheClusters", "Snapshots", "Users", "UserGroups", "CacheSubnetGroups"):
        for one in found[member]:
            listed = (await ask("ListTagsForResource", ResourceName=one["ARN"]))["TagList"]
            tags[one["ARN"]] = {tag["Key"]: tag["Value"] for tag in listed}
    for group in groups.values():
        copied = {key for key in tags[group["ARN"]] if not key.startswith("cachefleet:")}
        for member in group["MemberClusters"]:
            assert copied <= set(tags[clusters[member]["ARN"]]), f"{member} lacks tags of its group"
