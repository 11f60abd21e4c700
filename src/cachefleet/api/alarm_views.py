"""Alarms as CloudWatch shows them. Pure."""

from __future__ import annotations

from typing import Any

from cachefleet.api.metric_inputs import shown_metric
from cachefleet.metrics.statistics import SIMPLE
from cachefleet.model.alarm import AlarmChange, AlarmDesired, Missing, alarm_arn
from cachefleet.model.resource import Scope


def alarm_view(scope: Scope, alarm: AlarmDesired) -> dict[str, Any]:
    state = alarm.state
    return {
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
        **shown_metric(alarm.series, alarm.metric),
        "Statistic" if alarm.statistic in SIMPLE else "ExtendedStatistic": alarm.statistic,
        "Period": alarm.period_s,
        "Unit": alarm.unit or None,
        "EvaluationPeriods": alarm.evaluation_periods,
        "DatapointsToAlarm": alarm.datapoints,
        "Threshold": alarm.threshold,
        "ComparisonOperator": alarm.comparison.value,
        "TreatMissingData": None if alarm.missing is Missing.MISSING else alarm.missing.value,
        "EvaluateLowSampleCountPercentile": "ignore" if alarm.ignores_few_samples else None,
    }


def history_view(alarm: AlarmDesired, change: AlarmChange) -> dict[str, Any]:
    return {
        "AlarmName": alarm.name,
        "AlarmType": "MetricAlarm",
        "Timestamp": change.at,
        "HistoryItemType": change.kind,
        "HistorySummary": change.summary,
        "HistoryData": change.data,
    }
