"""In which state an alarm is, by the values of its last periods: M of N, as CloudWatch evaluates them. Pure.

Somewhat more periods are looked at than the alarm asks for. As long as there are N values among them, the N youngest decide and
how missing ones count does not matter; else all that there are decide, with as many missing ones as are lacking.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from cachefleet.metrics.statistics import read_statistic
from cachefleet.model.alarm import AlarmChange, AlarmDesired, AlarmState, AlarmValue, Comparison, Missing, changed

MORE_PERIODS = 2  # that are looked at beyond those that the alarm asks for

_COMPARE: dict[Comparison, Callable[[float, float], bool]] = {
    Comparison.AT_LEAST: operator.ge,
    Comparison.ABOVE: operator.gt,
    Comparison.BELOW: operator.lt,
    Comparison.AT_MOST: operator.le,
}
_WORDS = {
    Comparison.AT_LEAST: "greater than or equal to",
    Comparison.ABOVE: "greater than",
    Comparison.BELOW: "less than",
    Comparison.AT_MOST: "less than or equal to",
}


class Rule(msgspec.Struct, frozen=True):
    evaluation_periods: int
    datapoints: int
    threshold: float
    comparison: Comparison
    missing: Missing


def rule_of(alarm: AlarmDesired) -> Rule:
    return Rule(alarm.evaluation_periods, alarm.datapoints, alarm.threshold, alarm.comparison, alarm.missing)


class Verdict(msgspec.Struct, frozen=True):
    """value None: the state stays as it is."""

    value: AlarmValue | None
    reason: str = ""
    recent: tuple[float, ...] = ()  # values that decided, oldest first


def period_ends(now: float, period_s: int, delay_s: float) -> int:
    """When the youngest period ends. Those of a minute and more end at full minutes, whatever their length, so that an alarm is
    evaluated every minute; finer ones at multiples of their length."""
    step = period_step(period_s)
    return int(now - delay_s) // step * step


def period_step(period_s: int) -> int:
    """How often a period ends, in seconds."""
    return min(60, period_s)


def evaluate(rule: Rule, points: Mapping[int, float], end: int, period_s: int) -> Verdict:
    """points: by the begin of the period; those that begin before end, MORE_PERIODS more than the rule asks for."""
    size = rule.evaluation_periods + MORE_PERIODS
    begins = [end - period_s * (size - number) for number in range(size)]
    values = [points.get(begin) for begin in begins]
    there = [(begin, value) for begin, value in zip(begins, values, strict=True) if value is not None]
    if len(there) >= rule.evaluation_periods:
        return _told(rule, there[-rule.evaluation_periods :], 0)
    filled = rule.evaluation_periods - len(there)
    if rule.missing in (Missing.BREACHING, Missing.NOT_BREACHING):
        return _told(rule, there, filled)
    return _without_filling(rule, values, there)


def is_told_by_few(alarm: AlarmDesired, counts: Mapping[int, float]) -> bool:
    """Whether its youngest percentile is of too few measurements to mean anything, and the alarm is to ignore that. counts: of
    measurements, by the begin of the period; empty for other alarms."""
    statistic = read_statistic(alarm.statistic)
    if not counts or statistic is None:
        return False
    percentage = statistic.high or 0.0
    beyond = round(min(percentage, 100 - percentage), 10)  # CloudWatch asks for ten measurements there
    return beyond > 0 and counts[max(counts)] * beyond < 10 * 100


def _without_filling(rule: Rule, values: Sequence[float | None], there: Sequence[tuple[int, float]]) -> Verdict:
    breaching = [value is not None and _breaches(rule, value) for value in values]
    enough = sum(breaching) >= rule.datapoints
    all_bad = bool(there) and sum(breaching) == len(there)
    if not there:
        if rule.missing is Missing.IGNORE:
            return Verdict(None)
        number = rule.evaluation_periods
        points = "datapoint was" if number == 1 else "datapoints were"
        return Verdict(AlarmValue.INSUFFICIENT_DATA, f"Insufficient Data: {number} {points} unknown.")
    if not enough and all_bad:
        # Nothing speaks against it: enough when the oldest of them is old enough, since nothing better has come.
        recent = breaching[-rule.evaluation_periods :]
        oldest = len(recent) - recent.index(True) if True in recent else 0
        if rule.missing is Missing.IGNORE or oldest < rule.datapoints:
            return Verdict(None)
        enough = True
    value = AlarmValue.ALARM if enough else AlarmValue.OK
    return Verdict(value, _reason(rule, there, value, 0), tuple(number for _, number in there))


def _told(rule: Rule, there: Sequence[tuple[int, float]], filled: int) -> Verdict:
    """filled: how many missing ones count as rule.missing says."""
    bad = sum(_breaches(rule, value) for _, value in there) + (filled if rule.missing is Missing.BREACHING else 0)
    value = AlarmValue.ALARM if bad >= rule.datapoints else AlarmValue.OK
    return Verdict(value, _reason(rule, there, value, filled), tuple(number for _, number in there))


def _breaches(rule: Rule, value: float) -> bool:
    return _COMPARE[rule.comparison](value, rule.threshold)


def _reason(rule: Rule, there: Sequence[tuple[int, float]], value: AlarmValue, filled: int) -> str:
    """In CloudWatch's words."""
    treated = ""
    if filled:
        kind = "Breaching" if rule.missing is Missing.BREACHING else "NonBreaching"
        were = "datapoint was" if filled == 1 else "datapoints were"
        treated = f"{filled} missing {were} treated as [{kind}]"
    if not there:
        periods = "period" if filled == 1 else "periods"
        return f"Threshold Crossed: no datapoints were received for {filled} {periods} and {treated}."
    bad = value is AlarmValue.ALARM
    told = [(begin, number) for begin, number in there if _breaches(rule, number) == bad] or list(there)
    shown = ", ".join(f"{number} ({_moment(begin)})" for begin, number in told[-5:])
    were = "was" if len(told) == 1 else "were"
    number = f"{len(told)} out of the last {rule.evaluation_periods} datapoints"
    text = f"Threshold Crossed: {number} [{shown}] {were} {'' if bad else 'not '}{_WORDS[rule.comparison]} the threshold"
    least = rule.datapoints if bad else rule.evaluation_periods - rule.datapoints + 1
    change = "OK -> ALARM" if bad else "ALARM -> OK"
    points = "datapoint" if least == 1 else "datapoints"
    text += f" ({rule.threshold}) (minimum {least} {points} for {change} transition)"
    return f"{text}; {treated}." if treated else f"{text}."


def _moment(epoch_s: int) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).strftime("%d/%m/%y %H:%M:%S")


def state_change(alarm: AlarmDesired, state: AlarmState, now: float) -> AlarmDesired:
    """In that state from now on. Only another value is a change for the history."""
    before = alarm.state
    if state.value is before.value:
        transitioned_at = before.transitioned_at
        return msgspec.structs.replace(
            alarm, state=msgspec.structs.replace(state, updated_at=now, transitioned_at=transitioned_at)
        )
    data = {"version": "1.0", "oldState": _state(before), "newState": _state(state)}
    summary = f"Alarm updated from {before.value.value} to {state.value.value}"
    change = AlarmChange(now, "StateUpdate", summary, msgspec.json.encode(data).decode())
    fresh = msgspec.structs.replace(state, updated_at=now, transitioned_at=now)
    return msgspec.structs.replace(alarm, state=fresh, history=changed(alarm, change))


def acted(alarm: AlarmDesired, action: str, error: str, now: float) -> AlarmDesired:
    """With an action in its history. error: why it failed, "" when it did not."""
    data = {
        "actionState": "Failed" if error else "Succeeded",
        "stateUpdateTimestamp": int(alarm.state.transitioned_at * 1000),
        "notificationResource": action,
        **({"error": error} if error else {}),
    }
    done = (
        f'Failed to execute action {action}. Received error: "{error}"' if error else f"Successfully executed action {action}"
    )
    change = AlarmChange(now, "Action", done, msgspec.json.encode(data).decode())
    return msgspec.structs.replace(alarm, history=changed(alarm, change))


def _state(state: AlarmState) -> dict[str, object]:
    return {
        "stateValue": state.value.value,
        "stateReason": state.reason,
        "stateReasonData": msgspec.Raw(state.reason_data.encode()),
    }
