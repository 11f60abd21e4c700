"""The tables of logs. Declares only; log_store.py has every statement.

They are apart from those of the rows, as those of metrics are: what engines say must not hold up the control loop.
"""

from __future__ import annotations

import sqlalchemy as sa

from cachefleet.store.columns import LONG_ID, TEXT, texts

LOG_SCHEMA_VERSION = 1

log_metadata = sa.MetaData()

log_about = sa.Table(
    "log_schema",
    log_metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("schema_version", sa.Integer, nullable=False),
)

# tags: JSON. stored_bytes: of the messages of its events.
groups_table = sa.Table(
    "log_groups",
    log_metadata,
    sa.Column("id", LONG_ID, primary_key=True, autoincrement=True),
    *texts("account", "region", "name"),
    sa.Column("created_ms", sa.BigInteger, nullable=False),
    sa.Column("retention_days", sa.Integer, nullable=False),
    sa.Column("tags", TEXT, nullable=False),
    sa.Column("stored_bytes", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("account", "region", "name", name="log_groups_by_name"),
    sqlite_autoincrement=True,
)

streams_table = sa.Table(
    "log_streams",
    log_metadata,
    sa.Column("id", LONG_ID, primary_key=True, autoincrement=True),
    sa.Column("log_group", sa.BigInteger, nullable=False),
    sa.Column("name", TEXT, nullable=False),
    sa.Column("created_ms", sa.BigInteger, nullable=False),
    sa.Column("first_ms", sa.BigInteger, nullable=False),
    sa.Column("last_ms", sa.BigInteger, nullable=False),
    sa.Column("ingested_ms", sa.BigInteger, nullable=False),
    sa.ForeignKeyConstraint(["log_group"], [groups_table.c.id], ondelete="CASCADE"),
    sa.UniqueConstraint("log_group", "name", name="log_streams_by_name"),
    sqlite_autoincrement=True,
)

events_table = sa.Table(
    "log_events",
    log_metadata,
    sa.Column("id", LONG_ID, primary_key=True, autoincrement=True),
    sa.Column("log_group", sa.BigInteger, nullable=False),
    sa.Column("stream", sa.BigInteger, nullable=False),
    sa.Column("at_ms", sa.BigInteger, nullable=False),
    sa.Column("ingested_ms", sa.BigInteger, nullable=False),
    sa.Column("size_bytes", sa.Integer, nullable=False),
    sa.Column("message", TEXT, nullable=False),
    sa.ForeignKeyConstraint(["stream"], [streams_table.c.id], ondelete="CASCADE"),
    sa.Index("log_events_by_time", "log_group", "at_ms", "id"),
    sa.Index("log_events_of_stream", "stream", "at_ms", "id"),
    sqlite_autoincrement=True,
)

# How far the log of a launch has been delivered.
cursors_table = sa.Table(
    "log_cursors",
    log_metadata,
    sa.Column("launch", TEXT, primary_key=True),
    sa.Column("log_type", TEXT, primary_key=True),
    *texts("uid", "place"),
    sa.Index("log_cursors_by_uid", "uid"),
)

# Events for destinations outside, until they have arrived. labels: JSON.
parcels_table = sa.Table(
    "log_parcels",
    log_metadata,
    sa.Column("id", LONG_ID, primary_key=True, autoincrement=True),
    sa.Column("destination", TEXT, nullable=False),
    sa.Column("at_ms", sa.BigInteger, nullable=False),
    *texts("message", "labels"),
    sa.Index("log_parcels_by_destination", "destination", "id"),
    sqlite_autoincrement=True,
)
