"""A connection to an engine for a great many commands: a socket, and the parser in C that clients have. Blocks."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any, Self

import libvalkey

Where = tuple[str, int]
Command = Sequence[bytes]
_RECEIVE_BYTES = 1 << 18


def encoded(command: Command) -> bytes:
    return b"*%d\r\n" % len(command) + b"".join([b"$%d\r\n%b\r\n" % (len(word), word) for word in command])


class Wire:
    """Replies are as RESP2 has them. Raises AssertionError when the engine goes away, and OSError as sockets do."""

    def __init__(self, where: Where, database: int = 0, timeout_s: float = 60.0) -> None:
        self._socket = socket.create_connection(where, timeout=timeout_s)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = libvalkey.Reader()
        if database:
            self.done([(b"SELECT", b"%d" % database)])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._socket.close()

    def ask(self, commands: Iterable[Command]) -> list[Any]:
        """The replies, in the order of the commands; errors are values, too."""
        words = [encoded(command) for command in commands]
        self._socket.sendall(b"".join(words))
        replies: list[Any] = []
        while len(replies) < len(words):
            reply = self._reader.gets()
            if reply is False:
                piece = self._socket.recv(_RECEIVE_BYTES)
                assert piece, "the engine closed the connection"
                self._reader.feed(piece)
            else:
                replies.append(reply)
        return replies

    def done(self, commands: Iterable[Command]) -> list[Any]:
        """As ask; AssertionError for the first that is refused."""
        replies = self.ask(commands)
        refused = [reply for reply in replies if isinstance(reply, Exception)]
        assert not refused, f"refused: {refused[0]}"
        return replies
