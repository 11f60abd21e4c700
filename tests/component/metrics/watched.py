"""The stage with alarms evaluated as time passes."""

from __future__ import annotations

from typing import Any

from cachefleet.metrics.values import single
from cachefleet.model.metric import MetricName, Series
from cachefleet.model.notice import Notice
from cachefleet.model.resource import Kind
from cachefleet.model.row import Row
from cachefleet.model.topic import TopicDesired, topic_arn
from cachefleet.telemetry.alarm_watch import AlarmWatch
from tests.component.metrics.stage import Stage
from tests.fakes.api import ACCOUNT, REGION
from tests.fakes.store import MemoryStore

HEAT = {"Namespace": "mine", "MetricName": "heat", "Dimensions": [{"Name": "place", "Value": "attic"}]}
SERIES = Series(ACCOUNT, REGION, "mine", (("place", "attic"),))
RULE: dict[str, Any] = {
    **HEAT,
    "Statistic": "Average",
    "Period": 60,
    "EvaluationPeriods": 3,
    "DatapointsToAlarm": 2,
    "Threshold": 50.0,
    "ComparisonOperator": "GreaterThanThreshold",
}
AT_ONCE = {**RULE, "EvaluationPeriods": 1, "DatapointsToAlarm": 1}


class Watched:
    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        assert isinstance(stage.context.store, MemoryStore)
        self.store = stage.context.store
        self.watch = AlarmWatch(stage.context.store, stage.recorder, stage.clock, 40)

    def measure(self, value: float, name: str = "heat", series: Series = SERIES) -> None:
        self.stage.recorder.record(series, self.stage.clock.now(), {MetricName(name): single(value)})

    async def minute(self, value: float | None, series: Series = SERIES, name: str = "heat") -> str:
        """The value of the minute that begins now; the state of the alarm "hot" once it is over."""
        if value is not None:
            self.measure(value, name, series)
        self.stage.clock.pass_time(60.0)
        return await self.state()

    async def look(self) -> None:
        """As it is some seconds after a period has ended."""
        self.stage.clock.pass_time(5.0)
        await self.watch.look()
        self.stage.clock.pass_time(-5.0)

    async def state(self, name: str = "hot") -> str:
        await self.look()
        return (await self.states(name))[0]

    async def states(self, *names: str) -> list[str]:
        shown = await self.stage.call(
            "DescribeAlarms", AlarmNames=list(names), AlarmTypes=["MetricAlarm", "CompositeAlarm"], MaxRecords=100
        )
        found = {one["AlarmName"]: one["StateValue"] for kind in ("MetricAlarms", "CompositeAlarms") for one in shown[kind]}
        return [found[name] for name in names]

    async def topic(self, name: str) -> str:
        """Its ARN."""
        scope = self.stage.context.scope
        async with self.store.transaction() as transaction:
            await transaction.insert(Row(key=scope.key(Kind.TOPIC, name), desired=TopicDesired(name, 0.0)))
        return topic_arn(scope, name)

    async def told(self) -> list[Notice]:
        """What topics were told, oldest first."""
        return [posted.notice for posted in await self.store.outbox.posted(1000)]

    async def history(self, name: str, kind: str = "", **more: Any) -> list[dict[str, Any]]:
        asked = {"HistoryItemType": kind, **more} if kind else more
        found: list[dict[str, Any]] = (await self.stage.call("DescribeAlarmHistory", AlarmName=name, **asked))[
            "AlarmHistoryItems"
        ]
        return found
