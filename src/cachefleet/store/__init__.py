"""Rows, member names and events in SQL: SQLite (WAL) by default, PostgreSQL by URL.

The only package that knows SQLAlchemy. It decides nothing about resources: versions, names and order are its whole business.
`app` opens it; api and control use it through interfaces.Store.
"""

from cachefleet.store.engines import is_shared
from cachefleet.store.errors import StoreError
from cachefleet.store.sql_store import SqlStore, open_store

__all__ = ["SqlStore", "StoreError", "is_shared", "open_store"]
