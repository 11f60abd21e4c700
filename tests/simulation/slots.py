"""Sets of slots as the bits of one number: what nodes of a simulated cluster compare all the time is compared at once.

The number of a write tells its slot, so that whoever holds writes knows where they belong.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from cachefleet.model.group import SLOTS, SlotRanges

Mask = int
NONE: Mask = 0
ALL: Mask = (1 << SLOTS) - 1
WRITTEN = tuple(range(100, SLOTS, 1300))  # those that clients write to
WRITTEN_MASK: Mask = sum(1 << slot for slot in WRITTEN)


@lru_cache(maxsize=4096)
def mask_of(ranges: SlotRanges) -> Mask:
    """Inclusive pairs."""
    found = NONE
    for first, last in ranges:
        found |= ((1 << (last - first + 1)) - 1) << first
    return found


@lru_cache(maxsize=4096)
def ranges_of(mask: Mask) -> SlotRanges:
    found = []
    first = 0
    while mask:
        skipped = (mask & -mask).bit_length() - 1
        mask >>= skipped
        first += skipped
        length = (~mask & (mask + 1)).bit_length() - 1
        found.append((first, first + length - 1))
        mask >>= length
        first += length
    return tuple(found)


def text_of(mask: Mask, joint: str = " ") -> str:
    """ "0-5 7", as CLUSTER NODES has it."""
    return joint.join(f"{first}-{last}" if first != last else str(first) for first, last in ranges_of(mask))


def has(mask: Mask, slot: int) -> bool:
    return bool(mask >> slot & 1)


def write_number(count: int, slot: int) -> int:
    """count: from 1 on."""
    return count * SLOTS + slot


def slot_of(write: int) -> int:
    return write % SLOTS


def within(writes: Iterable[int], mask: Mask) -> set[int]:
    """Those whose slot is one of these."""
    return {write for write in writes if mask >> (write % SLOTS) & 1}
