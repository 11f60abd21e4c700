"""Opens a database for tables that are apart from those of the rows (metrics, logs); creates them where they are missing."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from cachefleet.store.database import Database
from cachefleet.store.engines import connect
from cachefleet.store.errors import StoreError

_ADVISORY_LOCK = 0x63616367  # any number that everyone who opens such tables agrees on


async def open_tables(url: str, about: sa.Table, version: int, what: str) -> Database:
    """about: one of the tables, of one row with their schema_version. what: is in them, for messages. Raises StoreError."""
    database = connect(url)
    try:
        await database.write(lambda connection: _prepare(connection, database.name, about, version, what))
    except BaseException:
        await database.close()
        raise
    return database


async def _prepare(connection: AsyncConnection, database: str, about: sa.Table, version: int, what: str) -> None:
    if connection.dialect.name == "postgresql":
        await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
    await connection.run_sync(about.metadata.create_all)
    found = await connection.scalar(sa.select(about.c.schema_version))
    if found is None:
        await connection.execute(about.insert().values(id=1, schema_version=version))
    elif found != version:
        raise StoreError(
            f"database {database} has {what} of version {found}, this Cachefleet knows {version}: "
            "start the newer Cachefleet that wrote it, or name another database"
        )
