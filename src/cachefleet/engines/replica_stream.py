"""A node's data as an RDB stream: asks as a replica does that wants a snapshot and nothing after it.

Engines compress values (LZF) where they are to send them, which takes as long as all else that they do for it, and what follows
compresses better. So a node is told to leave that out, and once it has begun, to go back to it for its other replicas.

Blocks, so it runs in a process of its own; the engine's bytes are passed on as they are, never looked into, and never kept
longer than one chunk. Called by the worker that makes backups.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Protocol

from cachefleet.engines.capabilities import version_numbers
from cachefleet.engines.trust import client_context
from cachefleet.engines.valkey_config import FEED_NOBODY_S
from cachefleet.model.observed import Address

CHUNK_BYTES = 262_144
_MARK_BYTES = 40
_LONGEST_LINE_BYTES = 65_536
_SAYS_VERSION = (8, 0)  # since then an engine asks its replicas for their version, and sends the newest format that they read


class StreamBroken(Exception):
    """There is no whole snapshot; the message names the node and says what it answered, or that it went away or fell silent."""


def connect(at: Address, timeout_s: float, authorities: str = "") -> socket.socket:
    """With TLS where the node at this address speaks it; authorities: PEM, by whom it is known. Raises OSError."""
    connection = socket.create_connection((at.host, at.own_port), timeout=timeout_s)
    if not at.tls_port:
        return connection
    try:
        return client_context(authorities).wrap_socket(connection, server_hostname=at.host)
    except BaseException:
        connection.close()
        raise


@contextmanager
def open_stream(
    at: Address,
    *,
    version: str,
    timeout_s: float,
    alive: Callable[[], None] = lambda: None,
    login: tuple[str, str] | None = None,
    authorities: str = "",
) -> Iterator[Iterator[bytes]]:
    """Chunks of at most 256 KiB which together are one RDB. The iterator ends when the RDB is whole, or raises StreamBroken.

    version: the node's own full version ("9.1.2"). timeout_s: so long may the node say nothing; it sends a newline a second
    while it prepares, for as long as that takes, and alive is called with each. Leaving the context ends the node's work for
    us. A primary serves this, and a replica in sync. Raises StreamBroken at once when the node refuses, or has no role yet (it
    would send its emptiness).
    """

    @contextmanager
    def wire() -> Iterator[SnapshotWire]:
        with connect(at, timeout_s, authorities) as connection:
            opened = SnapshotWire(at, connection, alive)
            if login is not None:
                opened.log_in(*login)
            yield opened

    with ExitStack() as stack:
        with _faults_of(at, timeout_s):
            source = stack.enter_context(wire())
            source.compress_values(False)
            try:
                source.ask_for_snapshot(version)
                chunks = source.chunks()  # its process has what it was told when it was forked
            finally:
                with wire() as other:  # the first one is a replica's by now
                    other.compress_values(True)
        yield _watched(chunks, at, timeout_s)


def _watched(chunks: Iterator[bytes], at: Address, timeout_s: float) -> Iterator[bytes]:
    """Faults of the connection only: one of who takes the chunks stays what it is."""
    while True:
        with _faults_of(at, timeout_s):
            chunk = next(chunks, b"")
        if not chunk:
            return
        yield chunk


@contextmanager
def _faults_of(at: Address, timeout_s: float) -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise StreamBroken(f"{at} sent nothing for {timeout_s:g} s") from error
    except OSError as error:
        raise StreamBroken(f"the connection to {at} broke: {error.strerror or error}") from error


class Connection(Protocol):
    """What is needed of a socket."""

    def sendall(self, data: bytes, /) -> None: ...

    def recv_into(self, buffer: memoryview, /) -> int: ...


class SnapshotWire:
    """The conversation. What was received and not yet used is in _buffer[_start:_end]. Raises StreamBroken, and OSError as the
    connection does."""

    def __init__(self, at: Address, connection: Connection, alive: Callable[[], None] = lambda: None) -> None:
        self._at = at
        self._connection = connection
        self._alive = alive
        self._buffer = bytearray(CHUNK_BYTES)
        self._view = memoryview(self._buffer)
        self._start = self._end = 0

    def log_in(self, name: str, password: str) -> None:
        self._send("AUTH", name, password)
        head = self._line()
        if head.startswith("-"):
            raise StreamBroken(f"{self._at} refuses the user {name}: {head[1:]}")

    def compress_values(self, wanted: bool) -> None:
        """In RDBs that are begun from now on. True is what engines do of themselves, and nobody else changes it."""
        self._call("CONFIG", "SET", "rdbcompression", "yes" if wanted else "no")

    def ask_for_snapshot(self, version: str) -> None:
        delay = self._call("CONFIG", "GET", "repl-diskless-sync-delay")
        if FEED_NOBODY_S in delay:
            raise StreamBroken(f"{self._at} has no role in its cluster yet, so it has no data to save")
        self._call("REPLCONF", "capa", "eof")
        if version_numbers(version) >= _SAYS_VERSION:
            self._call("REPLCONF", "version", version)
        self._call("REPLCONF", "rdb-only", "1")
        self._send("SYNC")

    def chunks(self) -> Iterator[bytes]:
        """Waits until the node has begun."""
        head = self._line()
        while not head:
            self._alive()
            head = self._line()
        if head.startswith("$EOF:"):
            return self._until_mark(head[5:].encode())
        if head.startswith("$") and head[1:].isdecimal():
            return self._so_many(int(head[1:]))
        raise StreamBroken(f"{self._at} refuses a snapshot: {head.removeprefix('-')}")

    def _until_mark(self, mark: bytes) -> Iterator[bytes]:
        """Nothing tells beforehand where the RDB ends: the last bytes are held back until more come, or they are the mark."""
        if len(mark) != _MARK_BYTES:
            raise StreamBroken(f"{self._at} announced an end mark of {len(mark)} bytes instead of {_MARK_BYTES}")
        self._to_front()
        while self._buffer[max(0, self._end - _MARK_BYTES) : self._end] != mark:
            if self._end == CHUNK_BYTES:
                yield bytes(self._view[: CHUNK_BYTES - _MARK_BYTES])
                self._start = CHUNK_BYTES - _MARK_BYTES
                self._to_front()
            self._receive()
        if self._end > _MARK_BYTES:
            yield bytes(self._view[: self._end - _MARK_BYTES])

    def _so_many(self, left: int) -> Iterator[bytes]:
        self._to_front()
        while left:
            while self._end < min(left, CHUNK_BYTES):
                self._receive()
            taken = min(left, self._end)
            yield bytes(self._view[:taken])
            left -= taken
            self._start = self._end = 0

    def _call(self, *words: str) -> list[str]:
        """The lines of a simple reply, or of a flat list. Raises StreamBroken for an error."""
        self._send(*words)
        head = self._line()
        if head.startswith("-"):
            raise StreamBroken(f"{self._at} refuses {' '.join(words)}: {head[1:]}")
        return [self._line() for _ in range(2 * int(head[1:]))] if head.startswith("*") else [head]

    def _send(self, *words: str) -> None:
        parts = [word.encode() for word in words]
        self._connection.sendall(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts))

    def _line(self) -> str:
        """The next line without its end; a mere newline is an empty one."""
        while (place := self._buffer.find(b"\n", self._start, self._end)) < 0:
            if self._end - self._start > _LONGEST_LINE_BYTES:
                raise StreamBroken(f"{self._at} does not talk as a Valkey or Redis node does")
            self._to_front()
            self._receive()
        line = self._buffer[self._start : place].rstrip(b"\r")
        self._start = place + 1
        return line.decode(errors="replace")

    def _to_front(self) -> None:
        left = self._end - self._start
        self._view[:left] = bytes(self._view[self._start : self._end])
        self._start, self._end = 0, left

    def _receive(self) -> None:
        count = self._connection.recv_into(self._view[self._end :])
        if not count:
            raise StreamBroken(f"{self._at} closed the connection before its snapshot was whole")
        self._end += count
