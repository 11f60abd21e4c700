"""Connections that speak in lines (Memcached, the configuration endpoint): one user at a time, kept while they are sound.

A connection that was left in the middle of an answer is closed. Sets no deadline and retries nothing. Called by the drivers of
Memcached and of its configuration endpoint.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from cachefleet.model.observed import Address

_MOST_BYTES = 1_048_576  # of one line


class LinesEnded(Exception):
    """The other side closed, or said something that it never should; the message says what."""


class LineConnection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @property
    def sound(self) -> bool:
        return not self._reader.at_eof() and not self._writer.is_closing()

    def write(self, data: bytes) -> None:
        self._writer.write(data)

    async def line(self) -> str:
        """Without its end. Raises LinesEnded, OSError."""
        try:
            data = await self._reader.readuntil(b"\n")
        except asyncio.IncompleteReadError:
            raise LinesEnded("connection closed") from None
        except asyncio.LimitOverrunError:
            raise LinesEnded("a line without end") from None
        return data.decode("utf-8", "replace").rstrip("\r\n")

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    def abort(self) -> None:
        self._writer.transport.abort()


class LineConnections:
    """At most one idle connection per address."""

    def __init__(self) -> None:
        self._idle: dict[Address, LineConnection] = {}

    @contextlib.asynccontextmanager
    async def at(self, address: Address) -> AsyncIterator[LineConnection]:
        """A connection for the time of one exchange. Raises OSError."""
        connection = self._idle.pop(address, None)
        if connection is None or not connection.sound:
            if connection is not None:
                connection.abort()
            connection = LineConnection(*await asyncio.open_connection(address.host, address.port, limit=_MOST_BYTES))
        try:
            yield connection
        except BaseException:
            connection.abort()
            raise
        if address in self._idle:
            connection.abort()
        else:
            self._idle[address] = connection

    async def close(self) -> None:
        idle, self._idle = self._idle, {}
        for connection in idle.values():
            await connection.close()
