"""Looks at keys, asked for and told; and advice on groups from what was measured."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from cachefleet.api.context import Context
from cachefleet.api.insights import get_insight, start_insight
from cachefleet.insight.advice import DAYS
from cachefleet.metric_interfaces import NoMetrics, Points
from cachefleet.metrics.values import single
from cachefleet.model.errors import AwsError
from cachefleet.model.group import Shape
from cachefleet.model.insight import InsightReport, InsightState, insight_key
from cachefleet.model.metric import DAY_S, RESOLUTIONS, MetricName, Resolution, Series
from cachefleet.model.resource import Kind
from cachefleet.model.row import Row
from tests.component.iam.stage import Stage, allow
from tests.fakes.api import make_context
from tests.fakes.clock import ManualClock
from tests.unit.planning.groups import replicated


class Measured(NoMetrics):
    """So many commands an hour on every node, for so long."""

    def __init__(self, clock: ManualClock, commands: float, days: float) -> None:
        self.clock, self.commands, self.days = clock, commands, days
        self.longest_s = 0.0

    async def points(
        self, series: Sequence[Series], names: Sequence[MetricName], resolution: Resolution, start: float, end: float
    ) -> dict[tuple[Series, MetricName], Points]:
        assert resolution == RESOLUTIONS[-1]
        self.longest_s = max(self.longest_s, end - start)
        numbers = {"GetTypeCmds": self.commands, "BytesUsedForCache": 1e6, "EngineCPUUtilization": 3.0, "Evictions": 0.0}
        first = max(start, self.clock.now() - self.days * DAY_S)
        times = range(int(first) // 3600 * 3600, int(end), 3600)
        return {
            (one, name): {at: single(numbers[name.name]) for at in times}
            for one in series
            for name in names
            if name.name in numbers
        }


async def context_with(*names: str, shape: Shape = Shape.REPLICATED, metrics: Any = None, **group: Any) -> Context:
    context = make_context(clock=ManualClock())
    if metrics is not None:
        context = replace(context, clock=metrics.clock, metrics=metrics)
    for name in names:
        desired = replace(replicated(2), shape=shape, **group)
        async with context.store.transaction() as transaction:
            row: Any = Row(key=context.scope.key(Kind.REPLICATION_GROUP, name), desired=desired)
            await transaction.insert(row, [f"{name}-001"])
    return context


def refused(query: str, context: Context | None = None) -> AwsError:
    async def body() -> None:
        await start_insight(context or await context_with("shop"), query)

    with pytest.raises(AwsError) as error:
        asyncio.run(body())
    return error.value


async def end(context: Context, name: str, **changes: Any) -> None:
    row: Any = await context.store.get(insight_key(context.scope.key(Kind.REPLICATION_GROUP, name)))
    async with context.store.transaction() as transaction:
        await transaction.update(replace(row, desired=replace(row.desired, **changes)))


def test_what_was_asked_for_is_told_until_somebody_asks_again() -> None:
    async def scenario() -> None:
        context = await context_with("shop")
        with pytest.raises(AwsError, match="Nobody has looked"):
            await get_insight(context, "group=shop")
        asked = await start_insight(context, "group=SHOP&seconds=7")
        assert (asked["group"], asked["kind"], asked["state"], asked["seconds"]) == ("shop", "replicationgroup", "asked", 7)
        again = await start_insight(context, "group=shop-001&seconds=9")
        assert (again["seconds"], again["group"]) == (7, "shop"), "that one is under way"
        await end(context, "shop", state=InsightState.DONE, report=InsightReport(missing=("x",)))
        told: Mapping[str, Any] = await get_insight(context, "group=shop")
        assert (told["state"], told["report"]["missing"]) == ("done", ("x",))
        assert (await start_insight(context, "group=shop"))["seconds"] == 30

    asyncio.run(scenario())


def test_one_that_nobody_works_off_may_be_asked_for_again() -> None:
    async def scenario() -> None:
        clock = ManualClock()
        context = replace(await context_with("shop"), clock=clock)
        await start_insight(context, "group=shop&seconds=10")
        clock.jump(79.0)
        assert (await start_insight(context, "group=shop&seconds=11"))["seconds"] == 10
        clock.jump(2.0)
        assert (await start_insight(context, "group=shop&seconds=11"))["seconds"] == 11

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("query", "code", "words"),
    [
        ("group=other", "ReplicationGroupNotFoundFault", "no replication group or cluster other"),
        ("", "MissingParameter", "group is missing"),
        ("group=&seconds=1", "MissingParameter", "group is missing"),
        ("group=shop&seconds=0", "InvalidParameterValue", "from 1 to 600"),
        ("group=shop&seconds=601", "InvalidParameterValue", "from 1 to 600"),
        ("group=shop&seconds=", "InvalidParameterValue", "whole number"),
        ("group=shop&seconds=%C2%B2", "InvalidParameterValue", "whole number"),
        ("group=shop&seconds=1&seconds=2", "InvalidParameterValue", "once"),
        ("group=shop&name=1", "InvalidParameterValue", "'name' is no parameter"),
    ],
)
def test_what_cannot_be_asked_for(query: str, code: str, words: str) -> None:
    error = refused(query)
    assert (error.code, words in error.message) == (code, True)


def test_memcached_is_refused() -> None:
    async def scenario() -> None:
        with pytest.raises(AwsError, match="Memcached tells neither"):
            await start_insight(await context_with("shop", shape=Shape.MEMCACHED), "group=shop")

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("commands", "days", "expected"),
    [
        (0.1, 20.0, [("shop", "idle", "")]),
        (1000.0, 20.0, [("shop", "oversized", "cache.t4g.micro")]),
        (1000.0, 0.5, []),
    ],
)
def test_advice_comes_from_two_weeks_of_values(commands: float, days: float, expected: list[tuple[str, str, str]]) -> None:
    async def scenario() -> None:
        clock = ManualClock()
        metrics = Measured(clock, commands, days)
        context = await context_with("shop", metrics=metrics, node_type="cache.r7g.large")
        told = await get_insight(context, "")
        assert [(one["name"], one["finding"], one["node_type"]) for one in told["advice"]] == expected
        assert metrics.longest_s <= DAYS * DAY_S / 2, "no portion holds the others up for long"

    asyncio.run(scenario())


def test_looking_and_reading_have_actions_of_their_own() -> None:
    stage = Stage()
    reader, nobody = stage.as_user(allow("cachefleet:GetInsight")), stage.as_user(allow("elasticache:*"))
    assert asyncio.run(get_insight(reader, "")) == {"advice": []}
    for context, ask, action in ((reader, start_insight, "StartInsight"), (nobody, get_insight, "GetInsight")):
        with pytest.raises(AwsError) as error:
            asyncio.run(ask(context, "group=shop"))
        assert error.value.code == "AccessDenied"
        assert f"cachefleet:{action} on resource: *" in error.value.message


def test_groups_that_are_to_go_get_no_advice() -> None:
    async def scenario() -> None:
        metrics = Measured(ManualClock(), 0.0, 20.0)
        assert await get_insight(await context_with("shop", metrics=metrics, deleting=True), "") == {"advice": []}

    asyncio.run(scenario())
