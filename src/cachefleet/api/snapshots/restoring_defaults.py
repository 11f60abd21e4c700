"""What a creation that restores a snapshot does not say: it is as it was in the group that the snapshot was made of.

Pure: a request in, one that says more out, which is then treated as any other. Called by CreateReplicationGroup and
CreateCacheCluster. Backups and notifications begin anew: they are not part of the data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cachefleet.api.groups.replication_group_topology import CONFIGURATION
from cachefleet.api.snapshots.restoring import Origin
from cachefleet.api.snapshots.snapshot_views import shard_configuration
from cachefleet.model.group import GroupDesired
from cachefleet.reference.engines import listed_version

_ZONES = ("PrimaryAvailabilityZone", "ReplicaAvailabilityZones")
_REPLICAS = ("NumCacheClusters", "ReplicasPerNodeGroup", "PreferredCacheClusterAZs")
_SHAPE = (*_REPLICAS, "NumNodeGroups", CONFIGURATION)
_MODE = ("ClusterMode", "CacheParameterGroupName")


def cluster_request(origin: Origin, request: Mapping[str, Any]) -> dict[str, Any]:
    """Of CreateCacheCluster."""
    if origin.group is None:
        return dict(request)
    defaults = _settings(origin.group, request)
    if origin.memcached:
        defaults.update(_nodes(origin.group, request, origin.usable))
        del defaults["SnapshotWindow"]  # whether it has any snapshots is for its own tags to say
    return _completed(request, defaults)


def _nodes(group: GroupDesired, request: Mapping[str, Any], usable: Sequence[str]) -> dict[str, Any]:
    """As many nodes in the same zones, where nothing is said of them and they can stand there."""
    nodes: dict[str, Any] = {"NumCacheNodes": len(group.nodes)}
    zones = [node.zone for node in group.nodes]
    named = _says(request, "NumCacheNodes", "AZMode", "PreferredAvailabilityZone", "PreferredAvailabilityZones")
    if not named and set(zones) <= set(usable):
        nodes["PreferredAvailabilityZones"] = zones
    return nodes


def group_request(origin: Origin, request: Mapping[str, Any]) -> dict[str, Any]:
    """Of CreateReplicationGroup."""
    group = origin.group
    if group is None:
        return dict(request)
    defaults = {**_settings(group, request), **_encryption(group, request), **_shape(group, request, origin.usable)}
    if origin.clustered and not _says(request, *_MODE):
        defaults["ClusterMode"] = "enabled"
    return _completed(request, defaults)


def _completed(request: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    return {**request, **{member: value for member, value in defaults.items() if not _says(request, member)}}


def _says(request: Mapping[str, Any], *members: str) -> bool:
    return any(request.get(member) not in (None, "", []) for member in members)


def _settings(group: GroupDesired, request: Mapping[str, Any]) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "Engine": group.engine.value,
        "CacheNodeType": group.node_type,
        "Port": group.port,
        "CacheSubnetGroupName": group.subnet_group,
        "PreferredMaintenanceWindow": group.maintenance_window,
        "SnapshotWindow": group.snapshot_window,
        "SecurityGroupIds": list(group.security_groups),
        "AutoMinorVersionUpgrade": group.auto_minor_version_upgrade,
    }
    if (request.get("Engine") or group.engine.value).lower() == group.engine.value:
        settings["EngineVersion"] = listed_version(group.engine.value, group.engine_version)
    return settings


def _encryption(group: GroupDesired, request: Mapping[str, Any]) -> dict[str, Any]:
    asked = request.get("AtRestEncryptionEnabled")
    at_rest = group.at_rest_encryption if asked is None else asked
    return {"AtRestEncryptionEnabled": at_rest, "KmsKeyId": group.key_name if at_rest else ""}


# --- shards and nodes ----------------------------------------------------------------------------------------------


def _shape(group: GroupDesired, request: Mapping[str, Any], usable: Sequence[str]) -> dict[str, Any]:
    """Who names nothing gets the same shards, slots and nodes; who names replicas, the same shards and slots; who names another
    number of shards, as many replicas in each."""
    if request.get(CONFIGURATION):
        return {}
    replicas = len(group.shards[0].nodes) - 1
    if request.get("PreferredCacheClusterAZs"):
        return {} if _says(request, *_REPLICAS[:2]) else {"ReplicasPerNodeGroup": replicas}
    if request.get("NumNodeGroups") not in (None, len(group.shards)):
        return {} if _says(request, *_REPLICAS) else {"ReplicasPerNodeGroup": replicas}
    entries = [shard_configuration(group, shard) for shard in group.shards]
    stay = all(node.zone in usable for node in group.nodes)
    for entry in entries:
        if _says(request, *_REPLICAS):
            del entry["ReplicaCount"]
        if not stay or _says(request, *_REPLICAS):
            for member in _ZONES:
                del entry[member]
    return {CONFIGURATION: entries, **({} if _says(request, *_SHAPE) else _failover(group, request, stay))}


def _failover(group: GroupDesired, request: Mapping[str, Any], stay: bool) -> dict[str, Any]:
    """With as many nodes as there were."""
    if not group.automatic_failover or request.get("AutomaticFailoverEnabled") is False:
        return {}
    return {"AutomaticFailoverEnabled": True, "MultiAZEnabled": stay and group.multi_az}
