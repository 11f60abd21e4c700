"""Planned hand-overs of the primary role: which are refused, what asks for one, when one is under way.

Pure: a row in, a row out. The planner chooses the moment and does it. Called by TestFailover and by ModifyReplicationGroup
(PrimaryClusterId).
"""

from __future__ import annotations

from msgspec.structs import replace

from cachefleet.api.groups.group_state import AVAILABLE, is_group, is_primary, member_status
from cachefleet.api.names import quoted
from cachefleet.model.errors import AwsError, invalid_combination
from cachefleet.model.group import DesiredNode, DesiredShard, ShardMemory
from cachefleet.model.row import GroupRow

# --- what is asked for ---------------------------------------------------------------------------------------------


def handed_over(row: GroupRow, shard: DesiredShard, to: str = "") -> GroupRow:
    """The row with one more hand-over of this shard asked for. to: the node that shall have the role, "" any replica."""
    changed = replace(shard, handovers=shard.handovers + 1, handover_to=to)
    shards = tuple(changed if other.shard_id == shard.shard_id else other for other in row.desired.shards)
    return replace(row, desired=replace(row.desired, shards=shards))


def promoted(row: GroupRow, cluster: str, failover: bool) -> GroupRow:
    """The row with the role on its way to this member of a group without cluster mode; the same row when it has it, or is
    about to. A promotion that has not begun is replaced: so one that cannot begin holds nobody up. failover: automatic
    failover is on, before the request or after it; then who is primary is not for users to say (reference 3.3). Raises
    CacheClusterNotFound, InvalidParameterCombination, InvalidReplicationGroupState, InvalidCacheClusterState."""
    (shard,) = row.desired.shards
    memory = _memory(row, shard)
    node = next((node for node in shard.nodes if node.name == cluster), None)
    if node is None:
        raise AwsError(
            "CacheClusterNotFound", f"PrimaryClusterId: {quoted(cluster)} is no cluster of replication group {row.key.name}."
        )
    if memory.headless:
        if cluster == memory.primary:
            raise AwsError("InvalidCacheClusterState", f"PrimaryClusterId: {cluster} has ended; name one that has not.")
        return handed_over(row, shard, cluster)
    if cluster == (awaited_primary(row) or memory.return_to or memory.primary):
        return row
    if failover:
        raise invalid_combination(
            f"PrimaryClusterId: automatic failover is enabled for {row.key.name}. Set MultiAZEnabled and "
            "AutomaticFailoverEnabled to false, promote, then set them to true again; or call TestFailover."
        )
    if not memory.taken:
        raise _failing_over(row, shard)
    if cluster != memory.primary:  # which then keeps the role, whoever was to have it next
        _require_candidate(row, node)
    return handed_over(row, shard, cluster)


def awaited_primary(row: GroupRow) -> str:
    """The node that was named for the role and whose hand-over has not begun, "" when there is none."""
    for shard in row.desired.shards:
        if shard.handover_to and shard.handovers > _memory(row, shard).handovers:
            return shard.handover_to
    return ""


# --- what is refused -----------------------------------------------------------------------------------------------


def require_settled(row: GroupRow) -> None:
    """No role is on its way from one node to another, in any shard: AWS lets one node replacement of a group complete before
    the next call. Raises InvalidReplicationGroupState, InvalidCacheClusterState for a cluster of its own."""
    for shard in row.desired.shards:
        if shard.handovers > _memory(row, shard).handovers or not _memory(row, shard).taken:
            raise _failing_over(row, shard)


def _failing_over(row: GroupRow, shard: DesiredShard) -> AwsError:
    if not is_group(row):
        return AwsError("InvalidCacheClusterState", f"Cache cluster {row.key.name} is being recovered; wait until it is done.")
    return AwsError(
        "InvalidReplicationGroupState",
        f"Node group {shard.shard_id} of replication group {row.key.name} is failing over; wait until DescribeEvents tells "
        "that it has completed.",
    )


def _require_candidate(row: GroupRow, node: DesiredNode) -> None:
    """The node has everything that its primary has. Raises InvalidCacheClusterState."""
    state = member_status(row, node)
    if state != AVAILABLE:
        raise AwsError(
            "InvalidCacheClusterState",
            f"Cache cluster {node.name} cannot become primary: its status is {state}; wait until it is available.",
        )


def is_headless(row: GroupRow, shard: DesiredShard) -> bool:
    """Its primary has ended and no replica may succeed it unasked: then somebody may ask, whatever else forbids it."""
    return _memory(row, shard).headless


def require_heir(row: GroupRow, shard: DesiredShard) -> None:
    """Raises TestFailoverNotAvailableFault, InvalidReplicationGroupState, InvalidCacheClusterState."""
    if is_headless(row, shard):
        return
    if not row.desired.automatic_failover:
        raise _not_available(row, "has automatic failover disabled; set AutomaticFailoverEnabled to true first")
    replicas = [node for node in shard.nodes if not is_primary(row, node)]
    if len(shard.nodes) < 2:
        raise _not_available(row, f"has no replica in node group {shard.shard_id}; add one first")
    require_settled(row)
    if not any(member_status(row, node) == AVAILABLE for node in replicas):
        states = ", ".join(f"{node.name} is {member_status(row, node)}" for node in replicas)
        raise AwsError(
            "InvalidCacheClusterState",
            f"Node group {shard.shard_id} of replication group {row.key.name} has no replica that could take over: {states}; "
            "wait until one is available.",
        )
    for node in shard.nodes:
        if node not in replicas and member_status(row, node) != AVAILABLE:
            raise AwsError(
                "InvalidCacheClusterState", f"Primary {node.name} is {member_status(row, node)}; wait until it is available."
            )


def _not_available(row: GroupRow, why: str) -> AwsError:
    return AwsError("TestFailoverNotAvailableFault", f"Replication group {row.key.name} {why}.")


def _memory(row: GroupRow, shard: DesiredShard) -> ShardMemory:
    return row.memory.shards.get(shard.shard_id) or ShardMemory()
