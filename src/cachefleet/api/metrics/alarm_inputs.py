"""What PutMetricAlarm and PutCompositeAlarm take, as an alarm. Pure, but for the caller's account and region."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from cachefleet.api.context import Context
from cachefleet.api.metrics.alarm_actions import read_actions
from cachefleet.api.metrics.alarm_rows import checked_alarm_name
from cachefleet.api.metrics.metric_inputs import (
    checked_period,
    checked_statistic,
    checked_unit,
    read_metric,
    refuse_query,
    refuse_value,
)
from cachefleet.api.metrics.metric_queries import read_queries
from cachefleet.api.names import quoted
from cachefleet.metrics.alarm_queries import check_shape, stored
from cachefleet.metrics.alarm_rules import RuleError, read_rule
from cachefleet.metrics.queries import QueryFailed
from cachefleet.metrics.statistics import SIMPLE, Statistic
from cachefleet.model.alarm import AlarmDesired, AlarmQuery, Comparison, Missing
from cachefleet.model.errors import AwsError, invalid_combination

DESCRIPTION_LENGTH = 1024
DAY_S = 86400
LONGEST_S = 7 * DAY_S  # of all evaluation periods together, where a period is an hour or more
MAX_METRICS = 10  # that an expression is computed from
MAX_QUERIES = 20
_FEW = ("evaluate", "ignore")
_OF_ONE_METRIC = ("MetricName", "Namespace", "Dimensions", "Period", "Unit", "Statistic", "ExtendedStatistic")


def read_alarm(context: Context, request: Mapping[str, Any]) -> AlarmDesired:
    """As a new one. Raises InvalidParameterValue, InvalidParameterCombination, MissingParameter, ValidationError."""
    alarm = _named(context, request)
    alarm = _on_queries(context, request, alarm) if request.get("Metrics") else _on_metric(context, request, alarm)
    for member in ("EvaluationPeriods", "Threshold", "ComparisonOperator"):
        if request.get(member) is None:
            raise _missing(member)
    periods, period_s = int(request["EvaluationPeriods"]), alarm.period_s
    longest_s = LONGEST_S if period_s >= 3600 else DAY_S
    if periods < 1 or period_s * periods > longest_s:
        raise refuse_value(
            f"EvaluationPeriods must be at least 1, and EvaluationPeriods * Period at most {longest_s}: metrics cannot be "
            f"checked across more than {longest_s // DAY_S} days."
        )
    datapoints = int(request.get("DatapointsToAlarm", periods))
    if not 1 <= datapoints <= periods:
        raise refuse_value(f"The parameter DatapointsToAlarm must be 1 to EvaluationPeriods, which is {periods}.")
    return replace(
        alarm,
        evaluation_periods=periods,
        datapoints=datapoints,
        threshold=_threshold(request["Threshold"]),
        comparison=_one_of(Comparison, request["ComparisonOperator"], "ComparisonOperator"),
        missing=_one_of(Missing, request.get("TreatMissingData") or Missing.MISSING.value, "TreatMissingData"),
    )


def read_composite_alarm(context: Context, request: Mapping[str, Any]) -> AlarmDesired:
    """As a new one. Raises InvalidParameterValue, ValidationError."""
    alarm = _named(context, request)
    try:
        read_rule(request["AlarmRule"], context.scope)
    except RuleError as error:
        raise refuse_query(f"AlarmRule cannot be used: {error}.") from None
    for arn in (*alarm.alarm_actions, *alarm.ok_actions, *alarm.insufficient_actions):
        if ":autoscaling:" in arn:
            raise refuse_query(f"The action {quoted(arn)} is not for composite alarms, which can only notify SNS topics.")
    return replace(alarm, rule=request["AlarmRule"])


def _named(context: Context, request: Mapping[str, Any]) -> AlarmDesired:
    """What every kind of alarm has."""
    description = request.get("AlarmDescription") or ""
    if len(description) > DESCRIPTION_LENGTH:
        raise refuse_value(f"The parameter AlarmDescription has {len(description)} characters; at most {DESCRIPTION_LENGTH}.")
    return AlarmDesired(
        name=checked_alarm_name(request["AlarmName"]),
        description=description,
        actions_enabled=request.get("ActionsEnabled") is not False,
        configured_at=context.clock.now(),
        alarm_actions=read_actions(context.scope, request, "AlarmActions"),
        ok_actions=read_actions(context.scope, request, "OKActions"),
        insufficient_actions=read_actions(context.scope, request, "InsufficientDataActions"),
    )


def _on_metric(context: Context, request: Mapping[str, Any], alarm: AlarmDesired) -> AlarmDesired:
    statistic = _statistic(request)
    metric = read_metric(context, request, "", refuse_value)
    if request.get("Period") is None:
        raise _missing("Period")
    return replace(
        alarm,
        series=metric.series,
        metric=metric.name,
        statistic=statistic.text,
        period_s=checked_period(request["Period"], "Period", refuse_value),
        unit=checked_unit(request.get("Unit"), "Unit", refuse_value),
        ignores_few_samples=_ignores_few_samples(request, statistic),
    )


def _on_queries(context: Context, request: Mapping[str, Any], alarm: AlarmDesired) -> AlarmDesired:
    given: Sequence[Mapping[str, Any]] = request["Metrics"]
    for member in (*_OF_ONE_METRIC, "EvaluateLowSampleCountPercentile"):
        if request.get(member):
            raise invalid_combination(f"{member} and Metrics cannot be used together; the metrics of Metrics have their own.")
    queries, period_s = read_watched(context, given)
    return replace(alarm, queries=queries, period_s=period_s)


def read_watched(context: Context, given: Sequence[Mapping[str, Any]]) -> tuple[tuple[AlarmQuery, ...], int]:
    """(queries of which one is watched, the period that all have). Raises ValidationError."""
    queries = read_queries(context, given, "Metrics", MAX_QUERIES)
    metrics = [query.wanted for query in queries if query.wanted is not None]
    if not 1 <= len(metrics) <= MAX_METRICS:
        raise refuse_query(f"Metrics must have 1 to {MAX_METRICS} metrics; it has {len(metrics)}.")
    if sum(query.is_returned for query in queries) != 1:
        raise refuse_query("Exactly one element of Metrics must have ReturnData true: the one that the alarm watches.")
    periods = {wanted.period_s for wanted in metrics} | {query.period_s for query in queries if query.period_s}
    if len(periods) > 1:
        raise refuse_query(f"All metrics and expressions of an alarm must have the same Period; these have {sorted(periods)}.")
    try:
        check_shape(queries)
    except QueryFailed as error:
        raise refuse_query(str(error)) from None
    texts = [one.get("Expression", "") for one in given]
    return tuple(stored(query, text) for query, text in zip(queries, texts, strict=True)), periods.pop()


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
    if statistic.kind != "p":
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
