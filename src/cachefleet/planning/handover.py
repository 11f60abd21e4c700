"""Planned hand-overs of the primary role that somebody asked for: TestFailover, and a primary chosen by hand. Pure.

When one is due, to whom it goes, and when it is done; how it is done is the shape's business.
"""

from __future__ import annotations

from cachefleet.model.group import DesiredShard, ShardMemory
from cachefleet.planning.draft import Draft
from cachefleet.planning.succession import candidates


def asked_for(shard: DesiredShard, memory: ShardMemory) -> bool:
    return shard.handovers > memory.handovers


def begin(draft: Draft, shard: DesiredShard, memory: ShardMemory, in_sync: list[str]) -> str:
    """The node that gets the role now, "" when none does: nothing is asked for, it is under way, or nobody is fit yet."""
    if not asked_for(shard, memory) or not memory.taken or memory.handing_from:
        return ""
    if draft.memory.moves:
        draft.waiting = True  # slots that are on their way arrive first
        return ""
    ranked = [name for name in candidates(draft, memory, in_sync) if shard.handover_to in ("", name)]
    if not ranked:
        draft.waiting = True
        return ""
    memory.handing_from = memory.primary
    return ranked[0]


def note_done(shard: DesiredShard, memory: ShardMemory) -> None:
    """Done when the role has moved, whoever moved it. One that was asked for and came to nothing begins anew."""
    if not memory.taken:
        return
    if not asked_for(shard, memory):
        memory.handing_from = ""
        return
    moved = memory.handing_from not in ("", memory.primary)
    gone = shard.handover_to and all(node.name != shard.handover_to for node in shard.nodes)
    if gone or memory.primary == shard.handover_to or (moved and not shard.handover_to):
        memory.handovers = shard.handovers
        memory.return_to = ""  # who has it by somebody's choice keeps it
    memory.handing_from = ""
