"""An SQLite file that may get lost: no cache and no operation on caches depends on it.

It is opened when it is first needed, and anew when it was deleted or replaced. One that is damaged is set aside, and another
one begun. Metrics and logs are kept in such files.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec
import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from cachefleet.store.database import Database
from cachefleet.store.errors import StoreDamaged, StoreError
from cachefleet.store.side_schema import open_tables

ASIDE = ".damaged"  # at most one such file is kept

log = structlog.get_logger()
T = TypeVar("T")


class Tables(Protocol):
    """As database.Database has them. Raise StoreError."""

    async def read(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T: ...

    async def write(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T: ...

    async def close(self) -> None: ...


class SpareFile:
    def __init__(self, path: Path, about: sa.Table, version: int, what: str) -> None:
        """Opens nothing yet. about, version, what: see side_schema.open_tables."""
        self._path = path
        self._tables = about, version, what
        self._what = what
        self._database: Database | None = None
        self._opened: tuple[int, int] | None = None  # which file
        self._changing = asyncio.Lock()

    async def close(self) -> None:
        async with self._changing:
            await self._let_go()

    async def read(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        return await self._with(lambda database: database.read(work))

    async def write(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        return await self._with(lambda database: database.write(work))

    async def _with(self, work: Callable[[Database], Awaitable[T]]) -> T:
        database = await self._current()
        try:
            return await work(database)
        except (StoreDamaged, msgspec.DecodeError, UnicodeDecodeError) as error:
            async with self._changing:
                if self._database is database:
                    await self._let_go()
                    self._set_aside(error)
            raise StoreError(f"database {self._path} is damaged: {error}") from None

    async def _current(self) -> Database:
        async with self._changing:
            if self._database is not None and self._opened != self._file():
                log.error(
                    f"the {self._what}' database is not the one that was opened: it was deleted or replaced",
                    file=str(self._path),
                )
                await self._let_go()
            if self._database is None:
                self._database = await self._open()
                self._opened = self._file()
            return self._database

    async def _open(self) -> Database:
        url = f"sqlite+aiosqlite:///{self._path}"
        try:
            return await open_tables(url, *self._tables)
        except StoreDamaged as error:
            self._set_aside(error)
            return await open_tables(url, *self._tables)

    async def _let_go(self) -> None:
        database, self._database = self._database, None
        if database is not None:
            await database.close()

    def _file(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _set_aside(self, error: Exception) -> None:
        """Raises StoreError."""
        aside = self._path.with_name(self._path.name + ASIDE)
        try:
            for suffix in ("-wal", "-shm"):
                self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
            self._path.replace(aside)
        except OSError as refused:
            raise StoreError(f"database {self._path} is damaged, and cannot be set aside: {refused.strerror}") from None
        log.error(f"the {self._what}' database was damaged: {self._what} begin anew", why=str(error), set_aside=str(aside))
