"""A connection to a Memcached node that is read without an event loop: lines, values, figures. Knows no keys and no items.

Called by engines.memcached_stream and engines.memcached_keys, in a process of its own.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from cachefleet.engines.replica_stream import StreamBroken, connect
from cachefleet.model.observed import Address

_RECEIVE_BYTES = 256 << 10
_LINE_BYTES = 4096


class Refused(Exception):
    """The node does not take or give items, and trying again would not change that; the message says why and what to do."""


@contextmanager
def connected(at: Address, timeout_s: float, authorities: str = "") -> Iterator[Wire]:
    with _faults_of(at, timeout_s):
        connection = connect(at, timeout_s, authorities)
    with connection:
        yield Wire(at, connection, timeout_s)


@contextmanager
def _faults_of(at: Address, timeout_s: float) -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise StreamBroken(f"{at} said nothing for {timeout_s:g} s") from error
    except OSError as error:
        raise StreamBroken(f"the connection to {at} broke: {error.strerror or error}") from error


class Wire:
    """Raises StreamBroken."""

    def __init__(self, at: Address, connection: socket.socket, timeout_s: float) -> None:
        self.at = at
        self._connection = connection
        self._timeout_s = timeout_s
        self._held = bytearray()
        self._start = 0

    def send(self, request: bytes | bytearray) -> None:
        with _faults_of(self.at, self._timeout_s):
            self._connection.sendall(request)

    def line(self) -> bytes:
        """Without its end."""
        while (place := self._held.find(b"\n", self._start)) < 0:
            if len(self._held) - self._start > _LINE_BYTES:
                raise StreamBroken(f"{self.at} does not talk as a Memcached node does")
            self._receive()
        line = bytes(memoryview(self._held)[self._start : place]).rstrip(b"\r")
        self._start = place + 1
        return line

    def piece(self) -> bytes:
        """Whatever comes next, a byte at least."""
        if self._start == len(self._held):
            self._receive()
        piece = bytes(memoryview(self._held)[self._start :])
        self._start = len(self._held)
        return piece

    def value(self, size: int) -> bytes:
        """And the end of line after it."""
        while len(self._held) - self._start < size + 2:
            self._receive()
        taken = bytes(memoryview(self._held)[self._start : self._start + size])
        self._start += size + 2
        return taken

    def store(self, sets: bytearray) -> None:
        """Raises Refused."""
        self.send(sets + b"mn\r\n")
        line = self.line()
        if line != b"MN":
            answer = line[:100].decode(errors="replace")
            raise Refused(f"{self.at} does not take an item ({answer}); choose a larger node type, or larger items")

    def stats(self) -> dict[str, str]:
        self.send(b"stats\r\n")
        found = {}
        while (line := self.line()) != b"END":
            _, name, text = line.decode(errors="replace").split(" ", 2)
            found[name] = text
        return found

    def _receive(self) -> None:
        if self._start:
            del self._held[: self._start]
            self._start = 0
        with _faults_of(self.at, self._timeout_s):
            piece = self._connection.recv(_RECEIVE_BYTES)
        if not piece:
            raise StreamBroken(f"{self.at} closed the connection before everything was said")
        self._held += piece
