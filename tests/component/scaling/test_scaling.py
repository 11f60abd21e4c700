"""Auto scaling as it goes: from values through alarms to operations, and what is told of it."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from cachefleet.gateway.audit import record_of
from cachefleet.interfaces import AnyRow, Deposed
from cachefleet.model.errors import AwsError
from cachefleet.model.resource import Key, Kind, Scope
from cachefleet.model.scaling import ActivityStatus
from cachefleet.monitoring.reading import Readings
from cachefleet.telemetry.scaler import REST_S, Scaler
from tests.component.scaling.stage import NODES_OF, REPLICAS, SERVICE, ScalingStage, codes, on_scaling
from tests.fakes.api import ACCOUNT
from tests.fakes.entropy import SeededEntropy

ROLE = "AWSServiceRoleForApplicationAutoScaling_ElastiCacheRG"


@on_scaling
async def test_a_load_adds_shards_and_its_end_takes_them_away(stage: ScalingStage) -> None:
    await stage.make(2)
    await stage.register(1, 8)
    high, low = [alarm["AlarmName"] for alarm in (await stage.track())["Alarms"]]
    for _ in range(3):
        assert await stage.shards() == 2
        await stage.minute(90.0)
    assert await stage.shards() == 4  # 2 * 90 / 50
    (activity,) = await stage.activities()
    assert (activity["StatusCode"], activity["Description"]) == ("InProgress", "Setting desired capacity to 4.")
    assert activity["Cause"] == f"monitor alarm {high} in state ALARM triggered policy cpu"
    await stage.minute(90.0)  # slots are on their way
    assert await stage.shards() == 4
    await stage.finish()
    await stage.minute(45.0)
    (activity,) = await stage.activities()
    assert activity["StatusCode"] == "Successful"
    assert activity["StatusMessage"] == (
        "Successfully set desired capacity to 4. Change successfully fulfilled by elasticache."
    )
    for _ in range(14):
        await stage.minute(10.0)
        assert await stage.shards() == 4
    for _ in range(4):
        await stage.minute(10.0)
    assert await stage.shards() == 1
    newest = (await stage.activities())[0]
    assert newest["Cause"] == f"monitor alarm {low} in state ALARM triggered policy cpu"


@on_scaling
async def test_who_asked_is_told_in_events_and_in_the_audit_log(stage: ScalingStage) -> None:
    await stage.make(2)
    await stage.register(3, 8)
    await stage.scaler.look()
    assert any(
        "Auto scaling: Setting desired capacity to 3. minimum capacity was set to 3" in one for one in await stage.events()
    )
    (call,) = stage.calls
    assert (call.operation, call.error_code) == ("ModifyReplicationGroupShardConfiguration", "")
    identity = record_of(call, stage.clock.now(), ACCOUNT, "0" * 32)["userIdentity"]
    assert identity == {
        "type": "AssumedRole",
        "principalId": f"{ROLE}:AutoScaling",
        "arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/{ROLE}/AutoScaling",
        "accountId": ACCOUNT,
        "invokedBy": "elasticache.application-autoscaling.amazonaws.com",
    }


@on_scaling
async def test_its_role_may_change_capacities_and_nothing_else(stage: ScalingStage) -> None:
    await stage.make(2)
    with pytest.raises(AwsError, match="not authorized to perform: elasticache:DeleteReplicationGroup"):
        await stage.operate(stage.context.scope, "DeleteReplicationGroup", {"ReplicationGroupId": "demo"})
    assert [call.error_code for call in stage.calls] == ["AccessDenied"]


@on_scaling
async def test_who_leads_no_longer_asks_for_nothing(stage: ScalingStage) -> None:
    def deposed() -> None:
        raise Deposed

    await stage.make(2)
    await stage.register(3, 8)
    readings = Readings(stage.metrics, stage.clock, 40)
    await Scaler(stage.store, readings, stage.operate, SeededEntropy(5), deposed).look()
    assert await stage.shards() == 2
    await stage.scaler.look()  # whoever leads now does what was written down
    assert await stage.shards() == 3
    assert len(await stage.activities()) == 1


@on_scaling
async def test_registration_brings_the_capacity_within_the_limits_at_once(stage: ScalingStage) -> None:
    await stage.make(4)
    await stage.register(1, 2)
    await stage.scaler.look()
    assert await stage.shards() == 2
    await stage.finish()
    await stage.scaler.look()
    assert [one["StatusCode"] for one in await stage.activities()] == ["Successful"]
    row = await stage.row(stage.key("demo"))
    assert [shard.shard_id for shard in row.desired.shards] == ["0001", "0002"]
    await stage.register(2, 8)
    await stage.scaler.look()
    assert await stage.shards() == 2


@on_scaling
async def test_replicas_come_and_go_in_every_shard(stage: ScalingStage) -> None:
    await stage.make(2, 1)
    await stage.register(1, 5, dimension=REPLICAS)
    for low, high, replicas in ((3, 5, 3), (1, 2, 2)):
        await stage.register(low, high, dimension=REPLICAS)
        await stage.scaler.look()
        row = await stage.finish()
        assert [len(shard.nodes) - 1 for shard in row.desired.shards] == [replicas, replicas]
        await stage.scaler.look()
    assert [one["StatusCode"] for one in await stage.activities()] == ["Successful", "Successful"]


@on_scaling
async def test_nodes_of_memcached_come_and_go(stage: ScalingStage) -> None:
    await stage.create_cluster("mem", Engine="memcached", NumCacheNodes=2)
    await stage.settle("mem", Kind.CACHE_CLUSTER)
    where: dict[str, Any] = {"resource": "cache-cluster/mem", "dimension": NODES_OF}
    await stage.register(3, 5, **where)
    await stage.scaler.look()
    assert stage.calls[-1].parameters == {"CacheClusterId": "mem", "NumCacheNodes": 3, "ApplyImmediately": True}
    await stage.settle("mem", Kind.CACHE_CLUSTER)
    await stage.scaler.look()
    assert (await stage.activities())[0]["StatusCode"] == "Successful"
    await stage.register(1, 1, **where)
    await stage.scaler.look()
    assert stage.calls[-1].parameters == {
        "CacheClusterId": "mem",
        "NumCacheNodes": 1,
        "ApplyImmediately": True,
        "CacheNodeIdsToRemove": ["0002", "0003"],
    }
    assert [call.error_code for call in stage.calls] == ["", ""]


@on_scaling
async def test_a_death_between_writing_down_and_asking_asks_once(stage: ScalingStage) -> None:
    await stage.make(2)
    await stage.register(3, 8)
    await stage.scaler.look()
    (target,) = await stage.store.rows(Kind.SCALABLE_TARGET, stage.context.scope)
    (activity,) = target.desired.activities
    pending = replace(activity, status=ActivityStatus.PENDING, message="")
    async with stage.store.transaction() as transaction:  # as if we had died right after asking
        await transaction.update(replace(target, desired=replace(target.desired, activities=(pending,))))
    await stage.scaler.look()
    assert len(stage.calls) == 1
    assert [one["StatusCode"] for one in await stage.activities()] == ["InProgress"]
    await stage.finish()
    await stage.scaler.look()
    assert [one["StatusCode"] for one in await stage.activities()] == ["Successful"]


@on_scaling
async def test_a_death_before_asking_asks_after_all(stage: ScalingStage) -> None:
    await stage.make(2)
    before = await stage.row(stage.key("demo"))
    await stage.register(3, 8)
    await stage.scaler.look()
    (target,) = await stage.store.rows(Kind.SCALABLE_TARGET, stage.context.scope)
    pending = replace(target.desired.activities[0], status=ActivityStatus.PENDING)
    async with stage.store.transaction() as transaction:
        await transaction.update(replace(target, desired=replace(target.desired, activities=(pending,))))
        row = await stage.row(stage.key("demo"))
        await transaction.update(replace(before, version=row.version), [node.name for node in before.desired.nodes])
    assert await stage.shards() == 2
    await stage.scaler.look()
    assert await stage.shards() == 3
    assert len(await stage.activities()) == 1


@on_scaling
async def test_what_cannot_be_done_is_told_and_tried_again(stage: ScalingStage) -> None:
    await stage.make(2)
    stage.context = replace(stage.context, refuses=lambda nodes, memory_bytes: "the machine is full")
    await stage.register(3, 8)
    for _ in range(3):
        await stage.scaler.look()
    (activity,) = await stage.activities()
    assert activity["StatusCode"] == "Failed"
    assert "the machine is full" in activity["StatusMessage"]
    assert len(stage.calls) == 1
    stage.clock.pass_time(61)
    await stage.scaler.look()
    assert (len(stage.calls), len(await stage.activities())) == (2, 1)
    assert sum("Auto scaling" in event for event in await stage.events()) == 1
    stage.context = replace(stage.context, refuses=lambda nodes, memory_bytes: "")
    stage.clock.pass_time(61)
    await stage.scaler.look()
    assert await stage.shards() == 3


@on_scaling
async def test_what_stays_away_and_what_others_change_meanwhile(stage: ScalingStage) -> None:
    await stage.make(2)
    await stage.register(3, 8)
    await stage.scaler.look()
    row = await stage.row(stage.key("demo"))
    await stage.write(replace(row, desired=replace(row.desired, shards=row.desired.shards[:2])))
    await stage.settle()
    await stage.scaler.look()
    (activity,) = await stage.activities()
    assert (activity["StatusCode"], "EndTime" in activity) == ("Unfulfilled", True)
    await stage.scaler.look()
    assert len(await stage.activities()) == 1  # it is not tried for ever
    await stage.register(3, 8)
    await stage.scaler.look()
    await stage.finish()
    await stage.call(
        "ModifyReplicationGroupShardConfiguration", ReplicationGroupId="demo", NodeGroupCount=5, ApplyImmediately=True
    )
    await stage.finish()
    await stage.scaler.look()
    assert (await stage.activities())[0]["StatusCode"] == "Overridden"


@on_scaling
async def test_limits_are_why_nothing_is_done(stage: ScalingStage) -> None:
    await stage.make(2)
    await stage.register(1, 2)
    await stage.track()
    for _ in range(6):
        await stage.minute(90.0)
    assert await stage.activities() == []
    (activity,) = await stage.activities(IncludeNotScaledActivities=True)
    assert activity["NotScaledReasons"] == [{"Code": "AlreadyAtMaxCapacity", "MaxCapacity": 2, "CurrentCapacity": 2}]
    assert codes(activity["NotScaledReasons"]) == ["AlreadyAtMaxCapacity"]


@on_scaling
async def test_steps_follow_any_alarm_that_names_the_policy(stage: ScalingStage) -> None:
    await stage.make(2)
    await stage.register(1, 8)
    policy = await stage.scaling(
        "PutScalingPolicy",
        PolicyName="steps",
        PolicyType="StepScaling",
        StepScalingPolicyConfiguration={
            "AdjustmentType": "ChangeInCapacity",
            "Cooldown": 60,
            "StepAdjustments": [
                {"MetricIntervalLowerBound": 0.0, "MetricIntervalUpperBound": 20.0, "ScalingAdjustment": 1},
                {"MetricIntervalLowerBound": 20.0, "ScalingAdjustment": 3},
            ],
        },
    )
    await stage.alarm(
        "PutMetricAlarm",
        AlarmName="hot",
        AlarmActions=[policy["PolicyARN"]],
        Namespace="AWS/ElastiCache",
        MetricName="EngineCPUUtilization",
        Dimensions=[{"Name": "ReplicationGroupId", "Value": "demo"}, {"Name": "Role", "Value": "Primary"}],
        Statistic="Average",
        Period=60,
        EvaluationPeriods=1,
        Threshold=60.0,
        ComparisonOperator="GreaterThanThreshold",
    )
    await stage.minute(50.0)
    assert await stage.shards() == 2
    await stage.minute(70.0)
    assert await stage.shards() == 3
    await stage.finish()
    await stage.minute(70.0)  # its end is seen, and the cool-down begins
    await stage.minute(95.0)  # this minute had begun before
    assert await stage.shards() == 3
    await stage.minute(95.0)
    assert await stage.shards() == 6
    await stage.alarm("DisableAlarmActions", AlarmNames=["hot"])
    await stage.finish()
    for _ in range(3):
        await stage.minute(95.0)
    assert await stage.shards() == 6


@on_scaling
async def test_alarms_are_read_again_only_when_they_change(stage: ScalingStage) -> None:
    """There may be more of them than the store keeps decoded."""
    await stage.make(2)
    await stage.register(1, 8)
    high, low = [alarm["AlarmName"] for alarm in (await stage.track())["Alarms"]]
    read: list[str] = []
    get, rows = stage.store.get, stage.store.rows

    async def counted_get(key: Key) -> AnyRow | None:
        read.extend([key.name] if key.kind is Kind.ALARM else [])
        return await get(key)

    async def counted_rows(kind: Kind, scope: Scope, after: str = "", limit: int | None = None) -> list[AnyRow]:
        found: list[AnyRow] = await rows(kind, scope, after, limit)
        read.extend(row.key.name for row in found if kind is Kind.ALARM)
        return found

    stage.store.get, stage.store.rows = counted_get, counted_rows  # type: ignore[method-assign]
    await stage.scaler.look()
    assert sorted(read) == sorted([high, low])
    read.clear()
    await stage.scaler.look()
    assert read == []
    await stage.alarm("SetAlarmState", AlarmName=low, StateValue="INSUFFICIENT_DATA", StateReason="a look at it")
    read.clear()
    await stage.scaler.look()
    assert read == [low]
    await stage.scaling("DeleteScalingPolicy", PolicyName="cpu")
    read.clear()
    await stage.scaler.look()
    assert read == []


@on_scaling
async def test_scheduled_actions_change_limits_and_capacity(stage: ScalingStage) -> None:
    await stage.make(2)
    await stage.register(1, 8)
    await stage.scaling(
        "PutScheduledAction",
        ScheduledActionName="rush",
        Schedule="rate(10 minutes)",
        ScalableTargetAction={"MinCapacity": 4, "MaxCapacity": 6},
    )
    await stage.scaler.look()
    assert await stage.shards() == 2
    stage.clock.pass_time(601)
    await stage.scaler.look()
    assert await stage.shards() == 4
    (target,) = (await stage.call("DescribeScalableTargets", SERVICE, ServiceNamespace="elasticache"))["ScalableTargets"]
    assert (target["MinCapacity"], target["MaxCapacity"]) == (4, 6)
    assert (await stage.activities())[0]["Cause"] == "scheduled action name rush was triggered"


@on_scaling
async def test_a_target_goes_with_its_group_and_alarms_with_their_policy(stage: ScalingStage) -> None:
    await stage.make(2)
    await stage.register(1, 8)
    await stage.track()
    assert await stage.store.count(Kind.ALARM, stage.context.scope) == 2
    row = await stage.row(stage.key("demo"))
    async with stage.store.transaction() as transaction:
        await transaction.delete(row)
    await stage.scaler.look()
    assert (await stage.call("DescribeScalableTargets", SERVICE, ServiceNamespace="elasticache"))["ScalableTargets"] == []
    assert await stage.store.count(Kind.ALARM, stage.context.scope) == 0


@on_scaling
async def test_nothing_is_scaled_while_something_else_is_under_way(stage: ScalingStage) -> None:
    await stage.make(2)
    await stage.put_state("modifying")
    await stage.register(3, 8)
    await stage.scaler.look()
    assert await stage.shards() == 2
    await stage.put_state("available")
    await stage.scaler.look()
    assert await stage.shards() == 3


@on_scaling
async def test_a_target_with_nothing_to_do_is_looked_at_now_and_then(stage: ScalingStage) -> None:
    await stage.make(2)
    await stage.register(1, 8)
    await stage.track()
    await stage.scaler.look()
    row = await stage.row(stage.key("demo"))
    async with stage.store.transaction() as transaction:
        await transaction.delete(row)
    await stage.scaler.look()
    assert await stage.store.count(Kind.SCALABLE_TARGET, stage.context.scope) == 1
    stage.clock.pass_time(REST_S)
    await stage.scaler.look()
    assert await stage.store.count(Kind.SCALABLE_TARGET, stage.context.scope) == 0
