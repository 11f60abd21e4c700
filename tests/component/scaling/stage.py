"""Groups, their load and auto scaling together, in virtual time; the controller's part is played by hand."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

import cachefleet.api.operations  # noqa: F401  (registers them)
from cachefleet.api.context import Caller, Context
from cachefleet.app.scaling_role import scaling_role
from cachefleet.gateway.audit import Call
from cachefleet.metric_interfaces import NoMetrics, Points
from cachefleet.metrics.values import Value, single
from cachefleet.model.metric import NODES, MetricName, Resolution, Series
from cachefleet.model.resource import Kind
from cachefleet.model.row import GroupRow
from cachefleet.monitoring.reading import Readings
from cachefleet.telemetry.alarm_watch import AlarmWatch
from cachefleet.telemetry.scaler import Scaler
from tests.component.api.stage import Stage
from tests.component.api_groups.stage import GroupStage, on_groups
from tests.fakes.api import ACCOUNT, REGION, call
from tests.fakes.entropy import SeededEntropy

SERVICE = "application-autoscaling"
SHARDS, REPLICAS, NODES_OF = (
    "elasticache:replication-group:NodeGroups",
    "elasticache:replication-group:Replicas",
    "elasticache:cache-cluster:Nodes",
)
CPU = "EngineCPUUtilization"
PRIMARIES = Series(ACCOUNT, REGION, NODES, (("ReplicationGroupId", "demo"), ("Role", "Primary")))


class MemoryMetrics(NoMetrics):
    """Values of one's own choice."""

    def __init__(self) -> None:
        self._values: dict[tuple[Series, MetricName], dict[int, Value]] = {}

    def put(self, series: Series, name: MetricName, at: float, value: float) -> None:
        self._values.setdefault((series, name), {})[int(at)] = single(value)

    async def points(
        self, series: Sequence[Series], names: Sequence[MetricName], resolution: Resolution, start: float, end: float
    ) -> dict[tuple[Series, MetricName], Points]:
        found = {}
        for key, column in self._values.items():
            if key[0] in series and key[1] in names:
                found[key] = {at: value for at, value in column.items() if start <= at < end}
        return dict(found)


class ScalingStage(GroupStage):
    """`demo` is a group with cluster mode enabled once it is made."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage.store, stage.clock)
        stage.clock.pass_time(-stage.clock.now() % 60)  # periods of a minute begin at full minutes
        self.metrics = MemoryMetrics()
        self.calls: list[Call] = []
        readings = Readings(self.metrics, self.clock, 40)
        self.operate = scaling_role(self._context, self.calls.append, SeededEntropy(2))
        self.scaler = Scaler(self.store, readings, self.operate, SeededEntropy(3))
        self.watch = AlarmWatch(self.store, self.metrics, self.clock, 40)

    def _context(self, caller: Caller) -> Context:
        return replace(self.context, caller=caller)

    async def scaling(
        self, name: str, /, resource: str = "replication-group/demo", dimension: str = SHARDS, **more: Any
    ) -> Any:
        """An operation on a target."""
        named = {"ServiceNamespace": "elasticache", "ResourceId": resource, "ScalableDimension": dimension}
        return await self.call(name, SERVICE, **named, **more)

    async def refused_scaling(self, code: str, rule: str, name: str, /, **more: Any) -> None:
        named = {"ServiceNamespace": "elasticache", "ResourceId": "replication-group/demo", "ScalableDimension": SHARDS}
        await self.refused(code, rule, name, service=SERVICE, **{**named, **more})

    async def make(self, shards: int = 2, replicas: int = 1, **request: Any) -> None:
        await self.create_group(NumNodeGroups=shards, ReplicasPerNodeGroup=replicas, **request)
        await self.settle()

    async def register(self, low: int, high: int, **more: Any) -> str:
        reply = await self.scaling("RegisterScalableTarget", MinCapacity=low, MaxCapacity=high, **more)
        return str(reply["ScalableTargetARN"])

    async def track(self, name: str = "cpu", metric: str = "ElastiCachePrimaryEngineCPUUtilization", **more: Any) -> Any:
        configuration = {"PredefinedMetricSpecification": {"PredefinedMetricType": metric}, "TargetValue": 50.0, **more}
        dimension = REPLICAS if "Replica" in metric else SHARDS
        return await self.scaling(
            "PutScalingPolicy",
            dimension=dimension,
            PolicyName=name,
            PolicyType="TargetTrackingScaling",
            TargetTrackingScalingPolicyConfiguration=configuration,
        )

    async def alarm(self, name: str, /, **request: Any) -> Mapping[str, Any]:
        """An operation of CloudWatch's; some have no reply."""
        return await call(self.context, name, "monitoring", **request)

    async def shards(self) -> int:
        """As they are asked for."""
        row = await self.row(self.key("demo"))
        return sum(not shard.leaving for shard in row.desired.shards)

    async def activities(self, **more: Any) -> list[dict[str, Any]]:
        reply = await self.call("DescribeScalingActivities", SERVICE, ServiceNamespace="elasticache", **more)
        return list(reply["ScalingActivities"])

    async def minute(self, value: float | None, series: Series = PRIMARIES, name: str = CPU, unit: str = "Percent") -> None:
        """A minute goes by, with this value of the metric; alarms are evaluated, and scaling has a look."""
        if value is not None:
            self.metrics.put(series, MetricName(name, unit), self.clock.now(), value)
        self.clock.pass_time(60.0)
        self.clock.pass_time(5.0)
        await self.watch.look()
        await self.scaler.look()
        self.clock.pass_time(-5.0)

    async def finish(self, name: str = "demo", kind: Kind = Kind.REPLICATION_GROUP) -> GroupRow:
        """The controller has done what was asked for; shards that were to leave are gone."""
        row = await self.row(self.key(name, kind))
        staying = tuple(shard for shard in row.desired.shards if not shard.leaving)
        await self.write(replace(row, desired=replace(row.desired, shards=staying)))
        return await self.settle(name, kind)


async def described(stage: ScalingStage, name: str, /, **more: Any) -> list[dict[str, Any]]:
    reply = await stage.call(name, SERVICE, ServiceNamespace="elasticache", **more)
    ((_, found),) = reply.items()
    return list(found)


def on_scaling(test: Callable[[ScalingStage], Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Make a test of an `async def` that wants a stage; it runs over each kind of store."""

    @functools.wraps(test)
    async def on_stage(stage: GroupStage) -> None:
        await test(ScalingStage(stage))

    return on_groups(on_stage)


def codes(reasons: Sequence[Mapping[str, Any]]) -> list[str]:
    return [str(reason["Code"]) for reason in reasons]
