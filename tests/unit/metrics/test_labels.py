"""Labels of series, given and by default."""

from __future__ import annotations

from datetime import UTC, timedelta, timezone

import pytest

from cachefleet.metrics.labels import Owner, default_labels, filled, is_dynamic, label_fault, read_timezone
from cachefleet.metrics.lines import Line, Subject

OWNER = Owner("000000000000", "local-1")


def line(node: str = "shop-001", name: str = "CacheHits", points: dict[int, float] | None = None) -> Line:
    dimensions = (("CacheClusterId", node), ("CacheNodeId", "0001"))
    return Line(
        {0: 3.0, 60: 9.0, 120: 6.0} if points is None else points, 60, Subject("AWS/ElastiCache", name, dimensions, "Sum", 60)
    )


@pytest.mark.parametrize(
    ("label", "wanted"),
    [
        ("plain", "plain"),
        ("${LABEL}!", "m1!"),
        ("${PROP('MetricName')} of ${PROP('Dim.CacheClusterId')}", "CacheHits of shop-001"),
        ("${PROP('Namespace')} ${PROP('Stat')} ${PROP('Period')}", "AWS/ElastiCache Sum 60"),
        ("${PROP('AccountId')} ${PROP('Region')} ${PROP('Dim.X')}", "000000000000 local-1 --"),
        ("${FIRST} ${LAST} ${MIN} ${MAX} ${AVG} ${SUM} ${DATAPOINT_COUNT}", "3 6 3 9 6 18 3"),
        ("${MIN_MAX_RANGE} ${FIRST_LAST_RANGE}", "6 3"),
        ("${MAX_TIME}", "1970-01-01T00:01:00+00:00"),
        (
            "${FIRST_TIME}|${MIN_TIME}|${LAST_TIME}",
            "1970-01-01T00:00:00+00:00|1970-01-01T00:00:00+00:00|1970-01-01T00:02:00+00:00",
        ),
    ],
)
def test_parts_are_filled_in(label: str, wanted: str) -> None:
    assert label_fault(label) == ""
    assert filled(label, "m1", line(), OWNER) == wanted
    assert is_dynamic(label) == ("$" in label)


def test_without_points_there_is_nothing_to_tell() -> None:
    assert filled("${LAST} ${MAX_TIME}", "m1", line(points={}), OWNER) == "-- --"


@pytest.mark.parametrize("label", ["${NOPE}", "${}", "${PROP('Nope')}", "${PROP(MetricName)}", "ok ${LAST} ${last}"])
def test_unknown_parts_are_told(label: str) -> None:
    assert label_fault(label) in label and label_fault(label)


def test_times_are_in_the_time_zone_that_was_asked_for() -> None:
    assert read_timezone("+0000") == UTC
    assert read_timezone("-0130") == timezone(-timedelta(hours=1, minutes=30))
    assert [read_timezone(text) for text in ("", "0100", "+24000", "+2400", "+0160", "UTC")] == [None] * 6
    zone = read_timezone("+0200")
    assert zone is not None
    assert filled("${FIRST_TIME}", "m1", line(), OWNER, zone) == "1970-01-01T02:00:00+02:00"


def test_default_labels_tell_series_apart() -> None:
    assert default_labels([line("a"), line("b")]) == ["a", "b"]
    assert default_labels([line("a"), line("a", "CacheMisses")]) == ["CacheHits", "CacheMisses"]
    assert default_labels([line("a"), line("b", "CacheMisses")]) == ["CacheHits a", "CacheMisses b"]
    assert default_labels([line("a")]) == ["CacheHits"]
    assert default_labels([line("a"), line("a")]) == ["CacheHits", "CacheHits"]
    assert default_labels([]) == []
    assert default_labels([Line({}, 60), line("a")])[0] == ""
