"""Scaling policies: what they take, refuse and show, and the alarms that go with them."""

from __future__ import annotations

from typing import Any

from cachefleet.model.metric import Series
from cachefleet.model.resource import Kind
from tests.component.scaling.stage import NODES_OF, ScalingStage, described, on_scaling
from tests.fakes.api import ACCOUNT, REGION


@on_scaling
async def test_target_tracking_makes_its_alarms_and_takes_them_along(stage: ScalingStage) -> None:
    await stage.make()
    await stage.register(1, 8)
    made = await stage.track()
    assert made["PolicyARN"].startswith(f"arn:aws:autoscaling:{REGION}:{ACCOUNT}:scalingPolicy:")
    assert made["PolicyARN"].endswith(":resource/elasticache/replication-group/demo:policyName/cpu")
    names = [alarm["AlarmName"] for alarm in made["Alarms"]]
    assert [name.rpartition("-Alarm")[0] for name in names] == ["TargetTracking-replication-group/demo"] * 2
    high, low = [(await stage.alarm("DescribeAlarms", AlarmNames=[name]))["MetricAlarms"][0] for name in names]
    assert (high["Threshold"], high["ComparisonOperator"], high["EvaluationPeriods"]) == (50.0, "GreaterThanThreshold", 3)
    assert (low["Threshold"], low["ComparisonOperator"], low["EvaluationPeriods"]) == (37.5, "LessThanThreshold", 15)
    assert high["AlarmActions"] == low["AlarmActions"] == [made["PolicyARN"]]
    assert high["Period"] == low["Period"] == 60
    (policy,) = await described(stage, "DescribeScalingPolicies")
    assert (policy["PolicyARN"], policy["Alarms"]) == (made["PolicyARN"], made["Alarms"])
    assert policy["TargetTrackingScalingPolicyConfiguration"] == {
        "TargetValue": 50.0,
        "PredefinedMetricSpecification": {"PredefinedMetricType": "ElastiCachePrimaryEngineCPUUtilization"},
        "ScaleOutCooldown": 600,
        "ScaleInCooldown": 900,
        "DisableScaleIn": False,
    }
    again = await stage.track(TargetValue=60.0, ScaleInCooldown=0)
    assert again["PolicyARN"] == made["PolicyARN"]
    assert await stage.store.count(Kind.ALARM, stage.context.scope) == 2
    await stage.scaling("DeleteScalingPolicy", PolicyName="cpu")
    assert await stage.store.count(Kind.ALARM, stage.context.scope) == 0
    await stage.refused_scaling("ObjectNotFoundException", "policy name: cpu", "DeleteScalingPolicy", PolicyName="cpu")


@on_scaling
async def test_alarms_of_a_group_that_is_measured_often_are_quick(stage: ScalingStage) -> None:
    await stage.make(Tags=[{"Key": "cachefleet:metrics-interval-s", "Value": "1"}])
    await stage.register(1, 8)
    names = [alarm["AlarmName"] for alarm in (await stage.track())["Alarms"]]
    found = (await stage.alarm("DescribeAlarms", AlarmNames=names))["MetricAlarms"]
    assert [alarm["Period"] for alarm in found] == [10, 10]


CUSTOM = {
    "Namespace": "mine",
    "MetricName": "queue",
    "Statistic": "Maximum",
    "Dimensions": [{"Name": "who", "Value": "me"}],
    "Unit": "Count",
}


@on_scaling
async def test_a_metric_of_ones_own_may_have_any_target(stage: ScalingStage) -> None:
    await stage.create_cluster("mem", Engine="memcached", NumCacheNodes=2)
    where: dict[str, Any] = {"resource": "cache-cluster/mem", "dimension": NODES_OF}
    await stage.register(1, 4, **where)
    configuration = {"TargetValue": 1000.0, "CustomizedMetricSpecification": CUSTOM, "DisableScaleIn": True}
    asked: dict[str, Any] = {
        "PolicyName": "queue",
        "PolicyType": "TargetTrackingScaling",
        "TargetTrackingScalingPolicyConfiguration": configuration,
    }
    await stage.scaling("PutScalingPolicy", **where, **asked)
    (policy,) = await described(stage, "DescribeScalingPolicies", ResourceId="cache-cluster/mem", PolicyNames=["queue"])
    shown = policy["TargetTrackingScalingPolicyConfiguration"]
    assert (shown["CustomizedMetricSpecification"], shown["DisableScaleIn"]) == (CUSTOM, True)


LENGTH = {"Metric": {"Namespace": "mine", "MetricName": "length", "Dimensions": []}, "Stat": "Sum"}
PER_SHARD = [
    {"Id": "m1", "MetricStat": LENGTH, "ReturnData": False},
    {"Id": "e1", "Expression": "m1 / 2", "Label": "half", "ReturnData": True},
]


@on_scaling
async def test_what_expressions_make_can_be_tracked(stage: ScalingStage) -> None:
    await stage.make(2)
    await stage.register(1, 8)
    configuration = {"TargetValue": 100.0, "CustomizedMetricSpecification": {"Metrics": PER_SHARD}}
    put: dict[str, Any] = {"PolicyName": "queue", "PolicyType": "TargetTrackingScaling", TRACK: configuration}
    await stage.scaling("PutScalingPolicy", **put)
    (policy,) = await described(stage, "DescribeScalingPolicies")
    assert policy[TRACK]["CustomizedMetricSpecification"] == {"Metrics": PER_SHARD}
    series = Series(ACCOUNT, REGION, "mine", ())
    for _ in range(3):
        assert await stage.shards() == 2
        await stage.minute(300.0, series, "length", "None")
    assert await stage.shards() == 3  # 2 * 150 / 100
    both = {**configuration, "CustomizedMetricSpecification": {"Metrics": PER_SHARD[:1]}}
    await stage.refused_scaling("ValidationError", "ReturnData", "PutScalingPolicy", **{**put, TRACK: both})


TRACK = "TargetTrackingScalingPolicyConfiguration"
STEP = "StepScalingPolicyConfiguration"
CPU = {"PredefinedMetricType": "ElastiCachePrimaryEngineCPUUtilization"}
BAD_TRACKING: list[tuple[str, dict[str, Any]]] = [
    ("from 35 to 70", {"TargetValue": 34.9, "PredefinedMetricSpecification": CPU}),
    ("from 35 to 70", {"TargetValue": 71.0, "PredefinedMetricSpecification": CPU}),
    ("exactly one of", {"TargetValue": 50.0}),
    ("exactly one of", {"TargetValue": 50.0, "PredefinedMetricSpecification": CPU, "CustomizedMetricSpecification": CUSTOM}),
    ("must be one of", {"TargetValue": 50.0, "PredefinedMetricSpecification": {"PredefinedMetricType": "ALBRequestCount"}}),
    (
        "must be one of",
        {
            "TargetValue": 50.0,
            "PredefinedMetricSpecification": {"PredefinedMetricType": "ElastiCacheReplicaEngineCPUUtilization"},
        },
    ),
    ("ResourceLabel", {"TargetValue": 50.0, "PredefinedMetricSpecification": {**CPU, "ResourceLabel": "x"}}),
    ("above 0", {"TargetValue": 0.0, "CustomizedMetricSpecification": CUSTOM}),
    ("above 0", {"TargetValue": float("nan"), "CustomizedMetricSpecification": CUSTOM}),
    ("above 0", {"TargetValue": float("inf"), "CustomizedMetricSpecification": CUSTOM}),
    ("Statistic", {"TargetValue": 5.0, "CustomizedMetricSpecification": {**CUSTOM, "Statistic": "p99"}}),
    ("Unit", {"TargetValue": 5.0, "CustomizedMetricSpecification": {**CUSTOM, "Unit": "Parsec"}}),
    (
        "cannot be used together",
        {"TargetValue": 5.0, "CustomizedMetricSpecification": {**CUSTOM, "Metrics": [{"Id": "a", "Expression": "1"}]}},
    ),
    ("ScaleInCooldown: -1", {"TargetValue": 50.0, "PredefinedMetricSpecification": CPU, "ScaleInCooldown": -1}),
]
PLUS_ONE = {"MetricIntervalLowerBound": 0.0, "ScalingAdjustment": 1}
BAD_STEPS: list[tuple[str, dict[str, Any]]] = [
    ("AdjustmentType", {"StepAdjustments": [PLUS_ONE]}),
    ("1 to 20", {"AdjustmentType": "ChangeInCapacity", "StepAdjustments": []}),
    ("cannot both be left out", {"AdjustmentType": "ChangeInCapacity", "StepAdjustments": [{"ScalingAdjustment": 1}]}),
    (
        "without a gap",
        {
            "AdjustmentType": "ChangeInCapacity",
            "StepAdjustments": [PLUS_ONE, {"MetricIntervalLowerBound": 5.0, "ScalingAdjustment": 2}],
        },
    ),
    (
        "must be less than",
        {
            "AdjustmentType": "ChangeInCapacity",
            "StepAdjustments": [
                {"MetricIntervalLowerBound": 5.0, "MetricIntervalUpperBound": 5.0, "ScalingAdjustment": 1},
            ],
        },
    ),
    (
        "finite",
        {
            "AdjustmentType": "ChangeInCapacity",
            "StepAdjustments": [{"MetricIntervalLowerBound": float("nan"), "ScalingAdjustment": 1}],
        },
    ),
    (
        "cannot be an ExactCapacity",
        {"AdjustmentType": "ExactCapacity", "StepAdjustments": [{**PLUS_ONE, "ScalingAdjustment": -1}]},
    ),
    ("MinAdjustment", {"AdjustmentType": "ExactCapacity", "StepAdjustments": [PLUS_ONE], "MinAdjustmentMagnitude": 2}),
    ("MetricAggregation", {"AdjustmentType": "ExactCapacity", "StepAdjustments": [PLUS_ONE], "MetricAggregationType": "Sum"}),
]


@on_scaling
async def test_policies_that_are_refused(stage: ScalingStage) -> None:
    await stage.make()
    put, code = "PutScalingPolicy", "ValidationException"
    named: dict[str, Any] = {"PolicyName": "p", "PolicyType": "TargetTrackingScaling"}
    await stage.refused_scaling("ObjectNotFoundException", "No scalable target found", put, **named)
    await stage.register(1, 8)
    for rule, configuration in BAD_TRACKING:
        await stage.refused_scaling(code, rule, put, **{**named, TRACK: configuration})
    for rule, configuration in BAD_STEPS:
        await stage.refused_scaling(code, rule, put, **{**named, "PolicyType": "StepScaling", STEP: configuration})
    await stage.refused_scaling(code, "is required for a new policy", put, **named)
    await stage.refused_scaling(code, "PolicyType must be", put, PolicyName="p")
    await stage.refused_scaling(code, "PolicyType must be", put, PolicyName="p", PolicyType="PredictiveScaling")
    both = {**named, TRACK: {"TargetValue": 50.0, "PredefinedMetricSpecification": CPU}, STEP: {"Cooldown": 1}}
    await stage.refused_scaling(code, "is not for a policy of type", put, **both)
    await stage.refused_scaling(code, "printable ASCII", put, **{**named, "PolicyName": "a b"})
    await stage.track()
    await stage.refused_scaling(code, "delete it first", put, PolicyName="cpu", PolicyType="StepScaling", **{STEP: {}})
    same = {"TargetValue": 50.0, "PredefinedMetricSpecification": CPU}
    await stage.refused_scaling(code, "Only one TargetTrackingScaling policy", put, **{**named, TRACK: same})
    missing = {"TargetValue": 5.0, "CustomizedMetricSpecification": {"Statistic": "Sum"}}
    await stage.refused_scaling("MissingParameter", "Namespace is required", put, **{**named, TRACK: missing})
    assert await stage.store.count(Kind.ALARM, stage.context.scope) == 2
