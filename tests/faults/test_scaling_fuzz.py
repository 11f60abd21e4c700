"""The API of auto scaling behind the real gateway, given inputs of the right shape with wrong contents: no 500; and whatever it
takes, the scaler gets through its looks while groups and alarms come, change and go.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from structlog.testing import capture_logs

from cachefleet.api.registry import OPERATIONS
from cachefleet.model.metric import MetricName
from cachefleet.protocol.service import service
from cachefleet.settings import ApiSettings, Settings
from tests.component.api.stage import Stage
from tests.component.scaling.stage import CPU, NODES_OF, PRIMARIES, REPLICAS, SERVICE, SHARDS, ScalingStage
from tests.fakes.clock import ManualClock
from tests.fakes.store import MemoryStore
from tests.faults.drawn_requests import Chooser, make_real_gateway, send
from tests.fixtures.gateway import NOW

STEPS = 3000
WORDS = """
    elasticache ecs replication-group/demo replication-group/DEMO cache-cluster/mem replication-group/ demo / at() rate(5) cron(
    at(2026-11-24T07:00:00) rate(1 minute) rate(999999999 days) cron(0 9 ? * MON#2 *) cron(0 0 30 2 ? *) cron(*/1 * * * ? *)
    Europe/Berlin ../../etc p rush TargetTrackingScaling StepScaling Average mine heat m1 m1/2 SEARCH('a','b',60) \u00e9
"""
TEXTS = [*WORDS.split(), "rate(1 minute)", "cron(0 9 ? * MON#2 *)", "", " ", "a" * 300]
GROUP = {"ServiceNamespace": "elasticache", "ResourceId": "replication-group/demo"}
TARGETS = [
    {**GROUP, "ScalableDimension": SHARDS},
    {**GROUP, "ScalableDimension": REPLICAS},
    {**GROUP, "ResourceId": "cache-cluster/mem", "ScalableDimension": NODES_OF},
]
TRACK, STEP = "TargetTrackingScalingPolicyConfiguration", "StepScalingPolicyConfiguration"
HEAT = {"Namespace": "mine", "MetricName": "heat", "Statistic": "Average"}
QUERIES = [
    {"Id": "m1", "MetricStat": {"Metric": {"Namespace": "mine", "MetricName": "heat"}, "Stat": "Sum"}, "ReturnData": False},
    {"Id": "e1", "Expression": "m1/2"},
]
OFTEN = 4 * ["RegisterScalableTarget", "PutScalingPolicy", "PutScheduledAction"]
RULES: list[dict[str, Any]] = [
    {TRACK: {"TargetValue": 50.0, "PredefinedMetricSpecification": {"PredefinedMetricType": kind}}}
    for kind in ("ElastiCachePrimaryEngineCPUUtilization", "ElastiCacheReplicaEngineCPUUtilization")
]
RULES += [
    {TRACK: {"TargetValue": 5.0, "CustomizedMetricSpecification": metric, "ScaleInCooldown": 0, "ScaleOutCooldown": 0}}
    for metric in (HEAT, {"Metrics": QUERIES})
]
STEPPED = {
    "AdjustmentType": "PercentChangeInCapacity",
    "StepAdjustments": [{"MetricIntervalLowerBound": 0.0, "ScalingAdjustment": 50}],
}
GOOD: dict[str, list[dict[str, Any]]] = {
    "RegisterScalableTarget": [{**one, "MinCapacity": 1, "MaxCapacity": most} for one in TARGETS for most in (1, 3, 5)],
    "PutScalingPolicy": [
        *({**one, "PolicyName": "p", "PolicyType": "TargetTrackingScaling", **rule} for one in TARGETS for rule in RULES),
        *({**one, "PolicyName": "s", "PolicyType": "StepScaling", STEP: STEPPED} for one in TARGETS),
    ],
    "PutScheduledAction": [
        {**one, "ScheduledActionName": "rush", "Schedule": when, "ScalableTargetAction": {"MinCapacity": 2}}
        for one in TARGETS
        for when in ("rate(1 minute)", "cron(0/5 * ? * * *)")
    ],
    "DeleteScalingPolicy": [{**one, "PolicyName": name} for one in TARGETS for name in "ps"],
    "DeleteScheduledAction": [{**one, "ScheduledActionName": "rush"} for one in TARGETS],
    "DeregisterScalableTarget": TARGETS,
    **dict.fromkeys(("DescribeScalingPolicies", "DescribeScheduledActions", "DescribeScalingActivities"), TARGETS),
    "DescribeScalableTargets": [{"ServiceNamespace": "elasticache"}],
}


@pytest.mark.parametrize("seed", [0, 1])
def test_nothing_that_is_asked_is_an_internal_failure_or_stops_the_scaler(seed: int) -> None:
    with capture_logs() as logs:
        asyncio.run(_play(seed))
    assert [line for line in logs if line["log_level"] == "error"] == []


async def _play(seed: int) -> None:
    stage = ScalingStage(Stage(MemoryStore(), ManualClock(NOW)))
    stage.use(Settings(api=ApiSettings(clock_skew_s=1e9)))  # signatures are of one moment
    await stage.make()
    await stage.create_cluster("mem", Engine="memcached", NumCacheNodes=2)
    gateway = make_real_gateway(stage.context)
    chooser = Chooser(seed, TEXTS, GOOD)
    names = sorted(name for of, name in OPERATIONS if of == SERVICE) + OFTEN
    answers: Counter[tuple[str, int]] = Counter()
    for step in range(STEPS):
        name = chooser.chance.choice(names)
        asked = chooser.request(name, service(SERVICE).operation(name).input_shape)
        answer = await asyncio.wait_for(send(gateway, SERVICE, name, asked), 20)
        assert answer.status in (200, 400), (seed, name, asked, answer.text)
        answers[name, answer.status] += 1
        if step % 4 == 0:
            percent = chooser.chance.choice([0.0, 30.0, 90.0])
            stage.metrics.put(PRIMARIES, MetricName(CPU, "Percent"), stage.clock.now(), percent)
            stage.clock.pass_time(60.0)
            await stage.watch.look()
            await stage.scaler.look()
        if step % 20 == 0:
            await stage.finish()
    taken = {name for name, status in answers if status == 200}
    assert taken >= {"RegisterScalableTarget", "PutScalingPolicy", "PutScheduledAction", "DeregisterScalableTarget"}
    assert stage.calls
