"""What a topic is told when an alarm changes: subject and message in CloudWatch's form. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from cachefleet.metrics.statistics import SIMPLE
from cachefleet.model.alarm import AlarmDesired, AlarmQuery, AlarmState, alarm_arn
from cachefleet.model.metric import Series
from cachefleet.model.resource import Scope

SUBJECT_LENGTH = 100  # of SNS
_STATISTICS = {"Average": "AVERAGE", "Sum": "SUM", "Minimum": "MINIMUM", "Maximum": "MAXIMUM", "SampleCount": "SAMPLE_COUNT"}


def iso(at: float) -> str:
    """Milliseconds, and the zone as CloudWatch writes it."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "+0000"


def subject(scope: Scope, alarm: AlarmDesired) -> str:
    """Of the state that it is in now. A long name is cut."""
    before, after = f'{alarm.state.value.value}: "', f'" in {scope.region}'
    room = SUBJECT_LENGTH - len(before) - len(after)
    name = alarm.name if len(alarm.name) <= room else alarm.name[: max(0, room - 3)] + "..."
    return f"{before}{name}{after}"[:SUBJECT_LENGTH]


def message(scope: Scope, alarm: AlarmDesired, before: AlarmState) -> str:
    """JSON. alarm: in its new state; before: the old one."""
    state = alarm.state
    told: dict[str, Any] = {
        "AlarmName": alarm.name,
        "AlarmDescription": alarm.description or None,
        "AWSAccountId": scope.account,
        "AlarmConfigurationUpdatedTimestamp": iso(alarm.configured_at),
        "NewStateValue": state.value.value,
        "NewStateReason": state.reason,
        "StateChangeTime": iso(state.transitioned_at),
        "Region": scope.region,
        "AlarmArn": alarm_arn(scope, alarm.name),
        "OldStateValue": before.value.value,
        "OKActions": alarm.ok_actions,
        "AlarmActions": alarm.alarm_actions,
        "InsufficientDataActions": alarm.insufficient_actions,
    }
    if alarm.is_composite:
        told |= {"AlarmRule": alarm.rule, "TriggeringChildren": _triggering(state)}
    else:
        told["Trigger"] = _trigger(alarm)
    return msgspec.json.encode(told).decode()


class _Seen(msgspec.Struct):
    value: str
    timestamp: str


class _Child(msgspec.Struct):
    arn: str
    state: _Seen


class _Data(msgspec.Struct):
    """Of a composite alarm's state, as metrics.composite_alarms writes it."""

    children: list[_Child] = msgspec.field(default_factory=list, name="triggeringAlarms")


def _triggering(state: AlarmState) -> Sequence[Mapping[str, Any]]:
    """None of a state that somebody has set with data of another form."""
    try:
        found = msgspec.json.decode(state.reason_data, type=_Data).children
    except (msgspec.MsgspecError, RecursionError):
        return []
    return [{"Arn": one.arn, "State": {"Value": one.state.value, "Timestamp": one.state.timestamp}} for one in found]


def _trigger(alarm: AlarmDesired) -> dict[str, Any]:
    rule = {
        "Period": alarm.period_s,
        "EvaluationPeriods": alarm.evaluation_periods,
        "DatapointsToAlarm": alarm.datapoints,
        "ComparisonOperator": alarm.comparison.value,
        "Threshold": alarm.threshold,
        "TreatMissingData": alarm.missing.value,
        "EvaluateLowSampleCountPercentile": "ignore" if alarm.ignores_few_samples else "",
    }
    if alarm.queries:
        return {**rule, "Metrics": [_query(query) for query in alarm.queries]}
    if alarm.statistic in SIMPLE:
        statistic = {"StatisticType": "Statistic", "Statistic": _STATISTICS[alarm.statistic]}
    else:
        statistic = {"StatisticType": "ExtendedStatistic", "ExtendedStatistic": alarm.statistic}
    return {**_metric(alarm.metric, alarm.series), **statistic, "Unit": alarm.unit or None, **rule}


def _metric(name: str, series: Series) -> dict[str, Any]:
    dimensions = [{"value": value, "name": key} for key, value in series.dimensions]
    return {"MetricName": name, "Namespace": series.namespace, "Dimensions": dimensions}


def _query(query: AlarmQuery) -> dict[str, Any]:
    told: dict[str, Any] = {"Id": query.query_id, "ReturnData": query.is_watched}
    if query.label:
        told["Label"] = query.label
    if query.series is None:
        return {**told, "Expression": query.expression, **({"Period": query.period_s} if query.period_s else {})}
    stat: dict[str, Any] = {
        "Metric": _metric(query.metric, query.series),
        "Period": query.period_s,
        "Stat": query.statistic,
    }
    return {**told, "MetricStat": {**stat, "Unit": query.unit} if query.unit else stat}
