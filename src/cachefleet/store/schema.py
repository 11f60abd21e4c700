"""Create the tables of an empty database; recognise one that is older, newer or somebody else's.

Called by open_store, before anything else is read.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from cachefleet.store.errors import StoreError
from cachefleet.store.tables import SCHEMA_VERSION, about, metadata

_ADVISORY_LOCK = 0x63616368  # any number that everyone who opens this database agrees on


async def prepare(connection: AsyncConnection, database: str, now: float) -> None:
    """Inside a write transaction. Raises StoreError for a database that this version cannot use."""
    if connection.dialect.name == "postgresql":
        await _prepare_postgres(connection, database)
    else:
        await _prepare_sqlite(connection, database)
    found = await connection.run_sync(_tables)
    if about.name in found:
        _accept(await connection.scalar(sa.select(about.c.schema_version)), database)
        return
    strangers = found & set(metadata.tables)
    if strangers:
        raise StoreError(
            f"database {database} holds a table {min(strangers)!r} that Cachefleet did not make: name an empty database"
        )
    await connection.run_sync(metadata.create_all, checkfirst=False)
    values = {"id": 1, "schema_version": SCHEMA_VERSION, "version_floor": 0, "created_at": now}
    await connection.execute(about.insert().values(values))


async def _prepare_sqlite(connection: AsyncConnection, database: str) -> None:
    mode = await connection.scalar(sa.text("PRAGMA journal_mode"))
    if mode != "wal":
        raise StoreError(
            f"database {database} cannot use a write-ahead log there (journal mode {mode}), so readers would block: "
            "put it on a local file system"
        )


async def _prepare_postgres(connection: AsyncConnection, database: str) -> None:
    encoding = await connection.scalar(sa.text("SHOW server_encoding"))
    if encoding != "UTF8":
        raise StoreError(f"database {database} has the encoding {encoding}: create it with ENCODING 'UTF8'")
    # Two services that open an empty database at once: one creates, the other waits and finds.
    await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ADVISORY_LOCK)))


def _tables(connection: sa.Connection) -> set[str]:
    return set(sa.inspect(connection).get_table_names())


def _accept(version: int | None, database: str) -> None:
    if version is None or version > SCHEMA_VERSION:
        raise StoreError(
            f"database {database} has schema version {version}, this Cachefleet knows {SCHEMA_VERSION}: "
            "start the newer Cachefleet that wrote it, or name another database"
        )
