"""Many measurements as one value: sums are exact, percentiles within 1 %."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachefleet.metrics.blocks import Columns, Damaged, add, decoded, encoded, joined
from cachefleet.metrics.values import Value, measured, merged, percentile, single
from cachefleet.model.metric import MetricName

NUMBERS = st.floats(-1e12, 1e12).map(lambda number: 0.0 if abs(number) < 1e-9 else number)


@given(st.lists(NUMBERS, min_size=1, max_size=50))
def test_statistics_of_many_are_those_of_all(numbers: list[float]) -> None:
    value = merged(map(single, numbers))
    assert value.count == len(numbers)
    assert math.isclose(value.total, math.fsum(numbers), rel_tol=1e-9, abs_tol=1e-3)
    assert (value.lowest, value.highest) == (min(numbers), max(numbers))


@given(st.lists(NUMBERS, min_size=1, max_size=60), st.sampled_from([0.0, 10.0, 50.0, 90.0, 99.0, 99.9, 100.0]))
def test_percentiles_are_right_within_one_percent(numbers: list[float], percent: float) -> None:
    half = len(numbers) // 2
    parts = [merged(map(single, part)) for part in (numbers[:half], numbers[half:]) if part]
    found = percentile(merged(parts), percent)
    rank = max(1, math.ceil(len(numbers) * percent / 100 - 1e-9))
    assert found is not None
    assert math.isclose(found, sorted(numbers)[rank - 1], rel_tol=0.0101, abs_tol=1e-9)


def test_what_is_known_as_sums_only_has_no_percentiles() -> None:
    sums = Value(10.0, 4.0, 1.0, 5.0)
    assert percentile(sums, 50) is None
    assert percentile(merged([sums, single(3.0)]), 50) is None
    assert percentile(Value(12.0, 4.0, 3.0, 3.0), 99) == 3.0


def test_measured_counts_each_number_as_often_as_told() -> None:
    value = measured({1.0: 98, 500.0: 2})
    assert (value.total, value.count, value.lowest, value.highest) == (1098.0, 100, 1.0, 500.0)
    assert percentile(value, 50) == 1.0
    assert percentile(value, 99) == pytest.approx(500.0, rel=0.01)


CPU, HITS = MetricName("EngineCPUUtilization", "Percent"), MetricName("CacheHits", "Count")


def filled(seed: int) -> Columns:
    chance, columns = random.Random(seed), Columns()
    for minute in range(60):
        if minute % 7:
            add(columns, minute, {CPU: single(chance.random() * 100)})
        add(columns, minute, {HITS: measured({1.0: 5, float(minute): 2})})
    return columns


def test_a_block_comes_back_as_it_was_and_gaps_stay_gaps() -> None:
    columns = filled(1)
    found = decoded(encoded(columns))
    assert found.keys() == columns.keys() and 0 not in found[CPU] and len(found[HITS]) == 60
    for name, column in columns.items():
        for time, value in column.items():
            assert (found[name][time].total, found[name][time].count) == (value.total, value.count)
            assert percentile(found[name][time], 90) == percentile(value, 90)


def test_blocks_of_several_writers_are_added_up() -> None:
    both = joined([filled(1), filled(2)])
    assert both[HITS][9].count == 14
    assert both[CPU][1].count == 2


def test_damage_is_told() -> None:
    data = encoded(filled(1))
    for broken in (b"", data[:-3], data[:10] + b"x" + data[11:], encoded({})[:3]):
        with pytest.raises(Damaged):
            decoded(broken)
