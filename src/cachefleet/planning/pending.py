"""Pending changes: what a group is to be when they hold, and when they begin. Pure.

They begin in the maintenance window, when nothing else is under way; or when all nodes of a group have ended, since they have
to be launched anew then anyway ("failure reboot", reference 2.3). What has become impossible since it was asked for is dropped.
Called by the API (ApplyImmediately) and by planning.group.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from cachefleet.model.group import DesiredNode, Engine, GroupDesired, Shape
from cachefleet.model.pending import PendingChange
from cachefleet.planning.draft import Draft
from cachefleet.planning.handover import asked_for
from cachefleet.planning.settling import tell_type_failed
from cachefleet.reference.windows import is_open, parse_maintenance

INCREASING = "Increasing number of requested nodes"  # reference 8.2
_PLAIN = ("node_type", "engine_version", "parameter_group", "az_mode", "scale", "cluster_mode")


def applied(desired: GroupDesired, pending: PendingChange, now: float) -> GroupDesired:
    """The group with this change, and with nothing pending. now: when its new nodes were created, epoch seconds."""
    changes: dict[str, Any] = {name: value for name in _PLAIN if (value := getattr(pending, name))}
    if pending.engine:
        changes["engine"] = Engine(pending.engine)
    if pending.engine_version:
        changes["update"] = None
    if pending.more_nodes or pending.fewer_nodes:
        changes["shards"] = (replace(desired.shards[0], nodes=nodes_after(desired, pending, now)),)
    if pending.transit:
        changes["transit"] = "" if pending.transit == "off" else pending.transit
    return replace(desired, pending=None, **changes)


def nodes_after(desired: GroupDesired, pending: PendingChange, now: float) -> tuple[DesiredNode, ...]:
    """The nodes of a Memcached cluster with what is pending."""
    nodes = desired.nodes
    cluster = nodes[0].name.rpartition(".")[0]
    left = tuple(node for node in nodes if node.node_id not in pending.fewer_nodes)
    more = (DesiredNode(f"{cluster}.{node.node_id}", node.node_id, node.zone, now) for node in pending.more_nodes)
    return (*left, *more)


# --- when ----------------------------------------------------------------------------------------------------------


def take_along(draft: Draft) -> bool:
    """Begin what is pending when every node has ended: none has data any more, and all are launched anew. True when it does;
    nothing is to be launched in this pass then. A change of the cluster mode needs nodes that run."""
    pending, nodes = draft.desired.pending, draft.desired.nodes
    if pending is None or pending.cluster_mode or draft.memory.unfilled:
        return False
    ended = all((known := draft.memory.nodes.get(node.name)) is not None and known.ended_at for node in nodes)
    if ended:
        _begin(draft, pending, emptied=True)
    return ended


def begin_due(draft: Draft) -> None:
    """Begin what is pending when the window is open and the group is whole. Called when all else is planned."""
    pending = draft.desired.pending
    if pending is not None and is_window_open(draft) and is_whole(draft):
        _begin(draft, pending, emptied=False)


def is_window_open(draft: Draft) -> bool:
    window = draft.desired.maintenance_window
    return bool(window) and is_open(parse_maintenance(window), draft.now)


def is_whole(draft: Draft) -> bool:
    """All that was asked for before is done, and every node is ready."""
    memory, desired = draft.memory, draft.desired
    if memory.unfilled or draft.modifying or draft.changed is not None or memory.moves or desired.snapshotting:
        return False
    if not all(node.name in draft.ready for node in desired.nodes):
        return False
    if any(not draft.is_desired(name) and known.zone for name, known in memory.nodes.items()):
        return False
    if desired.shape is Shape.MEMCACHED:
        return True
    for shard in desired.shards:
        role = draft.shard_memory(shard)
        if not role.taken or role.handing_from or asked_for(shard, role):
            return False
    return True


def _begin(draft: Draft, pending: PendingChange, *, emptied: bool) -> None:
    """emptied: no node has data any more."""
    possible = _possible(draft, pending, emptied=emptied)
    draft.changed = applied(draft.changed or draft.desired, possible, draft.now)
    draft.modifying = draft.modifying or bool(possible)
    if possible.more_nodes:
        draft.tell_node(draft.name, INCREASING)


def _possible(draft: Draft, pending: PendingChange, *, emptied: bool) -> PendingChange:
    """What is pending without what cannot be any more; of that users are told."""
    if pending.engine_version and not draft.observed.pending_build:
        draft.tell_all(f"Failed applying modification to engine version {pending.engine_version}: it is not installed any more")
        pending = replace(pending, engine="", engine_version="", parameter_group="")
    if pending.node_type:
        why = "" if emptied else _lack_of_room(draft)
        if not draft.observed.pending_bytes:
            why = "It is not declared in the settings any more"
        if why:
            tell_type_failed(draft, pending.node_type, why)
            pending = replace(pending, node_type="", scale=None)
    return pending


def _lack_of_room(draft: Draft) -> str:
    """Memcached gives items up as it does when it is full; others must have room for all of their data."""
    if draft.desired.shape is Shape.MEMCACHED:
        return ""
    room = draft.observed.pending_bytes
    used = {node.name: draft.memory.nodes[node.name].used_bytes for node in draft.desired.nodes}
    fullest = max(used, key=lambda name: used[name])
    if used[fullest] <= room:
        return ""
    return f"The data of {fullest} take {used[fullest] >> 20} MB, and it has {room >> 20} MB for data"
