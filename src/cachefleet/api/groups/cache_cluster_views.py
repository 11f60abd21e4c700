"""A cache cluster as DescribeCacheClusters shows it: a row of its own, or one member of a replication group (reference 1.8).

Pure: a row in, a reply structure out. Never probes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cachefleet.api.access.group_access import pending_token, token_view
from cachefleet.api.groups.group_state import (
    endpoint,
    endpoint_port,
    group_status,
    is_group,
    is_provisioned,
    member_status,
    node_address,
    node_port,
    node_status,
    node_version,
)
from cachefleet.api.groups.replication_group_views import put_endpoint
from cachefleet.api.logs.log_deliveries import logs_view, pending_logs
from cachefleet.api.transit import pending_transit, transit_view
from cachefleet.model.fragment import Fragment
from cachefleet.model.group import APPLYING, IN_SYNC, PENDING_REBOOT, DesiredNode, EndpointRole, GroupDesired, Shape
from cachefleet.model.memcached_snapshots import has_snapshots
from cachefleet.model.pending import PendingChange
from cachefleet.model.row import GroupRow
from cachefleet.planning.pending import nodes_after
from cachefleet.reference.engines import version_numbers

MULTIPLE_ZONES = "Multiple"


def cluster_fragment(row: GroupRow, cluster: str, show_nodes: bool) -> Fragment:
    """The structure, built only when its encoded form for this version of the row is not at hand."""
    return Fragment(("CacheCluster", row.key, row.version, cluster, show_nodes), lambda: cluster_view(row, cluster, show_nodes))


def cluster_view(row: GroupRow, cluster: str, show_nodes: bool = False) -> dict[str, Any]:
    """The CacheCluster structure. cluster: the member's name, or the row's own."""
    desired = row.desired
    nodes = cluster_nodes(row, cluster)
    view: dict[str, Any] = {
        "CacheClusterId": cluster,
        "CacheNodeType": desired.node_type,
        "Engine": desired.engine.value,
        "EngineVersion": min((node_version(row, node) for node in nodes), key=version_numbers),
        "CacheClusterStatus": member_status(row, nodes[0]) if is_group(row) else group_status(row),
        "NumCacheNodes": len(nodes),
        "PreferredAvailabilityZone": MULTIPLE_ZONES if desired.az_mode == "cross-az" else nodes[0].zone,
        "CacheClusterCreateTime": nodes[0].created_at if is_group(row) else desired.created_at,
        "PreferredMaintenanceWindow": desired.maintenance_window,
        "PendingModifiedValues": {
            **pending_values(desired),
            **pending_transit(row),
            **pending_token(row),
            **pending_logs(desired),
        },
        "CacheSecurityGroups": [],
        "CacheParameterGroup": {
            "CacheParameterGroupName": desired.parameter_group,
            **_parameter_status(row, nodes),
        },
        "CacheSubnetGroupName": desired.subnet_group,
        "AutoMinorVersionUpgrade": desired.auto_minor_version_upgrade,
        "SecurityGroups": [{"SecurityGroupId": name, "Status": "active"} for name in desired.security_groups],
        **token_view(row),
        **transit_view(row),
        "AtRestEncryptionEnabled": desired.at_rest_encryption,
        "ARN": row.key.scope.arn("cluster", cluster),
        "ReplicationGroupLogDeliveryEnabled": is_group(row) and bool(desired.logs),
        "LogDeliveryConfigurations": logs_view(desired),
        "NetworkType": desired.network_type,
        "IpDiscovery": desired.ip_discovery,
    }
    _add_optional(view, row)
    if show_nodes:
        view["CacheNodes"] = [_node_view(row, node) for node in nodes]
    return view


def pending_values(desired: GroupDesired) -> dict[str, Any]:
    """PendingModifiedValues: what waits; and how a change of the node type goes on that takes its time."""
    pending = desired.pending or PendingChange()
    scale = pending.scale or desired.scale
    values: dict[str, Any] = {
        "NumCacheNodes": len(nodes_after(desired, pending, 0.0)) if pending.more_nodes or pending.fewer_nodes else 0,
        "CacheNodeIdsToRemove": list(pending.fewer_nodes),
        "EngineVersion": pending.engine_version,
        "CacheNodeType": pending.node_type,
        "ScaleConfig": scale and {"ScalePercentage": scale.percentage, "ScaleIntervalMinutes": scale.interval_minutes},
    }
    return {name: value for name, value in values.items() if value}


def cluster_nodes(row: GroupRow, cluster: str) -> tuple[DesiredNode, ...]:
    """The nodes of one cluster of a row: a member is one node, Memcached has all of the row's."""
    if not is_group(row):
        return row.desired.nodes
    return tuple(node for node in row.desired.nodes if node.name == cluster)


def _parameter_status(row: GroupRow, nodes: Sequence[DesiredNode]) -> dict[str, Any]:
    """Of a cluster: what is still to be done anywhere; and where only a reboot does it."""
    states = {node.node_id: _parameters_of(row, node) for node in nodes}
    worst = next((state for state in (APPLYING, PENDING_REBOOT) if state in states.values()), IN_SYNC)
    to_reboot = [node_id for node_id, state in states.items() if state == PENDING_REBOOT]
    return {"ParameterApplyStatus": worst, "CacheNodeIdsToReboot": to_reboot}


def _parameters_of(row: GroupRow, node: DesiredNode) -> str:
    settled, known = row.memory.settled, row.status.nodes.get(node.name)
    if settled is not None and settled.parameter_group != row.desired.parameter_group:
        return APPLYING
    return IN_SYNC if known is None else known.parameters


def _add_optional(view: dict[str, Any], row: GroupRow) -> None:
    desired = row.desired
    if is_group(row):
        view["ReplicationGroupId"] = row.key.name
    if desired.notification_topic:
        view["NotificationConfiguration"] = notification_view(desired)
    if desired.shape is Shape.MEMCACHED and is_provisioned(row):
        put_endpoint(
            view,
            "ConfigurationEndpoint",
            endpoint(row, EndpointRole.CONFIGURATION),
            endpoint_port(row, EndpointRole.CONFIGURATION),
        )
    if desired.shape is not Shape.MEMCACHED or has_snapshots(row.tags):
        view["SnapshotRetentionLimit"] = desired.snapshot_retention_days
        view["SnapshotWindow"] = desired.snapshot_window


def notification_view(desired: GroupDesired) -> dict[str, str]:
    return {"TopicArn": desired.notification_topic, "TopicStatus": "active" if desired.notification_active else "inactive"}


def _node_view(row: GroupRow, node: DesiredNode) -> dict[str, Any]:
    view: dict[str, Any] = {
        "CacheNodeId": node.node_id,
        "CacheNodeStatus": node_status(row, node),
        "CacheNodeCreateTime": node.created_at,
        "ParameterGroupStatus": _parameters_of(row, node),
        "CustomerAvailabilityZone": node.zone,
    }
    if is_provisioned(row):
        put_endpoint(view, "Endpoint", node_address(row, node), node_port(row, node))
    return view
