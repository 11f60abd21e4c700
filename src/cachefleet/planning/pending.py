"""Pending changes: what a group is to be when they hold. Pure.

Called by the API (ApplyImmediately) and by planning.group, when the maintenance window is open.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from cachefleet.model.group import DesiredNode, Engine, GroupDesired
from cachefleet.model.pending import PendingChange


def applied(desired: GroupDesired, pending: PendingChange, now: float) -> GroupDesired:
    """The group with this change, and with nothing pending. now: when its new nodes were created, epoch seconds."""
    changes: dict[str, Any] = {"pending": None}
    for name in ("node_type", "engine_version", "parameter_group", "az_mode", "scale", "cluster_mode"):
        if getattr(pending, name):
            changes[name] = getattr(pending, name)
    if pending.engine:
        changes["engine"] = Engine(pending.engine)
    if pending.more_nodes or pending.fewer_nodes:
        changes["shards"] = (replace(desired.shards[0], nodes=nodes_after(desired, pending, now)),)
    return replace(desired, **changes)


def nodes_after(desired: GroupDesired, pending: PendingChange, now: float) -> tuple[DesiredNode, ...]:
    """The nodes of a Memcached cluster with what is pending."""
    nodes = desired.nodes
    cluster = nodes[0].name.rpartition(".")[0]
    left = tuple(node for node in nodes if node.node_id not in pending.fewer_nodes)
    more = (DesiredNode(f"{cluster}.{node.node_id}", node.node_id, node.zone, now) for node in pending.more_nodes)
    return (*left, *more)
