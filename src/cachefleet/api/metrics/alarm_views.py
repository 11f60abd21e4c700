"""Alarms as CloudWatch shows them. Pure."""

from __future__ import annotations

from typing import Any

from cachefleet.api.metrics.metric_inputs import shown_metric
from cachefleet.metrics.statistics import SIMPLE
from cachefleet.model.alarm import AlarmChange, AlarmDesired, AlarmQuery, Missing, alarm_arn
from cachefleet.model.resource import Scope

METRIC_ALARM, COMPOSITE_ALARM = "MetricAlarm", "CompositeAlarm"


def alarm_type(alarm: AlarmDesired) -> str:
    return COMPOSITE_ALARM if alarm.is_composite else METRIC_ALARM


def alarm_view(scope: Scope, alarm: AlarmDesired) -> dict[str, Any]:
    state = alarm.state
    shown = {
        "AlarmName": alarm.name,
        "AlarmArn": alarm_arn(scope, alarm.name),
        "AlarmDescription": alarm.description or None,
        "AlarmConfigurationUpdatedTimestamp": alarm.configured_at,
        "ActionsEnabled": alarm.actions_enabled,
        "OKActions": list(alarm.ok_actions),
        "AlarmActions": list(alarm.alarm_actions),
        "InsufficientDataActions": list(alarm.insufficient_actions),
        "StateValue": state.value.value,
        "StateReason": state.reason,
        "StateReasonData": None if state.reason_data == "{}" else state.reason_data,
        "StateUpdatedTimestamp": state.updated_at or alarm.configured_at,
        "StateTransitionedTimestamp": state.transitioned_at or alarm.configured_at,
    }
    if alarm.is_composite:
        return {**shown, "AlarmRule": alarm.rule}
    return {
        **shown,
        **(_on_queries(alarm) if alarm.queries else _on_metric(alarm)),
        "EvaluationPeriods": alarm.evaluation_periods,
        "DatapointsToAlarm": alarm.datapoints,
        "Threshold": alarm.threshold,
        "ComparisonOperator": alarm.comparison.value,
        "TreatMissingData": None if alarm.missing is Missing.MISSING else alarm.missing.value,
        "EvaluateLowSampleCountPercentile": "ignore" if alarm.ignores_few_samples else None,
    }


def child_view(scope: Scope, alarm: AlarmDesired) -> dict[str, Any]:
    """What is told of the children of an alarm."""
    told = ("AlarmName", "AlarmArn", "StateValue", "StateUpdatedTimestamp")
    return {name: value for name, value in alarm_view(scope, alarm).items() if name in told}


def parent_view(scope: Scope, alarm: AlarmDesired) -> dict[str, Any]:
    return {"AlarmName": alarm.name, "AlarmArn": alarm_arn(scope, alarm.name)}


def _on_metric(alarm: AlarmDesired) -> dict[str, Any]:
    return {
        **shown_metric(alarm.series, alarm.metric),
        "Statistic" if alarm.statistic in SIMPLE else "ExtendedStatistic": alarm.statistic,
        "Period": alarm.period_s,
        "Unit": alarm.unit or None,
    }


def _on_queries(alarm: AlarmDesired) -> dict[str, Any]:
    return {"Metrics": [_query_view(query) for query in alarm.queries]}


def _query_view(query: AlarmQuery) -> dict[str, Any]:
    shown = {"Id": query.query_id, "Label": query.label or None, "ReturnData": query.is_watched}
    if query.series is None:
        return {**shown, "Expression": query.expression, "Period": query.period_s or None}
    stat = {
        "Metric": shown_metric(query.series, query.metric),
        "Period": query.period_s,
        "Stat": query.statistic,
        "Unit": query.unit or None,
    }
    return {**shown, "MetricStat": stat}


def history_view(alarm: AlarmDesired, change: AlarmChange) -> dict[str, Any]:
    return {
        "AlarmName": alarm.name,
        "AlarmType": alarm_type(alarm),
        "Timestamp": change.at,
        "HistoryItemType": change.kind,
        "HistorySummary": change.summary,
        "HistoryData": change.data,
    }
