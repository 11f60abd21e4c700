"""Nodes are measured when their time has come: gaps where they do not answer, nothing twice, nothing of an earlier term."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast
from unittest.mock import patch

from msgspec.structs import replace

from cachefleet.engine_interfaces import EngineDriver, EngineRefused
from cachefleet.interfaces import Deposed
from cachefleet.metrics.values import Value
from cachefleet.model.group import GroupMemory, NodeMemory
from cachefleet.model.metric import MetricName, Series
from cachefleet.model.metric_interval import TAG
from cachefleet.model.observed import Address, Usage
from cachefleet.model.proof import ACCOUNT
from cachefleet.model.resource import Kind, Scope
from cachefleet.model.row import GroupRow, Row
from cachefleet.settings import MetricSettings, Settings
from cachefleet.telemetry.collector import Collector, Sources
from cachefleet.telemetry.exposition import Exposition
from tests.fakes.clock import ManualClock
from tests.fakes.store import MemoryStore
from tests.unit.planning.groups import replicated

SCOPE = Scope("000000000000", "local-1")
KEY = SCOPE.key(Kind.REPLICATION_GROUP, "demo")
BEGIN = 1_700_000_040.0  # a full minute
HUNG = NodeMemory("a", "hung", launches=1, launched_at=BEGIN + 1)


class Driver:
    """Counts a hit a second since 0; `silent` nodes do not answer."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.silent: set[str] = set()
        self.started: dict[str, float] = {}
        self.asked = 0

    async def measure(self, at: Address) -> Mapping[str, float]:
        self.asked += 1
        if at.host.startswith("hung"):
            await asyncio.Event().wait()
        if at.host in self.silent:
            raise EngineRefused("no answer")
        up_s = self.clock.now() - self.started.get(at.launch, BEGIN)
        return {"keyspace_hits": up_s, "keyspace_misses": 0.0, "used_memory": 1.0, "primary": float(at.host == "h1")}


class Machine:
    def usage(self, incarnation: str) -> Usage | None:
        return None

    def free_bytes(self) -> int:
        return 0


class Recorded:
    """metric_interfaces.Metrics that remembers what it is told."""

    def __init__(self) -> None:
        self.told: dict[tuple[tuple[str, str], ...], dict[float, dict[str, Value]]] = {}
        self.fine: set[bool] = set()

    def record(self, series: Series, at: float, values: Mapping[MetricName, Value], *, fine: bool = False) -> None:
        found = self.told.setdefault(series.dimensions, {})
        assert at not in found
        found[at] = {name.name: value for name, value in values.items()}
        self.fine.add(fine)

    def hits(self, node: str) -> dict[float, float]:
        """Second since BEGIN -> hits."""
        told = self.told.get((("CacheClusterId", node), ("CacheNodeId", "0001")), {})
        return {at - BEGIN: values["CacheHits"].total for at, values in told.items() if "CacheHits" in values}


class Stage:
    def __init__(self, tags: Mapping[str, str] | None = None) -> None:
        self.clock, self.store, self.recorded = ManualClock(BEGIN + 0.5), MemoryStore(), Recorded()
        self.exposition = Exposition(self.clock)
        self.deposed = False
        self.driver = Driver(self.clock)
        nodes = {
            name: NodeMemory("a", host, launches=1, launched_at=BEGIN + 1)
            for name, host in (("demo-001", "h1"), ("demo-002", "h2"))
        }
        self.row: GroupRow = Row(key=KEY, desired=replicated(2), memory=GroupMemory(nodes=nodes), tags=dict(tags or {}))
        self.settings = Settings(metrics=MetricSettings())

    def permit(self) -> None:
        if self.deposed:
            raise Deposed("another one leads")

    def collector(self) -> Collector:
        driver = cast(EngineDriver, self.driver)
        sources = Sources(
            store=self.store,
            machine=Machine(),
            resp=driver,
            memcached=driver,
            clock=self.clock,
            settings=self.settings,
            permit=self.permit,
        )
        return Collector(sources, cast(Any, self.recorded), self.exposition)

    @asynccontextmanager
    async def collecting(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.collector().run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def run(self, seconds: float) -> None:
        async with self.collecting():
            await self.clock.advance(seconds)

    async def put(self) -> None:
        async with self.store.transaction() as transaction:
            self.row = await transaction.insert(self.row)


def test_each_interval_is_recorded_at_its_begin_and_nothing_is_lost() -> None:
    async def body() -> None:
        stage = Stage()
        await stage.put()
        await stage.run(185)
        assert stage.recorded.hits("demo-001") == {0: 60, 60: 60, 120: 60}
        assert stage.recorded.hits("demo-002") == stage.recorded.hits("demo-001")
        assert stage.recorded.fine == {False}

    asyncio.run(body())


def test_throw_away_groups_are_not_measured() -> None:
    async def body() -> None:
        stage = Stage()
        stage.row = replace(stage.row, key=replace(KEY, account=ACCOUNT))
        await stage.put()
        await stage.run(125)
        assert stage.driver.asked == 0 and stage.recorded.told == {}
        assert b"demo-001" not in stage.exposition.text()

    asyncio.run(body())


def test_a_tag_makes_it_finer_for_its_group() -> None:
    async def body() -> None:
        stage = Stage({TAG: "5"})
        await stage.put()
        await stage.run(26)
        assert stage.recorded.hits("demo-001") == {0: 5, 5: 5, 10: 5, 15: 5, 20: 5}
        assert stage.recorded.fine == {True}

    asyncio.run(body())


def test_a_node_that_does_not_answer_is_a_gap_and_its_counts_come_later() -> None:
    async def body() -> None:
        stage = Stage()
        await stage.put()
        async with stage.collecting():
            await stage.clock.advance(65)
            stage.driver.silent = {"h2"}
            await stage.clock.advance(60)
            stage.driver.silent = set()
            await stage.clock.advance(60)
        assert stage.recorded.hits("demo-001") == {0: 60, 60: 60, 120: 60}
        assert stage.recorded.hits("demo-002") == {0: 60, 120: 120}

    asyncio.run(body())


def test_a_launch_that_began_before_us_is_compared_with_what_we_saw_first() -> None:
    async def body() -> None:
        stage = Stage()
        nodes = {name: replace_node(node, BEGIN - 100) for name, node in stage.row.memory.nodes.items()}
        stage.row = replace(stage.row, memory=GroupMemory(nodes=nodes))
        await stage.put()
        await stage.run(130)
        assert stage.recorded.hits("demo-001") == {60: 60}
        assert 0 not in stage.recorded.hits("demo-001")

    asyncio.run(body())


def test_another_launch_counts_from_its_start() -> None:
    async def body() -> None:
        stage = Stage()
        await stage.put()
        async with stage.collecting():
            await stage.clock.advance(65)
            node = stage.row.memory.nodes["demo-001"]
            again = NodeMemory("a", node.address, launches=2, launched_at=stage.clock.now())
            stage.driver.started["u1.demo-001.2"] = stage.clock.now()
            memory = GroupMemory(nodes={**stage.row.memory.nodes, "demo-001": again})
            async with stage.store.transaction() as transaction:
                await transaction.update(replace(stage.row, memory=memory))
            await stage.clock.advance(60)
        assert stage.recorded.hits("demo-001") == {0: 60, 60: 54.5}

    asyncio.run(body())


def replace_node(node: NodeMemory, launched_at: float) -> NodeMemory:
    return NodeMemory(node.zone, node.address, launches=node.launches, launched_at=launched_at)


def test_a_node_that_is_silent_or_gone_is_not_scraped_as_if_it_were_there() -> None:
    async def body() -> None:
        stage = Stage()
        await stage.put()
        async with stage.collecting():
            await stage.clock.advance(65)
            text = stage.exposition.text().decode()
            assert text.count("cachefleet_node_up{") == 2 and text.count("cachefleet_node_keyspace_hits_total{") == 2
            stage.driver.silent = {"h2"}
            await stage.clock.advance(60)
            text = stage.exposition.text().decode()
            assert text.count("cachefleet_node_up{") == 2 and text.count("cachefleet_node_keyspace_hits_total{") == 1
        await stage.clock.advance(200)  # another service leads
        assert "cachefleet_node_up{" not in stage.exposition.text().decode()

    asyncio.run(body())


def test_a_node_that_hangs_costs_nobody_else_a_value() -> None:
    async def body() -> None:
        stage = Stage()
        await stage.put()
        shop = {name: NodeMemory("a", f"hung-{name}", launches=1, launched_at=BEGIN + 1) for name in stage.row.memory.nodes}
        key = SCOPE.key(Kind.REPLICATION_GROUP, "shop")
        async with stage.store.transaction() as transaction:
            await transaction.insert(Row(key=key, desired=stage.row.desired, memory=GroupMemory(nodes=shop), tags={TAG: "1"}))
        await stage.run(305)
        assert stage.recorded.hits("demo-001") == {0: 60, 60: 60, 120: 60, 180: 60, 240: 60}

    asyncio.run(body())


def test_a_node_that_hangs_is_given_less_time_than_its_interval() -> None:
    async def body() -> None:
        stage = Stage({TAG: "1"})
        stage.row = replace(stage.row, memory=GroupMemory(nodes={**stage.row.memory.nodes, "demo-002": HUNG}))
        await stage.put()
        async with stage.collecting():
            with patch("cachefleet.telemetry.collector.asyncio.timeout", wraps=asyncio.timeout) as patience:
                await stage.clock.advance(1)
            assert {call.args[0] for call in patience.call_args_list} == {0.8}

    asyncio.run(body())


def test_no_interval_is_missed_when_the_database_is_slow() -> None:
    async def body() -> None:
        stage = Stage()
        await stage.put()
        async with stage.collecting():
            await stage.clock.advance(58)
            keys = stage.store.keys

            async def slow(*args: Any) -> Any:
                await stage.clock.sleep(3)
                return await keys(*args)

            cast(Any, stage.store).keys = slow
            await stage.clock.advance(70)
        found = stage.recorded.hits("demo-001")
        assert list(found) == [0, 60] and sum(found.values()) >= 120

    asyncio.run(body())


def test_who_does_not_lead_any_more_records_nothing() -> None:
    """A process that was frozen may measure before it knows; what it would record, the one that leads has recorded."""

    async def body() -> None:
        stage = Stage()
        await stage.put()
        async with stage.collecting():
            await stage.clock.advance(65)
            stage.deposed = True
            await stage.clock.advance(60)
        assert stage.recorded.hits("demo-001") == {0: 60}

    asyncio.run(body())


def test_a_process_that_ended_is_down_unless_its_group_is_deleted() -> None:
    async def body() -> None:
        stage = Stage()
        await stage.put()
        async with stage.collecting():
            await stage.clock.advance(65)
            ended = replace(stage.row.memory.nodes["demo-002"], ended_at=stage.clock.now())
            memory = GroupMemory(nodes={**stage.row.memory.nodes, "demo-002": ended})
            async with stage.store.transaction() as transaction:
                stage.row = await transaction.update(replace(stage.row, memory=memory))
            await stage.clock.advance(60)
            up = [line[-3:] for line in stage.exposition.text().decode().splitlines() if line.startswith("cachefleet_node_up{")]
            assert sorted(up) == ["0.0", "1.0"]
            async with stage.store.transaction() as transaction:
                await transaction.update(replace(stage.row, desired=replace(stage.row.desired, deleting=True)))
            await stage.clock.advance(6)
            assert "cachefleet_node_up{" not in stage.exposition.text().decode()

    asyncio.run(body())
