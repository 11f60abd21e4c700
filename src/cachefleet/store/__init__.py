"""Rows, member names, events and metrics in SQL: SQLite (WAL) by default, PostgreSQL by URL.

The only package that knows SQLAlchemy. It decides nothing about resources: versions, names and order are its whole business.
`app` opens it; api and control use it through interfaces.Store.
"""

from cachefleet.store.engines import is_shared
from cachefleet.store.errors import StoreError
from cachefleet.store.metric_file import MetricFile
from cachefleet.store.metric_store import SqlMetricStore, open_metric_store
from cachefleet.store.sql_store import SqlStore, open_store

__all__ = ["MetricFile", "SqlMetricStore", "SqlStore", "StoreError", "is_shared", "open_metric_store", "open_store"]
