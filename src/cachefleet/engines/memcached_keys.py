"""Which keys a Memcached node has, as its crawler tells them (`lru_crawler metadump`): key, expiry and size of each item.

By the hash table it meets every item once, but holds locks that clients need for as long as nobody takes what it says; so
all of that is taken first, and kept compressed. Too much for that: it walks along its lists, which may miss items that move, or
meet them twice, and blocks nobody. Called by engines.memcached_stream.
"""

from __future__ import annotations

import threading
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from urllib.parse import unquote_to_bytes

import msgspec

from cachefleet.engines.memcached_wire import Refused, Wire, connected
from cachefleet.engines.replica_stream import StreamBroken
from cachefleet.model.observed import Address

HELD_BYTES = 256 << 20  # compressed: some ten million keys
BUSY_PAUSE_S = 0.1
_END = b"END\r\n"
_DISABLED = b"CLIENT_ERROR lru crawler disabled"
_LINE_BYTES = 100  # of a refusal


class Found(msgspec.Struct, frozen=True):
    """What the crawler says of an item. expires_at: by the node's clock, 0 never. size_bytes: with all that belongs to it."""

    key: bytes
    expires_at: int
    size_bytes: int


def keys_of(
    at: Address,
    *,
    timeout_s: float,
    alive: Callable[[], None],
    held_bytes: int = HELD_BYTES,
    authorities: str = "",
) -> Iterator[Found]:
    """alive: called often until the first is known. held_bytes: that may be kept. Raises StreamBroken, Refused."""
    held = _held(at, timeout_s, alive, held_bytes, authorities)
    if held is not None:
        return _found(at, held)
    return _found(at, _walked(at, timeout_s, authorities))


def _held(
    at: Address, timeout_s: float, alive: Callable[[], None], most_bytes: int, authorities: str
) -> Iterator[bytes] | None:
    """All that the crawler says of the hash table; None when that is too much. Nothing else is done until it is silent."""
    compressor = zlib.compressobj(1)
    pieces: deque[bytes] = deque()
    held_bytes = 0
    with connected(at, timeout_s, authorities) as crawl:
        for piece in _said(crawl, b"hash", timeout_s):
            pieces.append(compressor.compress(piece))
            held_bytes += len(pieces[-1])
            if held_bytes > most_bytes:
                return None
            alive()
    pieces.append(compressor.flush())
    return _let_go(pieces)


def _let_go(pieces: deque[bytes]) -> Iterator[bytes]:
    decompressor = zlib.decompressobj()
    while pieces:
        yield decompressor.decompress(pieces.popleft())


def _walked(at: Address, timeout_s: float, authorities: str) -> Iterator[bytes]:
    with connected(at, timeout_s, authorities) as crawl:
        yield from _said(crawl, b"all", timeout_s)


def _said(crawl: Wire, what: bytes, timeout_s: float) -> Iterator[bytes]:
    """Lines, and parts of lines, the last of which is END. A crawler that is off is on for that time."""
    piece = _begun(crawl, what, timeout_s)
    switched = piece.startswith(_DISABLED)
    if switched:
        _switch(crawl, b"enable")
        piece = _begun(crawl, what, timeout_s)
    last = b"\n"
    while True:
        last = (last + piece)[-_LINE_BYTES:]
        if last.endswith(b"\r\n") and not last.endswith(b"\n" + _END):  # lines of keys end otherwise
            raise _refusal(crawl.at, last)
        yield piece
        if last.endswith(b"\n" + _END):
            break
        piece = crawl.piece()
    if switched:
        _switch(crawl, b"disable")


def _begun(crawl: Wire, what: bytes, timeout_s: float) -> bytes:
    """The first piece of what the crawler says. It does one thing at a time, its own rounds too."""
    pause = threading.Event()
    for _ in range(max(1, int(timeout_s / BUSY_PAUSE_S))):
        crawl.send(b"lru_crawler metadump %s\r\n" % what)
        piece = crawl.piece()
        if not piece.startswith(b"BUSY"):
            return piece
        pause.wait(BUSY_PAUSE_S)
    raise StreamBroken(f"the crawler of {crawl.at} was busy for {timeout_s:g} s")


def _switch(crawl: Wire, word: bytes) -> None:
    crawl.send(b"lru_crawler %s\r\n" % word)
    line = crawl.line()
    if line != b"OK":
        raise _refusal(crawl.at, line)


def _found(at: Address, pieces: Iterable[bytes]) -> Iterator[Found]:
    """Of `key=... exp=... la=... cas=... fetch=... cls=... size=...`, the key as in a URL."""
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            if line == b"END\r":
                return
            yield _one(at, line)


def _one(at: Address, line: bytes) -> Found:
    words = dict(word.split(b"=", 1) for word in line.split(b" ") if b"=" in word)
    try:
        return Found(unquote_to_bytes(words[b"key"]), max(0, int(words[b"exp"])), int(words[b"size"]))
    except (KeyError, ValueError):
        raise _refusal(at, line) from None


def _refusal(at: Address, line: bytes) -> Refused:
    answer = line[:100].decode(errors="replace").strip()
    return Refused(f"{at} does not tell its keys ({answer}); it needs Memcached 1.6")
