"""One connection to a Valkey or Redis process: batches of commands in one write, replies in order.

Knows the wire format (libvalkey), not commands. Replies are matched by order alone, also those that nobody waits for any more;
garbage, or too many of the latter, end the connection. Made by connections.Connections only.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, cast

import libvalkey

from cachefleet.engines.replies import Identity
from cachefleet.model.observed import NodeView

Command = tuple[str, ...]
_INCOMPLETE = object()
_MOST_UNANSWERED = 8  # a frozen process is asked again on the same connection; a network that lost us needs a new one


class ErrorReply(Exception):
    """An error that the engine answered. A value in a batch's replies; `code` is its first word."""

    @property
    def code(self) -> str:
        return str(self).partition(" ")[0]


class ConnectionEnded(Exception):
    """The connection is over before the batch was answered; the message says why."""


class Connection(asyncio.Protocol):
    """RESP over one socket. Batches may overlap: they are answered in the order in which they were sent."""

    def __init__(self) -> None:
        self.identity: Identity | None = None
        self.ended = ""
        self.deaf = False  # a change of its addresses is under way, failed or was cut short: it may listen nowhere
        self.closed = asyncio.Event()
        self.last_view: NodeView | None = None  # what a probe last saw here
        self._transport: asyncio.Transport | None = None
        self._reader = _reader()
        self._waiting: deque[tuple[int, list[Any], asyncio.Future[list[Any]]]] = deque()

    async def batch(self, *commands: Command) -> list[Any]:
        """Every command's reply: str, int, None, list or ErrorReply. Raises ConnectionEnded."""
        future = self.send(*commands)
        try:
            return await future
        except asyncio.CancelledError:
            if len(self._waiting) > _MOST_UNANSWERED:
                self.abort("too many questions were not answered in time")
            raise

    def send(self, *commands: Command) -> asyncio.Future[list[Any]]:
        """Write the batch at once, without waiting for the replies (they are taken in order all the same)."""
        future: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        if self.ended or self._transport is None:
            raise ConnectionEnded(self.ended or "not connected")
        self._waiting.append((len(commands), [], future))
        self._transport.write(b"".join(map(libvalkey.pack_command, commands)))
        return future

    def abort(self, why: str) -> None:
        """Close at once. What was written is still sent where the socket takes it."""
        self.ended = self.ended or why
        if self._transport is not None:
            self._transport.close()

    # --- asyncio.Protocol ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transports are no subclass of it

    def data_received(self, data: bytes) -> None:
        try:
            self._reader.feed(data)
            while (reply := self._reader.gets()) is not _INCOMPLETE:
                self._take(reply)
        except libvalkey.ProtocolError as error:
            self.abort(f"answered with something that is not RESP: {error}")

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set()
        self.ended = self.ended or (f"connection lost: {exc}" if exc else "connection closed by the engine")
        while self._waiting:
            _, _, future = self._waiting.popleft()
            if not future.done():
                future.set_exception(ConnectionEnded(self.ended))
                future.exception()  # nobody may be waiting any more: that is no error

    def _take(self, reply: Any) -> None:
        if not self._waiting:
            self.abort("answered what was not asked")
            return
        count, replies, future = self._waiting[0]
        replies.append(reply)
        if len(replies) == count:
            self._waiting.popleft()
            if not future.done():
                future.set_result(replies)


def _reader() -> Any:
    return libvalkey.Reader(
        replyError=ErrorReply, encoding="utf-8", errors="replace", notEnoughData=_INCOMPLETE, convertSetsToLists=True
    )
