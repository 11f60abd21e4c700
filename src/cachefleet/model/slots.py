"""Sets of slots as ranges.

Pure. Called by the planner and by the drivers. What goes in may be in any order and touch; what comes out is ascending, with
neighbours joined.
"""

from __future__ import annotations

from cachefleet.model.group import SlotRanges


def union(*parts: SlotRanges) -> SlotRanges:
    """Every slot of any of them."""
    joined: list[tuple[int, int]] = []
    for first, last in sorted(pair for part in parts for pair in part):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(joined[-1][1], last))
        else:
            joined.append((first, last))
    return tuple(joined)


def without(slots: SlotRanges, taken: SlotRanges) -> SlotRanges:
    """The slots that are not taken."""
    holes = union(taken)
    left: list[tuple[int, int]] = []
    for first, last in union(slots):
        for hole_first, hole_last in holes:
            if hole_last < first:
                continue
            if hole_first > last:
                break
            if first < hole_first:
                left.append((first, hole_first - 1))
            first = hole_last + 1
        if first <= last:
            left.append((first, last))
    return tuple(left)


def common(slots: SlotRanges, others: SlotRanges) -> SlotRanges:
    """The slots that are in both."""
    return without(slots, without(slots, others))


def count(slots: SlotRanges) -> int:
    return sum(last - first + 1 for first, last in slots)


def contains(slots: SlotRanges, slot: int) -> bool:
    return any(first <= slot <= last for first, last in slots)


def first_of(slots: SlotRanges, number: int) -> SlotRanges:
    """So many of them, the lowest; all when there are fewer."""
    taken: list[tuple[int, int]] = []
    for first, last in slots:
        if number <= 0:
            break
        taken.append((first, min(last, first + number - 1)))
        number -= last - first + 1
    return tuple(taken)
