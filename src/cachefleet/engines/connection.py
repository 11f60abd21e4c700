"""One connection to a Valkey or Redis process: batches of commands in one write, replies in order.

Knows the wire format (libvalkey), not commands; garbage ends the connection. Made by connections.Connections only.
"""

from __future__ import annotations

import asyncio
from typing import Any

import libvalkey

from cachefleet.engines.conversation import Conversation
from cachefleet.engines.replies import Identity
from cachefleet.model.observed import NodeView

Command = tuple[str | bytes, ...]
_INCOMPLETE = object()
_PING = b"*1\r\n$4\r\nPING\r\n"


class ErrorReply(Exception):
    """An error that the engine answered. A value in a batch's replies; `code` is its first word."""

    @property
    def code(self) -> str:
        return str(self).partition(" ")[0]


class Connection(Conversation[Any]):
    """RESP over one socket. A reply is str, int, None, list or ErrorReply; raw: bytes instead of str, for what users' data
    are in (names of keys, values, functions)."""

    def __init__(self, *, raw: bool = False, login: Command = (), launch: str = "") -> None:
        """login: said before all else. One that is refused may be nobody's fault: see Connections. launch: whose it is."""
        super().__init__(_PING, lambda replies: True)
        self._login = login
        self.launch = launch
        self.logged_in = False
        self.identity: Identity | None = None
        self.deaf = False  # a change of its addresses is under way, failed or was cut short: it may listen nowhere
        self.last_view: NodeView | None = None  # what a probe last saw here
        self._reader = _reader(raw)

    async def batch(self, *commands: Command) -> list[Any]:
        """Every command's reply. Raises ConnectionEnded."""
        return await self.answer(self.send(*commands))

    def send(self, *commands: Command) -> asyncio.Future[list[Any]]:
        """Write the batch at once, without waiting for the replies. Raises ConnectionEnded."""
        count = len(commands)
        return self.ask(b"".join(map(libvalkey.pack_command, commands)), lambda replies: len(replies) == count)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self._login:
            self.send(self._login).add_done_callback(self._answered)

    def _answered(self, login: asyncio.Future[list[Any]]) -> None:
        answered = not login.cancelled() and login.exception() is None
        self.logged_in = answered and not isinstance(login.result()[0], ErrorReply)

    def data_received(self, data: bytes) -> None:
        try:
            self._reader.feed(data)
            while (reply := self._reader.gets()) is not _INCOMPLETE:
                self.take(reply)
        except libvalkey.ProtocolError as error:
            self.abort(f"answered with something that is not RESP: {error}")


def _reader(raw: bool) -> Any:
    reader = libvalkey.Reader(replyError=ErrorReply, notEnoughData=_INCOMPLETE, convertSetsToLists=True)
    if not raw:
        reader.set_encoding("utf-8", "replace")
    return reader
