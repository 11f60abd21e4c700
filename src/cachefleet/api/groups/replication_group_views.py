"""A replication group's row as DescribeReplicationGroups shows it (reference 1.8, 4.1).

Pure: a row in, a reply structure out. Never probes; roles and endpoints are those that the controller last wrote.
"""

from __future__ import annotations

from typing import Any

from cachefleet.api.access.group_access import pending_groups, pending_token, token_view
from cachefleet.api.groups.cluster_mode_change import awaited_mode, present_mode
from cachefleet.api.groups.group_state import (
    endpoint,
    endpoint_port,
    group_status,
    is_provisioned,
    node_address,
    node_port,
    shard_status,
)
from cachefleet.api.groups.handovers import awaited_primary
from cachefleet.api.groups.shard_slots import owned
from cachefleet.api.groups.slots import format_slots
from cachefleet.api.logs.log_deliveries import logs_view, pending_logs
from cachefleet.api.transit import pending_transit, transit_view
from cachefleet.model.fragment import Fragment
from cachefleet.model.group import DesiredNode, DesiredShard, EndpointRole, GroupDesired, Shape
from cachefleet.model.row import GroupRow
from cachefleet.planning.resharding_progress import resharding_progress
from cachefleet.planning.snapshot_schedule import snapshotting_cluster


def group_fragment(row: GroupRow) -> Fragment:
    """The structure, built only when its encoded form for this version of the row is not at hand."""
    return Fragment(("ReplicationGroup", row.key, row.version), lambda: group_view(row))


def group_view(row: GroupRow) -> dict[str, Any]:
    """The ReplicationGroup structure."""
    desired = row.desired
    view: dict[str, Any] = {
        "ReplicationGroupId": row.key.name,
        "Description": desired.description,
        "Status": group_status(row),
        "PendingModifiedValues": _pending(row),
        "MemberClusters": sorted(node.name for node in desired.nodes),
        "AutomaticFailover": switch(desired.automatic_failover),
        "MultiAZ": switch(desired.multi_az),
        "SnapshotRetentionLimit": desired.snapshot_retention_days,
        "SnapshotWindow": desired.snapshot_window,
        "ClusterEnabled": desired.shape is Shape.CLUSTERED,
        "ClusterMode": present_mode(row),
        "CacheNodeType": desired.node_type,
        **token_view(row),
        **transit_view(row),
        "AtRestEncryptionEnabled": desired.at_rest_encryption,
        "StorageEncryptionType": _encryption_type(desired),
        "ARN": row.key.arn,
        "UserGroupIds": [desired.user_group] if desired.user_group else [],
        "LogDeliveryConfigurations": logs_view(desired),
        "ReplicationGroupCreateTime": desired.created_at,
        "DataTiering": "disabled",
        "AutoMinorVersionUpgrade": desired.auto_minor_version_upgrade,
        "NetworkType": desired.network_type,
        "IpDiscovery": desired.ip_discovery,
        "Engine": desired.engine.value,
    }
    if desired.key_name:
        view["KmsKeyId"] = desired.key_name
    if snapshotting_cluster(desired):
        view["SnapshottingClusterId"] = snapshotting_cluster(desired)
    if is_provisioned(row):
        view["NodeGroups"] = [_shard_view(row, shard) for shard in desired.shards]
        put_endpoint(
            view,
            "ConfigurationEndpoint",
            endpoint(row, EndpointRole.CONFIGURATION),
            endpoint_port(row, EndpointRole.CONFIGURATION),
        )
    return view


def _encryption_type(desired: GroupDesired) -> str:
    if not desired.at_rest_encryption:
        return "none"
    return "sse-kms" if desired.key_name else "sse-elasticache"


def _shard_view(row: GroupRow, shard: DesiredShard) -> dict[str, Any]:
    view: dict[str, Any] = {"NodeGroupId": shard.shard_id, "Status": shard_status(row, shard)}
    if row.desired.shape is Shape.CLUSTERED:
        view["Slots"] = format_slots(owned(row, shard))
    if row.desired.shape is not Shape.CLUSTERED or row.desired.cluster_mode != "enabled":
        for member, role in (("PrimaryEndpoint", EndpointRole.PRIMARY), ("ReaderEndpoint", EndpointRole.READER)):
            put_endpoint(view, member, endpoint(row, role), endpoint_port(row, role))
    view["NodeGroupMembers"] = [_member_view(row, node) for node in shard.nodes]
    return view


def _member_view(row: GroupRow, node: DesiredNode) -> dict[str, Any]:
    """In cluster mode clients learn roles and addresses from the engine; the API shows neither."""
    view: dict[str, Any] = {
        "CacheClusterId": node.name,
        "CacheNodeId": node.node_id,
        "PreferredAvailabilityZone": node.zone,
    }
    if row.desired.shape is not Shape.CLUSTERED:
        put_endpoint(view, "ReadEndpoint", node_address(row, node), node_port(row, node))
        known = row.status.nodes.get(node.name)
        if known is not None and known.role:
            view["CurrentRole"] = known.role
    return view


def _pending(row: GroupRow) -> dict[str, Any]:
    """PendingModifiedValues: encryption in transit, a promotion that has not begun yet, how far slots on their way have got."""
    pending: dict[str, Any] = {**pending_transit(row), **pending_token(row), **pending_groups(row), **pending_logs(row.desired)}
    awaited, percent = awaited_primary(row), resharding_progress(row.desired, row.memory)
    if awaited:
        pending["PrimaryClusterId"] = awaited
    if awaited_mode(row):
        pending["ClusterMode"] = awaited_mode(row)
    if percent is not None:
        pending["Resharding"] = {"SlotMigration": {"ProgressPercentage": percent}}
    return pending


def switch(on: bool) -> str:
    return "enabled" if on else "disabled"


def put_endpoint(view: dict[str, Any], member: str, address: str, port: int) -> None:
    """Add an Endpoint structure; an unknown address adds nothing."""
    if address:
        view[member] = {"Address": address, "Port": port}
