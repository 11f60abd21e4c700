"""Slots of shards: their text form, the even split, and the proof that shards own every slot exactly once.

Pure. Called by topology and by the views.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from cachefleet.api.names import quoted
from cachefleet.model.errors import invalid_value
from cachefleet.model.group import SLOTS, SlotRanges

_SLOT_RANGE = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", re.ASCII)


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


def parse_split(shards: Sequence[str], field: str) -> list[SlotRanges]:
    """What the text of each shard says. Raises InvalidParameterValue, also when together they are not every slot once."""
    if sum(text.count(",") + 1 for text in shards) > SLOTS:  # before any of it is looked at
        raise invalid_value(f"{field}: there are more ranges than slots; name every slot once.")
    ranges = [parse_slots(text, field) for text in shards]
    check_complete(ranges, field)
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


def parse_slots(value: str, field: str = "Slots") -> SlotRanges:
    """The ranges of "0-1023,2048", ascending, neighbours joined. Raises InvalidParameterValue (overlaps too)."""
    ranges: list[tuple[int, int]] = []
    for first, last in sorted(_slot_range(part.strip(), field) for part in value.split(",")):
        if ranges and first <= ranges[-1][1]:
            raise invalid_value(f"{field} {quoted(value)} names slot {first} twice; name every slot once.")
        if ranges and first == ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], last)
        else:
            ranges.append((first, last))
    return tuple(ranges)


def _slot_range(part: str, field: str) -> tuple[int, int]:
    match = _SLOT_RANGE.fullmatch(part)
    if match is None:
        raise invalid_value(f"{field}: {quoted(part)} is not a slot or a range of slots; write them as in 0-1023,2048.")
    first, last = int(match[1]), int(match[2] or match[1])
    if not first <= last < SLOTS:
        raise invalid_value(
            f"{field}: {quoted(part)} is not a range of slots; they go from 0 to {SLOTS - 1}, the smaller one first."
        )
    return first, last


def format_slots(slots: SlotRanges) -> str:
    """ "0-1023,2048"."""
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in slots)
