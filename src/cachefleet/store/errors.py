"""What goes wrong below SQL, in words that somebody can act on. No statement, no parameter and no password gets into them.

Called around every use of a connection.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy.exc

from cachefleet.interfaces import Conflict, StoreError

__all__ = ["StoreDamaged", "StoreError", "reason", "translated"]

# PostgreSQL: serialization failure, deadlock, lock not available. Reading again and trying again helps.
_CONFLICT_STATES = {"40001", "40P01", "55P03"}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


class StoreDamaged(StoreError):
    """The file of an SQLite database holds what no database holds."""


@contextmanager
def translated(database: str) -> Iterator[None]:
    """Turn what the driver raises inside into StoreError, StoreDamaged or Conflict. database: its name for messages, without
    password."""
    try:
        yield
    except sqlalchemy.exc.TimeoutError:
        raise StoreError(f"database {database}: no free connection, all are in use") from None
    except sqlalchemy.exc.DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) in _CONFLICT_STATES:
            raise Conflict(f"database {database}: {reason(error)}") from None
        if getattr(error.orig, "sqlite_errorcode", 0) & 0xFF in _DAMAGED:
            raise StoreDamaged(f"database {database}: {reason(error)}") from None
        raise StoreError(f"database {database}: {reason(error)}") from None
    except (OSError, TimeoutError) as error:
        raise StoreError(f"database {database}: {reason(error)}") from None


def reason(error: BaseException) -> str:
    """One line: why the driver failed."""
    if isinstance(error, sqlalchemy.exc.DBAPIError) and error.orig is not None:
        # The asyncpg adapter puts a class name before the text; the driver's own exception is its cause.
        error = error.orig.__cause__ or error.orig
    if isinstance(error, TimeoutError) and not str(error):
        return "no answer in time"
    if isinstance(error, ConnectionRefusedError):
        return "the connection was refused; is PostgreSQL running there?"
    text = str(error).strip()
    if text in ("database is locked", "database table is locked"):
        return "it is locked by another process; end that process, or wait, and try again"
    return text.splitlines()[0] if text else type(error).__name__
