"""Databases of earlier versions: brought up to date when they are opened, whole or not at all, with everything in them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from cachefleet.interfaces import Lease
from cachefleet.store import StoreError
from cachefleet.store.tables import SCHEMA_VERSION
from tests.fixtures.databases import SCOPE, changed, found, group, insert, key, opened, past_the_store, update
from tests.fixtures.postgres import Postgres
from tests.fixtures.schema_1 import VERSION_FLOOR, statements


async def reflected(url: str) -> dict[str, Any]:
    """Tables, columns, keys and indexes as the database has them."""

    def look(connection: sa.Connection) -> dict[str, Any]:
        inspector = sa.inspect(connection)
        return {
            table: {
                "columns": {
                    column["name"]: (str(column["type"]), column["nullable"], column["default"] or "")
                    for column in inspector.get_columns(table)
                },
                "key": inspector.get_pk_constraint(table)["constrained_columns"],
                "indexes": sorted((index["name"] or "", index["column_names"]) for index in inspector.get_indexes(table)),
                "foreign": [(key["constrained_columns"], key["options"]) for key in inspector.get_foreign_keys(table)],
            }
            for table in sorted(inspector.get_table_names())
        }

    engine = create_async_engine(url)
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(look)
    finally:
        await engine.dispose()


async def schema_version(url: str) -> int:
    engine = create_async_engine(url)
    try:
        async with engine.connect() as connection:
            return int(await connection.scalar(sa.text("SELECT schema_version FROM cachefleet_schema")) or 0)
    finally:
        await engine.dispose()


def test_everything_of_version_1_is_there_and_what_is_new_works(shared_database: str) -> None:
    async def body() -> None:
        await past_the_store(shared_database, *statements(shared_database))
        async with opened(shared_database) as store:
            row = await found(store)
            assert (row.version, row.desired) == (7, group().desired)
            assert await store.members(SCOPE) == [("demo-001", row)]
            assert [event.message for event in await store.events(SCOPE, start=0, end=2)] == ["told by version 1"]
            assert (await insert(store, group("new"))).version == VERSION_FLOOR + 1
            assert await store.hold_lease("it", "a", 60.0) == Lease("a", 1)
            async with store.transaction() as transaction:
                await transaction.fence("it", 1)
                await transaction.update(changed(row, port=7000))
                await transaction.wake(key())
            assert await store.take_wakes() == [key()]
        assert await schema_version(shared_database) == SCHEMA_VERSION
        async with opened(shared_database) as store:
            assert (await update(store, await found(store))).version == 9

    asyncio.run(body())


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_an_old_database_becomes_what_a_new_one_is(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    async def body(old: str, new: str) -> None:
        await past_the_store(old, *statements(old))
        for url in (old, new):
            async with opened(url):
                pass
        assert await reflected(old) == await reflected(new)

    if kind == "sqlite":
        asyncio.run(body(f"sqlite+aiosqlite:///{tmp_path}/old.db", f"sqlite+aiosqlite:///{tmp_path}/new.db"))
        return
    postgres: Postgres = request.getfixturevalue("postgres")
    old = request.getfixturevalue("postgres_url")
    asyncio.run(postgres.administer("CREATE DATABASE made_new"))
    try:
        asyncio.run(body(old, postgres.url("made_new")))
    finally:
        asyncio.run(postgres.administer("DROP DATABASE made_new WITH (FORCE)"))


def test_many_bring_it_up_to_date_at_once(shared_database: str) -> None:
    async def body() -> None:
        await past_the_store(shared_database, *statements(shared_database))

        async def one() -> int:
            async with opened(shared_database) as store:
                return (await found(store)).version

        assert await asyncio.gather(*(one() for _ in range(6))) == [7] * 6

    asyncio.run(body())


def test_a_step_that_fails_leaves_the_old_version_as_it_was(shared_database: str) -> None:
    async def body() -> None:
        await past_the_store(shared_database, *statements(shared_database), "CREATE TABLE wakes (mine TEXT)")
        before = await reflected(shared_database)
        with pytest.raises(StoreError, match="wakes"):
            async with opened(shared_database):
                pass
        assert await reflected(shared_database) == before
        await past_the_store(shared_database, "DROP TABLE wakes")
        async with opened(shared_database) as store:
            assert (await found(store)).version == 7

    asyncio.run(body())
