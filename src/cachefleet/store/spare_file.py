"""An SQLite file that may get lost: no cache and no operation on caches depends on it.

It is opened when it is first needed, and anew when it was deleted or replaced. One that is damaged is set aside, and another
one begun. Metrics and logs are kept in such files.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import msgspec
import structlog

from cachefleet.store.errors import StoreDamaged, StoreError

ASIDE = ".damaged"  # at most one such file is kept

log = structlog.get_logger()


class _Opened(Protocol):
    async def close(self) -> None: ...


S = TypeVar("S", bound=_Opened)
T = TypeVar("T")


class SpareFile(Generic[S]):
    def __init__(self, path: Path, open_store: Callable[[str], Awaitable[S]], what: str) -> None:
        """Opens nothing yet. what: is in it, for messages."""
        self._path = path
        self._open_store = open_store
        self._what = what
        self._store: S | None = None
        self._opened: tuple[int, int] | None = None  # which file
        self._changing = asyncio.Lock()

    async def close(self) -> None:
        async with self._changing:
            await self._let_go()

    async def _with(self, work: Callable[[S], Awaitable[T]]) -> T:
        store = await self._current()
        try:
            return await work(store)
        except (StoreDamaged, msgspec.DecodeError, UnicodeDecodeError) as error:
            async with self._changing:
                if self._store is store:
                    await self._let_go()
                    self._set_aside(error)
            raise StoreError(f"database {self._path} is damaged: {error}") from None

    async def _current(self) -> S:
        async with self._changing:
            if self._store is not None and self._opened != self._file():
                log.error(
                    f"the {self._what}' database is not the one that was opened: it was deleted or replaced",
                    file=str(self._path),
                )
                await self._let_go()
            if self._store is None:
                self._store = await self._open()
                self._opened = self._file()
            return self._store

    async def _open(self) -> S:
        url = f"sqlite+aiosqlite:///{self._path}"
        try:
            return await self._open_store(url)
        except StoreDamaged as error:
            self._set_aside(error)
            return await self._open_store(url)

    async def _let_go(self) -> None:
        store, self._store = self._store, None
        if store is not None:
            await store.close()

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
