"""Connections for reading and for writing, each to a bounded number of users at a time.

Knows nothing of rows. Made by engines.connect, used by SqlStore.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from cachefleet.store.cancellation import uninterrupted
from cachefleet.store.errors import translated
from cachefleet.store.gate import Gate

T = TypeVar("T")


class Database:
    """name: for messages, never with a password. readers, writers: connections. scratch: a folder to erase at the end.
    shared: other processes use it at the same time; its readers may write, each statement a transaction of its own."""

    def __init__(
        self,
        name: str,
        reader: AsyncEngine,
        writer: AsyncEngine,
        readers: int,
        writers: int,
        scratch: Path | None = None,
        *,
        shared: bool = False,
    ) -> None:
        self.name = name
        self.shared = shared
        self._reader = reader
        self._writer = writer
        self._read_gate = Gate(readers)
        self._write_gate = Gate(writers)
        self._scratch = scratch

    def translated(self) -> AbstractContextManager[None]:
        return translated(self.name)

    async def read(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Run the work on a connection whose every statement sees the last committed state."""
        async with self._read_gate:
            return await uninterrupted(self._read(work))

    async def _read(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        with self.translated():
            async with self._reader.connect() as connection:
                return await work(connection)

    async def at_once(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Run one statement that writes. Where others share the database, nobody waits for us should we be frozen over it."""
        if self.shared:
            return await self.read(work)
        return await self.write(work)

    async def write(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Run the work as a transaction: committed at the end, rolled back when it raises."""
        async with self.writing() as connection:
            return await uninterrupted(self._translating(work(connection)))

    async def _translating(self, work: Awaitable[T]) -> T:
        with self.translated():
            return await work

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """A connection in a write transaction: committed at the end, rolled back when the body raises or is cancelled.
        What the body does with the connection must be uninterrupted."""
        async with self._write_gate:
            connection = self._writer.connect()
            try:
                await uninterrupted(self._begin(connection))
                yield connection
                await uninterrupted(self._commit(connection))
            finally:
                if connection.sync_connection is not None:  # else it never came to be
                    await uninterrupted(self._close(connection))

    async def _begin(self, connection: AsyncConnection) -> None:
        with self.translated():
            await connection.start()
            await connection.begin()

    async def _commit(self, connection: AsyncConnection) -> None:
        with self.translated():
            await connection.commit()

    async def _close(self, connection: AsyncConnection) -> None:
        with self.translated():
            await connection.close()

    async def close(self) -> None:
        """Waits for those who are still at it."""
        await self._write_gate.close()
        await self._read_gate.close()
        await uninterrupted(self._dispose())

    async def _dispose(self) -> None:
        await self._reader.dispose()
        await self._writer.dispose()
        if self._scratch:
            await asyncio.to_thread(shutil.rmtree, self._scratch, ignore_errors=True)
