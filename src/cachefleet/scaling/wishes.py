"""How much a policy wants there to be, by what its alarms say and what was measured. Pure (reference 9).

Target tracking goes by what was measured since the capacity changed last: values of more or fewer shards say nothing about
those that there are now. It is in no hurry to take away: what is left has to stay under the target with all the load that there
was.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from cachefleet.model.scaling import Adjustment, Dimension, ScalingPolicy, Step, StepScaling, TargetTracking

HIGH_PERIODS = 3  # over the target: scale out
LOW_PERIODS = 15  # under LOW of it: scale in
LOW = 0.75
_OUT_SHARE = 0.2  # of the shards, that are added at least
_FULLEST = 0.9  # of the target: what is left may become so full when something is taken away


class Wish(msgspec.Struct, frozen=True):
    """capacity: as it is now where a policy wants it to stay so. Cool-downs in seconds."""

    capacity: int
    cause: str
    out_cooldown_s: int
    in_cooldown_s: int


class Signal(msgspec.Struct, frozen=True):
    """An alarm that is in ALARM. value: what was measured in its last periods, taken together; None when nothing is known
    since the capacity changed last."""

    alarm: str
    threshold: float
    value: float | None


def tracking_wish(
    policy: ScalingPolicy, dimension: Dimension, capacity: int, raised: Sequence[str], values: Sequence[float]
) -> Wish | None:
    """raised: which of its alarms are in ALARM. values: of periods since the capacity changed last, oldest first. None where it
    has no say: it wants no more, and may not take away."""
    rule = policy.rule
    if not isinstance(rule, TargetTracking):
        return None
    high, low = policy.alarms
    recent, longer = values[-HIGH_PERIODS:], values[-LOW_PERIODS:]
    known = len(recent) == HIGH_PERIODS  # an alarm may still be of a time before
    wanted, alarm = capacity, high
    if high in raised and known and min(recent) > rule.target:
        wanted = _more(rule, dimension, capacity, recent)
    elif not rule.scales_in:
        return None
    elif low in raised and known and max(longer) < LOW * rule.target:
        wanted, alarm = _fewer(rule, dimension, capacity, longer), low
    return Wish(wanted, cause_of(alarm, policy.name), rule.out_cooldown_s, rule.in_cooldown_s)


def cause_of(alarm: str, policy: str) -> str:
    return f"monitor alarm {alarm} in state ALARM triggered policy {policy}"


def _more(rule: TargetTracking, dimension: Dimension, capacity: int, values: Sequence[float]) -> int:
    load = capacity * sum(values) / len(values)
    least = math.ceil(_OUT_SHARE * capacity) if dimension is Dimension.NODE_GROUPS else 1
    return max(_ceil(load / rule.target), capacity + max(1, least))


def _fewer(rule: TargetTracking, dimension: Dimension, capacity: int, values: Sequence[float]) -> int:
    wanted = max(0, _ceil(capacity * max(values) / (_FULLEST * rule.target)))
    if dimension is Dimension.REPLICAS:
        wanted = max(wanted, capacity - 1)
    return min(wanted, capacity)


def _ceil(number: float) -> int:
    """Rounding errors add no shard."""
    return math.ceil(number - 1e-9)


def step_wishes(policy: ScalingPolicy, capacity: int, signals: Sequence[Signal]) -> list[Wish]:
    """One for each alarm that invokes it and that a step is for."""
    rule = policy.rule
    if not isinstance(rule, StepScaling):
        return []
    made = []
    for signal in signals:
        step = _step_for(rule, signal.value - signal.threshold) if signal.value is not None else None
        if step is not None:
            wanted = max(0, adjusted(rule, capacity, step.adjustment))
            made.append(Wish(wanted, cause_of(signal.alarm, policy.name), rule.cooldown_s, rule.cooldown_s))
    return made


def _step_for(rule: StepScaling, over: float) -> Step | None:
    """Over the threshold a step holds from its lower bound on, under it down from its upper one."""
    for step in rule.steps:
        lower = -math.inf if step.lower is None else step.lower
        upper = math.inf if step.upper is None else step.upper
        if lower <= over < upper if over >= 0 else lower < over <= upper:
            return step
    return None


def adjusted(rule: StepScaling, capacity: int, adjustment: int) -> int:
    """Percentages are rounded towards the present capacity, but for those under one, which are one."""
    if rule.adjustment is Adjustment.EXACT:
        return adjustment
    change = adjustment
    if rule.adjustment is Adjustment.PERCENT:
        exact = capacity * adjustment / 100
        change = int(exact) if abs(exact) >= 1 else (exact > 0) - (exact < 0)
        if change and abs(change) < rule.least:
            change = int(math.copysign(rule.least, change))
    return capacity + change
