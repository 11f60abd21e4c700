"""Create the tables of an empty database; bring an older one up to date; recognise one that is newer or somebody else's.

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
        await _bring_up_to_date(connection, database)
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


async def _bring_up_to_date(connection: AsyncConnection, database: str) -> None:
    """One step after the other, all in the transaction that found the old version: it is done whole, or not at all."""
    version = await connection.scalar(sa.select(about.c.schema_version))
    if version is None or not 1 <= version <= SCHEMA_VERSION:
        raise StoreError(
            f"database {database} has schema version {version}, this Cachefleet knows {SCHEMA_VERSION}: "
            "start the newer Cachefleet that wrote it, or name another database"
        )
    for step in _STEPS[version - 1 :]:
        for statement in step[connection.dialect.name]:
            await connection.exec_driver_sql(statement)
    if version < SCHEMA_VERSION:
        await connection.execute(about.update().values(schema_version=SCHEMA_VERSION))


# The first leads from version 1 to 2, and so on. A step stays as it is for ever: a later change of a table is a later step.
_STEPS: tuple[dict[str, tuple[str, ...]], ...] = (
    {
        "sqlite": (
            "ALTER TABLE cachefleet_schema ADD COLUMN installation TEXT DEFAULT '' NOT NULL",
            "ALTER TABLE cachefleet_schema ADD COLUMN place TEXT DEFAULT '' NOT NULL",
            "CREATE TABLE leases (name TEXT NOT NULL PRIMARY KEY, holder TEXT NOT NULL, token BIGINT NOT NULL, "
            "expires_at DOUBLE NOT NULL)",
            "CREATE TABLE wakes (id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, account TEXT NOT NULL, region TEXT NOT NULL, "
            "kind TEXT NOT NULL, name TEXT NOT NULL)",
        ),
        "postgresql": (
            "ALTER TABLE cachefleet_schema ADD COLUMN installation TEXT COLLATE \"C\" DEFAULT '' NOT NULL",
            "ALTER TABLE cachefleet_schema ADD COLUMN place TEXT COLLATE \"C\" DEFAULT '' NOT NULL",
            'CREATE TABLE leases (name TEXT COLLATE "C" PRIMARY KEY, holder TEXT COLLATE "C" NOT NULL, token BIGINT NOT NULL, '
            "expires_at DOUBLE PRECISION NOT NULL)",
            'CREATE TABLE wakes (id BIGSERIAL PRIMARY KEY, account TEXT COLLATE "C" NOT NULL, '
            'region TEXT COLLATE "C" NOT NULL, kind TEXT COLLATE "C" NOT NULL, name TEXT COLLATE "C" NOT NULL)',
        ),
    },
    {
        "sqlite": (
            "CREATE TABLE notices (id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, subscription TEXT NOT NULL, "
            "published_at DOUBLE NOT NULL, attempts INTEGER NOT NULL, due_at DOUBLE NOT NULL, document TEXT NOT NULL)",
            "CREATE INDEX notices_by_subscription ON notices (subscription, id)",
        ),
        "postgresql": (
            'CREATE TABLE notices (id BIGSERIAL PRIMARY KEY, subscription TEXT COLLATE "C" NOT NULL, '
            "published_at DOUBLE PRECISION NOT NULL, attempts INTEGER NOT NULL, due_at DOUBLE PRECISION NOT NULL, "
            'document TEXT COLLATE "C" NOT NULL)',
            "CREATE INDEX notices_by_subscription ON notices (subscription, id)",
        ),
    },
    {
        "sqlite": (
            "CREATE TABLE usage_counted (id INTEGER NOT NULL PRIMARY KEY, since DOUBLE NOT NULL, until DOUBLE NOT NULL)",
            "CREATE TABLE usage_spans (id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, account TEXT NOT NULL, "
            "region TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, uid TEXT NOT NULL, begins_at DOUBLE NOT NULL, "
            "ends_at DOUBLE, document TEXT NOT NULL)",
            "CREATE INDEX usage_spans_by_end ON usage_spans (account, region, ends_at)",
        ),
        "postgresql": (
            "CREATE TABLE usage_counted (id INTEGER PRIMARY KEY, since DOUBLE PRECISION NOT NULL, "
            "until DOUBLE PRECISION NOT NULL)",
            'CREATE TABLE usage_spans (id BIGSERIAL PRIMARY KEY, account TEXT COLLATE "C" NOT NULL, '
            'region TEXT COLLATE "C" NOT NULL, kind TEXT COLLATE "C" NOT NULL, name TEXT COLLATE "C" NOT NULL, '
            'uid TEXT COLLATE "C" NOT NULL, begins_at DOUBLE PRECISION NOT NULL, ends_at DOUBLE PRECISION, '
            'document TEXT COLLATE "C" NOT NULL)',
            "CREATE INDEX usage_spans_by_end ON usage_spans (account, region, ends_at)",
        ),
    },
)
