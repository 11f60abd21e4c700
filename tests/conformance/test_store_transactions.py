"""interfaces.Store on every database: what a transaction promises when many run, when one fails, when one is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from cachefleet.interfaces import Conflict, NameTaken, Store, Transaction
from cachefleet.model.plan import EventDraft
from cachefleet.model.resource import Kind
from cachefleet.store import StoreError
from tests.fixtures.databases import (
    GROUP,
    SCOPE,
    changed,
    delete,
    found,
    group,
    increment,
    insert,
    key,
    opened,
    scenario,
    update,
)


async def tell(transaction: Transaction, message: str) -> None:
    await transaction.add_events(SCOPE, 1.0, [EventDraft("replication-group", "demo", message)])


async def told(store: Store) -> list[str]:
    return [event.message for event in await store.events(SCOPE, start=0, end=2, limit=1000)]


@asynccontextmanager
async def half_done(store: Store) -> AsyncIterator[asyncio.Task[None]]:
    """A task in the middle of a transaction that has inserted "new", changed "demo" and told of it."""
    begun = asyncio.Event()

    async def work() -> None:
        row = await found(store)
        async with store.transaction() as transaction:
            await transaction.insert(group("new"), ["new-001"])
            await transaction.update(changed(row, port=9999), ["demo-009"])
            await tell(transaction, "half")
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    try:
        await asyncio.wait_for(begun.wait(), 10)
        yield task
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def untouched(store: Store) -> None:
    """Nothing of half_done is there."""
    assert await store.get(key("new")) is None
    assert (await found(store)).version == 1
    assert (await found(store)).desired.port == 6379
    assert [member for member, _ in await store.members(SCOPE)] == ["demo-001"]
    assert await store.count(GROUP, SCOPE) == 1
    assert await told(store) == []


@scenario
async def test_all_of_it_is_there_at_the_end(store: Store) -> None:
    gone = await insert(store, group("gone"), ["gone-001"])
    async with store.transaction() as transaction:
        row = await transaction.insert(group(), ["demo-001"])
        row = await transaction.update(changed(row, port=7000))
        await transaction.delete(gone)
        await tell(transaction, "done")
    assert await store.rows(GROUP, SCOPE) == [row]
    assert row.version == 2 + gone.version - 1
    assert await store.members(SCOPE) == [("demo-001", row)]
    assert await told(store) == ["done"]


@scenario
async def test_an_error_in_the_body_undoes_everything(store: Store) -> None:
    row = await insert(store, group(), ["demo-001"])
    with pytest.raises(ZeroDivisionError):
        async with store.transaction() as transaction:
            await transaction.insert(group("new"))
            await transaction.update(changed(row, port=9999), ["demo-009"])
            await tell(transaction, "never")
            raise ZeroDivisionError
    await untouched(store)
    await update(store, row)


@scenario
async def test_a_refusal_that_is_swallowed_still_undoes_everything(store: Store) -> None:
    row = await insert(store, group(), ["demo-001"])
    with pytest.raises(NameTaken):
        async with store.transaction() as transaction:
            await tell(transaction, "never")
            with pytest.raises(NameTaken):
                await transaction.insert(group("new"), ["new-001", "demo-001"])
            with pytest.raises(NameTaken):
                await transaction.update(changed(row, port=9999))
    await untouched(store)


@scenario
async def test_readers_neither_wait_for_a_transaction_nor_see_it(store: Store) -> None:
    await insert(store, group(), ["demo-001"])
    async with half_done(store):
        async with asyncio.timeout(5):
            await asyncio.gather(*(untouched(store) for _ in range(10)))
    await untouched(store)


@scenario
async def test_a_cancelled_transaction_is_undone_and_lets_the_next_one_in(store: Store) -> None:
    row = await insert(store, group(), ["demo-001"])
    for _ in range(8):  # more often than there are connections
        async with half_done(store):
            pass
    await untouched(store)
    async with asyncio.timeout(5):
        assert (await update(store, row)).version == 2


@scenario
async def test_cancelled_at_any_instant_it_is_whole_or_not_at_all(store: Store) -> None:
    """Both rows change in one transaction, or neither; nothing is left locked."""
    left, right = await insert(store, group("left")), await insert(store, group("right"))

    async def both(port: int) -> None:
        first, second = await found(store, left.key), await found(store, right.key)
        async with store.transaction() as transaction:
            await transaction.update(changed(first, port=port))
            await transaction.update(changed(second, port=port))

    finished = 0
    for turns in range(120):
        task = asyncio.create_task(both(10_000 + turns))
        waited = 0
        while waited < turns and not task.done():
            await asyncio.wait([task], timeout=0.0002)
            waited += 1
        task.cancel()
        done = (await asyncio.gather(task, return_exceptions=True))[0]
        assert done is None or isinstance(done, asyncio.CancelledError)
        first, second = await store.rows(GROUP, SCOPE)
        assert (first.version, first.desired.port) == (second.version, second.desired.port)
        if done is None:
            finished += 1
            assert first.desired.port == 10_000 + turns
    assert 0 < finished < 120
    async with asyncio.timeout(5):
        await both(1)


@scenario
async def test_cancelled_readers_leave_no_connection_behind(store: Store) -> None:
    row = await insert(store, group())
    for turns in range(60):
        tasks = [asyncio.create_task(found(store)) for _ in range(4)]
        await asyncio.wait(tasks, timeout=turns * 0.0001)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    async with asyncio.timeout(5):
        assert await asyncio.gather(*(found(store) for _ in range(20))) == [row] * 20


@scenario
async def test_two_hundred_transactions_at_once(store: Store) -> None:
    names = [f"group-{number:03}" for number in range(200)]
    rows = await asyncio.gather(*(insert(store, group(name), [f"{name}-001"]) for name in names))
    assert [row.key.name for row in rows] == names
    assert await store.rows(GROUP, SCOPE) == rows


@scenario
async def test_one_of_many_gets_a_name(store: Store) -> None:
    tries = [insert(store, group(f"group-{number}"), ["wanted", f"own-{number}"]) for number in range(20)]
    done = await asyncio.gather(*tries, return_exceptions=True)
    refused = [result for result in done if isinstance(result, NameTaken)]
    assert [refusal.name for refusal in refused] == ["wanted"] * 19
    assert await store.count(GROUP, SCOPE) == 1
    owner = await store.owner(SCOPE, "wanted")
    assert owner is not None and len(await store.members(SCOPE)) == 2


@scenario
async def test_no_increment_is_lost(store: Store) -> None:
    await insert(store, group(port=0))
    async with asyncio.timeout(60):
        await asyncio.gather(*(increment(store, key()) for _ in range(50)))
    row = await found(store)
    assert (row.desired.port, row.version) == (50, 51)


@scenario
async def test_pages_are_full_while_rows_come_and_go(store: Store) -> None:
    """A short page means the end of a listing, so a deletion in mid-read must not make one."""
    for number in range(30):
        await insert(store, group(f"stays-{number:02}"))
    stop = asyncio.Event()

    async def churn() -> None:
        while not stop.is_set():
            await delete(store, await insert(store, group("goes"), ["goes-001"]))
            await asyncio.sleep(0)

    task = asyncio.create_task(churn())
    for _ in range(50):
        assert len(await store.rows(GROUP, SCOPE, limit=20)) == 20
        assert len(await store.every([GROUP])) >= 30
        await asyncio.gather(store.members(SCOPE), store.owner(SCOPE, "goes-001"), store.get(key("goes")))
    stop.set()
    await task
    assert await store.count(GROUP, SCOPE) == 30


@scenario
async def test_a_row_that_changes_its_kind_is_seen_once(store: Store) -> None:
    """Whatever is looked for in vain among all rows is taken for gone, and its processes are ended."""
    kinds = (GROUP, Kind.CACHE_CLUSTER)
    row = await insert(store, group(kind=kinds[0]))
    stop = asyncio.Event()

    async def turn() -> None:
        old = row
        while not stop.is_set():
            other = kinds[old.key.kind is kinds[0]]
            async with store.transaction() as transaction:
                await transaction.delete(old)
                old = await transaction.insert(group(kind=other))
            await asyncio.sleep(0)

    task = asyncio.create_task(turn())
    for _ in range(50):
        assert [one.desired.uid for one in await store.every(kinds)] == [row.desired.uid]
    stop.set()
    await task


def test_two_stores_see_each_other(shared_database: str) -> None:
    async def body() -> None:
        async with opened(shared_database) as here, opened(shared_database) as there:
            row = await insert(here, group(description="first"), ["demo-001"])
            assert await found(there) == row
            newer = await update(there, changed(row, description="second"))
            assert await found(here) == newer == await here.owner(SCOPE, "demo-001")
            with pytest.raises(Conflict):
                await update(here, row)
            with pytest.raises(NameTaken):
                await insert(here, group("new"), ["demo-001"])
            await delete(here, newer)
            assert await there.get(key()) is None
            again = await insert(here, group(description="third"))
            assert await found(there) == again
            assert [one.desired.description for one in await there.rows(GROUP, SCOPE)] == ["third"]

    asyncio.run(body())


def test_two_stores_lose_no_increment(shared_database: str) -> None:
    async def body() -> None:
        async with opened(shared_database) as here, opened(shared_database) as there:
            await insert(here, group(port=0))
            async with asyncio.timeout(60):
                await asyncio.gather(*(increment(store, key()) for store in (here, there) for _ in range(15)))
            assert (await found(here)).desired.port == (await found(there)).desired.port == 30

    asyncio.run(body())


def test_two_stores_write_at_the_same_time(shared_database: str) -> None:
    async def body() -> None:
        async with opened(shared_database) as here, opened(shared_database) as there:
            names = [f"group-{number:02}" for number in range(60)]
            await asyncio.gather(*(insert((here, there)[n % 2], group(name), [f"{name}-001"]) for n, name in enumerate(names)))
            assert [row.key.name for row in await here.rows(GROUP, SCOPE)] == names
            assert [member for member, _ in await there.members(SCOPE)] == [f"{name}-001" for name in names]

    asyncio.run(body())


def test_close_waits_for_work_under_way_and_then_refuses(sql_database: str) -> None:
    async def body() -> None:
        async with opened(sql_database) as store:
            await insert(store, group(), ["demo-001"])
            async with half_done(store) as task:
                closing = asyncio.create_task(store.close())
                await asyncio.sleep(0)
                with pytest.raises(StoreError, match="closed"):
                    await insert(store, group("late"))
                await untouched(store)
                assert not closing.done()
                task.cancel()
                await closing
            with pytest.raises(StoreError, match="closed"):
                await found(store)
        async with opened(sql_database) as store:
            if "memory" not in sql_database:
                await untouched(store)

    asyncio.run(body())
