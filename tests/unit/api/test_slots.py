"""Slots as callers write them and read them; who owns which."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachefleet.api.groups.slots import format_slots, parse_slots, parse_split
from cachefleet.model.errors import AwsError


def _invalid(match: str) -> pytest.RaisesExc[AwsError]:
    return pytest.raises(AwsError, match=match, check=lambda error: error.code == "InvalidParameterValue")


@pytest.mark.parametrize(
    ("text", "ranges"),
    [
        ("0-5461", ((0, 5461),)),
        ("0-1023,2048", ((0, 1023), (2048, 2048))),
        ("6000, 0-5", ((0, 5), (6000, 6000))),
        ("0-5,6-10,11", ((0, 11),)),
        ("16383", ((16383, 16383),)),
    ],
)
def test_slots(text: str, ranges: tuple[tuple[int, int], ...]) -> None:
    assert parse_slots(text) == ranges


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "is not a slot"),
        ("0-", "is not a slot"),
        ("-1", "is not a slot"),
        ("a", "is not a slot"),
        ("1,,2", "is not a slot"),
        ("1-2-3", "is not a slot"),
        ("5-4", "the smaller one first"),
        ("16384", "from 0 to 16383"),
        ("0-99999", "from 0 to 16383"),
        ("0-10,5", "names slot 5 twice"),
        ("7,7", "names slot 7 twice"),
    ],
)
def test_refused_slots(text: str, rule: str) -> None:
    with _invalid(f"Slots.*{rule}"):
        parse_slots(text)


@given(st.sets(st.integers(0, 16383), min_size=1, max_size=60))
def test_slots_come_back(slots: set[int]) -> None:
    ranges = parse_slots(",".join(map(str, slots)))
    assert {slot for first, last in ranges for slot in range(first, last + 1)} == slots
    assert parse_slots(format_slots(ranges)) == ranges
    assert all(after[0] > before[1] + 1 for before, after in pairwise(ranges))


def test_a_split_owns_every_slot_once() -> None:
    assert parse_split(["0-99,200-16383", "100-199"], "Slots") == [((0, 99), (200, 16383)), ((100, 199),)]
    assert len(parse_split([",".join(map(str, range(16384)))], "Slots")[0]) == 1
    with _invalid("slot 100 is given to more than one shard"):
        parse_split(["0-100", "100-16383"], "Slots")
    with _invalid("slots 101-101 are given to no shard"):
        parse_split(["0-100", "102-16383"], "Slots")


@pytest.mark.parametrize("shards", [["x," * 16384], ["x," * 300] * 100])
def test_more_ranges_than_slots_are_not_even_read(shards: list[str]) -> None:
    with _invalid("Slots: there are more ranges than slots"):
        parse_split(shards, "Slots")
