"""Which times a query has points at, and which fineness is read, by how old its start is."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachefleet.metrics.periods import count, is_period, rounded_start, window
from cachefleet.model.metric import DAY_S

NOW = 1_700_000_000.0  # 22:13:20


@pytest.mark.parametrize("seconds", [1, 5, 10, 20, 30, 60, 120, 300, 420, 3600, 86400])
def test_periods(seconds: int) -> None:
    assert is_period(seconds)


@pytest.mark.parametrize("seconds", [0, -60, 2, 3, 15, 45, 59, 61, 90])
def test_no_periods(seconds: int) -> None:
    assert not is_period(seconds)


def test_the_start_is_rounded_down_by_its_age() -> None:
    assert rounded_start(NOW - 100, 60, NOW) == 1_699_999_860  # 22:11:40 -> 22:11
    assert rounded_start(NOW - 100, 300, NOW) == 1_699_999_860  # by age, not by period
    assert rounded_start(NOW - 103.4, 10, NOW) == 1_699_999_890
    assert rounded_start(NOW - 103.4, 1, NOW) == 1_699_999_896
    assert rounded_start(NOW - 20 * DAY_S, 300, NOW) % 300 == 0
    assert rounded_start(NOW - 64 * DAY_S, 3600, NOW) % 3600 == 0


def test_the_coarsest_fineness_that_fits_is_read() -> None:
    hour = 1_699_996_400 - 1_699_996_400 % 3600
    assert window(hour, NOW, 3600, NOW).resolution.seconds == 3600
    assert window(hour + 300, NOW, 3600, NOW).resolution.seconds == 300
    assert window(hour + 60, NOW, 3600, NOW).resolution.seconds == 60
    assert window(hour, NOW, 420, NOW).resolution.seconds == 60
    assert window(hour, NOW, 30, NOW).resolution.seconds == 1


def test_it_begins_no_earlier_than_there_may_be_values() -> None:
    assert window(0, NOW, 60, NOW).start == pytest.approx(NOW - 15 * DAY_S, abs=60)
    assert window(0, NOW, 86400, NOW).start == pytest.approx(NOW - 455 * DAY_S, abs=86400)
    assert window(NOW - 5 * 3600, NOW, 1, NOW).start == pytest.approx(NOW - 3 * 3600, abs=1)


@given(
    st.floats(0, 600 * DAY_S),
    st.floats(0.001, 600 * DAY_S),
    st.sampled_from([1, 5, 10, 20, 30, 60, 120, 300, 420, 3600, 86400, 30 * 86400]),
)
def test_windows_have_points_of_whole_values(age_s: float, length_s: float, period_s: int) -> None:
    start, end = NOW - age_s, NOW - age_s + length_s
    found = window(start, end, period_s, NOW)
    assert found.start % found.resolution.seconds == period_s % found.resolution.seconds == 0
    assert found.end >= found.start
    assert (found.start - rounded_start(start, period_s, NOW)) % period_s == 0
    times = found.times(NOW)
    assert all(found.start <= time < min(found.end, math.ceil(NOW)) for time in (times[:1] or []))
    assert len(times) <= found.resolution.kept_s // period_s + 2


def test_it_ends_no_later_than_there_may_be_values() -> None:
    assert window(NOW - 60, 253_402_300_799.0, 1, NOW).end == NOW + 7201
    ahead = window(NOW + 86400, NOW + 2 * 86400, 60, NOW)
    assert (list(ahead.times(NOW)), ahead.end) == ([], ahead.start)


def test_points_asked_for() -> None:
    assert (count(0, 86400, 60), count(0, 86401, 60), count(0, 59, 60)) == (1440, 1441, 1)
