"""Statistics against a plain reading of CloudWatch's definitions over all single measurements."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachefleet.metrics.statistics import Statistic, binned, read_statistic, series_of
from cachefleet.metrics.values import Value, measured, merged, single

NUMBERS = st.lists(st.floats(-1e6, 1e6).filter(lambda x: x == 0 or abs(x) > 1e-3), min_size=1, max_size=40)
NEAR = 0.0101  # buckets are right within one percent


def statistic(text: str) -> Statistic:
    found = read_statistic(text)
    assert found is not None, text
    return found


def kept(numbers: list[float], low: float, high: float) -> list[tuple[float, float]]:
    """(number, share of it) of what lies between two percentages of the sorted numbers."""
    first, last = low / 100 * len(numbers), high / 100 * len(numbers)
    shares = [(number, min(rank + 1, last) - max(rank, first)) for rank, number in enumerate(sorted(numbers))]
    return [(number, share) for number, share in shares if share > 0]


def near(found: float | None, wanted: float, numbers: list[float]) -> bool:
    return found is not None and math.isclose(found, wanted, rel_tol=NEAR, abs_tol=NEAR * max(map(abs, numbers)) + 1e-9)


@given(NUMBERS)
def test_the_five_simple_ones_are_exact(numbers: list[float]) -> None:
    value = measured(Counter(numbers))
    assert statistic("SampleCount").of(value) == len(numbers)
    assert math.isclose(statistic("Sum").of(value) or 0, sum(numbers), rel_tol=1e-9, abs_tol=1e-6)
    assert math.isclose(statistic("Average").of(value) or 0, sum(numbers) / len(numbers), rel_tol=1e-9, abs_tol=1e-6)
    assert (statistic("Minimum").of(value), statistic("Maximum").of(value)) == (min(numbers), max(numbers))


@given(NUMBERS, st.integers(0, 100), st.integers(0, 100))
def test_trimmed_and_winsorised_ones_are_those_of_all_measurements(numbers: list[float], one: int, other: int) -> None:
    low, high = sorted((one, other))
    value, bounds = measured(Counter(numbers)), f"({low}%:{high}%)"
    parts = kept(numbers, low, high)
    count, total = sum(share for _, share in parts), sum(number * share for number, share in parts)
    assert math.isclose(statistic("tc" + bounds).of(value) or 0, count, abs_tol=1e-6)
    found = statistic("ts" + bounds).of(value)
    assert found is not None and abs(found - total) <= NEAR * sum(abs(number) * share for number, share in parts) + 1e-6
    if count > 1e-6:
        assert near(statistic("TM" + bounds).of(value), total / count, numbers)
    else:
        assert statistic("TM" + bounds).of(value) is None
    lowest, highest = (sorted(numbers)[max(0, math.ceil(p / 100 * len(numbers)) - 1)] for p in (low, high))
    winsorised = sum(min(max(number, lowest), highest) for number in numbers) / len(numbers)
    assert near(statistic("WM" + bounds).of(value), winsorised, numbers)


def test_bounds_may_be_measurements() -> None:
    value = measured({1.0: 1, 10.0: 2, 100.0: 3, 1000.0: 4})
    assert statistic("PR(:100)").of(value) == 60
    assert statistic("PR(1:100)").of(value) == 50  # the lower bound is outside, the upper one inside
    assert statistic("PR(5:)").of(value) == 90
    assert statistic("TC(1:100)").of(value) == 5
    assert statistic("TS(:10)").of(value) == pytest.approx(21, rel=0.01)
    assert statistic("TM(5:50)").of(value) == pytest.approx(10, rel=0.01)
    assert statistic("WM(10:100)").of(value) == pytest.approx((10 * 3 + 100 * 7) / 10, rel=0.01)


def test_short_forms_are_upper_bounds_and_iqm_the_middle_half() -> None:
    assert statistic("tm90") == Statistic("tm90", "tm", None, 90.0)
    assert (statistic("IQM").low, statistic("iqm").high) == (25, 75)
    assert statistic("p99.9").of(single(7)) == 7


@pytest.mark.parametrize(
    "text",
    [
        "",
        "average",
        "p101",
        "p",
        "p-1",
        "p9.99999999999",
        "tm",
        "TM(:)",
        "TM(5%:10)",
        "TM(%:5)",
        "TM(20%:10%)",
        "PR(1%:2%)",
        "PR99",
        "TM(:101%)",
        "p9 9",
        "SUM",
        "median",
        "p٣",
    ],
)
def test_what_is_no_statistic(text: str) -> None:
    assert read_statistic(text) is None


def test_where_only_sums_are_known_spread_cannot_be_told() -> None:
    sums = Value(30.0, 3.0, 5.0, 15.0)
    assert [statistic(text).of(sums) for text in ("p50", "tm90", "tc90", "PR(:9)", "wm90")] == [None] * 5
    assert statistic("p50").of(Value(30.0, 3.0, 10.0, 10.0)) == 10
    assert series_of(statistic("p50"), {60: sums, 120: single(2)}) == {120: 2}


@given(
    st.dictionaries(st.integers(0, 500).map(lambda n: n * 60), st.floats(-1e6, 1e6), max_size=60),
    st.sampled_from([60, 120, 300, 420, 3600]),
)
def test_points_of_a_period_are_all_that_lies_in_it(points: dict[int, float], period_s: int) -> None:
    values = {time: single(number) for time, number in points.items()}
    found = binned(values, 0, period_s)
    assert list(found) == sorted({time // period_s * period_s for time in points})
    for begin, value in found.items():
        of_it = [points[time] for time in sorted(points) if begin <= time < begin + period_s]
        assert value == merged([single(number) for number in of_it])
        assert value.count == len(of_it)


def test_periods_count_from_the_start() -> None:
    assert list(binned({120: single(1), 360: single(1), 420: single(1)}, 120, 300)) == [120, 420]
