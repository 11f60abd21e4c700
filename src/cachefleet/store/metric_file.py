"""metric_interfaces.MetricStore on an SQLite file that may get lost: no cache and no operation on caches depends on it.

The file is opened when it is first needed, and anew when it was deleted or replaced. One that is damaged is set aside, and
another one begun.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec
import structlog

from cachefleet.model.metric import Block, ListedSeries, Series
from cachefleet.model.resource import Scope
from cachefleet.store.errors import StoreDamaged, StoreError
from cachefleet.store.metric_store import SqlMetricStore, open_metric_store

ASIDE = ".damaged"  # at most one such file is kept

T = TypeVar("T")
log = structlog.get_logger()


class MetricFile:
    """See metric_interfaces.MetricStore."""

    def __init__(self, path: Path) -> None:
        """Opens nothing yet."""
        self._path = path
        self._store: SqlMetricStore | None = None
        self._opened: tuple[int, int] | None = None  # which file
        self._changing = asyncio.Lock()

    async def put(self, blocks: Sequence[Block], last_at: Mapping[Series, float]) -> None:
        await self._with(lambda store: store.put(blocks, last_at))

    async def blocks(self, series: Sequence[Series], resolution_s: int, begin: int, end: int) -> list[Block]:
        return await self._with(lambda store: store.blocks(series, resolution_s, begin, end))

    async def listed(
        self, scope: Scope, namespace: str = "", since: float = 0.0, after: Series | None = None, limit: int | None = None
    ) -> list[ListedSeries]:
        return await self._with(lambda store: store.listed(scope, namespace, since, after, limit))

    async def forget(self, resolution_s: int, before: float) -> int:
        return await self._with(lambda store: store.forget(resolution_s, before))

    async def forget_series(self, before: float) -> int:
        return await self._with(lambda store: store.forget_series(before))

    async def close(self) -> None:
        async with self._changing:
            await self._let_go()

    async def _with(self, work: Callable[[SqlMetricStore], Awaitable[T]]) -> T:
        store = await self._current()
        try:
            return await work(store)
        except (StoreDamaged, msgspec.DecodeError, UnicodeDecodeError) as error:
            async with self._changing:
                if self._store is store:
                    await self._let_go()
                    self._set_aside(error)
            raise StoreError(f"database {self._path} is damaged: {error}") from None

    async def _current(self) -> SqlMetricStore:
        async with self._changing:
            if self._store is not None and self._opened != self._file():
                log.error(
                    "the metrics' database is not the one that was opened: it was deleted or replaced", file=str(self._path)
                )
                await self._let_go()
            if self._store is None:
                self._store = await self._open()
                self._opened = self._file()
            return self._store

    async def _open(self) -> SqlMetricStore:
        url = f"sqlite+aiosqlite:///{self._path}"
        try:
            return await open_metric_store(url)
        except StoreDamaged as error:
            self._set_aside(error)
            return await open_metric_store(url)

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
        log.error("the metrics' database was damaged: metrics begin anew", why=str(error), set_aside=str(aside))
