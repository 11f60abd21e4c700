"""A snapshot's row as DescribeSnapshots shows it (reference 1.8, 11.1). Pure: a row in, a reply structure out."""

from __future__ import annotations

from typing import Any

from cachefleet.api.groups.replication_group_views import switch
from cachefleet.api.groups.slots import format_slots
from cachefleet.archive.key_names import DEFAULT
from cachefleet.model.fragment import Fragment
from cachefleet.model.group import DesiredNode, DesiredShard, GroupDesired, Shape
from cachefleet.model.network import default_vpc_id
from cachefleet.model.row import SnapshotRow
from cachefleet.model.snapshot import SnapshotDesired, SnapshotState
from cachefleet.model.snapshot_file import SnapshotFile

_MB = 1024 * 1024


def snapshot_fragment(row: SnapshotRow, restoring: bool, show_configuration: bool) -> Fragment:
    """The structure, built only when its encoded form for this version of the row is not at hand."""
    return Fragment(
        ("Snapshot", row.key, row.version, restoring, show_configuration),
        lambda: snapshot_view(row, restoring, show_configuration),
    )


def snapshot_view(row: SnapshotRow, restoring: bool = False, show_configuration: bool = False) -> dict[str, Any]:
    """The Snapshot structure. restoring: a group is being restored from it."""
    desired, group = row.desired, row.desired.group
    state = desired.state
    view: dict[str, Any] = {
        "SnapshotName": row.key.name,
        "SnapshotStatus": SnapshotState.RESTORING.value if restoring and state is SnapshotState.AVAILABLE else state.value,
        "SnapshotSource": desired.source.value,
        "CacheNodeType": group.node_type,
        "Engine": group.engine.value,
        "EngineVersion": group.engine_version,
        "PreferredMaintenanceWindow": group.maintenance_window,
        "Port": group.port,
        "CacheParameterGroupName": group.parameter_group,
        "CacheSubnetGroupName": group.subnet_group,
        "VpcId": default_vpc_id(row.key.scope),
        "AutoMinorVersionUpgrade": group.auto_minor_version_upgrade,
        "SnapshotRetentionLimit": group.snapshot_retention_days,
        "SnapshotWindow": group.snapshot_window,
        "NodeSnapshots": _node_views(desired, show_configuration),
        "ARN": row.key.arn,
        "DataTiering": "disabled",
    }
    if group.notification_topic:
        view["TopicArn"] = group.notification_topic
    if desired.key_name not in ("", DEFAULT):
        view["KmsKeyId"] = desired.key_name
    if desired.replication_group:
        view["ReplicationGroupId"] = desired.group_name
        view["ReplicationGroupDescription"] = group.description
        view["NumNodeGroups"] = len(group.shards)
        view["AutomaticFailover"] = switch(group.automatic_failover)
    if group.shape is not Shape.CLUSTERED:
        _add_cluster(view, desired)
    return view


def source_cluster(desired: SnapshotDesired) -> str:
    """The cache cluster that a snapshot without shards is of, "" while the service has not chosen one."""
    if not desired.replication_group:
        return desired.group_name
    return desired.files[0].node if desired.files else desired.node


def _add_cluster(view: dict[str, Any], desired: SnapshotDesired) -> None:
    view["NumCacheNodes"] = len(desired.group.nodes) if desired.group.shape is Shape.MEMCACHED else 1
    cluster, node = source_cluster(desired), _source_node(desired)
    if node is not None:
        view["PreferredAvailabilityZone"] = node.zone
        view["CacheClusterCreateTime"] = node.created_at
    if cluster:
        view["CacheClusterId"] = cluster


def _source_node(desired: SnapshotDesired) -> DesiredNode | None:
    """Of a snapshot without shards: None while the service has not chosen it."""
    cluster = source_cluster(desired)
    return next((node for node in desired.group.nodes if node.name == cluster), None)


def _node_views(desired: SnapshotDesired, show_configuration: bool) -> list[dict[str, Any]]:
    """One for each shard, or for each node of a Memcached cluster."""
    group = desired.group
    if group.shape is not Shape.MEMCACHED:
        return [_node_view(desired, shard, show_configuration) for shard in group.shards]
    files = {file.node: file for file in desired.files}
    return [_memcached_node_view(desired, node, files.get(node.name)) for node in group.nodes]


def _memcached_node_view(desired: SnapshotDesired, node: DesiredNode, file: SnapshotFile | None) -> dict[str, Any]:
    return {
        "CacheClusterId": desired.group_name,
        "CacheNodeId": node.node_id,
        "CacheNodeCreateTime": node.created_at,
        "CacheSize": _size(file),
        "SnapshotCreateTime": (file.taken_at if file is not None else 0.0) or desired.created_at,
    }


def _size(file: SnapshotFile | None) -> str:
    return f"{-(-file.used_bytes // _MB)} MB" if file is not None and file.used_bytes else ""


def _node_view(desired: SnapshotDesired, shard: DesiredShard, show_configuration: bool) -> dict[str, Any]:
    clustered = desired.group.shape is Shape.CLUSTERED
    file = _file(desired, shard)
    view: dict[str, Any] = {
        "CacheNodeId": "0001",
        "CacheSize": _size(file),
        "SnapshotCreateTime": (file.taken_at if file is not None else 0.0) or desired.created_at,
    }
    if clustered:
        view["NodeGroupId"] = shard.shard_id
    if file is not None:
        view["CacheNodeCreateTime"] = file.node_created_at
        if file.node:
            view["CacheClusterId"] = file.node
    elif not clustered and (source := _source_node(desired)) is not None:
        view["CacheNodeCreateTime"] = source.created_at
    if show_configuration:
        view["NodeGroupConfiguration"] = shard_configuration(desired.group, shard)
    return view


def _file(desired: SnapshotDesired, shard: DesiredShard) -> SnapshotFile | None:
    return next((file for file in desired.files if file.shard_id == shard.shard_id), None)


def shard_configuration(group: GroupDesired, shard: DesiredShard) -> dict[str, Any]:
    """The NodeGroupConfiguration structure, as a creation takes it."""
    zones = [node.zone for node in shard.nodes]
    configuration: dict[str, Any] = {
        "NodeGroupId": shard.shard_id,
        "ReplicaCount": len(shard.nodes) - 1,
        "PrimaryAvailabilityZone": zones[0],
        "ReplicaAvailabilityZones": zones[1:],
    }
    if group.shape is Shape.CLUSTERED:
        configuration["Slots"] = format_slots(shard.slots)
    return configuration
