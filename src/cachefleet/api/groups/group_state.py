"""What state a group or one of its clusters is in, in the words of the API, and which state an operation demands.

Pure: reads a row, never an engine. The controller computes row.status; here it is only put into words (reference 2.1).
"""

from __future__ import annotations

from cachefleet.model.errors import AwsError
from cachefleet.model.group import DesiredNode, DesiredShard, EndpointRole
from cachefleet.model.resource import Kind
from cachefleet.model.row import GroupRow
from cachefleet.reference.engines import version_numbers

AVAILABLE = "available"
CREATING = "creating"
CREATE_FAILED = "create-failed"
DELETING = "deleting"
MODIFYING = "modifying"
REBOOTING = "rebooting"
REBOOTING_NODES = "rebooting cluster nodes"
RESTORE_FAILED = "restore-failed"
SNAPSHOTTING = "snapshotting"

_CLUSTER_WORDS = {REBOOTING: REBOOTING_NODES, "failed": MODIFYING, "recovering": MODIFYING}
_GROUP_WORDS = {REBOOTING: MODIFYING}
_NODE_WORDS = {"failed": MODIFYING, "recovering": MODIFYING, REBOOTING_NODES: REBOOTING, SNAPSHOTTING: AVAILABLE}
_BEFORE_LIFE = (CREATING, CREATE_FAILED)


def is_group(row: GroupRow) -> bool:
    """A replication group, not a standalone or Memcached cluster."""
    return row.key.kind is Kind.REPLICATION_GROUP


def group_status(row: GroupRow) -> str:
    """ReplicationGroup.Status, and CacheClusterStatus of a cluster that is a row of its own."""
    state = DELETING if _is_going(row) else row.status.state
    if state == CREATE_FAILED and row.memory.unrestorable and not is_group(row):
        return RESTORE_FAILED
    return _GROUP_WORDS.get(state, state) if is_group(row) else _CLUSTER_WORDS.get(state, state)


def _is_going(row: GroupRow) -> bool:
    """It is deleted, or will be when its final snapshot is there: waiters of clients take "snapshotting" as a failure then."""
    desired = row.desired
    return desired.deleting or (desired.snapshotting != "" and desired.snapshotting == desired.final_snapshot)


def shard_status(row: GroupRow, shard: DesiredShard) -> str:
    """NodeGroup.Status. A shard that joins a group which exists is being created until its nodes are there."""
    state = group_status(row)
    if state == MODIFYING and all(member_status(row, node) == CREATING for node in shard.nodes):
        return CREATING
    return state if state in (CREATING, DELETING, MODIFYING) else AVAILABLE


def node_status(row: GroupRow, node: DesiredNode) -> str:
    """CacheNodeStatus."""
    if _is_going(row):
        return DELETING
    known = row.status.nodes.get(node.name) if row.status.state != CREATING else None
    return _NODE_WORDS.get(known.state, known.state) if known is not None else CREATING


def member_status(row: GroupRow, node: DesiredNode) -> str:
    """CacheClusterStatus of a replication group's member."""
    if _is_going(row):
        return DELETING
    if row.status.state == CREATE_FAILED:
        return RESTORE_FAILED if row.memory.unrestorable else CREATE_FAILED
    known = row.status.nodes.get(node.name)
    if known is None or row.status.state == CREATING:  # none is there before all are: who waits for it then asks its endpoint
        return CREATING
    if row.status.state == SNAPSHOTTING and known.state == AVAILABLE:
        return SNAPSHOTTING
    return _CLUSTER_WORDS.get(known.state, known.state)


def is_provisioned(row: GroupRow) -> bool:
    """Its nodes and endpoints can be shown; before that only what was asked for can (reference 2.2)."""
    return row.status.state not in _BEFORE_LIFE


def endpoint(row: GroupRow, role: EndpointRole) -> str:
    """The address of an endpoint, "" when there is none yet. An endpoint outlives nodes: it is shown in an outage too."""
    found = row.status.endpoints.get(role, "")
    if not found and row.memory.provisioned:
        found = row.memory.endpoints.get(role, "")
    return found


def endpoint_port(row: GroupRow, role: EndpointRole) -> int:
    """On which an endpoint can be used now: while the port is changed, that of the node that serves it."""
    return row.status.ports.get(role, row.desired.port)


def node_address(row: GroupRow, node: DesiredNode) -> str:
    """The address of a node, "" while it is not known. A standalone node's is the one that it had first, wherever it leads."""
    known = row.status.nodes.get(node.name)
    lasting = "" if is_group(row) else row.status.endpoints.get(EndpointRole.NODE, "")
    return lasting or (known.address if known is not None else "")


def node_port(row: GroupRow, node: DesiredNode) -> int:
    """On which it listens now."""
    known = row.status.nodes.get(node.name)
    if not is_group(row) and EndpointRole.NODE in row.status.endpoints:
        return endpoint_port(row, EndpointRole.NODE)
    return (known.port if known is not None else 0) or row.desired.port


def is_primary(row: GroupRow, node: DesiredNode) -> bool:
    """Whether the node is, or is about to be, the primary of its shard."""
    known = row.status.nodes.get(node.name)
    return (known is not None and known.role == "primary") or any(
        shard.primary == node.name for shard in row.memory.shards.values()
    )


def oldest_version(row: GroupRow) -> str:
    """The engine's version that every node has: where a service update was stopped, that of the nodes without it."""
    desired, settled = row.desired, row.memory.settled
    stopped = desired.update is not None and desired.update.stopped_at and settled is not None
    if not stopped or settled is None or settled.form.engine is not desired.engine:
        return desired.engine_version
    return min(desired.engine_version, settled.form.version, key=version_numbers)


def node_version(row: GroupRow, node: DesiredNode) -> str:
    """EngineVersion of a node: what it runs where a service update was stopped, else what the cache is to have."""
    known = row.memory.nodes.get(node.name)
    stopped = row.desired.update is not None and row.desired.update.stopped_at
    return known.form.version if stopped and known is not None and known.form is not None else row.desired.engine_version


# --- what an operation demands -------------------------------------------------------------------------------------


def require_available(row: GroupRow) -> None:
    """Raises InvalidReplicationGroupState, or InvalidCacheClusterState for a cluster of its own."""
    state = group_status(row)
    if state != AVAILABLE:
        raise refused_state(row, state, "wait until it is available")


def require_one_minor_version(row: GroupRow) -> None:
    """Keys cannot be moved from newer nodes to older ones, which might not understand them. Raises InvalidReplicationGroupState
    where a service update was stopped half-way."""
    oldest, newest = oldest_version(row), row.desired.engine_version
    if version_numbers(oldest)[:2] != version_numbers(newest)[:2]:
        raise refused_state(
            row, f"available, with nodes of {oldest} and {newest}", "apply the service update to the rest of them first"
        )


def require_member_available(row: GroupRow, node: DesiredNode, cluster: str) -> None:
    """The cluster: a row of its own, or the member with this node. Raises InvalidCacheClusterState."""
    state = member_status(row, node) if is_group(row) else group_status(row)
    if state != AVAILABLE:
        raise AwsError("InvalidCacheClusterState", f"Cache cluster {cluster} is not available: its status is {state}.")


def require_deletable(row: GroupRow) -> None:
    """Everything may be deleted whose deletion is not under way, so that a change that cannot be finished holds nobody up.
    Raises as require_available."""
    if row.desired.deleting:
        raise refused_state(row, DELETING, "it goes by itself")


def refused_state(row: GroupRow, state: str, remedy: str) -> AwsError:
    noun = "Replication group" if is_group(row) else "Cache cluster"
    code = "InvalidReplicationGroupState" if is_group(row) else "InvalidCacheClusterState"
    return AwsError(code, f"{noun} {row.key.name} has status {state}; {remedy}.")
