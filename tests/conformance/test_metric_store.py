"""metric_interfaces.MetricStore over SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from cachefleet.interfaces import StoreError
from cachefleet.metrics.blocks import encoded
from cachefleet.metrics.values import single
from cachefleet.model.metric import Block, MetricName, Series
from cachefleet.model.resource import Scope
from cachefleet.store import open_metric_store
from cachefleet.store.metric_store import SqlMetricStore

SCOPE = Scope("000000000000", "local-1")
CPU, HITS = MetricName("CPUUtilization", "Percent"), MetricName("CacheHits", "Count")


def series(name: str, namespace: str = "AWS/ElastiCache") -> Series:
    return Series(SCOPE.account, SCOPE.region, namespace, (("CacheClusterId", name), ("CacheNodeId", "0001")))


def block(of: Series, begins_at: int = 3600, number: float = 1.0, name: MetricName = CPU, writer: str = "w") -> Block:
    return Block(of, 60, begins_at, writer, (name,), encoded({name: {0: single(number)}}))


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[SqlMetricStore]:
    store = await open_metric_store(url)
    try:
        yield store
    finally:
        await store.close()


def test_blocks_are_replaced_by_their_writer_and_kept_beside_others(shared_database: str) -> None:
    async def body() -> None:
        async with opened(shared_database) as store:
            demo, other = series("demo-001"), series("other-001")
            await store.put([block(demo), block(other)], {demo: 3660.0, other: 3661.0})
            again = block(demo, number=2.0)
            await store.put([again, block(demo, writer="x")], {demo: 3700.0})
            found = await store.blocks([demo, series("none")], 60, 0, 3601)
            assert sorted(found, key=lambda one: one.writer) == [again, block(demo, writer="x")]
            assert await store.blocks([demo], 60, 0, 3600) == []
            assert await store.blocks([demo], 300, 0, 9999) == []
        async with opened(shared_database) as store:
            assert len(await store.blocks([demo, other], 60, 3600, 3601)) == 3

    asyncio.run(body())


def test_series_are_listed_in_order_with_all_their_names(shared_database: str) -> None:
    async def body() -> None:
        async with opened(shared_database) as store:
            mine, demo, other = series("demo", "mine"), series("demo"), series("other")
            for one, at in ((mine, 10.0), (other, 20.0), (demo, 30.0)):
                await store.put([block(one)], {one: at})
            await store.put([block(demo, 7200, name=HITS)], {demo: 5.0})
            listed = await store.listed(SCOPE)
            assert [(one.series, one.last_at) for one in listed] == [(demo, 30.0), (other, 20.0), (mine, 10.0)]
            assert listed[0].names == (CPU, HITS)
            assert [one.series for one in await store.listed(SCOPE, "mine")] == [mine]
            assert [one.series for one in await store.listed(SCOPE, since=15.0)] == [demo, other]
            assert [one.series for one in await store.listed(SCOPE, after=demo, limit=1)] == [other]
            assert await store.listed(Scope("000000000000", "elsewhere")) == []

    asyncio.run(body())


def test_old_blocks_and_what_has_none_are_forgotten(shared_database: str) -> None:
    async def body() -> None:
        async with opened(shared_database) as store:
            demo, other = series("demo"), series("other")
            await store.put([block(demo), block(demo, 7200), block(other)], {demo: 7200.0, other: 3600.0})
            assert await store.forget(300, 9e9) == 0
            assert await store.forget_series(5000.0) == 0
            assert await store.forget(60, 7200) == 2
            assert await store.forget_series(5000.0) == 1
            assert [one.series for one in await store.listed(SCOPE)] == [demo]
            assert await store.blocks([demo, other], 60, 0, 9999) == [block(demo, 7200)]

    asyncio.run(body())


def test_a_thousand_series_at_once(shared_database: str) -> None:
    async def body() -> None:
        async with opened(shared_database) as store:
            many = [series(f"node-{number:04}") for number in range(1200)]
            await store.put([block(one) for one in many], dict.fromkeys(many, 1.0))
            assert len(await store.blocks(many, 60, 0, 9999)) == 1200
            assert len(await store.listed(SCOPE, limit=700)) == 700

    asyncio.run(body())


def test_what_is_no_database_is_refused() -> None:
    with pytest.raises(StoreError):
        asyncio.run(open_metric_store("sqlite+aiosqlite:////dev/null/metrics.db"))
