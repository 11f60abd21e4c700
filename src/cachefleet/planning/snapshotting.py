"""Which nodes a snapshot is taken of. Pure.

Looks at a group's row alone, between passes. Called by control.backups.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from cachefleet.model.group import DesiredNode, Shape, SlotRanges
from cachefleet.model.row import GroupRow


class Source(msgspec.Struct, frozen=True):
    """A node, and the part of the group's data that it has."""

    shard_id: str
    slots: SlotRanges  # that its shard owns; empty with cluster mode disabled
    node: str
    zone: str
    created_at: float


def sources(row: GroupRow, node: str = "", avoid: Collection[str] = ()) -> list[Source] | str:
    """One of each shard: a replica that gets every write at once where there is one, else the primary; or why there is none
    now. node: only this one of its shard will do. avoid: those come last."""
    found = []
    for shard in row.desired.shards:
        memory = row.memory.shards.get(shard.shard_id)
        if memory is None or not memory.taken or memory.handing_from or memory.headless:
            return f"the primary role of node group {shard.shard_id} is on its way"
        able = [member for member in shard.nodes if _is_able(row, member)]
        asked = [member for member in able if member.name == node]
        if any(member.name == node for member in shard.nodes):
            able = asked
        if not able:
            return f"node group {shard.shard_id} has no node that could be read" if not node else f"{node} cannot be read"
        best = min(able, key=lambda member: (member.name in avoid, member.name == memory.primary))
        slots = row.memory.slots.get(shard.shard_id, ()) if row.desired.shape is Shape.CLUSTERED else ()
        found.append(Source(shard.shard_id, slots, best.name, best.zone, best.created_at))
    return found


def _is_able(row: GroupRow, node: DesiredNode) -> bool:
    known = row.memory.nodes.get(node.name)
    return known is not None and known.ready and not known.lagging_since and not known.given_up
