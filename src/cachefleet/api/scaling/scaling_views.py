"""Scalable targets, policies, scheduled actions and activities as Application Auto Scaling shows them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cachefleet.api.metrics.metric_inputs import shown_metric
from cachefleet.model.alarm import AlarmQuery, alarm_arn
from cachefleet.model.resource import Scope
from cachefleet.model.scaling import (
    NAMESPACE,
    ScalableTargetDesired,
    ScalingActivity,
    ScalingPolicy,
    ScheduledAction,
    StepScaling,
    TargetTracking,
    action_arn,
    policy_arn,
    target_arn,
)

ROLE = "AWSServiceRoleForApplicationAutoScaling_ElastiCacheRG"
_ROLE_PATH = f"aws-service-role/elasticache.application-autoscaling.amazonaws.com/{ROLE}"


def told(members: Mapping[str, Any]) -> dict[str, Any]:
    """Without those that have no value."""
    return {name: value for name, value in members.items() if value is not None}


def _of(target: ScalableTargetDesired) -> dict[str, Any]:
    return {
        "ServiceNamespace": NAMESPACE,
        "ResourceId": target.resource_id,
        "ScalableDimension": target.dimension.value,
    }


def target_view(scope: Scope, target: ScalableTargetDesired) -> dict[str, Any]:
    return {
        **_of(target),
        "ScalableTargetARN": target_arn(scope, target),
        "MinCapacity": target.minimum,
        "MaxCapacity": target.maximum,
        "RoleARN": f"arn:aws:iam::{scope.account}:role/{_ROLE_PATH}",
        "CreationTime": target.created_at,
        "SuspendedState": {
            "DynamicScalingInSuspended": target.suspended.scaling_in,
            "DynamicScalingOutSuspended": target.suspended.scaling_out,
            "ScheduledScalingSuspended": target.suspended.scheduled,
        },
    }


def alarms_view(scope: Scope, policy: ScalingPolicy) -> list[dict[str, Any]]:
    return [{"AlarmName": name, "AlarmARN": alarm_arn(scope, name)} for name in policy.alarms]


def policy_view(scope: Scope, target: ScalableTargetDesired, policy: ScalingPolicy) -> dict[str, Any]:
    rule = policy.rule
    shown = {
        "PolicyARN": policy_arn(scope, target, policy),
        "PolicyName": policy.name,
        **_of(target),
        "CreationTime": policy.created_at,
        "Alarms": alarms_view(scope, policy),
    }
    if isinstance(rule, TargetTracking):
        return {**shown, "PolicyType": "TargetTrackingScaling", "TargetTrackingScalingPolicyConfiguration": _tracking(rule)}
    return {**shown, "PolicyType": "StepScaling", "StepScalingPolicyConfiguration": _stepping(rule)}


def _tracking(rule: TargetTracking) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "TargetValue": rule.target,
        "ScaleOutCooldown": rule.out_cooldown_s,
        "ScaleInCooldown": rule.in_cooldown_s,
        "DisableScaleIn": not rule.scales_in,
    }
    if rule.predefined:
        return {**shown, "PredefinedMetricSpecification": {"PredefinedMetricType": rule.predefined}}
    if rule.queries:
        return {**shown, "CustomizedMetricSpecification": {"Metrics": [_query(query) for query in rule.queries]}}
    metric = {**shown_metric(rule.series, rule.metric), "Statistic": rule.statistic, "Unit": rule.unit or None}
    return {**shown, "CustomizedMetricSpecification": told(metric)}


def _query(query: AlarmQuery) -> dict[str, Any]:
    shown: dict[str, Any] = {"Id": query.query_id, "Label": query.label or None, "ReturnData": query.is_watched}
    if query.series is None:
        return told({**shown, "Expression": query.expression})
    metric = shown_metric(query.series, query.metric)
    return told({**shown, "MetricStat": told({"Metric": metric, "Stat": query.statistic, "Unit": query.unit or None})})


def _stepping(rule: StepScaling) -> dict[str, Any]:
    steps = [
        told(
            {
                "MetricIntervalLowerBound": step.lower,
                "MetricIntervalUpperBound": step.upper,
                "ScalingAdjustment": step.adjustment,
            }
        )
        for step in rule.steps
    ]
    shown = {
        "AdjustmentType": rule.adjustment.value,
        "StepAdjustments": steps,
        "MinAdjustmentMagnitude": rule.least or None,
        "Cooldown": rule.cooldown_s,
        "MetricAggregationType": rule.aggregation,
    }
    return told(shown)


def action_view(scope: Scope, target: ScalableTargetDesired, action: ScheduledAction) -> dict[str, Any]:
    shown = {
        "ScheduledActionName": action.name,
        "ScheduledActionARN": action_arn(scope, target, action),
        **_of(target),
        "Schedule": action.schedule,
        "Timezone": action.timezone or None,
        "StartTime": action.start or None,
        "EndTime": action.end or None,
        "ScalableTargetAction": told({"MinCapacity": action.minimum, "MaxCapacity": action.maximum}),
        "CreationTime": action.created_at,
    }
    return told(shown)


def activity_view(target: ScalableTargetDesired, activity: ScalingActivity) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "ActivityId": activity.uid,
        **_of(target),
        "Description": activity.description,
        "Cause": activity.cause,
        "StartTime": activity.began_at,
        "EndTime": activity.ended_at or None,
        "StatusCode": activity.status.value,
        "StatusMessage": activity.message or None,
    }
    if activity.not_scaled is None:
        return told(shown)
    limit = "MaxCapacity" if "Max" in activity.not_scaled.code else "MinCapacity"
    reason = {"Code": activity.not_scaled.code, limit: activity.not_scaled.capacity, "CurrentCapacity": activity.before}
    return told({**shown, "NotScaledReasons": [reason]})
