"""What PutMetricAlarm takes, as an alarm. Pure, but for the caller's account and region."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cachefleet.api.alarm_actions import read_actions
from cachefleet.api.context import Context
from cachefleet.api.metric_inputs import (
    checked_period,
    checked_statistic,
    checked_text,
    checked_unit,
    read_metric,
    refuse_value,
)
from cachefleet.api.names import quoted
from cachefleet.metrics.statistics import SIMPLE, Statistic
from cachefleet.model.alarm import AlarmDesired, Comparison, Missing
from cachefleet.model.errors import AwsError, invalid_combination

NAME_LENGTH = 255
DESCRIPTION_LENGTH = 1024
DAY_S = 86400
LONGEST_S = 7 * DAY_S  # of all evaluation periods together, where a period is an hour or more
_FEW = ("evaluate", "ignore")


def read_alarm(context: Context, request: Mapping[str, Any]) -> AlarmDesired:
    """As a new one. Raises InvalidParameterValue, InvalidParameterCombination, MissingParameter."""
    name = checked_alarm_name(request["AlarmName"])
    statistic = _statistic(request)
    metric = read_metric(context, request, "", refuse_value)
    for member in ("Period", "EvaluationPeriods", "Threshold", "ComparisonOperator"):
        if request.get(member) is None:
            raise _missing(member)
    period_s, periods = checked_period(request["Period"], "Period", refuse_value), int(request["EvaluationPeriods"])
    longest_s = LONGEST_S if period_s >= 3600 else DAY_S
    if periods < 1 or period_s * periods > longest_s:
        raise refuse_value(
            f"EvaluationPeriods must be at least 1, and EvaluationPeriods * Period at most {longest_s}: metrics cannot be "
            f"checked across more than {longest_s // DAY_S} days."
        )
    datapoints = int(request.get("DatapointsToAlarm") or periods)
    if not 1 <= datapoints <= periods:
        raise refuse_value(f"The parameter DatapointsToAlarm must be 1 to EvaluationPeriods, which is {periods}.")
    description = request.get("AlarmDescription") or ""
    if len(description) > DESCRIPTION_LENGTH:
        raise refuse_value(f"The parameter AlarmDescription has {len(description)} characters; at most {DESCRIPTION_LENGTH}.")
    return AlarmDesired(
        name=name,
        series=metric.series,
        metric=metric.name,
        statistic=statistic.text,
        period_s=period_s,
        evaluation_periods=periods,
        datapoints=datapoints,
        threshold=_threshold(request["Threshold"]),
        comparison=_one_of(Comparison, request["ComparisonOperator"], "ComparisonOperator"),
        missing=_one_of(Missing, request.get("TreatMissingData") or Missing.MISSING.value, "TreatMissingData"),
        unit=checked_unit(request.get("Unit"), "Unit", refuse_value),
        description=description,
        ignores_few_samples=_ignores_few_samples(request, statistic),
        actions_enabled=request.get("ActionsEnabled") is not False,
        configured_at=context.clock.now(),
        alarm_actions=read_actions(context.scope, request, "AlarmActions"),
        ok_actions=read_actions(context.scope, request, "OKActions"),
        insufficient_actions=read_actions(context.scope, request, "InsufficientDataActions"),
    )


def checked_alarm_name(name: str) -> str:
    return checked_text(name, "AlarmName", NAME_LENGTH, refuse_value)


def _statistic(request: Mapping[str, Any]) -> Statistic:
    simple, extended = request.get("Statistic") or "", request.get("ExtendedStatistic") or ""
    if bool(simple) == bool(extended):
        raise invalid_combination("Exactly one of the parameters Statistic and ExtendedStatistic must be given.")
    if simple and simple not in SIMPLE:
        raise refuse_value(f"The parameter Statistic must be a value in the set [ {', '.join(SIMPLE)} ].")
    where = "Statistic" if simple else "ExtendedStatistic"
    found = checked_statistic(simple or extended, where, refuse_value)
    if bool(extended) != found.is_extended:
        raise refuse_value(f"The value {quoted(extended)} for parameter ExtendedStatistic is invalid: give it as Statistic.")
    return found


def _ignores_few_samples(request: Mapping[str, Any], statistic: Statistic) -> bool:
    text = request.get("EvaluateLowSampleCountPercentile")
    if text is None:
        return False
    if not statistic.is_extended:
        raise invalid_combination("EvaluateLowSampleCountPercentile is only for percentiles, which ExtendedStatistic names.")
    if text not in _FEW:
        raise refuse_value(f"The parameter EvaluateLowSampleCountPercentile must be a value in the set [ {', '.join(_FEW)} ].")
    return bool(text == "ignore")


def _threshold(number: Any) -> float:
    threshold = float(number)
    if threshold - threshold != 0:  # infinite, or no number
        raise refuse_value("The parameter Threshold must be a finite number.")
    return threshold


def _one_of(kind: type[Any], text: str, field: str) -> Any:
    try:
        return kind(text)
    except ValueError:
        choices = ", ".join(one.value for one in kind)
        raise refuse_value(f"The parameter {field} must be a value in the set [ {choices} ].") from None


def _missing(member: str) -> AwsError:
    return AwsError("MissingParameter", f"The parameter {member} is required.")
