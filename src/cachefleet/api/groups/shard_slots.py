"""Which shard owns which slots at present, as a group's row has it. Pure.

By the planner's books; before it had a look, what was asked for. Called by the views and by operations on shards.
"""

from __future__ import annotations

from collections.abc import Mapping

from cachefleet.model.group import DesiredShard, SlotRanges
from cachefleet.model.row import GroupRow
from cachefleet.model.slots import count


def books(row: GroupRow) -> dict[str, SlotRanges]:
    """By shard id, every shard of the group; () of one that owns none (yet, or any more)."""
    return {shard.shard_id: owned(row, shard) for shard in row.desired.shards}


def owned(row: GroupRow, shard: DesiredShard) -> SlotRanges:
    return row.memory.slots.get(shard.shard_id, ()) if row.memory.slots else shard.slots


def is_balanced(present: Mapping[str, SlotRanges]) -> bool:
    """No shard owns more slots than the smallest and one."""
    numbers = [count(slots) for slots in present.values()]
    return max(numbers) - min(numbers) <= 1
