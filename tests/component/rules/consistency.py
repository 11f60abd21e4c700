"""Whether what describes tell of an installation agrees: groups with their members, slots, snapshots, tags, events; users and
service updates in modules of their own.

Through the API alone; raises AssertionError that names what differs.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from typing import Any

from tests.component.api_groups.stage import built
from tests.component.rules.consistency_of_access import check_users
from tests.component.rules.consistency_of_updates import check_updates

Ask = Callable[..., Awaitable[Any]]  # (operation, **request) -> reply

SLOTS = 16384
_MOMENT_S = 1.0  # that a pass of the control loop takes, from its first look at the clock until it is saved
_LISTS = {
    "ReplicationGroups": "DescribeReplicationGroups",
    "CacheClusters": "DescribeCacheClusters",
    "Snapshots": "DescribeSnapshots",
    "Users": "DescribeUsers",
    "UserGroups": "DescribeUserGroups",
    "CacheSubnetGroups": "DescribeCacheSubnetGroups",
    "CacheParameterGroups": "DescribeCacheParameterGroups",
    "ServiceUpdates": "DescribeServiceUpdates",
    "UpdateActions": "DescribeUpdateActions",
    "Events": "DescribeEvents",
}
_MORE: dict[str, dict[str, Any]] = {
    "CacheClusters": {"ShowCacheNodeInfo": True},
    "UpdateActions": {"ShowNodeLevelUpdateStatus": True},
    "Events": {"Duration": 14 * 24 * 60},
}
_SHARED = (  # by a group and its members
    "CacheNodeType",
    "Engine",
    "AtRestEncryptionEnabled",
    "TransitEncryptionEnabled",
    "TransitEncryptionMode",
    "AuthTokenEnabled",
    "AutoMinorVersionUpgrade",
    "SnapshotRetentionLimit",
    "SnapshotWindow",
)


async def check_consistent(ask: Ask, *, told: bool = False) -> dict[str, list[dict[str, Any]]]:
    """Gives all that is described, by the name of the list. told: the controller's events are there, too."""
    found = {member: await described(ask, member) for member in _LISTS}
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
    alone = await described(ask, "CacheClusters", ShowCacheClustersNotInReplicationGroups=True)
    assert alone == [cluster for cluster in clusters.values() if "ReplicationGroupId" not in cluster]
    _check_snapshots(found["Snapshots"], groups, clusters)
    await check_users(ask, found["Users"], found["UserGroups"], groups)
    await check_updates(ask, found["ServiceUpdates"], found["UpdateActions"], groups, clusters)
    await _check_tags(ask, found, groups, clusters)
    _check_order(found["Events"])
    created = {event["SourceIdentifier"] for event in found["Events"] if event["Message"].endswith("created")}
    available = {name for name, group in groups.items() if group["Status"] == "available"}
    assert not told or available <= created, f"{available - created} came to be without an event"
    return found


def _check_order(events: list[dict[str, Any]]) -> None:
    """Newest first. What happened to two groups at the same time may be told by one a moment later than by the other."""
    for newer, older in itertools.pairwise(events):
        assert newer["Date"] > older["Date"] - _MOMENT_S, (newer, older)
        same = (newer["SourceType"], newer["SourceIdentifier"]) == (older["SourceType"], older["SourceIdentifier"])
        assert not same or newer["Date"] >= older["Date"], (newer, older)


async def described(ask: Ask, member: str, **request: Any) -> list[dict[str, Any]]:
    """Every page of the list, small ones, with all that can be shown of each."""
    request = {**_MORE.get(member, {}), **request}
    found: list[dict[str, Any]] = []
    marker: str | None = None
    while True:
        reply = built(await ask(_LISTS[member], MaxRecords=20, **request, **({"Marker": marker} if marker else {})))
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
    _check_ports(name, group)
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


def _check_ports(name: str, group: dict[str, Any]) -> None:
    """One for all of it: clients without TLS keep it while that is preferred."""
    shown = [group.get("ConfigurationEndpoint")]
    for shard in group.get("NodeGroups", []):
        shown += [shard.get("PrimaryEndpoint"), shard.get("ReaderEndpoint")]
        shown += [node.get("ReadEndpoint") for node in shard["NodeGroupMembers"]]
    assert len({endpoint["Port"] for endpoint in shown if endpoint}) == 1, name


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
