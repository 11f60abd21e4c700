"""The operations of Application Auto Scaling: what they take, refuse and show."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from cachefleet.model.metric import Series
from cachefleet.model.resource import Kind
from tests.component.iam.stage import allow, user
from tests.component.scaling.stage import NODES_OF, REPLICAS, SERVICE, SHARDS, ScalingStage, on_scaling
from tests.fakes.api import ACCOUNT, REGION

ROLE = (
    f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/elasticache.application-autoscaling.amazonaws.com/"
    "AWSServiceRoleForApplicationAutoScaling_ElastiCacheRG"
)


async def described(stage: ScalingStage, name: str, /, **more: Any) -> list[dict[str, Any]]:
    reply = await stage.call(name, SERVICE, ServiceNamespace="elasticache", **more)
    ((_, found),) = reply.items()
    return list(found)


@on_scaling
async def test_a_target_comes_back_as_it_was_registered(stage: ScalingStage) -> None:
    await stage.make()
    arn = await stage.register(1, 8, SuspendedState={"ScheduledScalingSuspended": True}, Tags={"team": "a"})
    assert arn.startswith(f"arn:aws:application-autoscaling:{REGION}:{ACCOUNT}:scalable-target/")
    (target,) = await described(stage, "DescribeScalableTargets")
    assert target == {
        "ServiceNamespace": "elasticache",
        "ResourceId": "replication-group/demo",
        "ScalableDimension": SHARDS,
        "ScalableTargetARN": arn,
        "MinCapacity": 1,
        "MaxCapacity": 8,
        "RoleARN": ROLE,
        "CreationTime": stage.clock.now(),
        "SuspendedState": {
            "DynamicScalingInSuspended": False,
            "DynamicScalingOutSuspended": False,
            "ScheduledScalingSuspended": True,
        },
    }
    reply = await stage.scaling("RegisterScalableTarget", MaxCapacity=5, SuspendedState={"DynamicScalingInSuspended": True})
    assert reply == {"ScalableTargetARN": arn}
    (target,) = await described(
        stage, "DescribeScalableTargets", ResourceIds=["replication-group/DEMO"], ScalableDimension=SHARDS
    )
    assert (target["MinCapacity"], target["MaxCapacity"]) == (1, 5)
    assert list(target["SuspendedState"].values()) == [True, False, True]
    await stage.scaling("DeregisterScalableTarget")
    assert await described(stage, "DescribeScalableTargets") == []
    await stage.refused_scaling("ObjectNotFoundException", "No scalable target found for", "DeregisterScalableTarget")


@on_scaling
async def test_what_cannot_be_registered(stage: ScalingStage) -> None:
    await stage.make()
    await stage.create_group("plain")
    await stage.settle("plain")
    await stage.create_cluster("mem", Engine="memcached", NumCacheNodes=2)

    async def refused(rule: str, **more: Any) -> None:
        limits = {"MinCapacity": 1, "MaxCapacity": 4}
        await stage.refused_scaling("ValidationException", rule, "RegisterScalableTarget", **{**limits, **more})

    await refused("there is no replication-group/none", ResourceId="replication-group/none")
    await refused("cluster mode disabled", ResourceId="replication-group/plain")
    await refused("must be replication-group/ID", ResourceId="cache-cluster/mem")
    await refused("must be cache-cluster/ID", ScalableDimension=NODES_OF)
    await refused("must be replication-group/ID", ResourceId="demo")
    await refused("must be one of", ScalableDimension="ecs:service:DesiredCount")
    await refused("must be elasticache", ServiceNamespace="ecs")
    await refused("Maximum capacity cannot be less", MinCapacity=5)
    await refused("must be from 1 to 250", MaxCapacity=251)
    await refused("must be from 1 to 250", MinCapacity=0)
    await refused("must be from 1 to 5", ScalableDimension=REPLICAS, MaxCapacity=6)
    await refused("MaxCapacity: it is required", MaxCapacity=None)
    assert await stage.store.count(Kind.SCALABLE_TARGET, stage.context.scope) == 0


@on_scaling
async def test_shards_with_unequal_replicas_are_refused(stage: ScalingStage) -> None:
    shapes = [{"NodeGroupId": "0001", "ReplicaCount": 1}, {"NodeGroupId": "0002", "ReplicaCount": 2}]
    await stage.create_group(NumNodeGroups=2, NodeGroupConfiguration=shapes)
    await stage.settle()
    limits: dict[str, Any] = {"MinCapacity": 1, "MaxCapacity": 4, "ScalableDimension": REPLICAS}
    await stage.refused_scaling("ValidationException", "different numbers of replicas", "RegisterScalableTarget", **limits)


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


@on_scaling
async def test_scheduled_actions_come_back_and_go(stage: ScalingStage) -> None:
    await stage.make()
    await stage.register(1, 8)
    now = stage.clock.now()
    put = {"ScheduledActionName": "rush", "Schedule": "cron(0 9 * * ? *)", "Timezone": "Europe/Berlin"}
    await stage.scaling("PutScheduledAction", **put, StartTime=now + 60, ScalableTargetAction={"MinCapacity": 4})
    await stage.scaling("PutScheduledAction", ScheduledActionName="rush", EndTime=now + 86400 * 30)
    (action,) = await described(stage, "DescribeScheduledActions")
    arn = action.pop("ScheduledActionARN")
    assert arn.endswith(":resource/elasticache/replication-group/demo:scheduledActionName/rush")
    assert action == {
        **put,
        "ServiceNamespace": "elasticache",
        "ResourceId": "replication-group/demo",
        "ScalableDimension": SHARDS,
        "StartTime": now + 60,
        "EndTime": now + 86400 * 30,
        "ScalableTargetAction": {"MinCapacity": 4},
        "CreationTime": now,
    }
    assert await described(stage, "DescribeScheduledActions", ScheduledActionNames=["other"]) == []
    await stage.scaling("DeleteScheduledAction", ScheduledActionName="rush")
    await stage.refused_scaling("ObjectNotFoundException", "name: rush", "DeleteScheduledAction", ScheduledActionName="rush")


BAD_ACTIONS: list[tuple[str, dict[str, Any]]] = [
    ("Schedule is required", {"Schedule": None}),
    ("must be at", {"Schedule": "daily"}),
    ("is over", {"Schedule": "at(2020-01-01T00:00:00)"}),
    ("time zone", {"Timezone": "Mars/Olympus"}),
    ("MinCapacity, MaxCapacity or both", {"ScalableTargetAction": {}}),
    ("cannot be more than", {"ScalableTargetAction": {"MinCapacity": 5, "MaxCapacity": 4}}),
    ("must be from 1 to 250", {"ScalableTargetAction": {"MaxCapacity": 300}}),
    ("EndTime must be later", {"EndTime": 1.0}),
    ("ScheduledActionName", {"ScheduledActionName": "a:b"}),
]


@on_scaling
async def test_scheduled_actions_that_are_refused(stage: ScalingStage) -> None:
    await stage.make()
    await stage.register(1, 8)
    asked = {"ScheduledActionName": "rush", "Schedule": "rate(5 minutes)", "ScalableTargetAction": {"MinCapacity": 4}}
    for rule, wrong in BAD_ACTIONS:
        await stage.refused_scaling("ValidationException", rule, "PutScheduledAction", **{**asked, **wrong})
    assert await described(stage, "DescribeScheduledActions") == []


@on_scaling
async def test_pages(stage: ScalingStage) -> None:
    await stage.make()
    await stage.register(1, 8)
    await stage.register(1, 5, dimension=REPLICAS)
    first = await stage.call("DescribeScalableTargets", SERVICE, ServiceNamespace="elasticache", MaxResults=1)
    second = await stage.call(
        "DescribeScalableTargets", SERVICE, ServiceNamespace="elasticache", MaxResults=1, NextToken=first["NextToken"]
    )
    found = [target["ScalableDimension"] for page in (first, second) for target in page["ScalableTargets"]]
    assert (sorted(found), "NextToken" in second) == ([SHARDS, REPLICAS], False)
    describe = "DescribeScalingPolicies"
    await stage.refused(
        "InvalidNextTokenException", "NextToken", describe, service=SERVICE, ServiceNamespace="elasticache", NextToken="x"
    )
    await stage.refused(
        "ValidationException", "1 to 50", describe, service=SERVICE, ServiceNamespace="elasticache", MaxResults=51
    )
    await stage.refused(
        "ValidationException",
        "ResourceId as well",
        describe,
        service=SERVICE,
        ServiceNamespace="elasticache",
        ScalableDimension=SHARDS,
    )


@on_scaling
async def test_tags(stage: ScalingStage) -> None:
    await stage.make()
    arn = await stage.register(1, 8, Tags={"team": "a"})
    await stage.call("TagResource", SERVICE, ResourceARN=arn, Tags={"team": "b", "cost": "1"})
    assert await stage.call("ListTagsForResource", SERVICE, ResourceARN=arn) == {"Tags": {"team": "b", "cost": "1"}}
    await stage.call("UntagResource", SERVICE, ResourceARN=arn, TagKeys=["team", "none"])
    assert await stage.call("ListTagsForResource", SERVICE, ResourceARN=arn) == {"Tags": {"cost": "1"}}
    many = {str(number): "" for number in range(50)}
    await stage.refused("TooManyTagsException", "50", "TagResource", service=SERVICE, ResourceARN=arn, Tags=many)
    unknown = f"{arn}0"
    await stage.refused(
        "ResourceNotFoundException", "no scalable target", "ListTagsForResource", service=SERVICE, ResourceARN=unknown
    )


@on_scaling
async def test_another_group_of_that_name_is_registered_anew(stage: ScalingStage) -> None:
    await stage.make()
    arn = await stage.register(1, 8)
    await stage.track()
    async with stage.store.transaction() as transaction:
        await transaction.delete(await stage.row(stage.key("demo")))
    await stage.make()
    assert await stage.register(1, 4) != arn
    assert await described(stage, "DescribeScalingPolicies") == []
    assert await stage.store.count(Kind.ALARM, stage.context.scope) == 0


@on_scaling
async def test_who_lets_something_scale_has_to_be_allowed_to_change_it(stage: ScalingStage) -> None:
    await stage.make()
    group = f"arn:aws:elasticache:{REGION}:{ACCOUNT}:replicationgroup:demo"
    root, scales = stage.context, allow("application-autoscaling:*")
    shards = allow("elasticache:ModifyReplicationGroupShardConfiguration", group)
    limits: dict[str, Any] = {"MinCapacity": 1, "MaxCapacity": 4}
    put = {"ScheduledActionName": "rush", "Schedule": "rate(5 minutes)", "ScalableTargetAction": {"MinCapacity": 4}}
    policy = {"PolicyName": "p", "PolicyType": "StepScaling"}
    await stage.register(1, 8)
    stage.context = replace(root, caller=user("ops", scales))
    for name, asked in (("RegisterScalableTarget", limits), ("PutScheduledAction", put), ("PutScalingPolicy", policy)):
        rule = f"elasticache:ModifyReplicationGroupShardConfiguration on resource: {group}"
        await stage.refused_scaling("AccessDenied", rule, name, **asked)
    stage.context = replace(root, caller=user("ops", scales, shards))
    await stage.register(1, 4)
    more = {**limits, "ScalableDimension": REPLICAS}
    await stage.refused_scaling("AccessDenied", "IncreaseReplicaCount", "RegisterScalableTarget", **more)
    stage.context = replace(root, caller=user("ops", shards))
    await stage.refused_scaling("AccessDenied", "application-autoscaling:Register", "RegisterScalableTarget", **limits)
