"""One replica more, or one less, in a replication group with cluster mode disabled, by the id of its cache cluster.

Writes desired state only. Called by CreateCacheCluster (ReplicationGroupId) and DeleteCacheCluster of a member (reference 3.3).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from cachefleet.api.context import Context
from cachefleet.api.groups.cluster_mode_change import refuse_while_compatible
from cachefleet.api.groups.group_nodes import increasing, with_nodes
from cachefleet.api.groups.group_rows import Change, load_group, update_group
from cachefleet.api.groups.group_state import (
    AVAILABLE,
    CREATING,
    MODIFYING,
    REBOOTING_NODES,
    group_status,
    is_primary,
    member_status,
    require_available,
)
from cachefleet.api.groups.handovers import awaited_primary, require_settled
from cachefleet.api.groups.placement import check_zones, fill
from cachefleet.api.groups.replication_group_topology import MAX_REPLICAS
from cachefleet.api.networks.subnet_groups import subnet_group_zones
from cachefleet.api.tag_rules import added, read_other_tags
from cachefleet.model.errors import AwsError, invalid_combination, invalid_value
from cachefleet.model.group import DesiredNode, Shape
from cachefleet.model.row import GroupRow
from cachefleet.reference.zones import zones

_ALLOWED = ("CacheClusterId", "ReplicationGroupId", "PreferredAvailabilityZone", "Tags", "AutoMinorVersionUpgrade")


# --- one more ------------------------------------------------------------------------------------------------------


async def add_replica(context: Context, cluster: str, request: Mapping[str, Any]) -> GroupRow:
    """The group's row with the new member. Raises ReplicationGroupNotFoundFault, InvalidReplicationGroupState,
    CacheClusterAlreadyExists, NodeQuotaForClusterExceeded, InsufficientCacheClusterCapacity and the parameter errors."""
    if any(value not in (None, "", []) for member, value in request.items() if member not in _ALLOWED):
        raise invalid_combination("Cannot specify additional cache cluster parameters when creating a replica cluster")
    row = await load_group(context, request["ReplicationGroupId"])
    usable = await subnet_group_zones(context, row.desired.subnet_group)
    zone = request.get("PreferredAvailabilityZone") or ""
    check_zones([zone] if zone else [], usable, zones(context.scope.region), "PreferredAvailabilityZone")
    tags = read_other_tags(request.get("Tags") or (), "a member of a group")
    _check_addition(row, cluster, request)
    (shard,) = row.desired.shards
    present = [node.zone for node in shard.nodes]
    node = DesiredNode(
        name=cluster,
        node_id="0001",
        zone=zone or fill(present, len(present) + 1, usable, 0)[-1],
        created_at=context.clock.now(),
        tags=added(row.tags, tags),
    )
    change = _with_nodes(row, (*shard.nodes, node))
    return await update_group(context, replace(change, more_nodes=1, events=(increasing(row),)))


def _check_addition(row: GroupRow, cluster: str, request: Mapping[str, Any]) -> None:
    upgrade = request.get("AutoMinorVersionUpgrade")
    if upgrade is not None and upgrade != row.desired.auto_minor_version_upgrade:
        raise invalid_combination("Cannot specify additional cache cluster parameters when creating a replica cluster")
    if row.desired.shape is Shape.CLUSTERED:
        raise invalid_combination(
            f"ReplicationGroupId: {row.key.name} has cluster mode enabled; a replica by id can only join a group without it."
        )
    if any(node.name == cluster for node in row.desired.nodes):
        raise AwsError("CacheClusterAlreadyExists", f"Cache cluster {cluster} already exists; choose another id.")
    require_available(row)
    require_settled(row)
    refuse_while_compatible(row)
    if len(row.desired.nodes) > MAX_REPLICAS:
        raise AwsError(
            "NodeQuotaForClusterExceeded",
            f"Cluster node quota exceeded: {row.key.name} has {MAX_REPLICAS} replicas already, as many as may be.",
        )


# --- one less ------------------------------------------------------------------------------------------------------


def without_replica(row: GroupRow, cluster: str) -> Change:
    """Raises InvalidCacheClusterState, InvalidParameterValue. A replica that never came up may go, too."""
    (node,) = [node for node in row.desired.nodes if node.name == cluster]
    _check_removal(row, node)
    return _with_nodes(row, tuple(other for other in row.desired.nodes if other.name != cluster))


def _check_removal(row: GroupRow, node: DesiredNode) -> None:
    group, state = row.key.name, member_status(row, node)
    if row.desired.shape is Shape.CLUSTERED:
        raise _refused(node, f"is a member of {group}, which has cluster mode enabled, and cannot be deleted by itself")
    if group_status(row) not in (AVAILABLE, MODIFYING) or state == REBOOTING_NODES:
        raise _refused(node, f"is not available: its status is {state}")
    if group_status(row) == MODIFYING and state != CREATING:  # one that never comes up holds up its own group
        raise _refused(node, f"cannot be deleted while replication group {group} has status {MODIFYING}")
    if is_primary(row, node):
        raise _refused(node, f"is serving as primary for replication group {group} and cannot be deleted")
    if awaited_primary(row) == node.name:
        raise _refused(node, f"is about to become primary of replication group {group} and cannot be deleted")
    if len(row.desired.nodes) <= 2:
        if row.desired.automatic_failover:
            raise invalid_value("Must have at least 1 replica when cluster mode is disabled with auto failover enabled.")
        raise _refused(node, f"is the last replica of replication group {group} and cannot be deleted by itself")
    if row.desired.multi_az:
        raise _refused(node, f"cannot be deleted while Multi-AZ is enabled for {group}; set MultiAZEnabled to false first")


def _refused(node: DesiredNode, why: str) -> AwsError:
    return AwsError("InvalidCacheClusterState", f"Cache cluster {node.name} {why}.")


def _with_nodes(row: GroupRow, nodes: tuple[DesiredNode, ...]) -> Change:
    (shard,) = row.desired.shards
    return Change(with_nodes(row, {shard.shard_id: nodes}), members=tuple(node.name for node in nodes))
