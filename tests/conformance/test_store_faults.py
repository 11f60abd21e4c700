"""The store when others misbehave: killed writers, held locks, a database that goes away, documents that were tampered with."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from cachefleet.interfaces import Conflict, Store
from cachefleet.store import StoreError
from tests.fixtures.databases import GROUP, SCOPE, changed, found, group, insert, key, opened, past_the_store, update
from tests.fixtures.postgres import Postgres
from tests.fixtures.store_writer import writer


async def pairs(store: Store) -> set[str]:
    """Numbers of the pairs that are there; each must be whole."""
    names = [row.key.name.partition("-") for row in await store.rows(GROUP, SCOPE)]
    left = {number for side, _, number in names if side == "left"}
    right = {number for side, _, number in names if side == "right"}
    members = {member.split("-")[1] for member, _ in await store.members(SCOPE)}
    told = {f"{int(event.source_id):06}" for event in await store.events(SCOPE, start=0, end=2, limit=100_000)}
    assert left == right == members == told
    return left


def test_a_writer_killed_in_mid_transaction_leaves_nothing_of_it(shared_database: str) -> None:
    async def body() -> None:
        impatient = shared_database + ("?timeout=0.2" if "sqlite" in shared_database else "")
        async with opened(impatient) as store:
            with writer(shared_database, first=0, hold=1) as other:
                await asyncio.to_thread(other.wait_for, "inside 1")
                assert await pairs(store) == {"000000"}
                if "sqlite" in shared_database:
                    with pytest.raises(StoreError, match="locked by another process"):
                        await insert(store, group())
                other.kill()
            async with asyncio.timeout(10):
                await insert(store, group("left-000001"), ["left-000001-001"])
            await insert(store, group("right-000001"))

    asyncio.run(body())


def test_killed_at_any_instant_what_was_acknowledged_is_there(shared_database: str) -> None:
    async def body() -> None:
        first, acknowledged = 0, set[str]()
        for round_number in range(3):
            with writer(shared_database, first) as other:
                last = first + 3 + 4 * round_number
                await asyncio.to_thread(other.wait_for, f"{('inside', 'done')[round_number % 2]} {last}")
                said = other.kill()
            done = [int(line.removeprefix("done ")) for line in said if line.startswith("done ")]
            last_done = max([*done, last if round_number % 2 else last - 1])
            acknowledged |= {f"{number:06}" for number in range(first, last_done + 1)}
            async with opened(shared_database) as store:
                there = await pairs(store)
                assert acknowledged <= there
                assert len(there - acknowledged) <= 1  # committed, and killed before it could say so
                acknowledged = there
                first = last_done + 2

    asyncio.run(body())


def test_a_lock_held_for_a_moment_is_waited_for(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(f"sqlite:///{tmp_path}/store.db") as store:
            row = await insert(store, group())
            with closing(sqlite3.connect(tmp_path / "store.db", isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                waiting = asyncio.create_task(update(store, row))
                for _ in range(20):
                    assert await found(store) == row
                assert not waiting.done()
                other.execute("ROLLBACK")
                assert (await waiting).version == 2

    asyncio.run(body())


def test_a_row_that_was_tampered_with_is_named(shared_database: str) -> None:
    async def body() -> None:
        async with opened(shared_database) as store:
            await insert(store, group(), ["demo-001"])
            await insert(store, group("sound"))
        await past_the_store(shared_database, "UPDATE resources SET desired = '{}' WHERE name = 'demo'")
        async with opened(shared_database) as store:
            for read in (store.get(key()), store.rows(GROUP, SCOPE), store.owner(SCOPE, "demo-001")):
                with pytest.raises(
                    StoreError, match=r"stored row 000000000000/local-1/replicationgroup/demo .* cannot be read"
                ):
                    await read
            assert (await found(store, key("sound"))).version == 1

    asyncio.run(body())


def test_a_row_that_could_not_be_read_again_is_not_stored(sql_database: str) -> None:
    async def body() -> None:
        async with opened(sql_database) as store:
            row = await insert(store, group())
            with pytest.raises(StoreError, match="cannot be read"):
                await update(store, changed(row, port="6379"))
            with pytest.raises(StoreError, match="cannot be read"):
                await insert(store, msgspec.structs.replace(group("new"), tags={"a": 1}))
            assert await store.rows(GROUP, SCOPE) == [row]

    asyncio.run(body())


def test_postgresql_may_be_restarted_between_two_calls(postgres: Postgres, postgres_url: str) -> None:
    async def body() -> None:
        async with opened(postgres_url) as store:
            row = await insert(store, group())
            for _ in range(2):
                await asyncio.gather(*(found(store) for _ in range(5)))
                await asyncio.to_thread(postgres.restart)
                assert await asyncio.gather(*(found(store) for _ in range(5))) == [row] * 5
            await asyncio.to_thread(postgres.restart)
            assert (await update(store, row)).version == 2

    asyncio.run(body())


def test_postgresql_may_be_restarted_within_a_transaction(postgres: Postgres, postgres_url: str) -> None:
    async def body() -> None:
        async with opened(postgres_url) as store:
            row = await insert(store, group())
            with pytest.raises(StoreError, match="postgresql://cachefleet@"):
                async with store.transaction() as transaction:
                    await transaction.update(row)
                    await asyncio.to_thread(postgres.restart)
                    await transaction.insert(group("new"))
            assert await store.rows(GROUP, SCOPE) == [row]
            assert (await update(store, row)).version == 2

    asyncio.run(body())


def test_a_deadlock_in_postgresql_is_a_conflict(postgres_url: str) -> None:
    async def body() -> None:
        async with opened(postgres_url) as store:
            rows = [await insert(store, group(name)) for name in "ab"]
            both_began = asyncio.Barrier(2)

            async def swap(first: int, second: int) -> None:
                async with store.transaction() as transaction:
                    await transaction.update(rows[first])
                    await both_began.wait()
                    await transaction.update(rows[second])

            done = await asyncio.gather(swap(0, 1), swap(1, 0), return_exceptions=True)
            assert sorted(type(result).__name__ for result in done) == ["Conflict", "NoneType"]
            assert [isinstance(result, Conflict) for result in done].count(True) == 1
            assert [row.version for row in await store.rows(GROUP, SCOPE)] == [2, 2]

    asyncio.run(body())
