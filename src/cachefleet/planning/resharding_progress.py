"""How far slots are that have to go to other shards (PendingModifiedValues.Resharding). Pure; called by the views."""

from __future__ import annotations

from cachefleet.model.group import GroupDesired, GroupMemory, SlotRanges
from cachefleet.model.slots import count, without


def slots_due(desired: GroupDesired, memory: GroupMemory) -> int:
    """How many slots are not yet where they are to be, by the books. 0 before the first look."""
    return sum(count(without(shard.slots, owned(memory, shard.shard_id))) for shard in desired.shards) if memory.slots else 0


def owned(memory: GroupMemory, shard_id: str) -> SlotRanges:
    """What the shard owns by the books."""
    return memory.slots.get(shard_id, ())


def resharding_progress(desired: GroupDesired, memory: GroupMemory) -> float | None:
    """Percent of the slots that had to move when the change began; None when no slot has to."""
    due = slots_due(desired, memory)
    if not due:
        return None
    return round(100.0 * (1 - due / max(due, memory.slots_to_move)), 1)
