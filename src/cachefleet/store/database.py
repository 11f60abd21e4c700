"""Where the tables are: a URL becomes engines for reading and for writing, with the right to use them.

Knows the two databases' connection settings and nothing of rows. Called by open_store.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import sqlalchemy.exc
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from cachefleet.store.errors import StoreError, translated
from cachefleet.store.gate import Gate

_SQLITE_READERS = 3  # a connection is a thread
_POSTGRES_READERS = 5
_POSTGRES_WRITERS = 4
_BUSY_TIMEOUT_S = 5.0
_CONNECT_TIMEOUT_S = 10.0
_COMMAND_TIMEOUT_S = 30.0


class Database:
    """Engines with their gates. name: for messages, never with a password."""

    def __init__(self, name: str, reader: AsyncEngine, writer: AsyncEngine, readers: int, writers: int) -> None:
        self.name = name
        self.scratch: Path | None = None  # erased at the end
        self._reader = reader
        self._writer = writer
        self._read_gate = Gate(readers)
        self._write_gate = Gate(writers)

    @property
    def dialect(self) -> str:
        return self._writer.dialect.name

    def translated(self) -> AbstractContextManager[None]:
        return translated(self.name)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection whose every statement sees the last committed state."""
        async with self._read_gate:
            with self.translated():
                async with self._reader.connect() as connection:
                    yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """A connection in a write transaction, committed at the end, rolled back when the body raises or is cancelled."""
        async with self._write_gate:
            with self.translated():
                connection = await self._writer.connect()
            try:
                with self.translated():
                    await connection.begin()
                yield connection
                with self.translated():
                    await _to_the_end(connection.commit)
            finally:
                with self.translated():
                    await _to_the_end(connection.close)

    async def close(self) -> None:
        """Waits for those who are still at it."""
        await self._write_gate.close()
        await self._read_gate.close()
        await self._reader.dispose()
        await self._writer.dispose()
        if self.scratch:
            await asyncio.to_thread(shutil.rmtree, self.scratch, ignore_errors=True)


async def _to_the_end(work: Callable[[], Awaitable[None]]) -> None:
    """A cancellation waits until the work is done: nobody is told "cancelled" while a commit is still on its way."""

    async def run() -> None:
        await work()

    task = asyncio.create_task(run())
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            cancelled = error
        except Exception:
            break
    if cancelled is not None:
        raise cancelled
    task.result()


async def connect(url_text: str) -> Database:
    """Raises StoreError for a URL that is malformed or of another database. Nothing is opened yet, except that a SQLite
    file comes into being."""
    try:
        url = sa.make_url(url_text)
    except (sqlalchemy.exc.ArgumentError, ValueError):
        # The library's own message quotes the URL, password included.
        raise StoreError(f"the database URL is malformed: {_FORMS}") from None
    backend = url.get_backend_name()
    if backend == "sqlite" and url.drivername in ("sqlite", "sqlite+aiosqlite"):
        return await asyncio.to_thread(_sqlite, url)
    if backend in ("postgresql", "postgres") and url.drivername in ("postgres", "postgresql", "postgresql+asyncpg"):
        return _postgres(url)
    raise StoreError(f"the database URL names {url.drivername}, which is not supported: {_FORMS}")


_FORMS = "it must look like sqlite+aiosqlite:///path or postgresql+asyncpg://user@host:port/name"


def _sqlite(url: sa.URL) -> Database:
    scratch = None
    if url.database in (None, "", ":memory:"):
        # A file in a folder of its own: in memory there is one connection, where readers would see half-done work.
        scratch = Path(tempfile.mkdtemp(prefix="cachefleet-"))
        url = url.set(database=str(scratch / "store.db"))
    name = str(url.database)
    if name.startswith("file:"):
        raise StoreError(f"the database URL has an SQLite URI, which is not supported: {_FORMS}")
    _create_private(Path(name), name)
    url = url.set(drivername="sqlite+aiosqlite")
    if "timeout" not in url.query:
        url = url.update_query_dict({"timeout": str(_BUSY_TIMEOUT_S)})
    reader = create_async_engine(
        url,
        isolation_level="AUTOCOMMIT",
        skip_autocommit_rollback=True,
        pool_size=_SQLITE_READERS,
        max_overflow=0,
        pool_reset_on_return=None,
    )
    writer = create_async_engine(url, pool_size=1, max_overflow=0)
    sa.event.listen(reader.sync_engine, "connect", _set_up_reader)
    sa.event.listen(writer.sync_engine, "connect", _set_up_writer)
    sa.event.listen(writer.sync_engine, "begin", _begin_immediate)
    database = Database(name, reader, writer, _SQLITE_READERS, 1)
    database.scratch = scratch
    return database


def _create_private(path: Path, name: str) -> None:
    """Only the owner may read it. SQLite gives its -wal and -shm files the mode of the database file."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        for suffix in ("", "-wal", "-shm"):
            part = path.with_name(path.name + suffix)
            if part.exists():
                part.chmod(0o600)
    except OSError as error:
        raise StoreError(f"database {name} cannot be opened: {error.strerror}") from None


def _set_up_writer(connection: Any, _record: object) -> None:
    # The driver must not begin transactions by itself: it would take the write lock late, and then fail instead of waiting.
    connection.isolation_level = None
    _pragmas(connection, "journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON")


def _set_up_reader(connection: Any, _record: object) -> None:
    connection.isolation_level = None
    _pragmas(connection, "query_only = ON")


def _pragmas(connection: Any, *settings: str) -> None:
    cursor = connection.cursor()
    for setting in settings:
        cursor.execute(f"PRAGMA {setting}")
    cursor.close()


def _begin_immediate(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _postgres(url: sa.URL) -> Database:
    query = dict(url.query)
    if "sslmode" in query:  # libpq's word for it
        query.setdefault("ssl", query.pop("sslmode"))
    url = url.set(drivername="postgresql+asyncpg", query=query)
    writer = create_async_engine(
        url,
        pool_size=_POSTGRES_READERS + _POSTGRES_WRITERS,
        max_overflow=0,
        pool_pre_ping=True,
        connect_args={"timeout": _CONNECT_TIMEOUT_S, "command_timeout": _COMMAND_TIMEOUT_S},
    )
    reader = writer.execution_options(isolation_level="AUTOCOMMIT")
    name = sa.URL.create("postgresql", url.username, None, url.host, url.port, url.database).render_as_string()
    return Database(name, reader, writer, _POSTGRES_READERS, _POSTGRES_WRITERS)
