"""The last proof of a backup as a metric of CloudWatch: from a group's row to an alarm that nobody proves it any more."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from cachefleet.engine_interfaces import EngineDriver
from cachefleet.model.group import GroupMemory
from cachefleet.model.metric import BEYOND_AWS
from cachefleet.model.resource import Kind
from cachefleet.model.row import GroupRow, Row
from cachefleet.telemetry.collector import Collector, Sources
from cachefleet.telemetry.exposition import Exposition
from tests.component.metrics.stage import NOW, Stage, metric, on_stage
from tests.component.metrics.watched import Watched
from tests.unit.planning.groups import replicated

DAY_S = 86_400


def rule(name: str, comparison: str, threshold: float) -> dict[str, Any]:
    return {
        "Namespace": BEYOND_AWS,
        "MetricName": name,
        "Dimensions": [{"Name": "ReplicationGroupId", "Value": "demo"}],
        "Statistic": "Maximum",
        "Period": 60,
        "EvaluationPeriods": 1,
        "Threshold": threshold,
        "ComparisonOperator": comparison,
    }


@on_stage
async def test_an_alarm_says_that_a_backup_is_no_longer_proven(stage: Stage) -> None:
    watched = Watched(stage)
    key = stage.context.scope.key(Kind.REPLICATION_GROUP, "demo")
    row: GroupRow = Row(key=key, desired=replicated(1), memory=GroupMemory(proof_at=NOW - 7 * DAY_S + 90))
    async with watched.store.transaction() as transaction:
        await transaction.insert(row)
    silent = cast(EngineDriver, None)  # the group has no nodes: its proof is told of all the same
    sources = Sources(
        store=watched.store,
        machine=cast(Any, None),
        resp=silent,
        memcached=silent,
        clock=stage.clock,
        settings=stage.context.settings,
    )
    collecting = asyncio.create_task(Collector(sources, stage.recorder, Exposition(stage.clock)).run())
    await stage.call("PutMetricAlarm", AlarmName="old", **rule("SnapshotProofAge", "GreaterThanThreshold", 7 * DAY_S))
    await stage.call("PutMetricAlarm", AlarmName="bad", **rule("SnapshotProofSucceeded", "LessThanThreshold", 1))
    states = []
    for _ in range(4):
        await stage.clock.advance(60)
        states.append((await watched.state("old"), await watched.state("bad")))
    collecting.cancel()
    await asyncio.gather(collecting, return_exceptions=True)
    assert states == [("OK", "OK"), ("ALARM", "OK"), ("ALARM", "OK"), ("ALARM", "OK")]
    query = metric("age", "SnapshotProofAge", "Maximum", namespace=BEYOND_AWS, ReplicationGroupId="demo")
    ages = (await stage.values(query, end=NOW + 600))["SnapshotProofAge"]
    assert ages == {at: 7 * DAY_S - 90 + at + 60 for at in (0, 60, 120, 180)}
    listed = (await stage.call("ListMetrics", Namespace=BEYOND_AWS))["Metrics"]
    assert {one["MetricName"] for one in listed} == {"SnapshotProofAge", "SnapshotProofSucceeded"}
    datum = {"MetricName": "SnapshotProofAge", "Value": 0.0}
    await stage.refused("InvalidParameterValue", "only this service", "PutMetricData", Namespace=BEYOND_AWS, MetricData=[datum])
