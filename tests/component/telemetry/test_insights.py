"""Looks at keys that were asked for: done once, by who leads, with what the nodes let be found out; nothing stays for long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from msgspec.structs import replace

from cachefleet.engine_interfaces import EngineRefused
from cachefleet.insight.facts import Fetched, HotName
from cachefleet.insight.keyspace import KeyFacts
from cachefleet.insight.shards import FULL, READ
from cachefleet.interfaces import Deposed
from cachefleet.model.group import GroupMemory, NodeMemory, Shape, ShardMemory
from cachefleet.model.insight import InsightDesired, InsightReport, InsightState, insight_key
from cachefleet.model.observed import Address
from cachefleet.model.resource import Kind, Scope
from cachefleet.model.row import GroupRow, Row
from cachefleet.telemetry import insights
from cachefleet.telemetry.insights import Insights
from tests.fakes.clock import ManualClock
from tests.fakes.entropy import SeededEntropy
from tests.fakes.store import MemoryStore
from tests.unit.planning.groups import replicated

SCOPE = Scope("000000000000", "local-1")
KEY = SCOPE.key(Kind.REPLICATION_GROUP, "demo")
BEGIN = 1_700_000_000.0
ENTRIES = tuple((key * 0x9E3779B97F4A7C15 % (1 << 64), 0, READ) for key in range(300)) * 2


class Nodes:
    """key_questions.Looker over two nodes: h1 is primary, h2 its replica."""

    def __init__(self) -> None:
        self.tracing: dict[str, int] = {}
        self.asked: list[tuple[str, str]] = []
        self.without_module = False
        self.silent: set[str] = set()
        self.dropped = 0
        self.fetches = 0
        self.permit: Callable[[], None] = lambda: None

    def _answers(self, at: Address, what: str) -> None:
        self.permit()
        self.asked.append((what, at.host))
        if at.host in self.silent:
            raise EngineRefused(f"{what} did not reach {at.host}")

    async def measure(self, at: Address) -> Mapping[str, float]:
        self._answers(at, "measure")
        done = float(self.fetches > 0)
        known = {"used_memory": 5e6, "used_memory_startup": 1e6, "maxmemory": 11e6, "db0.keys": 400.0, "db0.expires": 1.0}
        return {**known, "keyspace_hits": 900.0 * done, "keyspace_misses": 100.0 * done, "instantaneous_ops_per_sec": 60.0}

    async def begin(self, at: Address, threshold: int, seed: int) -> bool:
        self._answers(at, "begin")
        if not self.without_module:
            self.tracing[at.host] = threshold
        return not self.without_module

    async def lower(self, at: Address, threshold: int) -> None:
        assert threshold < self.tracing[at.host]
        self.tracing[at.host] = threshold

    async def fetch(self, at: Address) -> Fetched:
        self._answers(at, "fetch")
        self.fetches += 1
        entries = ENTRIES if self.fetches < 3 else ()
        return Fetched(1200, 20, 20, 20, self.dropped, 1000, 0, entries, self.fetches == 1)

    async def hot(self, at: Address) -> list[HotName]:
        return [HotName(b"popular", 10, 0)]

    async def end(self, at: Address) -> None:
        self.asked.append(("end", at.host))
        self.tracing.pop(at.host, None)

    async def counts_uses(self, at: Address) -> bool:
        return False

    async def scan(
        self, at: Address, database: int, cursor: int, count: int, *, clustered: bool, lfu: bool
    ) -> tuple[int, Sequence[KeyFacts]]:
        self._answers(at, "scan")
        keys = [KeyFacts(f"user:{number}".encode(), "string", 100, None, 7200) for number in range(cursor, cursor + count)]
        return (cursor + count) % 400, keys


class Stage:
    def __init__(self) -> None:
        self.clock, self.store, self.nodes = ManualClock(BEGIN), MemoryStore(), Nodes()
        self.deposed = False
        memory = GroupMemory(
            nodes={
                name: NodeMemory("a", host, launches=1, ready=True) for name, host in (("demo-001", "h1"), ("demo-002", "h2"))
            },
            shards={"0001": ShardMemory(primary="demo-001")},
        )
        self.group: GroupRow = Row(key=KEY, desired=replicated(2), memory=memory)

    async def add(self, row: Any) -> Any:
        async with self.store.transaction() as transaction:
            return await transaction.insert(row)

    async def ask(self, **changes: Any) -> None:
        await self.add(Row(key=insight_key(KEY), desired=InsightDesired(**{"asked_at": BEGIN, "seconds": 5, **changes})))

    def permit(self) -> None:
        if self.deposed:
            raise Deposed("another one leads")

    async def told(self) -> InsightDesired | None:
        row = await self.store.get(insight_key(KEY))
        return None if row is None else row.desired

    async def run(self, until: Callable[[InsightDesired | None], bool]) -> InsightDesired | None:
        """What the row is as soon as that holds."""
        async with self.running():
            for _ in range(5000):
                told = await self.told()
                if until(told):
                    return told
                await self.clock.advance(0.25)
        raise AssertionError(f"it never came to that: {told}")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        looks = Insights(self.store, self.nodes, self.nodes.measure, self.clock, SeededEntropy(), self.permit)
        task = asyncio.create_task(looks.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def ended(told: InsightDesired | None) -> bool:
    return told is not None and told.state in (InsightState.DONE, InsightState.FAILED)


async def look(stage: Stage, **asked: Any) -> InsightDesired:
    await stage.add(stage.group)
    await stage.ask(**asked)
    told = await stage.run(ended)
    assert told is not None
    return told


def report_of(told: InsightDesired) -> InsightReport:
    assert (told.state, told.why) == (InsightState.DONE, "")
    assert told.report is not None
    return told.report


def test_what_was_asked_for_is_found_out() -> None:
    async def scenario() -> None:
        stage = Stage()
        told = await look(stage)
        report = report_of(told)
        assert BEGIN <= told.begun_at < told.ended_at - 4
        assert (report.trace.hit_rate, report.trace.reads, report.trace.keys, report.trace.why) == (0.9, 1000, 300, "")
        assert [point.hit_rate for point in report.trace.points][-1] == 0.9
        assert [(one.name, one.share) for one in report.hot] == [("popular", 0.5)]
        assert (report.keyspace.keys, report.keyspace.prefixes[0].name) == (400, "user:")
        assert report.keyspace.looked_at > 50
        assert report.missing == ()
        assert stage.nodes.tracing == {}, "nothing is left on"
        assert ("scan", "h1") not in stage.nodes.asked, "the replica tells as well"
        assert ("begin", "h2") not in stage.nodes.asked

    asyncio.run(scenario())


def test_a_node_without_the_module_tells_the_rest() -> None:
    async def scenario() -> None:
        stage = Stage()
        stage.nodes.without_module = True
        report = report_of(await look(stage))
        (why,) = report.missing
        assert "demo-001" in why and "launched without the module" in why
        assert (report.trace.points, report.trace.why) == ((), "no primary could be traced")
        assert report.keyspace.keys == 400

    asyncio.run(scenario())


def test_where_no_replica_answers_the_primary_is_asked_afterwards() -> None:
    async def scenario() -> None:
        stage = Stage()
        stage.nodes.silent = {"h2"}
        report = report_of(await look(stage))
        assert report.missing == ("which keys demo-002 has: measure did not reach h2",)
        assert report.keyspace.looked_at > 50
        asked = stage.nodes.asked
        assert asked.index(("end", "h1")) < asked.index(("scan", "h1"))

    asyncio.run(scenario())


@pytest.mark.parametrize("silent", [True, False], ids=["silent", "memcached"])
def test_what_cannot_be_found_out_at_all_has_failed(silent: bool) -> None:
    async def scenario() -> None:
        stage = Stage()
        if silent:
            stage.nodes.silent = {"h1", "h2"}
        else:
            stage.group = replace(stage.group, desired=replace(stage.group.desired, shape=Shape.MEMCACHED))
        told = await look(stage)
        assert (told.state, told.report) == (InsightState.FAILED, None)
        assert ("did not reach h1" if silent else "Memcached tells neither") in told.why

    asyncio.run(scenario())


def test_an_error_of_ours_is_written_down_and_ends_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        stage = Stage()

        def broken(*words: object) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(insights, "key_report", broken)
        told = await look(stage)
        assert (told.state, told.why) == (InsightState.FAILED, "an internal error happened; the service's log says more")
        assert stage.nodes.tracing == {}

    asyncio.run(scenario())


def test_entries_that_were_lost_lower_the_share_that_is_sampled() -> None:
    async def scenario() -> None:
        stage = Stage()
        stage.nodes.dropped = 7
        thresholds: list[int] = []
        lower = stage.nodes.lower

        async def noted(at: Address, threshold: int) -> None:
            thresholds.append(threshold)
            await lower(at, threshold)

        stage.nodes.lower = noted  # type: ignore[method-assign]
        report = report_of(await look(stage))
        assert (thresholds, report.trace.dropped) == ([FULL // 2], 7)

    asyncio.run(scenario())


def test_what_a_service_began_that_is_gone_is_begun_anew() -> None:
    async def scenario() -> None:
        told = await look(Stage(), state=InsightState.RUNNING, begun_at=BEGIN - 100)
        assert told.state is InsightState.DONE
        assert told.begun_at >= BEGIN

    asyncio.run(scenario())


@pytest.mark.parametrize("asking", [True, False])
def test_who_leads_no_more_writes_nothing(asking: bool) -> None:
    async def scenario() -> None:
        stage = Stage()
        stage.nodes.permit = stage.permit if asking else lambda: None
        await stage.add(stage.group)
        await stage.ask()
        async with stage.running():
            await stage.clock.advance(2.0)
            told = await stage.told()
            assert told is not None and told.state is InsightState.RUNNING
            stage.deposed = True
            for _ in range(200):
                await stage.clock.advance(0.25)
        assert await stage.told() == told

    asyncio.run(scenario())


@pytest.mark.parametrize("gone", ["old", "group"])
def test_nothing_stays_for_longer_than_a_day_nor_than_its_group(gone: str) -> None:
    async def scenario() -> None:
        stage = Stage()
        if gone == "old":
            await stage.add(stage.group)
        asked_at = BEGIN - (insights.KEEP_S + 1 if gone == "old" else 0)
        await stage.ask(state=InsightState.DONE, asked_at=asked_at, report=InsightReport())
        await stage.run(lambda told: told is None)

    asyncio.run(scenario())
