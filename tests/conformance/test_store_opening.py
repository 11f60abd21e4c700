"""Opening the store: what is created, what is found again, what is refused and in which words."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from cachefleet.store import StoreError
from cachefleet.store.tables import SCHEMA_VERSION
from tests.fixtures.databases import GROUP, SCOPE, delete, found, group, insert, opened, past_the_store, update
from tests.fixtures.postgres import Postgres


def refusal(url: str) -> str:
    """Why the store cannot be opened; never with the password."""

    async def body() -> str:
        with pytest.raises(StoreError) as refused:
            async with opened(url):
                pass
        assert refused.value.__cause__ is None
        return str(refused.value)

    message = asyncio.run(body())
    assert "hunter2" not in message and "\n" not in message and "Traceback" not in message
    return message


def test_what_was_stored_is_there_after_reopening(shared_database: str) -> None:
    async def first() -> None:
        async with opened(shared_database) as store:
            await delete(store, await update(store, await insert(store, group("gone"))))
            await insert(store, group(), ["demo-001"])

    async def second() -> None:
        async with opened(shared_database) as store:
            row = await found(store)
            assert row.version == 3
            assert row.desired == group().desired
            assert await store.members(SCOPE) == [("demo-001", row)]
            assert await store.rows(GROUP, SCOPE) == [row]

    asyncio.run(first())
    asyncio.run(second())


def test_many_open_an_empty_database_at_once(shared_database: str) -> None:
    async def body() -> None:
        async def one(number: int) -> None:
            async with opened(shared_database) as store:
                await insert(store, group(f"group-{number}"))

        await asyncio.gather(*(one(number) for number in range(6)))
        async with opened(shared_database) as store:
            assert await store.count(GROUP, SCOPE) == 6

    asyncio.run(body())


def test_a_newer_schema_is_refused(shared_database: str) -> None:
    async def create() -> None:
        async with opened(shared_database):
            pass

    asyncio.run(create())
    asyncio.run(past_the_store(shared_database, "UPDATE cachefleet_schema SET schema_version = schema_version + 90"))
    message = refusal(shared_database)
    assert f"schema version {SCHEMA_VERSION + 90}, this Cachefleet knows {SCHEMA_VERSION}: start the newer" in message
    asyncio.run(past_the_store(shared_database, "UPDATE cachefleet_schema SET schema_version = schema_version - 90"))
    asyncio.run(create())


def test_a_strangers_database_is_left_alone(shared_database: str) -> None:
    asyncio.run(past_the_store(shared_database, "CREATE TABLE events (mine TEXT)"))
    assert "a table 'events' that Cachefleet did not make" in refusal(shared_database)
    asyncio.run(past_the_store(shared_database, "SELECT mine FROM events", "DROP TABLE events"))
    asyncio.run(_count(shared_database))


async def _count(url: str) -> int:
    async with opened(url) as store:
        return await store.count(GROUP, SCOPE)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "malformed"),
        ("nonsense hunter2", "malformed"),
        ("postgresql://me:hunter2@host:port/db", "malformed"),
        ("mysql://me:hunter2@localhost/db", "mysql, which is not supported"),
        ("postgresql+psycopg2://me:hunter2@localhost/db", "postgresql+psycopg2, which is not supported"),
        ("sqlite+aiosqlite:///file:x.db?uri=true", "not supported"),
    ],
)
def test_urls_of_other_things(url: str, words: str) -> None:
    message = refusal(url)
    assert words in message and "postgresql+asyncpg://user@host:port/name" in message


def test_files_that_cannot_be_a_database(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("not a database at all " * 1000)
    assert "file is not a database" in refusal(f"sqlite+aiosqlite:///{tmp_path}/text")
    assert "it is not a file" in refusal(f"sqlite+aiosqlite:///{tmp_path}")
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700
    assert "No such file or directory" in refusal(f"sqlite+aiosqlite:///{tmp_path}/missing/store.db")
    assert str(tmp_path) in refusal(f"sqlite:///{tmp_path}/missing/store.db")


def test_only_the_owner_can_read_the_files(tmp_path: Path) -> None:
    path = tmp_path / "store.db"

    seen: list[dict[str, int]] = []

    async def body(name: str) -> None:
        async with opened(f"sqlite:///{path}") as store:
            await insert(store, group(name))
            seen.append(modes(tmp_path))

    umask = os.umask(0)
    try:
        asyncio.run(body("first"))
        path.chmod(0o644)
        asyncio.run(body("second"))
    finally:
        os.umask(umask)
    assert seen == [{"store.db": 0o600, "store.db-wal": 0o600, "store.db-shm": 0o600}] * 2


def modes(folder: Path) -> dict[str, int]:
    return {file.name: stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}


def test_a_memory_database_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    async def body() -> None:
        async with opened("sqlite://") as store:
            await insert(store, group())
            assert list(modes(tmp_path).values()) == [0o700]

    asyncio.run(body())
    assert list(tmp_path.iterdir()) == []


def test_postgresql_by_its_other_names(postgres: Postgres, postgres_url: str) -> None:
    for scheme in ("postgresql", "postgres"):
        url = postgres_url.replace("postgresql+asyncpg", scheme)
        assert asyncio.run(_count(url)) == 0
        assert asyncio.run(_count(url + "?sslmode=prefer")) == 0


def test_postgresql_that_does_not_let_us_in(postgres: Postgres, postgres_url: str) -> None:
    where = f"127.0.0.1:{postgres.port}"
    wrong = postgres_url.replace(postgres.password, "hunter2")
    assert "password authentication failed" in refusal(wrong)
    assert 'database "missing" does not exist' in refusal(postgres.url("missing"))
    assert f"postgresql://cachefleet@{where}/missing" in refusal(postgres.url("missing"))
    assert "nonsense" in refusal(postgres_url + "?nonsense=hunter2")
    assert "sslmode" in refusal(postgres_url + "?sslmode=maybe")
    with socket.socket() as mute:  # nobody else gets its port meanwhile
        mute.bind(("127.0.0.1", 0))
        assert "refused" in refusal(f"postgresql://me:hunter2@127.0.0.1:{mute.getsockname()[1]}/db")


def test_postgresql_in_another_encoding(postgres: Postgres) -> None:
    administer: Callable[[str], Awaitable[object]] = postgres.administer

    async def make() -> None:
        await administer("CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C' LOCALE_PROVIDER libc")

    async def drop() -> None:
        await administer("DROP DATABASE latin WITH (FORCE)")

    asyncio.run(make())
    try:
        assert "has the encoding LATIN1" in refusal(postgres.url("latin"))
    finally:
        asyncio.run(drop())
