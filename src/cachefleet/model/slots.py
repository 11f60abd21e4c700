"""Sets of slots as ranges.

Pure. Called by the planner and by the drivers.
"""

from __future__ import annotations

from cachefleet.model.group import SlotRanges


def without(slots: SlotRanges, taken: SlotRanges) -> SlotRanges:
    """The slots that are not taken, as ranges."""
    have = {slot for first, last in taken for slot in range(first, last + 1)}
    left: list[tuple[int, int]] = []
    for first, last in slots:
        for slot in range(first, last + 1):
            if slot in have:
                continue
            if left and left[-1][1] == slot - 1:
                left[-1] = (left[-1][0], slot)
            else:
                left.append((slot, slot))
    return tuple(left)


def count(slots: SlotRanges) -> int:
    return sum(last - first + 1 for first, last in slots)
