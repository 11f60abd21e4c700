"""A database URL becomes engines: what SQLite and PostgreSQL need so that both behave as interfaces.Store promises.

Knows nothing of rows. Called by open_store.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import sqlalchemy.exc
from sqlalchemy.ext.asyncio import create_async_engine

from cachefleet.store.database import Database
from cachefleet.store.errors import StoreError

_SQLITE_READERS = 3  # a connection is a thread
_SQLITE_BUSY_TIMEOUT_S = 5.0
_SWITCH_ATTEMPTS = 20
_POSTGRES_NAMES = ("postgres", "postgresql", "postgresql+asyncpg")
_POSTGRES_READERS = 5
_POSTGRES_WRITERS = 4
_POSTGRES_CONNECT_TIMEOUT_S = 10.0
_POSTGRES_COMMAND_TIMEOUT_S = 15.0
_POSTGRES_SESSION = {
    "application_name": "cachefleet",
    "lock_timeout": "5s",
    # A process that is frozen in the middle of a transaction must not keep others from what it has locked: the lease, rows.
    "idle_in_transaction_session_timeout": "2s",
    "timezone": "UTC",
}

_FORMS = "it must look like sqlite+aiosqlite:///path or postgresql+asyncpg://user@host:port/name"


def connect(text: str) -> Database:
    """Opens nothing yet, except that a missing SQLite file comes into being. Raises StoreError for a URL that is malformed
    or of another database, and for a file that cannot be made."""
    try:
        url = sa.make_url(text)
    except (sqlalchemy.exc.ArgumentError, ValueError):
        # The library's own message quotes the URL, password included.
        raise StoreError(f"the database URL is malformed: {_FORMS}") from None
    if url.drivername in ("sqlite", "sqlite+aiosqlite"):
        return _sqlite(url)
    if url.drivername in _POSTGRES_NAMES:
        return _postgres(url)
    raise StoreError(f"the database URL names {url.drivername}, which is not supported: {_FORMS}")


def is_shared(text: str) -> bool:
    """Whether several processes may use the database of that URL at the same time. False for a malformed one."""
    return text.partition("://")[0] in _POSTGRES_NAMES


def _sqlite(url: sa.URL) -> Database:
    scratch = None
    if url.database in (None, "", ":memory:"):
        # A file in a folder of its own: in memory there is one connection, where readers would see half-done work.
        scratch = Path(tempfile.mkdtemp(prefix="cachefleet-"))
        url = url.set(database=str(scratch / "store.db"))
    name = str(url.database)
    if name.startswith("file:"):
        raise StoreError(f"the database URL has an SQLite URI, which is not supported: {_FORMS}")
    _create_private(Path(name))
    url = url.set(drivername="sqlite+aiosqlite")
    if "timeout" not in url.query:
        url = url.update_query_dict({"timeout": str(_SQLITE_BUSY_TIMEOUT_S)})
    # Nothing to roll back after reading: each statement is a transaction of its own.
    reader = create_async_engine(
        url,
        isolation_level="AUTOCOMMIT",
        skip_autocommit_rollback=True,
        pool_reset_on_return=None,
        pool_size=_SQLITE_READERS,
        max_overflow=0,
    )
    writer = create_async_engine(url, pool_size=1, max_overflow=0)
    sa.event.listen(reader.sync_engine, "connect", _set_up_reader)
    sa.event.listen(writer.sync_engine, "connect", _set_up_writer)
    sa.event.listen(writer.sync_engine, "begin", _begin_immediate)
    return Database(name, reader, writer, _SQLITE_READERS, 1, scratch)


def _create_private(path: Path) -> None:
    """Only the owner may read it. SQLite gives its -wal and -shm files the mode of the database file.

    A file that exists is not opened here: closing it would end the locks of every other connection of this process."""
    try:
        if path.exists() and not path.is_file():
            raise StoreError(f"database {path} cannot be opened: it is not a file")
        if not path.exists():
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        for suffix in ("", "-wal", "-shm"):
            part = path.with_name(path.name + suffix)
            if part.exists():
                part.chmod(0o600)
    except OSError as error:
        raise StoreError(f"database {path} cannot be opened: {error.strerror}") from None


def _set_up_writer(connection: Any, _record: object) -> None:
    with _closed_on_error(connection):
        # The driver must not begin transactions by itself: it would take the write lock late, and then fail, not wait.
        connection.isolation_level = None
        _switch_to_wal(connection)
        _pragma(connection, "synchronous = NORMAL")
        _pragma(connection, "foreign_keys = ON")


def _set_up_reader(connection: Any, _record: object) -> None:
    with _closed_on_error(connection):
        connection.isolation_level = None
        _pragma(connection, "query_only = ON")


@contextmanager
def _closed_on_error(connection: Any) -> Iterator[None]:
    """The pool forgets a connection that could not be set up, without closing it."""
    try:
        yield
    except BaseException:
        connection.close()
        raise


def _switch_to_wal(connection: Any) -> None:
    """Of two that switch at once, one waits in vain for the other to go; when it looks again, there is nothing to do."""
    patience_ms = int(_pragma(connection, "busy_timeout"))
    step_ms = max(1, patience_ms // _SWITCH_ATTEMPTS)
    _pragma(connection, f"busy_timeout = {step_ms}")
    for attempt in range(1, _SWITCH_ATTEMPTS + 1):
        try:
            _pragma(connection, "journal_mode = WAL")
            break
        except sqlite3.OperationalError:
            if attempt == _SWITCH_ATTEMPTS:
                raise
    _pragma(connection, f"busy_timeout = {patience_ms}")


def _pragma(connection: Any, setting: str) -> Any:
    cursor = connection.cursor()
    try:
        cursor.execute(f"PRAGMA {setting}")
        found = cursor.fetchone()
        return found[0] if found else None
    finally:
        cursor.close()


def _begin_immediate(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _postgres(url: sa.URL) -> Database:
    query = dict(url.query)
    if "sslmode" in query:  # libpq's word for it
        query.setdefault("ssl", query.pop("sslmode"))
    name = sa.URL.create("postgresql", url.username, None, url.host, url.port, url.database).render_as_string()
    writer = create_async_engine(
        url.set(drivername="postgresql+asyncpg", query=query),
        pool_size=_POSTGRES_READERS + _POSTGRES_WRITERS,
        max_overflow=0,
        pool_pre_ping=True,
        connect_args={
            "timeout": _POSTGRES_CONNECT_TIMEOUT_S,
            "command_timeout": _POSTGRES_COMMAND_TIMEOUT_S,
            "server_settings": _POSTGRES_SESSION,
        },
    )
    reader = writer.execution_options(isolation_level="AUTOCOMMIT")
    return Database(name, reader, writer, _POSTGRES_READERS, _POSTGRES_WRITERS, shared=True)
