"""What policies want."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachefleet.model.scaling import Adjustment, Dimension
from cachefleet.scaling.wishes import Signal, step_wishes, tracking_wish
from tests.unit.scaling.targets import HIGH, LOW, stepping, tracking

SHARDS, REPLICAS = Dimension.NODE_GROUPS, Dimension.REPLICAS


def wanted(capacity: int, raised: Sequence[str], values: Sequence[float], dimension: Dimension = SHARDS) -> int | None:
    wish = tracking_wish(tracking(), dimension, capacity, raised, values)
    return wish.capacity if wish is not None else None


@pytest.mark.parametrize(
    ("capacity", "value", "more"),
    [(2, 51.0, 3), (2, 80.0, 4), (10, 52.0, 12), (10, 75.0, 15), (1, 100.0, 2), (4, 100.0, 8)],
)
def test_shards_are_added_as_the_load_asks_for_but_a_fifth_at_least(capacity: int, value: float, more: int) -> None:
    assert wanted(capacity, [HIGH], [value] * 3) == more


@pytest.mark.parametrize(("capacity", "value", "more"), [(0, 60.0, 1), (1, 51.0, 2), (2, 100.0, 4)])
def test_replicas_are_added_by_one_at_least(capacity: int, value: float, more: int) -> None:
    assert wanted(capacity, [HIGH], [value] * 3, REPLICAS) == more


@pytest.mark.parametrize(
    ("capacity", "values", "left"),
    [
        (4, [20.0] * 15, 2),
        (4, [20.0] * 14 + [37.0], 4),  # one value of the quarter of an hour speaks against it
        (3, [33.0] * 15, 3),  # two would be as full as the target
        (2, [0.0] * 15, 0),  # without traffic to whatever the minimum is
        (4, [30.0] * 15, 3),
    ],
)
def test_shards_are_taken_away_as_far_as_the_rest_stays_under_the_target(
    capacity: int, values: Sequence[float], left: int
) -> None:
    assert wanted(capacity, [LOW], values) == left


def test_replicas_go_one_at_a_time() -> None:
    assert wanted(5, [LOW], [1.0] * 15, REPLICAS) == 4
    assert wanted(2, [LOW], [36.0] * 15, REPLICAS) == 2  # the one that is left would be over the target


def test_an_alarm_of_a_time_before_the_last_change_asks_for_nothing() -> None:
    assert wanted(4, [HIGH], [90.0, 90.0]) == 4
    assert wanted(4, [HIGH], [30.0, 30.0, 30.0]) == 4
    assert wanted(2, [LOW], [10.0, 10.0]) == 2
    assert wanted(2, [LOW], [10.0, 10.0, 40.0]) == 2


def test_who_may_not_take_away_has_no_say_unless_it_wants_more() -> None:
    policy = tracking(scales_in=False)
    assert tracking_wish(policy, SHARDS, 4, [LOW], [1.0] * 15) is None
    assert tracking_wish(policy, SHARDS, 4, [], []) is None
    more = tracking_wish(policy, SHARDS, 4, [HIGH], [100.0] * 3)
    assert more is not None
    assert (more.capacity, more.cause) == (8, f"monitor alarm {HIGH} in state ALARM triggered policy cpu")


@given(st.integers(1, 250), st.lists(st.floats(0, 100), min_size=3, max_size=15))
def test_tracking_never_goes_the_wrong_way(capacity: int, values: list[float]) -> None:
    out, back = wanted(capacity, [HIGH], values), wanted(capacity, [LOW], values)
    assert out is not None and out >= capacity
    assert back is not None and 0 <= back <= capacity
    if back < capacity:
        assert max(values) * capacity <= 0.9001 * 50.0 * max(back, 1) or back == 0


STEPS = ((0.0, 20.0, 1), (20.0, None, 3), (None, 0.0, -2))


@pytest.mark.parametrize(
    ("value", "after"),
    [(50.0, 5), (69.9, 5), (70.0, 7), (500.0, 7), (49.0, 2)],
    ids=["edge", "first", "second", "far", "below"],
)
def test_steps(value: float, after: int) -> None:
    assert [wish.capacity for wish in step_wishes(stepping(*STEPS), 4, [Signal("hot", 50.0, value)])] == [after]


def test_no_step_no_value_no_wish() -> None:
    policy = stepping((10.0, 20.0, 1))
    assert step_wishes(policy, 4, [Signal("hot", 50.0, 55.0), Signal("hot", 50.0, None), Signal("hot", 50.0, 70.0)]) == []


@pytest.mark.parametrize(
    ("kind", "least", "capacity", "adjustment", "after"),
    [
        (Adjustment.EXACT, 0, 4, 9, 9),
        (Adjustment.CHANGE, 0, 4, -9, 0),
        (Adjustment.PERCENT, 0, 10, 25, 12),
        (Adjustment.PERCENT, 0, 10, -25, 8),
        (Adjustment.PERCENT, 0, 3, 10, 4),
        (Adjustment.PERCENT, 0, 3, -10, 2),
        (Adjustment.PERCENT, 2, 10, 10, 12),
        (Adjustment.PERCENT, 2, 10, -10, 8),
        (Adjustment.PERCENT, 2, 10, 50, 15),
    ],
)
def test_adjustments(kind: Adjustment, least: int, capacity: int, adjustment: int, after: int) -> None:
    policy = stepping((0.0, None, adjustment), adjustment=kind, least=least)
    (wish,) = step_wishes(policy, capacity, [Signal("hot", 50.0, 60.0)])
    assert wish.capacity == after
