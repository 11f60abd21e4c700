"""Which slots belong to which shard: the even split, and the proof that shards own every slot exactly once.

Pure. Called by topology; the text form of slots is in names.
"""

from __future__ import annotations

from collections.abc import Sequence

from cachefleet.model.errors import invalid_value
from cachefleet.model.group import SLOTS, SlotRanges


def even_split(shards: int) -> list[SlotRanges]:
    """One range per shard; the remainder goes to the first shards (reference 4.2: 0-5461, 5462-10922, 10923-16383)."""
    size, remainder = divmod(SLOTS, shards)
    ranges: list[SlotRanges] = []
    start = 0
    for index in range(shards):
        end = start + size + (1 if index < remainder else 0) - 1
        ranges.append(((start, end),))
        start = end + 1
    return ranges


def check_complete(shards: Sequence[SlotRanges], field: str) -> None:
    """Every slot from 0 to 16383 belongs to exactly one shard. Raises InvalidParameterValue with the first slots that do
    not."""
    expected = 0
    for first, last in sorted(part for ranges in shards for part in ranges):
        if first < expected:
            raise invalid_value(f"{field}: slot {first} is given to more than one shard.")
        if first > expected:
            raise _unowned(field, expected, first - 1)
        expected = last + 1
    if expected != SLOTS:
        raise _unowned(field, expected, SLOTS - 1)


def _unowned(field: str, first: int, last: int) -> Exception:
    return invalid_value(f"{field}: slots {first}-{last} are given to no shard; all of 0-{SLOTS - 1} must be.")
