"""The file that the items of a Memcached node are kept in: encoded and decoded. Pure.

Numbers are big-endian. After the mark `CFMEMCACHED1` come records: `I`, length of the key (2 bytes), client flags (4), when it
expires (8; seconds since 1970, 0 never), 1 for a key that was given in base64 (1), length of the value (4), key, value. The end
is `E` and the number of records (8). Checksums are the archive's business. Called by the transfer worker.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

import msgspec

MAGIC = b"CFMEMCACHED1"
_HEAD = struct.Struct(">HIQBI")
_COUNT = struct.Struct(">Q")
_ITEM, _END = b"I", b"E"
_COMPACT_BYTES = 1 << 20  # what was read is let go in pieces of this size
_CHUNK_BYTES = 256 << 10
KEY_BYTES = 250  # Memcached's own limit
VALUE_BYTES = 1 << 30  # and the largest value that any node of it can be told to take


class Item(msgspec.Struct, frozen=True):
    """What a client has stored. expires_at: seconds since 1970, 0 never. binary: its key was given in base64."""

    key: bytes
    value: bytes
    flags: int = 0
    expires_at: int = 0
    binary: bool = False

    def has_expired(self, now: float) -> bool:
        """now: seconds since 1970."""
        return bool(self.expires_at) and self.expires_at <= now


class ItemsFault(Exception):
    """This is no whole file of items; the message says where and why."""


class Encoder:
    """Counts what it encodes."""

    def __init__(self) -> None:
        self.count = 0

    def chunks(self, items: Iterable[Item]) -> Iterator[bytes]:
        """The whole file, in pieces of at least 256 KiB but for the last."""
        held = bytearray(MAGIC)
        for item in items:
            self.count += 1
            held += _ITEM + _HEAD.pack(len(item.key), item.flags, item.expires_at, item.binary, len(item.value))
            held += item.key
            held += item.value
            if len(held) >= _CHUNK_BYTES:
                yield bytes(held)
                held.clear()
        yield bytes(held + _END + _COUNT.pack(self.count))


def decoded(chunks: Iterable[bytes]) -> Iterator[Item]:
    """Every item of a file; ends when all chunks were taken and the file was whole. Raises ItemsFault."""
    source = _Bytes(chunks)
    if source.take(len(MAGIC), "its mark") != MAGIC:
        raise ItemsFault("this is no file of Memcached items that this version of Cachefleet reads")
    count = 0
    while (kind := source.take(1, "a record")) == _ITEM:
        key_bytes, flags, expires_at, binary, value_bytes = _HEAD.unpack(source.take(_HEAD.size, "the head of a record"))
        if not 0 < key_bytes <= KEY_BYTES or value_bytes > VALUE_BYTES or binary > 1:
            raise ItemsFault(f"record {count + 1} of the file of items is none that Memcached can have")
        key = source.take(key_bytes, "a key")
        yield Item(key, source.take(value_bytes, "a value"), flags, expires_at, bool(binary))
        count += 1
    if kind != _END:
        raise ItemsFault(f"after {count} items the file has a record of an unknown kind")
    (told,) = _COUNT.unpack(source.take(_COUNT.size, "the number of items"))
    if told != count:
        raise ItemsFault(f"the file says that it has {told} items, and has {count}")
    if source.more():
        raise ItemsFault("the file of items goes on after its end")


class _Bytes:
    """Chunks as one row of bytes."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._held = bytearray()
        self._start = 0

    def take(self, count: int, what: str) -> bytes:
        """Exactly so many. Raises ItemsFault when there are less."""
        while len(self._held) - self._start < count:
            if not self._fill():
                raise ItemsFault(f"the file of items ends within {what}")
        taken = bytes(memoryview(self._held)[self._start : self._start + count])
        self._start += count
        return taken

    def more(self) -> bool:
        """Whether anything follows; all chunks are taken to know that."""
        while len(self._held) == self._start:
            if not self._fill():
                return False
        return True

    def _fill(self) -> bool:
        if self._start == len(self._held) or self._start > _COMPACT_BYTES:
            del self._held[: self._start]
            self._start = 0
        chunk = next(self._chunks, None)
        self._held += chunk or b""
        return chunk is not None
