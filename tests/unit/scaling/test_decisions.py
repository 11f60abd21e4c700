"""Which capacity a target gets, and what becomes of its limits and activities."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from cachefleet.model.scaling import (
    ACTIVITIES,
    ActivityStatus,
    NotScaled,
    ScalingActivity,
    ScheduledAction,
    Suspended,
)
from cachefleet.scaling.decisions import Verdict, decide, ended, noted, outcome, scheduled, seen, under_way
from cachefleet.scaling.wishes import Wish
from tests.unit.scaling.targets import target

NOW = 1_700_000_000.0


def wish(capacity: int, out: int = 600, back: int = 900) -> Wish:
    return Wish(capacity, f"to {capacity}", out, back)


def activity(before: int = 2, after: int = 4, **fields: object) -> ScalingActivity:
    made = ScalingActivity(
        uid="a", cause="load", description="", began_at=NOW, status=ActivityStatus.PENDING, before=before, after=after
    )
    return replace(made, **fields)


def test_the_largest_wish_wins() -> None:
    assert decide(target(), 2, [wish(4), wish(5), wish(1)], NOW) == Verdict(5, "to 5")


def test_nothing_is_taken_away_as_long_as_one_is_against_it() -> None:
    assert decide(target(), 4, [wish(2), wish(4)], NOW) is None
    assert decide(target(), 4, [wish(2), wish(3)], NOW) == Verdict(3, "to 3")
    assert decide(target(), 4, [], NOW) is None


def test_limits_are_kept_and_told() -> None:
    assert decide(target(maximum=3), 2, [wish(9)], NOW) == Verdict(3, "to 9")
    at_most = NotScaled("AlreadyAtMaxCapacity", 3)
    assert decide(target(maximum=3), 3, [wish(9)], NOW) == Verdict(3, "to 9", at_most)
    assert decide(target(minimum=2), 4, [wish(1)], NOW) == Verdict(2, "to 1")
    assert decide(target(minimum=2), 2, [wish(1)], NOW) == Verdict(2, "to 1", NotScaled("AlreadyAtMinCapacity", 2))


def test_cool_downs() -> None:
    out, back = target(out_at=NOW - 500), target(in_at=NOW - 500)
    assert decide(out, 2, [wish(4)], NOW) is None
    assert decide(out, 2, [wish(4, out=400)], NOW) == Verdict(4, "to 4")
    assert decide(back, 2, [wish(4)], NOW) == Verdict(4, "to 4")  # adding does not wait for what was taken away
    assert decide(back, 2, [wish(1)], NOW) is None
    assert decide(out, 2, [wish(1)], NOW) is None  # nor is just added taken away
    assert decide(out, 2, [wish(1)], NOW + 400) == Verdict(1, "to 1")


def test_what_is_suspended_is_not_done() -> None:
    assert decide(target(suspended=Suspended(scaling_out=True)), 2, [wish(4)], NOW) is None
    assert decide(target(suspended=Suspended(scaling_in=True)), 2, [wish(1)], NOW) is None
    assert decide(target(suspended=Suspended(scaling_in=True)), 2, [wish(4)], NOW) == Verdict(4, "to 4")


def test_a_correction_comes_at_once_and_before_everything_else() -> None:
    low = target(minimum=3, correction="minimum capacity was set to 3", out_at=NOW, suspended=Suspended(True, True, True))
    assert decide(low, 2, [wish(9)], NOW) == Verdict(3, "minimum capacity was set to 3")
    assert seen(low, 3, NOW).correction == ""
    assert seen(low, 2, NOW).correction == low.correction


def test_what_failed_is_tried_again_after_a_minute() -> None:
    failed = noted(target(), activity(status=ActivityStatus.FAILED, ended_at=NOW), NOW)
    assert decide(failed, 2, [wish(4)], NOW + 59) is None
    assert decide(failed, 2, [wish(4)], NOW + 60) == Verdict(4, "to 4")


def test_a_failure_that_comes_again_is_one_activity_and_a_reason_not_to_scale_is_told_once() -> None:
    failed = activity(status=ActivityStatus.FAILED, ended_at=NOW)
    again = noted(noted(target(), failed, NOW), replace(failed, uid="b", ended_at=NOW + 60), NOW + 60)
    assert [one.uid for one in again.activities] == ["b"]
    kept = activity(4, 4, not_scaled=NotScaled("AlreadyAtMaxCapacity", 4), status=ActivityStatus.UNFULFILLED, ended_at=NOW)
    once = noted(again, kept, NOW)
    assert noted(once, replace(kept, uid="c"), NOW) == once
    assert len(once.activities) == 2


def test_activities_are_bounded_in_number_and_time() -> None:
    full = target()
    for number in range(ACTIVITIES + 5):
        full = noted(full, activity(after=number, uid=str(number), status=ActivityStatus.SUCCESSFUL, ended_at=NOW), NOW)
    assert [one.uid for one in full.activities] == [str(number) for number in range(ACTIVITIES + 4, 4, -1)]
    late = noted(full, activity(uid="late"), NOW + 42 * 86400)
    assert [one.uid for one in late.activities] == ["late"]
    assert under_way(late) == late.activities[0]


@pytest.mark.parametrize(
    ("capacity", "available", "status"),
    [
        (4, False, ActivityStatus.IN_PROGRESS),
        (4, True, ActivityStatus.SUCCESSFUL),
        (2, False, ActivityStatus.IN_PROGRESS),
        (2, True, ActivityStatus.UNFULFILLED),
        (3, True, ActivityStatus.UNFULFILLED),
        (5, True, ActivityStatus.OVERRIDDEN),
    ],
)
def test_what_a_change_came_to(capacity: int, available: bool, status: ActivityStatus) -> None:
    assert outcome(activity(), capacity, available=available) is status


def test_the_end_of_a_change_begins_its_cool_down() -> None:
    running = noted(target(correction="limits"), activity(), NOW)
    done = ended(running, activity(), ActivityStatus.SUCCESSFUL, "done", NOW + 5)
    assert (done.out_at, done.in_at, done.changed_at, done.activities[0].ended_at) == (NOW + 5, 0.0, NOW + 5, NOW + 5)
    failed = ended(running, activity(), ActivityStatus.FAILED, "why", NOW + 5)
    assert (failed.out_at, failed.changed_at, failed.correction) == (0.0, 0.0, "limits")
    vain = ended(running, activity(), ActivityStatus.UNFULFILLED, "why", NOW + 5)
    assert (vain.out_at, vain.correction) == (NOW + 5, "")


def test_another_capacity_makes_what_was_measured_before_worthless() -> None:
    assert seen(target(), 2, NOW).changed_at == 0.0
    assert (seen(target(), 3, NOW).changed_at, seen(target(), 3, NOW).capacity) == (NOW, 3)


def daily(name: str, hour: int, low: int | None, high: int | None, **fields: object) -> ScheduledAction:
    made = ScheduledAction(
        name=name,
        uid=name,
        schedule=f"cron(0 {hour} * * ? *)",
        created_at=0.0,
        minimum=low,
        maximum=high,
        next_at=hour * 3600.0,
    )
    return replace(made, **fields)


def test_actions_that_were_missed_are_done_in_the_order_of_their_times() -> None:
    made = target(scheduled=(daily("night", 20, 1, 2), daily("morning", 6, 2, 9)))
    after, refused = scheduled(made, 34 * 3600.0)  # 10:00 of the next day
    assert refused == ()
    assert (after.minimum, after.maximum) == (2, 9)
    assert after.correction == "scheduled action name morning was triggered"
    assert [one.next_at / 3600 for one in after.scheduled] == [44, 54]
    assert scheduled(after, 34 * 3600.0) == (after, ())


def test_an_action_sets_what_it_names_and_is_refused_when_that_cannot_be() -> None:
    made = target(maximum=4, scheduled=(daily("more", 6, None, 8), daily("wrong", 7, 9, None)))
    after, refused = scheduled(made, 7 * 3600.0)
    assert (after.minimum, after.maximum) == (1, 8)
    assert [one.cause for one in refused] == ["scheduled action name wrong was triggered"]
    assert "9" in refused[0].why and "8" in refused[0].why


def test_suspended_schedules_pass() -> None:
    made = target(scheduled=(daily("night", 20, 1, 2),), suspended=Suspended(scheduled=True))
    after, _ = scheduled(made, 21 * 3600.0)
    assert (after.minimum, after.maximum, after.correction) == (1, 10, "")
    assert after.scheduled[0].next_at == 44 * 3600.0


def test_a_rate_that_was_missed_for_long_is_not_caught_up_with_for_ever() -> None:
    often = daily("often", 0, 2, None, schedule="rate(1 minute)", next_at=60.0)
    after, _ = scheduled(target(scheduled=(often,)), 1e7)
    assert after.minimum == 2
    assert 1e7 < after.scheduled[0].next_at <= 1e7 + 60


@given(st.integers(1, 10), st.lists(st.builds(wish, st.integers(0, 20)), max_size=4), st.integers(1, 10), st.integers(0, 9))
def test_what_is_decided_is_within_the_limits_and_in_a_direction_that_was_wished(
    capacity: int, wishes: list[Wish], minimum: int, more: int
) -> None:
    verdict = decide(target(minimum=minimum, maximum=minimum + more), capacity, wishes, NOW)
    if verdict is None or verdict.not_scaled is not None:
        return
    assert verdict.capacity != capacity
    if verdict.capacity > capacity:
        assert verdict.capacity <= minimum + more
        assert any(one.capacity >= verdict.capacity for one in wishes)
    else:
        assert verdict.capacity >= minimum
        assert all(one.capacity < capacity for one in wishes)
