"""Nodes counted over a day: groups come, change and go, and the lead goes from one service to another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
from msgspec.structs import replace

from cachefleet.costs.offerings import price_per_hour
from cachefleet.costs.report import cost_report
from cachefleet.interfaces import Deposed, Store, StoreError
from cachefleet.model.group import GroupMemory, NodeMemory
from cachefleet.model.resource import Kind, Scope
from cachefleet.model.row import GroupRow
from cachefleet.model.usage import Counted, Span
from cachefleet.reference.node_types import NODE_TYPES
from cachefleet.settings import Settings
from cachefleet.store import SqlStore, open_store
from cachefleet.telemetry.usage_ledger import KEPT_S, LOOK_S, UsageCounter
from tests.component.metrics.test_alarm_watch import Counting
from tests.fakes.clock import ManualClock
from tests.fakes.store import MemoryStore
from tests.fixtures.databases import SCOPE, group

LEASE = "controller"
BEGIN = 1_700_000_000.0
HOUR = 3600.0


class Service:
    """One of several that count into the same store."""

    def __init__(self, name: str, store: SqlStore, clock: ManualClock) -> None:
        self.name, self.store = name, store
        self.token = 0
        self.counter = UsageCounter(store, store.usage, clock, LEASE, lambda: self.token, Settings())

    async def take_the_lead(self, other: str) -> None:
        self.token = (await self.store.hold_lease(LEASE, self.name, 1e9, dead=other)).token


class Day:
    """Groups in a store, and what they really had: node hours by name."""

    def __init__(self, store: SqlStore, clock: ManualClock) -> None:
        self.store, self.clock = store, clock
        self.truth: dict[str, float] = {}
        self._running: dict[str, int] = {}

    async def set(self, name: str, nodes: int, tags: Mapping[str, str] | None = None) -> None:
        """As the controller would have it: so many nodes run. 0: the group is gone."""
        key = SCOPE.key(Kind.REPLICATION_GROUP, name)
        row: GroupRow | None = await self.store.get(key)
        async with self.store.transaction() as transaction:
            if row is None:
                row = await transaction.insert(replace(group(name), tags=dict(tags or {})))
            known = dict(list(row.memory.nodes.items())[:nodes])
            for number in range(len(known), nodes):
                known[f"{name}-{number:03}"] = NodeMemory("local-1a", launched_at=self.clock.now())
            if nodes:
                await transaction.update(replace(row, memory=GroupMemory(nodes=known), tags=dict(tags or row.tags)))
            else:
                await transaction.delete(row)
        self._running[name] = nodes

    def pass_time(self, seconds: float) -> None:
        self.clock.pass_time(seconds)
        for name, nodes in self._running.items():
            self.truth[name] = self.truth.get(name, 0.0) + nodes * seconds / HOUR

    async def counted(self) -> dict[str, float]:
        spans = await self.store.usage.spans(SCOPE, 0.0, 1e12)
        report = cost_report(spans, {}, Settings(), 0.0, self.clock.now())
        return {one.name: one.hours.node_hours for one in report.groups}


@asynccontextmanager
async def a_day() -> AsyncIterator[tuple[Day, Service]]:
    """And the service that leads when it begins."""
    clock = ManualClock(BEGIN)
    store = await open_store("sqlite+aiosqlite:///:memory:", clock)
    try:
        service = Service("one", store, clock)
        await service.take_the_lead("")
        yield Day(store, clock), service
    finally:
        await store.close()


def test_a_day_of_two_services_counts_each_node_once() -> None:
    async def body() -> None:
        async with a_day() as (day, first):
            clock, store = day.clock, day.store
            second = Service("two", store, clock)
            leader, other = first, second
            await day.set("stays", 3, {"team": "a"})
            await first.counter.look()
            for minute in range(0, 24 * 60, 2):
                hour, rest = divmod(minute, 60)
                if rest == 10:
                    await day.set("grows", hour % 5 + 1)
                if rest == 20:
                    await day.set("comes-and-goes", 0 if hour % 2 else 2)
                if rest == 30 and hour % 6 == 5:
                    await other.take_the_lead(leader.name)
                    leader, other = other, leader
                    with pytest.raises(Deposed):
                        await other.counter.look()
                if rest == 44 and hour == 12:
                    await day.set("stays", 3, {"team": "b"})
                day.pass_time(2 * LOOK_S)
                await leader.counter.look()
            found = await day.counted()
            assert found.keys() == day.truth.keys()
            assert found["stays"] == pytest.approx(day.truth["stays"], abs=0.01)
            assert found["grows"] == pytest.approx(day.truth["grows"], abs=24 * 5 * 2 / 60)
            assert found["comes-and-goes"] == pytest.approx(day.truth["comes-and-goes"], abs=12 * 2 * 2 / 60)
            spans = await store.usage.spans(SCOPE, 0.0, 1e12)
            assert len(spans) < 2 + 25 + 13  # what does not change takes no more room
            _never_twice_at_once(spans)

    asyncio.run(body())


def _never_twice_at_once(spans: Sequence[Span]) -> None:
    for name in {span.group.name for span in spans}:
        of_it = sorted((span.begin, span.end or 0.0) for span in spans if span.group.name == name)
        assert all(end <= begin for (_, end), (begin, _) in pairwise(of_it)), name


def test_while_no_service_runs_nodes_go_on() -> None:
    async def body() -> None:
        async with a_day() as (day, service):
            await day.set("stays", 2)
            await day.set("goes", 2)
            await day.set("relaunched", 2)
            await service.counter.look()
            day.pass_time(5 * HOUR)  # the service is away, and then the machine is off
            await day.set("goes", 0)
            await day.set("relaunched", 0)
            await day.set("relaunched", 2)
            day.pass_time(LOOK_S)
            service = Service("two", day.store, day.clock)
            await service.take_the_lead("one")
            await service.counter.look()
            assert await day.counted() == pytest.approx({"stays": 10 + 2 / 60, "relaunched": 2 / 60}, abs=0.001)

    asyncio.run(body())


def test_500_groups_cost_some_reads_and_one_write() -> None:
    async def body() -> None:
        counts: dict[str, int] = {}
        async with a_day() as (day, service):
            clock, store = day.clock, day.store
            for number in range(500):
                await day.set(f"g{number:03}", 2)
            counted = Counting(store, counts), Counting(store.usage, counts)
            counter = UsageCounter(*counted, clock, LEASE, lambda: service.token, Settings())
            await counter.look()
            assert len(await store.usage.going_on()) == 500
            price = price_per_hour(NODE_TYPES["cache.t4g.micro"], Settings().prices)
            assert counter.cost_per_hour() == pytest.approx(1000 * price)
            counts.clear()
            clock.pass_time(LOOK_S)
            await counter.look()
            assert counts == {"counted": 1, "keys": 1, "rows": 7, "going_on": 1, "write": 1}
            assert len(await store.usage.spans(SCOPE, 0.0, 1e12)) == 500

    asyncio.run(body())


def test_what_is_older_than_13_months_is_forgotten() -> None:
    async def body() -> None:
        async with a_day() as (day, service):
            for name in ("goes", "stays"):
                await day.set(name, 1)
            for _ in range(2):
                await service.counter.look()
                day.pass_time(LOOK_S)
            await day.set("goes", 0)
            await service.counter.look()
            day.pass_time(KEPT_S)
            await service.counter.look()
            assert [span.group.name for span in await day.store.usage.spans(SCOPE, 0.0, 1e12)] == ["stays"]

    asyncio.run(body())


class Troubled:
    """A ledger that fails as it is told, and notes when it was written to."""

    def __init__(self, clock: ManualClock, *errors: Exception | None) -> None:
        self.clock, self.errors = clock, list(errors)
        self.written: list[float] = []

    async def counted(self) -> Counted | None:
        return None

    async def going_on(self) -> list[Span]:
        return []

    async def write(self, lease: str, token: int, now: float, closed: Sequence[Span], begun: Sequence[Span]) -> None:
        error = self.errors.pop(0)
        if error is not None:
            raise error
        self.written.append(now)

    async def spans(self, scope: Scope, start: float, end: float) -> list[Span]:
        return []

    async def forget(self, before: float) -> int:
        return 0


def test_it_looks_every_minute_whatever_fails() -> None:
    async def body() -> None:
        clock = ManualClock(BEGIN)
        store: Store = MemoryStore(clock)
        ledger = Troubled(clock, None, StoreError("away"), Deposed("no"), ValueError("odd"), None)
        task = asyncio.create_task(UsageCounter(store, ledger, clock, LEASE, lambda: 1, Settings()).run())
        await clock.advance(5 * LOOK_S)
        assert ledger.written == [BEGIN + LOOK_S, BEGIN + 5 * LOOK_S]
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(body())
