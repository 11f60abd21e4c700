"""What PutScalingPolicy takes, as a rule, and the alarms that go with target tracking. Pure (reference 9)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from cachefleet.api.context import Context
from cachefleet.api.metrics.alarm_inputs import read_watched
from cachefleet.api.metrics.metric_inputs import checked_unit, read_metric
from cachefleet.api.scaling.scaling_inputs import TargetName, one_of, read_number, refused
from cachefleet.metrics.periods import MINUTE_S
from cachefleet.metrics.statistics import SIMPLE
from cachefleet.model.alarm import AlarmDesired, AlarmQuery, Comparison
from cachefleet.model.metric import NODES, Series
from cachefleet.model.metric_interval import interval_s
from cachefleet.model.row import GroupRow
from cachefleet.model.scaling import Adjustment, Dimension, Step, StepScaling, TargetTracking
from cachefleet.scaling.wishes import HIGH_PERIODS, LOW, LOW_PERIODS

TRACKING, STEPS = "TargetTrackingScaling", "StepScaling"
CONFIGURATIONS = {TRACKING: "TargetTrackingScalingPolicyConfiguration", STEPS: "StepScalingPolicyConfiguration"}
OUT_COOLDOWN_S, IN_COOLDOWN_S, STEP_COOLDOWN_S = 600, 900, 600
LOWEST_TARGET, HIGHEST_TARGET = 35, 70
MOST_STEPS = 20
_SHORTEST_S = 10
_OF_ONE_METRIC = ("MetricName", "Namespace", "Dimensions", "Statistic", "Unit")
_CPU, _BOTH = "EngineCPUUtilization", (Dimension.NODE_GROUPS, Dimension.REPLICAS)
_CONFIGURATION = CONFIGURATIONS[TRACKING]
_CUSTOM = f"{_CONFIGURATION}.CustomizedMetricSpecification"

# Metric, further dimensions, what may be scaled by it.
_PREDEFINED: dict[str, tuple[str, tuple[tuple[str, str], ...], tuple[Dimension, ...]]] = {
    "ElastiCachePrimaryEngineCPUUtilization": (_CPU, (("Role", "Primary"),), (Dimension.NODE_GROUPS,)),
    "ElastiCacheReplicaEngineCPUUtilization": (_CPU, (("Role", "Replica"),), (Dimension.REPLICAS,)),
    "ElastiCacheEngineCPUUtilization": (_CPU, (), _BOTH),
    **{
        f"ElastiCacheDatabase{kind}UsageCountedForEvictPercentage": (
            f"Database{kind}UsageCountedForEvictPercentage",
            (),
            (Dimension.NODE_GROUPS,),
        )
        for kind in ("Memory", "Capacity")
    },
}


# --- target tracking -----------------------------------------------------------------------------------------------


def read_tracking(context: Context, name: TargetName, given: Mapping[str, Any]) -> TargetTracking:
    """Raises ValidationException, MissingParameter."""
    predefined, custom = given.get("PredefinedMetricSpecification"), given.get("CustomizedMetricSpecification")
    if bool(predefined) == bool(custom):
        raise refused(f"{_CONFIGURATION}: give exactly one of PredefinedMetricSpecification and CustomizedMetricSpecification.")
    common = {
        "target": _target(given["TargetValue"], predefined=bool(predefined)),
        "out_cooldown_s": _cooldown(given, "ScaleOutCooldown", OUT_COOLDOWN_S),
        "in_cooldown_s": _cooldown(given, "ScaleInCooldown", IN_COOLDOWN_S),
        "scales_in": not given.get("DisableScaleIn"),
    }
    if predefined:
        return _predefined(context, name, predefined, common)
    return _customized(context, custom or {}, common)


def _predefined(context: Context, name: TargetName, given: Mapping[str, Any], common: Mapping[str, Any]) -> TargetTracking:
    if given.get("ResourceLabel"):
        raise refused("PredefinedMetricSpecification.ResourceLabel is not for ElastiCache; leave it out.")
    usable = [kind for kind, (_, _, dimensions) in _PREDEFINED.items() if name.dimension in dimensions]
    if not usable:
        raise refused(
            f"PredefinedMetricSpecification: there is none for {name.dimension.value}; use a CustomizedMetricSpecification, "
            "such as CPUUtilization of the cluster."
        )
    kind = one_of(given["PredefinedMetricType"], usable, f"PredefinedMetricType for {name.dimension.value}")
    metric, more, _ = _PREDEFINED[kind]
    pairs = tuple(sorted((("ReplicationGroupId", name.resource), *more)))
    series = Series(context.scope.account, context.scope.region, NODES, pairs)
    return TargetTracking(series=series, metric=metric, statistic="Average", predefined=kind, **common)


def _customized(context: Context, given: Mapping[str, Any], common: Mapping[str, Any]) -> TargetTracking:
    if given.get("Metrics"):
        return TargetTracking(queries=_queries(context, given), **common)
    metric = read_metric(context, given, f"{_CUSTOM}.", refused)
    return TargetTracking(
        series=metric.series,
        metric=metric.name,
        statistic=one_of(given.get("Statistic") or "", list(SIMPLE), f"{_CUSTOM}.Statistic"),
        unit=checked_unit(given.get("Unit"), f"{_CUSTOM}.Unit", refused),
        **common,
    )


def _queries(context: Context, given: Mapping[str, Any]) -> tuple[AlarmQuery, ...]:
    """As an alarm has them; the period is the alarm's. Raises ValidationError, ValidationException."""
    single = next((member for member in _OF_ONE_METRIC if given.get(member)), "")
    if single:
        raise refused(f"{_CUSTOM}: {single} and Metrics cannot be used together; the metrics of Metrics have their own.")
    asked = [
        {**one, "MetricStat": {**one["MetricStat"], "Period": MINUTE_S}} if one.get("MetricStat") else one
        for one in given["Metrics"]
    ]
    return read_watched(context, asked)[0]


def _target(value: float, *, predefined: bool) -> float:
    if predefined and not LOWEST_TARGET <= value <= HIGHEST_TARGET:
        raise refused(
            f"TargetValue: {value:g} must be from {LOWEST_TARGET} to {HIGHEST_TARGET} percent for a predefined metric of "
            "ElastiCache."
        )
    if not 0 < value < math.inf:
        raise refused(f"TargetValue: {value} must be a number above 0.")
    return float(value)


def _cooldown(given: Mapping[str, Any], member: str, otherwise: int) -> int:
    return otherwise if given.get(member) is None else read_number(given[member], member)


def own_alarms_of(
    context: Context, name: TargetName, group: GroupRow, rule: TargetTracking, uids: tuple[str, str], arn: str
) -> tuple[AlarmDesired, AlarmDesired]:
    """(high, low), new. arn: the policy's. Where the group is measured more often than every minute, so is its alarm."""
    interval = interval_s(group.tags, context.settings.metrics.interval_s)
    series = [query.series for query in rule.queries if query.series is not None] or [rule.series]
    is_fine = interval < MINUTE_S and all(one.namespace == NODES for one in series)
    period_s = max(interval, _SHORTEST_S) if is_fine else MINUTE_S
    queries = tuple(replace(query, period_s=period_s) if query.period_s else query for query in rule.queries)

    def alarm(kind: str, uid: str, threshold: float, comparison: Comparison, periods: int) -> AlarmDesired:
        return AlarmDesired(
            name=f"TargetTracking-{name.resource_id}-{kind}-{uid}",
            series=rule.series,
            metric=rule.metric,
            statistic=rule.statistic,
            unit=rule.unit,
            queries=queries,
            period_s=period_s,
            evaluation_periods=periods,
            datapoints=periods,
            threshold=threshold,
            comparison=comparison,
            description=f"Belongs to the scaling policy {arn} and goes with it; do not change or delete it.",
            configured_at=context.clock.now(),
            alarm_actions=(arn,),
        )

    high, low = uids
    return (
        alarm("AlarmHigh", high, rule.target, Comparison.ABOVE, HIGH_PERIODS),
        alarm("AlarmLow", low, LOW * rule.target, Comparison.BELOW, LOW_PERIODS),
    )


# --- steps ---------------------------------------------------------------------------------------------------------


def read_steps(given: Mapping[str, Any]) -> StepScaling:
    """Raises ValidationException."""
    kind = Adjustment(one_of(given.get("AdjustmentType") or "", list(Adjustment), "AdjustmentType"))
    least = given.get("MinAdjustmentMagnitude")
    if least is not None and kind is not Adjustment.PERCENT:
        raise refused(f"MinAdjustmentMagnitude is for {Adjustment.PERCENT}; leave it out.")
    return StepScaling(
        adjustment=kind,
        steps=_steps(given.get("StepAdjustments") or (), kind),
        least=0 if least is None else read_number(least, "MinAdjustmentMagnitude", 1),
        cooldown_s=_cooldown(given, "Cooldown", STEP_COOLDOWN_S),
        aggregation=one_of(
            given.get("MetricAggregationType") or "Average", ("Average", "Minimum", "Maximum"), "MetricAggregationType"
        ),
    )


def _steps(given: Sequence[Mapping[str, Any]], kind: Adjustment) -> tuple[Step, ...]:
    """In the order of their bounds: they neither overlap nor leave a gap."""
    if not 1 <= len(given) <= MOST_STEPS:
        raise refused(f"StepAdjustments has {len(given)} members; it must have 1 to {MOST_STEPS}.")
    steps = [
        Step(one.get("MetricIntervalLowerBound"), one.get("MetricIntervalUpperBound"), one["ScalingAdjustment"])
        for one in given
    ]
    for step in steps:
        if step.lower is None and step.upper is None:
            raise refused("StepAdjustments: the upper and the lower bound cannot both be left out of one step.")
        if any(bound is not None and not math.isfinite(bound) for bound in (step.lower, step.upper)):
            raise refused("StepAdjustments: bounds must be finite numbers; leave one out for no bound.")
        if step.lower is not None and step.upper is not None and step.lower >= step.upper:
            raise refused(f"StepAdjustments: the lower bound {step.lower} must be less than the upper bound {step.upper}.")
        if kind is Adjustment.EXACT and step.adjustment < 0:
            raise refused(f"StepAdjustments: ScalingAdjustment {step.adjustment} cannot be an {Adjustment.EXACT}.")
    steps.sort(key=lambda step: -math.inf if step.lower is None else step.lower)
    for before, after in itertools.pairwise(steps):
        if before.upper is None or after.lower is None or before.upper != after.lower:
            raise refused("StepAdjustments: steps must follow each other without a gap and without an overlap.")
    return tuple(steps)
