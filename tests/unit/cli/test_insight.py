"""What was found out about keys, in sentences and tables."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from cachefleet.cli.insight import lines_of, size, tables_of
from cachefleet.model.insight import BigKey, HotKey, InsightReport, KeyReport, Point, Portion, TraceReport

POINTS = (Point(0.5, 0.6), Point(0.75, 0.7099), Point(1.0, 0.71), Point(2.0, 0.83), Point(4.0, None))
TRACE = TraceReport(
    seconds=30.0,
    reads=12_345,
    keys=900,
    hit_rate=0.71,
    memory_bytes=400 << 20,
    used_bytes=399 << 20,
    seen_bytes=1 << 30,
    evicting=True,
    points=POINTS,
)
KEYS = KeyReport(
    keys=5000,
    looked_at=100,
    types=(Portion("string", 4000, 3 << 20), Portion("hash", 1000, 1 << 20)),
    prefixes=(Portion("user:", 4000, 3 << 20),),
    big=(BigKey("[bold]big", "hash", 1 << 20),),
    idle={3600: 0.34, 86_400: 0.001},
)


def told(**changes: Any) -> dict[str, Any]:
    report = msgspec.structs.replace(InsightReport(TRACE, KEYS, (HotKey("page:home", 0.25),)), **changes)
    return dict(msgspec.json.decode(msgspec.json.encode(report)))


def test_sizes_are_told_as_people_say_them() -> None:
    assert list(lines_of(told())) == [
        "71.0% of 12,345 reads in 30 s hit.",
        "399.0 MB of 400.0 MB for data are used.",
        "Half the memory would lower the hit rate from 71.0% to 60.0%.",
        "Three quarters of the memory would change nothing.",
        "Twice the memory would raise the hit rate from 71.0% to 83.0%.",
        "4 times the memory: not known, since only 1.0 GB were seen in use; look longer.",
        "34% of the memory is in keys not used for an hour.",
    ]


def test_memory_that_was_never_full_is_not_missed() -> None:
    trace = msgspec.structs.replace(TRACE, evicting=False)
    lines = list(lines_of(told(trace=trace)))
    assert "The memory was never full: more of it would change nothing." in lines
    assert "Half the memory would lower the hit rate from 71.0% to 60.0%." in lines
    assert not any(line.startswith("Twice") for line in lines)


def test_what_is_not_known_is_said() -> None:
    trace = TraceReport(seconds=5.0, why="only 3 keys were seen")
    assert list(lines_of(told(trace=trace, keyspace=KeyReport(), missing=("the rest: gone",)))) == [
        "No key was read in 5 s.",
        "No hit rates of other sizes: only 3 keys were seen.",
        "Not found out: the rest: gone",
    ]
    assert list(tables_of(told(trace=trace, keyspace=KeyReport(), hot=()))) == []


def test_tables_have_names_as_they_are_and_shares_of_all_that_was_seen() -> None:
    tables = {title: rows for title, _, rows in tables_of(told())}
    assert tables == {
        "Keys used most": [("page:home", "25.0%")],
        "Largest keys": [("[bold]big", "hash", "1.0 MB")],
        "Memory by type (100 of 5,000 keys were looked at)": [
            ("string", "4,000", "3.0 MB", "75%"),
            ("hash", "1,000", "1.0 MB", "25%"),
        ],
        "Memory by beginning of the name (100 of 5,000 keys were looked at)": [("user:", "4,000", "3.0 MB", "75%")],
    }
    (title, headings, _), *_ = tables_of(told(hot=(HotKey("a", 1.0, "lfu"),)))
    assert (title, headings[1]) == ("Keys used most, by the engine's counters", "OF THE HIGHEST")


@pytest.mark.parametrize(("count", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KB"), (5 << 30, "5.0 GB")])
def test_sizes(count: int, text: str) -> None:
    assert size(count) == text
