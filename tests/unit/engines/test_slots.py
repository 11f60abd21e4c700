"""Which of the asked slots are still to be claimed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cachefleet.engines.slot_replies import parse_slots
from cachefleet.model.group import SlotRanges
from cachefleet.model.slots import without


def flat(ranges: SlotRanges) -> set[int]:
    return {slot for first, last in ranges for slot in range(first, last + 1)}


def ranges_of(slots: set[int]) -> SlotRanges:
    return without(tuple((slot, slot) for slot in sorted(slots)), ())


slots = st.sets(st.integers(0, 300))


@given(slots, slots)
def test_without(wanted: set[int], taken: set[int]) -> None:
    left = without(ranges_of(wanted), ranges_of(taken))
    assert flat(left) == wanted - taken
    assert list(left) == sorted(left)


@given(slots)
def test_ranges_are_as_few_as_can_be(wanted: set[int]) -> None:
    found = ranges_of(wanted)
    assert flat(found) == wanted
    assert len(found) == len([slot for slot in wanted if slot - 1 not in wanted])


@given(slots)
def test_slots_are_read_as_they_are_written(wanted: set[int]) -> None:
    found = ranges_of(wanted)
    words = [f"{first}" if first == last else f"{first}-{last}" for first, last in found]
    assert parse_slots([*words, "[5->-abc]"]) == found
