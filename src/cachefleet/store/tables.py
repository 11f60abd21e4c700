"""The tables. Text is compared byte by byte in both databases ("C" and BINARY), so that listings have one order everywhere.

Declares only; schema.py creates them, sql_store.py and transaction.py hold every statement.
"""

from __future__ import annotations

import sqlalchemy as sa

from cachefleet.store.columns import LONG_ID, TEXT, texts

SCHEMA_VERSION = 4

metadata = sa.MetaData()

# One row. version_floor: the highest version of any row that was ever deleted. New rows start above it, so a key never
# shows the same version with different content, even when it was deleted and made again. installation: the data folder that
# holds the caches of these rows, place: where that was last; "" before the first.
about = sa.Table(
    "cachefleet_schema",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("schema_version", sa.Integer, nullable=False),
    sa.Column("version_floor", sa.BigInteger, nullable=False),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("installation", TEXT, nullable=False, server_default=""),
    sa.Column("place", TEXT, nullable=False, server_default=""),
)

# The version stands before the documents: a listing of versions then never touches the pages of long documents.
resources = sa.Table(
    "resources",
    metadata,
    sa.Column("account", TEXT, primary_key=True),
    sa.Column("region", TEXT, primary_key=True),
    sa.Column("kind", TEXT, primary_key=True),
    sa.Column("name", TEXT, primary_key=True),
    sa.Column("version", sa.BigInteger, nullable=False),
    *texts("tags", "status", "memory", "desired"),
)

members = sa.Table(
    "members",
    metadata,
    sa.Column("account", TEXT, primary_key=True),
    sa.Column("region", TEXT, primary_key=True),
    sa.Column("member", TEXT, primary_key=True),
    *texts("kind", "name"),
    sa.ForeignKeyConstraint(
        ["account", "region", "kind", "name"],
        [resources.c.account, resources.c.region, resources.c.kind, resources.c.name],
        ondelete="CASCADE",
    ),
    sa.Index("members_by_row", "account", "region", "kind", "name"),
)

events = sa.Table(
    "events",
    metadata,
    sa.Column("id", LONG_ID, primary_key=True, autoincrement=True),
    *texts("account", "region", "source_type", "source_id", "message"),
    sa.Column("at", sa.Double, nullable=False),
    sa.Index("events_by_time", "account", "region", "at"),
    sa.Index("events_by_source", "account", "region", "source_type", "source_id", "at"),
    sqlite_autoincrement=True,
)

# expires_at: epoch seconds by the clock that `leases.now` names. holder "": released.
leases = sa.Table(
    "leases",
    metadata,
    sa.Column("name", TEXT, primary_key=True),
    sa.Column("holder", TEXT, nullable=False),
    sa.Column("token", sa.BigInteger, nullable=False),
    sa.Column("expires_at", sa.Double, nullable=False),
)

# A row for each time: two that wake the same key at once must not wait for each other, nor one of them be overlooked.
wakes = sa.Table(
    "wakes",
    metadata,
    sa.Column("id", LONG_ID, primary_key=True, autoincrement=True),
    *texts("account", "region", "kind", "name"),
    sqlite_autoincrement=True,
)

# subscription: an ARN, "" for a notice that was not handed out yet. published_at, due_at: epoch seconds. The document comes
# last: counting never touches the pages of long ones.
notices = sa.Table(
    "notices",
    metadata,
    sa.Column("id", LONG_ID, primary_key=True, autoincrement=True),
    sa.Column("subscription", TEXT, nullable=False),
    sa.Column("published_at", sa.Double, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("due_at", sa.Double, nullable=False),
    sa.Column("document", TEXT, nullable=False),
    sa.Index("notices_by_subscription", "subscription", "id"),
    sqlite_autoincrement=True,
)

# One row, once nodes were counted: from when until when they were, in epoch seconds.
usage_counted = sa.Table(
    "usage_counted",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("since", sa.Double, nullable=False),
    sa.Column("until", sa.Double, nullable=False),
)

# What nodes a group had from begins_at to ends_at (epoch seconds); without an end it still has them. document: model.usage.Use.
usage_spans = sa.Table(
    "usage_spans",
    metadata,
    sa.Column("id", LONG_ID, primary_key=True, autoincrement=True),
    *texts("account", "region", "kind", "name", "uid"),
    sa.Column("begins_at", sa.Double, nullable=False),
    sa.Column("ends_at", sa.Double, nullable=True),
    sa.Column("document", TEXT, nullable=False),
    sa.Index("usage_spans_by_end", "account", "region", "ends_at"),
    sqlite_autoincrement=True,
)
