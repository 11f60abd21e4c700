"""IncreaseReplicaCount and DecreaseReplicaCount: more or fewer replicas in every shard, or in some (reference 1.3, 3.3, 13.2).

Writes desired state only; the planner starts what is new and stops what is gone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cachefleet.api.context import Context
from cachefleet.api.groups.cluster_mode_change import refuse_while_compatible
from cachefleet.api.groups.group_nodes import increasing, require_immediate, with_nodes
from cachefleet.api.groups.group_rows import Change, load_group, update_group
from cachefleet.api.groups.group_state import CREATING, MODIFYING, group_status, is_primary, member_status, require_available
from cachefleet.api.groups.handovers import is_headless, require_settled
from cachefleet.api.groups.new_members import check_node_quota, new_nodes
from cachefleet.api.groups.placement import check_multi_az
from cachefleet.api.groups.replica_choice import leaving, zones_of_new
from cachefleet.api.groups.replica_targets import COUNT, PER_SHARD, Target, read_targets, require_one_way
from cachefleet.api.groups.replication_group_views import group_view
from cachefleet.api.names import folded, quoted
from cachefleet.api.networks.subnet_groups import subnet_group_zones
from cachefleet.api.registry import operation
from cachefleet.model.errors import AwsError, invalid_value
from cachefleet.model.group import DesiredNode, Shape
from cachefleet.model.row import GroupRow
from cachefleet.reference.zones import zones

if TYPE_CHECKING:
    from types_boto3_elasticache.type_defs import DecreaseReplicaCountMessageTypeDef, IncreaseReplicaCountMessageTypeDef

BY_NAME = "ReplicasToRemove"
_WHAT = "the number of replicas"


# --- more ----------------------------------------------------------------------------------------------------------


@operation("IncreaseReplicaCount", effective=("ReplicationGroupId", COUNT, PER_SHARD, "ApplyImmediately"))
async def increase_replica_count(context: Context, request: IncreaseReplicaCountMessageTypeDef) -> dict[str, Any]:
    require_immediate(request["ApplyImmediately"], _WHAT)
    require_one_way(request, (COUNT, PER_SHARD))
    row = await load_group(context, request["ReplicationGroupId"])
    targets = read_targets(row.desired.shards, request)
    require_available(row)
    refuse_while_compatible(row)
    require_settled(row)
    more = _count_more(context, row, targets)
    usable = await subnet_group_zones(context, row.desired.subnet_group)
    grown: dict[str, tuple[DesiredNode, ...]] = {}
    for turn, shard in enumerate(row.desired.shards):
        if shard.shard_id in targets:
            places = zones_of_new(shard, targets[shard.shard_id], usable, zones(context.scope.region), turn)
            grown[shard.shard_id] = (*shard.nodes, *await new_nodes(context, row, shard.shard_id, places))
    changed = with_nodes(row, grown)
    members = tuple(node.name for node in changed.desired.nodes)
    return {"ReplicationGroup": group_view(await update_group(context, Change(changed, members, more, (increasing(row),))))}


def _count_more(context: Context, row: GroupRow, targets: Mapping[str, Target]) -> int:
    """How many nodes are added. Raises InvalidParameterValue, NoOperationFault, NodeQuotaForCustomerExceeded."""
    more = 0
    for shard in row.desired.shards:
        replicas = len(shard.nodes) - 1
        asked = targets[shard.shard_id].replicas if shard.shard_id in targets else replicas
        if asked < replicas:
            raise invalid_value(
                f"{COUNT}: node group {shard.shard_id} has {replicas} replicas already, more than {asked}; use "
                "DecreaseReplicaCount."
            )
        more += asked - replicas
    if not more:
        raise _nothing_to_do(row)
    check_node_quota(context, row, more)
    return more


# --- fewer ---------------------------------------------------------------------------------------------------------


@operation("DecreaseReplicaCount", effective=("ReplicationGroupId", COUNT, PER_SHARD, BY_NAME, "ApplyImmediately"))
async def decrease_replica_count(context: Context, request: DecreaseReplicaCountMessageTypeDef) -> dict[str, Any]:
    require_immediate(request["ApplyImmediately"], _WHAT)
    require_one_way(request, (COUNT, PER_SHARD, BY_NAME))
    row = await load_group(context, request["ReplicationGroupId"])
    named = request.get("ReplicasToRemove")
    gone = _named(row, named) if named else _chosen(row, read_targets(row.desired.shards, request))
    _require_may_leave(row, gone, named=bool(named))
    left = {shard.shard_id: tuple(node for node in shard.nodes if node not in gone) for shard in row.desired.shards}
    _check_minimum(row, left)
    if not gone:
        raise _nothing_to_do(row)
    changed = with_nodes(row, left)
    members = tuple(node.name for node in changed.desired.nodes)
    return {"ReplicationGroup": group_view(await update_group(context, Change(changed, members)))}


def _named(row: GroupRow, names: Sequence[str]) -> list[DesiredNode]:
    """Raises InvalidParameterValue."""
    nodes = {node.name: node for node in row.desired.nodes}
    found: list[DesiredNode] = []
    for name in names:
        node = nodes.get(folded(name))
        if node is None:
            raise invalid_value(f"{BY_NAME}: {quoted(name)} is no cluster of replication group {row.key.name}.")
        if node in found:
            raise invalid_value(f"{BY_NAME}: {node.name} is named more than once; name each replica once.")
        if is_primary(row, node):
            raise invalid_value(f"{BY_NAME}: {node.name} is a primary, which cannot be removed; name replicas only.")
        found.append(node)
    return found


def _chosen(row: GroupRow, targets: Mapping[str, Target]) -> list[DesiredNode]:
    """Raises InvalidParameterValue, InvalidParameterCombination."""
    chosen: list[DesiredNode] = []
    for shard in row.desired.shards:
        target, replicas = targets.get(shard.shard_id), len(shard.nodes) - 1
        if target is None:
            continue
        if target.replicas > replicas:
            raise invalid_value(
                f"{COUNT}: node group {shard.shard_id} has only {replicas} replicas, fewer than {target.replicas}; use "
                "IncreaseReplicaCount."
            )
        chosen.extend(leaving(row, shard, target))
    return chosen


def _require_may_leave(row: GroupRow, gone: Sequence[DesiredNode], *, named: bool) -> None:
    """The group is available and no role is on its way; replicas that have not come up yet may be given up by name, or a
    change that cannot be finished would hold up all others. Raises InvalidReplicationGroupState."""
    unborn = named and all(member_status(row, node) == CREATING for node in gone)
    if not (unborn and group_status(row) == MODIFYING):
        require_available(row)
        refuse_while_compatible(row)
    require_settled(row)
    for shard in row.desired.shards:
        if is_headless(row, shard) and any(node in gone for node in shard.nodes):
            raise AwsError(
                "InvalidReplicationGroupState",
                f"Node group {shard.shard_id} of replication group {row.key.name} has no primary, and its replicas hold what "
                "is left of its data; promote one with TestFailover first.",
            )


def _check_minimum(row: GroupRow, left: Mapping[str, Sequence[DesiredNode]]) -> None:
    """Raises InvalidParameterCombination, InvalidParameterValue (reference 3.3)."""
    if row.desired.multi_az:
        check_multi_az([[node.zone for node in nodes] for nodes in left.values()])
    failover = row.desired.automatic_failover and row.desired.shape is not Shape.CLUSTERED
    if failover and any(len(nodes) < 2 for nodes in left.values()):
        raise invalid_value("Must have at least 1 replica when cluster mode is disabled with auto failover enabled.")


def _nothing_to_do(row: GroupRow) -> AwsError:
    return AwsError("NoOperationFault", f"Replication group {row.key.name} has as many replicas as asked for already.")
