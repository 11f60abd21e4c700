"""What becomes of a scalable target: which capacity it gets next and why, what its limits are, how far a change is. Pure.

The largest wish wins. Something is taken away only when every policy that tracks a target agrees. Cool-downs count from the end
of a change on; adding waits for no removal's, removing for both. Called by telemetry.scaler.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from cachefleet.model.scaling import (
    ACTIVITIES,
    KEPT_S,
    UNDER_WAY,
    ActivityStatus,
    NotScaled,
    ScalableTargetDesired,
    ScalingActivity,
    ScheduledAction,
)
from cachefleet.scaling.schedules import BadSchedule, next_due, read_schedule
from cachefleet.scaling.wishes import Wish

RETRY_S = 60.0  # nothing is tried again so soon after it failed
_MISSED = 1000  # scheduled moments that are caught up with


class Verdict(msgspec.Struct, frozen=True):
    """Another capacity, or why it stays."""

    capacity: int
    cause: str
    not_scaled: NotScaled | None = None


def decide(target: ScalableTargetDesired, capacity: int, wishes: Sequence[Wish], now: float) -> Verdict | None:
    """None: nothing is to be done, or not yet. Nothing else may be under way."""
    last = next((one for one in target.activities if one.not_scaled is None), None)
    if last is not None and last.status is ActivityStatus.FAILED and now - last.ended_at < RETRY_S:
        return None
    if target.correction:
        wanted = _within(target, capacity)
        return Verdict(wanted, target.correction) if wanted != capacity else None
    more = [wish for wish in wishes if wish.capacity > capacity]
    if more:
        return _out(target, capacity, max(more, key=lambda wish: wish.capacity), now)
    fewer = [wish for wish in wishes if wish.capacity < capacity]
    if not fewer or len(fewer) < len(wishes):
        return None
    return _in(target, capacity, max(fewer, key=lambda wish: wish.capacity), now)


def _out(target: ScalableTargetDesired, capacity: int, wish: Wish, now: float) -> Verdict | None:
    if target.suspended.scaling_out or now - target.out_at < wish.out_cooldown_s:
        return None
    wanted = min(wish.capacity, target.maximum)
    if wanted > capacity:
        return Verdict(wanted, wish.cause)
    return Verdict(capacity, wish.cause, NotScaled("AlreadyAtMaxCapacity", capacity))


def _in(target: ScalableTargetDesired, capacity: int, wish: Wish, now: float) -> Verdict | None:
    if target.suspended.scaling_in or now - max(target.in_at, target.out_at) < wish.in_cooldown_s:
        return None
    wanted = max(wish.capacity, target.minimum)
    if wanted < capacity:
        return Verdict(wanted, wish.cause)
    return Verdict(capacity, wish.cause, NotScaled("AlreadyAtMinCapacity", capacity))


def _within(target: ScalableTargetDesired, capacity: int) -> int:
    return max(target.minimum, min(target.maximum, capacity))


# --- the capacity that there is ------------------------------------------------------------------------------------


def seen(target: ScalableTargetDesired, capacity: int, now: float) -> ScalableTargetDesired:
    """capacity: as it is while nothing is under way. A change of it by whomever makes older measurements worthless."""
    settled = replace(target, correction="") if target.correction and _within(target, capacity) == capacity else target
    return settled if settled.capacity == capacity else replace(settled, capacity=capacity, changed_at=now)


# --- activities ----------------------------------------------------------------------------------------------------


def noted(target: ScalableTargetDesired, activity: ScalingActivity, now: float) -> ScalableTargetDesired:
    """With one more activity. The same reason not to scale is said once, a failure like the one before only dated anew."""
    before = target.activities
    if before and _same(before[0], activity):
        if activity.not_scaled is not None:
            return target
        before = before[1:]
    kept = [one for one in (activity, *before) if not one.ended_at or now - one.ended_at < KEPT_S]
    return replace(target, activities=tuple(kept[:ACTIVITIES]))


def is_retry(target: ScalableTargetDesired, verdict: Verdict) -> bool:
    """Whether it is what failed last."""
    last = target.activities[0] if target.activities else None
    failed = last is not None and last.status is ActivityStatus.FAILED
    return last is not None and failed and (last.cause, last.after) == (verdict.cause, verdict.capacity)


def _same(before: ScalingActivity, now: ScalingActivity) -> bool:
    alike = (before.cause, before.after, before.not_scaled) == (now.cause, now.after, now.not_scaled)
    return alike and (now.not_scaled is not None or before.status is ActivityStatus.FAILED)


def under_way(target: ScalableTargetDesired) -> ScalingActivity | None:
    return next((one for one in target.activities if one.status in UNDER_WAY), None)


def is_pressing(target: ScalableTargetDesired, now: float) -> bool:
    """Whether something is under way or due, whatever the alarms say."""
    return bool(target.correction) or under_way(target) is not None or any(0 < one.next_at <= now for one in target.scheduled)


def with_activity(target: ScalableTargetDesired, activity: ScalingActivity) -> ScalableTargetDesired:
    """That activity as it is now."""
    return replace(target, activities=tuple(activity if one.uid == activity.uid else one for one in target.activities))


def outcome(activity: ScalingActivity, capacity: int, *, available: bool) -> ActivityStatus:
    """capacity: as it is asked for by now. Of a change that was asked for."""
    if capacity == activity.after:
        return ActivityStatus.SUCCESSFUL if available else ActivityStatus.IN_PROGRESS
    if not available:
        return ActivityStatus.IN_PROGRESS
    first, last = sorted((activity.before, activity.after))
    return ActivityStatus.UNFULFILLED if first <= capacity <= last else ActivityStatus.OVERRIDDEN


def ended(
    target: ScalableTargetDesired, activity: ScalingActivity, status: ActivityStatus, message: str, now: float
) -> ScalableTargetDesired:
    """Cool-downs begin, but not of what has failed: that was never begun."""
    done = with_activity(target, replace(activity, status=status, message=message, ended_at=now))
    if status is ActivityStatus.FAILED:
        return done
    changed = replace(done, changed_at=now, capacity=activity.after)
    if status is not ActivityStatus.SUCCESSFUL:
        changed = replace(changed, correction="")  # what cannot be is not tried for ever
    return replace(changed, out_at=now) if activity.after > activity.before else replace(changed, in_at=now)


# --- schedules -----------------------------------------------------------------------------------------------------


class Refused(msgspec.Struct, frozen=True):
    """A scheduled action that could not be done."""

    cause: str
    why: str


def scheduled(target: ScalableTargetDesired, now: float) -> tuple[ScalableTargetDesired, tuple[Refused, ...]]:
    """What its limits are once all actions that are due by now have been done, in the order of their times."""
    refused: list[Refused] = []
    for _ in range(_MISSED):
        due = min((one for one in target.scheduled if 0 < one.next_at <= now), key=lambda one: one.next_at, default=None)
        if due is None:
            break
        later = replace(due, next_at=_next(due, due.next_at))
        target = replace(target, scheduled=tuple(later if one.uid == due.uid else one for one in target.scheduled))
        if target.suspended.scheduled:
            continue
        cause = f"scheduled action name {due.name} was triggered"
        minimum = target.minimum if due.minimum is None else due.minimum
        maximum = target.maximum if due.maximum is None else due.maximum
        if minimum > maximum:
            refused.append(Refused(cause, f"Minimum capacity {minimum} would be more than maximum capacity {maximum}."))
        else:
            target = replace(target, minimum=minimum, maximum=maximum, correction=cause)
    else:  # due far too often since: from now on
        caught_up = [replace(one, next_at=_next(one, now)) if 0 < one.next_at <= now else one for one in target.scheduled]
        target = replace(target, scheduled=tuple(caught_up))
    return target, tuple(refused)


def _next(action: ScheduledAction, after: float) -> float:
    try:
        schedule = read_schedule(action.schedule, action.timezone)
    except BadSchedule:  # the machine does not know its time zone any more
        return 0.0
    return next_due(schedule, after, action.created_at, action.start, action.end)
