"""Both framings of a snapshot on the wire, cut into pieces at every place; over a connection that is bytes in memory."""

from __future__ import annotations

import pytest

from cachefleet.engines.replica_stream import CHUNK_BYTES, SnapshotWire, StreamBroken
from cachefleet.model.observed import Address

AT = Address("127.0.0.1", 6379)
MARK = bytes(range(104, 64, -1))
READY = b"*2\r\n$24\r\nrepl-diskless-sync-delay\r\n$1\r\n0\r\n+OK\r\n+OK\r\n+OK\r\n"


class Pieces:
    """A connection that gives what is there in pieces of given sizes, then in one, then is closed."""

    def __init__(self, data: bytes, *sizes: int) -> None:
        self._data = data
        self._sizes = list(sizes)
        self.sent = b""

    def sendall(self, data: bytes, /) -> None:
        self.sent += data

    def recv_into(self, buffer: memoryview, /) -> int:
        size = min(self._sizes.pop(0) if self._sizes else len(self._data), len(buffer), len(self._data))
        buffer[:size] = self._data[:size]
        self._data = self._data[size:]
        return size


def taken(data: bytes, *sizes: int, version: str = "9.1.2") -> list[bytes]:
    wire = SnapshotWire(AT, Pieces(READY + data, len(READY), *sizes))
    wire.ask_for_snapshot(version)
    return list(wire.chunks())


def test_what_is_asked() -> None:
    for version, says in (("9.1.2", True), ("8.1.8", True), ("7.0.15", False), ("6.2.14", False)):
        connection = Pieces(READY)
        SnapshotWire(AT, connection).ask_for_snapshot(version)
        assert connection.sent.endswith(b"rdb-only\r\n$1\r\n1\r\n*1\r\n$4\r\nSYNC\r\n")
        assert (b"$7\r\nversion\r\n" in connection.sent) == says


@pytest.mark.parametrize("size", [0, 1, 39, 40, 41, 300])
def test_pieces_of_every_size(size: int) -> None:
    rdb = bytes(number % 251 for number in range(size))
    for data in (b"\n\n$EOF:" + MARK + b"\r\n" + rdb + MARK, b"$%d\r\n" % size + rdb):
        for piece in range(1, len(data) + 1):
            assert b"".join(taken(data, *[piece] * len(data))) == rdb


@pytest.mark.parametrize("more", range(-45, 46, 5))
def test_the_mark_across_two_chunks(more: int) -> None:
    """And a false one, of which the last byte is another."""
    rdb = bytes(CHUNK_BYTES - 120) + MARK[:-1] + b"x" + bytes(80 + more)
    chunks = taken(b"$EOF:" + MARK + b"\r\n" + rdb + MARK, 47, CHUNK_BYTES - 7)
    assert b"".join(chunks) == rdb
    assert max(map(len, chunks)) <= CHUNK_BYTES


def test_nothing_after_the_end_is_given() -> None:
    assert taken(b"$4\r\nREDIS*1\r\n$4\r\nPING\r\n") == [b"REDI"]


def test_a_cut_anywhere_is_broken() -> None:
    for whole in (b"\n$EOF:" + MARK + b"\r\nREDIS0011 data" + MARK, b"$14\r\nREDIS0011 data"):
        for length in range(len(whole)):
            with pytest.raises(StreamBroken, match=r"127\.0\.0\.1:6379 closed the connection before its snapshot was whole"):
                taken(whole[:length])


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"-NOMASTERLINK Can't SYNC while not connected with my master\r\n", "refuses a snapshot: NOMASTERLINK"),
        (b"-LOADING the dataset\r\n", "refuses a snapshot: LOADING the dataset"),
        (b"+FULLRESYNC\r\n", "refuses a snapshot: "),
        (b"$-1\r\n", "refuses a snapshot: "),
        (b"$EOF:abc\r\n", "an end mark of 3 bytes instead of 40"),
        (b"x" * 100_000, "does not talk as a Valkey or Redis node does"),
    ],
)
def test_what_is_no_snapshot(answer: bytes, message: str) -> None:
    with pytest.raises(StreamBroken, match=message):
        taken(answer)


def test_refused_before() -> None:
    with pytest.raises(StreamBroken, match="refuses CONFIG GET repl-diskless-sync-delay: NOAUTH"):
        SnapshotWire(AT, Pieces(b"-NOAUTH Authentication required.\r\n")).ask_for_snapshot("9.1.2")
    waiting = READY.replace(b"$1\r\n0", b"$4\r\n3600")
    with pytest.raises(StreamBroken, match="has no role in its cluster yet"):
        SnapshotWire(AT, Pieces(waiting)).ask_for_snapshot("9.1.2")
