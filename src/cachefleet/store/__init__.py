"""Rows, member names, events, metrics and logs in SQL: SQLite (WAL) by default, PostgreSQL by URL.

The only package that knows SQLAlchemy. It decides nothing about resources: versions, names and order are its whole business.
`app` opens it; api and control use it through interfaces.Store.
"""

from cachefleet.store.engines import is_shared
from cachefleet.store.errors import StoreError
from cachefleet.store.log_store import LogFile, SqlLogStore, open_log_store
from cachefleet.store.metric_store import MetricFile, SqlMetricStore, open_metric_store
from cachefleet.store.sql_store import SqlStore, open_store

__all__ = [
    "LogFile",
    "MetricFile",
    "SqlLogStore",
    "SqlMetricStore",
    "SqlStore",
    "StoreError",
    "is_shared",
    "open_log_store",
    "open_metric_store",
    "open_store",
]
