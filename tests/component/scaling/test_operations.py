"""The operations of Application Auto Scaling but for policies: what they take, refuse and show."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from cachefleet.model.resource import Kind
from tests.component.iam.stage import allow, user
from tests.component.scaling.stage import NODES_OF, REPLICAS, SERVICE, SHARDS, ScalingStage, described, on_scaling
from tests.fakes.api import ACCOUNT, REGION

ROLE = (
    f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/elasticache.application-autoscaling.amazonaws.com/"
    "AWSServiceRoleForApplicationAutoScaling_ElastiCacheRG"
)


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
    await refused("must be from 1 to 90", MaxCapacity=251)
    await refused("must be from 1 to 90", MinCapacity=0)
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
    ("must be from 1 to 90", {"ScalableTargetAction": {"MaxCapacity": 300}}),
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
