"""usage_interfaces.UsageLedger on every database: spans begin, go on and end, under the lease of who counts."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from cachefleet.interfaces import Deposed, Store
from cachefleet.model.resource import Kind, Scope
from cachefleet.model.usage import Counted, Span, Use
from cachefleet.store import SqlStore
from cachefleet.usage_interfaces import UsageLedger
from tests.fixtures.databases import SCOPE, opened, sql_scenario

LEASE = "controller"
USE = Use("valkey", "cache.t4g.micro", 2, {"team": "\u00e9 'x'"})


def span(name: str, begin: float, end: float | None = None, scope: Scope = SCOPE) -> Span:
    return Span(scope.key(Kind.REPLICATION_GROUP, name), f"uid-{name}", USE, begin, end)


def ledger_of(store: Store) -> UsageLedger:
    assert isinstance(store, SqlStore)
    return store.usage


async def token_of(store: Store) -> int:
    return (await store.hold_lease(LEASE, "us", 60.0)).token


async def write(store: Store, now: float, *, closed: tuple[Span, ...] = (), begun: tuple[Span, ...] = ()) -> None:
    await ledger_of(store).write(LEASE, await token_of(store), now, closed, begun)


def ends(spans: list[Span]) -> list[tuple[str, float, float | None]]:
    return [(one.group.name, one.begin, one.end) for one in spans]


@sql_scenario
async def test_what_goes_on_counts_as_far_as_was_looked(store: Store) -> None:
    ledger = ledger_of(store)
    assert await ledger.counted() is None
    assert await ledger.going_on() == []
    await write(store, 100.0, begun=(span("a", 90.0), span("b", 100.0)))
    assert await ledger.counted() == Counted(100.0, 100.0)
    assert ends(await ledger.spans(SCOPE, 0, 1e9)) == [("a", 90.0, 100.0), ("b", 100.0, 100.0)]
    await write(store, 160.0)
    assert await ledger.counted() == Counted(100.0, 160.0)
    a, b = await ledger.going_on()
    assert (a.use, a.uid, a.end) == (USE, "uid-a", None)
    await write(store, 220.0, closed=(replace(a, end=160.0),), begun=(span("a", 200.0),))
    assert ends(await ledger.going_on()) == [("b", 100.0, None), ("a", 200.0, None)]
    assert ends(await ledger.spans(SCOPE, 0, 1e9)) == [("a", 90.0, 160.0), ("b", 100.0, 220.0), ("a", 200.0, 220.0)]
    assert b.number in {one.number for one in await ledger.spans(SCOPE, 0, 1e9)}


@sql_scenario
async def test_time_that_was_counted_stays_counted_when_the_clock_is_set_back(store: Store) -> None:
    await write(store, 100.0, begun=(span("a", 50.0),))
    await write(store, 40.0)
    assert await ledger_of(store).counted() == Counted(100.0, 100.0)


@sql_scenario
async def test_those_are_told_that_have_a_part_in_the_time_of_their_scope(store: Store) -> None:
    other = Scope("111111111111", "local-1")
    await write(
        store, 500.0, begun=(span("a", 0.0, 100.0), span("b", 50.0, 200.0), span("c", 300.0), span("d", 0.0, 500.0, other))
    )
    ledger = ledger_of(store)
    assert ends(await ledger.spans(SCOPE, 100.0, 300.0)) == [("b", 50.0, 200.0)]
    assert ends(await ledger.spans(SCOPE, 99.0, 301.0)) == [("a", 0.0, 100.0), ("b", 50.0, 200.0), ("c", 300.0, 500.0)]
    assert ends(await ledger.spans(other, 0.0, 500.0)) == [("d", 0.0, 500.0)]


@sql_scenario
async def test_old_spans_are_forgotten_and_those_that_go_on_are_not(store: Store) -> None:
    await write(store, 500.0, begun=(span("a", 0.0, 100.0), span("b", 0.0, 200.0), span("c", 0.0)))
    ledger = ledger_of(store)
    assert await ledger.forget(200.0) == 1
    assert ends(await ledger.spans(SCOPE, 0, 1e9)) == [("b", 0.0, 200.0), ("c", 0.0, 500.0)]


@sql_scenario
async def test_who_does_not_lead_any_more_writes_nothing(store: Store) -> None:
    token = await token_of(store)
    await store.release_lease(LEASE, await store.hold_lease(LEASE, "us", 60.0))
    await store.hold_lease(LEASE, "another", 60.0)
    ledger = ledger_of(store)
    with pytest.raises(Deposed):
        await ledger.write(LEASE, token, 100.0, (), (span("a", 0.0),))
    assert (await ledger.counted(), await ledger.going_on()) == (None, [])


def test_another_service_finds_it(shared_database: str) -> None:
    async def body() -> None:
        async with opened(shared_database) as first:
            await write(first, 100.0, begun=(span("a", 90.0),))
        async with opened(shared_database) as second:
            assert ends(await ledger_of(second).going_on()) == [("a", 90.0, None)]
            assert await ledger_of(second).counted() == Counted(100.0, 100.0)

    asyncio.run(body())
