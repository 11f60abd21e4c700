"""Values wait in memory, go to the store in blocks, and come back merged: whoever wrote them, and whatever fails on the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from unittest.mock import patch

import pytest

from cachefleet.interfaces import StoreError
from cachefleet.metrics.values import Value, single
from cachefleet.model.metric import RESOLUTIONS, Block, MetricName, Series
from cachefleet.store import open_metric_store
from cachefleet.store.metric_store import SqlMetricStore
from cachefleet.telemetry.recorder import FLUSH_S, Recorder
from tests.fakes.clock import ManualClock

SECOND, MINUTE, FIVE_MINUTES, HOUR = RESOLUTIONS
NOW = 1_700_000_000.0 // 86400 * 86400
SERIES = Series("000000000000", "local-1", "AWS/ElastiCache", (("CacheClusterId", "demo-001"),))
CPU = MetricName("CPUUtilization", "Percent")


class Failing:
    """A MetricStore that can be told to fail."""

    def __init__(self, store: SqlMetricStore) -> None:
        self._store = store
        self.fails = False

    async def put(self, blocks: Sequence[Block], last_at: Mapping[Series, float]) -> None:
        if self.fails:
            raise StoreError("the disk is full")
        await self._store.put(blocks, last_at)

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)


class Stage:
    def __init__(self, store: SqlMetricStore) -> None:
        self.store = Failing(store)
        self.clock = ManualClock(NOW)
        self.recorder = self.other()

    def other(self, writer: str = "a") -> Recorder:
        return Recorder(self.store, self.clock, writer)  # type: ignore[arg-type]

    async def read(self, resolution: object = MINUTE, recorder: Recorder | None = None) -> dict[int, Value]:
        reader = recorder or self.recorder
        found = await reader.points([SERIES], [CPU], resolution, NOW - 9e6, NOW + 9e6)  # type: ignore[arg-type]
        return {at - int(NOW): value for at, value in found.get((SERIES, CPU), {}).items()}


@asynccontextmanager
async def stage(folder: Path) -> AsyncIterator[Stage]:
    store = await open_metric_store(f"sqlite+aiosqlite:///{folder}/metrics.db")
    try:
        yield Stage(store)
    finally:
        await store.close()


def test_what_was_recorded_is_read_at_once_and_by_others_once_it_is_written(tmp_path: Path) -> None:
    async def body() -> None:
        async with stage(tmp_path) as on:
            for minute in (0, 1, 3):
                on.recorder.record(SERIES, NOW + 60 * minute, {CPU: single(10.0 + minute)})
            reader = on.other("b")
            assert {at: value.total for at, value in (await on.read()).items()} == {0: 10, 60: 11, 180: 13}
            assert await on.read(recorder=reader) == {}
            await on.recorder.flush()
            assert await on.read(recorder=reader) == await on.read()
            coarse = (await on.read(FIVE_MINUTES, reader))[0]
            assert (coarse.total, coarse.count, coarse.lowest, coarse.highest) == (34, 3, 10, 13)
            assert await on.read(SECOND, reader) == {}

    asyncio.run(body())


def test_several_writers_of_one_series_add_up(tmp_path: Path) -> None:
    async def body() -> None:
        async with stage(tmp_path) as on:
            two = on.other("b")
            on.recorder.record(SERIES, NOW, {CPU: single(1.0)})
            two.record(SERIES, NOW, {CPU: single(5.0)})
            two.record(SERIES, NOW + 60, {CPU: single(7.0)})
            await on.recorder.flush()
            await two.flush()
            await two.flush()  # again: nothing is counted twice
            for reader in (on.recorder, two, on.other("c")):
                found = await on.read(recorder=reader)
                assert [(value.total, value.count) for value in found.values()] == [(6, 2), (7, 1)]

    asyncio.run(body())


def test_fine_values_are_kept_by_the_second_for_a_while(tmp_path: Path) -> None:
    async def body() -> None:
        async with stage(tmp_path) as on:
            for second in range(120):
                on.recorder.record(SERIES, NOW + second, {CPU: single(float(second))}, fine=True)
            assert len(await on.read(SECOND)) == 120
            assert [value.count for value in (await on.read()).values()] == [60, 60]
            await on.recorder.flush()
            await on.store.forget(1, NOW + 1)  # type: ignore[operator]
            assert await on.read(SECOND, on.other("b")) == {}
            assert len(await on.read(MINUTE, on.other("b"))) == 2

    asyncio.run(body())


def test_a_database_that_fails_loses_nothing_and_neither_does_the_end(tmp_path: Path) -> None:
    async def body() -> None:
        async with stage(tmp_path) as on:
            running = asyncio.create_task(on.recorder.run())
            on.recorder.record(SERIES, NOW, {CPU: single(1.0)})
            on.store.fails = True
            await on.clock.advance(3 * FLUSH_S)
            with pytest.raises(StoreError):
                await on.recorder.flush()
            on.store.fails = False
            on.recorder.record(SERIES, NOW + 60, {CPU: single(2.0)})
            running.cancel()  # the service ends
            await asyncio.gather(running, return_exceptions=True)
            assert len(await on.read(recorder=on.other("b"))) == 2

    asyncio.run(body())


def test_a_clock_that_was_ahead_for_a_while_makes_nobody_forget(tmp_path: Path) -> None:
    async def body() -> None:
        async with stage(tmp_path) as on:
            on.recorder.record(SERIES, NOW, {CPU: single(1.0)}, fine=True)
            on.clock.jump(30 * 86400.0)
            await on.recorder.flush()
            assert not on.recorder._heads
            on.clock.jump(-30 * 86400.0)
            on.recorder.record(SERIES, NOW, {CPU: single(2.0)}, fine=True)
            on.recorder.record(SERIES, NOW + 60, {CPU: single(3.0)}, fine=True)
            await on.recorder.flush()
            for resolution, totals in ((SECOND, [3, 3]), (MINUTE, [3, 3]), (FIVE_MINUTES, [6]), (HOUR, [6])):
                for reader in (on.recorder, on.other("b")):
                    assert [value.total for value in (await on.read(resolution, reader)).values()] == totals

    asyncio.run(body())


def test_what_cannot_be_written_does_not_end_the_writing(tmp_path: Path) -> None:
    async def body() -> None:
        async with stage(tmp_path) as on:
            running = asyncio.create_task(on.recorder.run())
            on.recorder.record(SERIES, NOW, {CPU: single(1.0)})
            with patch.object(on.store, "put", side_effect=ValueError("of the driver")):
                await on.clock.advance(2 * FLUSH_S)
            on.recorder.record(SERIES, NOW + 60, {CPU: single(2.0)})
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            assert len(await on.read(recorder=on.other("b"))) == 2

    asyncio.run(body())


def test_memory_is_given_back_when_a_block_is_over(tmp_path: Path) -> None:
    async def body() -> None:
        async with stage(tmp_path) as on:
            for day in range(30):
                on.recorder.record(SERIES, on.clock.now(), {CPU: single(1.0)}, fine=True)
                await on.recorder.flush()
                assert len(on.recorder._heads) <= 8, day
                on.clock.pass_time(86400.0)
            assert len(await on.read(HOUR)) == 30

    asyncio.run(body())


def test_memory_does_not_grow_with_time(tmp_path: Path) -> None:
    """A minute's value is an object in memory until its block is over, at every fineness: some hundred for each metric."""

    async def body() -> None:
        async with stage(tmp_path) as on:
            most = 0
            for minute in range(3 * 24 * 60):
                on.recorder.record(SERIES, on.clock.now(), {CPU: single(float(minute % 7))})
                on.clock.pass_time(60.0)
                if minute % 60 == 0:
                    await on.recorder.flush()
                    values = sum(len(column) for columns in on.recorder._heads.values() for column in columns.values())
                    most = max(most, values)
            assert most <= 2 * 60 + 24 + 6 + 12
            assert len(await on.read(HOUR)) == 72

    asyncio.run(body())
