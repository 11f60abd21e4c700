"""What a sample of keys says of all of them; names are cut, masked and bounded."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachefleet.insight.keyspace import MOST_PREFIXES, SHOWN_PREFIXES, KeyFacts, Keyspace, prefixes, shown
from cachefleet.model.insight import MOST_NAMED, SHOWN_CHARACTERS


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("counter", ()),
        ("user:1041", ("user:",)),
        ("user:1041:cart", ("user:", "user:*:", "user:*:cart")),
        ("user:1041:cart:7", ("user:", "user:*:", "user:*:cart:")),
        ("page/home/en", ("page/", "page/home/", "page/home/en")),
        ("session:0f9e8d7c6b5a4938", ("session:",)),
        ("t:7d9e4c2a-1b3f-4a5e-8c7d-2f1e0a9b8c7d:x", ("t:", "t:*:", "t:*:x")),
        ("{42}:orders", ("*:",)),
        ("a:", ("a:",)),
        (":", (":",)),
    ],
)
def test_beginnings_of_names(name: str, expected: tuple[str, ...]) -> None:
    assert prefixes(name.encode()) == expected


@given(st.binary(max_size=1000))
def test_any_name_can_be_shown(name: bytes) -> None:
    for text in (shown(name), *prefixes(name)):
        assert text.isprintable()
        assert len(text) <= SHOWN_CHARACTERS
    assert len(prefixes(name)) <= 3


def test_each_key_counts_for_as_many_as_it_stands_for() -> None:
    keyspace = Keyspace()
    for number in range(10):
        keyspace.add(KeyFacts(f"user:{number}".encode(), "string", 100, idle_s=0 if number else 7200), 5.0)
    keyspace.add(KeyFacts(b"big", "hash", 1_000_000, idle_s=0), 2.0)
    report = keyspace.report(52)
    assert [(one.name, one.keys, one.bytes) for one in report.types] == [("hash", 2, 2_000_000), ("string", 50, 5000)]
    assert [(one.name, one.keys, one.bytes) for one in report.prefixes] == [("user:", 50, 5000)]
    assert [(one.name, one.bytes) for one in report.big][:2] == [("big", 1_000_000), ("user:0", 100)]
    assert report.idle[3600] == pytest.approx(500 / 2_005_000)
    assert report.idle[86_400] == 0
    assert (report.keys, report.looked_at) == (52, 11)
    assert keyspace.frequent() == []


def test_the_largest_and_most_frequent_of_many_are_named() -> None:
    chance, keyspace = random.Random(1), Keyspace()
    numbers = list(range(5000))
    chance.shuffle(numbers)
    for number in numbers:
        keyspace.add(KeyFacts(f"k{number}:x".encode(), "string", number, frequency=number % 256), 1.0)
    report = keyspace.report(5000)
    assert [one.bytes for one in report.big] == list(range(4999, 4999 - MOST_NAMED, -1))
    assert [count for _, count in keyspace.frequent()] == [255] * 19 + [254]
    assert len(report.prefixes) == SHOWN_PREFIXES


def test_prefixes_are_bounded() -> None:
    keyspace = Keyspace()
    for number in range(2 * MOST_PREFIXES):
        keyspace.add(KeyFacts(f"p{number}:x".encode(), "string", 1), 1.0)
    assert sum(one.keys for one in keyspace.report(1).prefixes) == SHOWN_PREFIXES
