"""The tables of metrics. Declares only; metric_store.py has every statement.

They are apart from those of the rows: what is written every few seconds must not hold up the control loop, and SQLite has one
writer for a file.
"""

from __future__ import annotations

import sqlalchemy as sa

from cachefleet.store.columns import LONG_ID, TEXT, texts

METRIC_SCHEMA_VERSION = 1

metric_metadata = sa.MetaData()

metric_about = sa.Table(
    "metric_schema",
    metric_metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("schema_version", sa.Integer, nullable=False),
)

# dimensions: JSON of sorted pairs. names: JSON, of all metrics that the series ever had. last_at: epoch seconds.
series_table = sa.Table(
    "metric_series",
    metric_metadata,
    sa.Column("id", LONG_ID, primary_key=True, autoincrement=True),
    *texts("account", "region", "namespace", "dimensions", "names"),
    sa.Column("last_at", sa.Double, nullable=False),
    sa.UniqueConstraint("account", "region", "namespace", "dimensions", name="metric_series_by_name"),
    sqlite_autoincrement=True,
)

blocks_table = sa.Table(
    "metric_blocks",
    metric_metadata,
    sa.Column("series", sa.BigInteger, primary_key=True),
    sa.Column("resolution_s", sa.Integer, primary_key=True),
    sa.Column("begins_at", sa.BigInteger, primary_key=True),
    sa.Column("writer", TEXT, primary_key=True),
    sa.Column("names", TEXT, nullable=False),
    sa.Column("data", sa.LargeBinary, nullable=False),
    sa.ForeignKeyConstraint(["series"], [series_table.c.id], ondelete="CASCADE"),
    sa.Index("metric_blocks_by_age", "resolution_s", "begins_at"),
)
