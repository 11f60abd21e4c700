"""What an RDB says of itself before its first key: version, who wrote it and when, and how many keys follow.

Reads only so much of a stream as that takes. Called by the worker that makes backups, and by rdb_selection.
"""

from __future__ import annotations

import msgspec

from cachefleet.engines import rdb_types as types
from cachefleet.engines.rdb_strings import length_at, string_at


class Header(msgspec.Struct, frozen=True):
    """keys and expires are exact when the engine wrote them, and of `database` alone: of the first one that has keys."""

    magic: str  # "REDIS0011", "VALKEY080"
    version: int
    aux: dict[str, str] = {}  # redis-ver or valkey-ver, ctime (s), used-mem (bytes) and more
    functions: int = 0
    database: int | None = None  # None: there is no key at all, or the writer is older than 3.2
    keys: int | None = None  # None: not said
    expires: int | None = None


class HeaderReader:
    """Feed it a stream from its beginning until it gives the header."""

    def __init__(self) -> None:
        self._piece = b""
        self._aux: dict[str, str] = {}
        self._functions = 0
        self._database: int | None = None
        self._magic = ""
        self._version = 0

    def feed(self, chunk: bytes) -> Header | None:
        """None: more is needed. Raises RdbDamaged, RdbUnknown for what is no RDB of a known version."""
        self._piece += chunk
        at = 0
        try:
            if not self._magic:
                self._piece[types.HEAD_BYTES - 1]
                head = self._piece[: types.HEAD_BYTES]
                self._version, _ = types.layouts_of(head)
                self._magic, at = head.decode(), types.HEAD_BYTES
            while True:
                end, header = self._record(at)
                if header is not None:
                    return header
                at = end
        except IndexError:
            self._piece = self._piece[at:]
            return None

    def _record(self, at: int) -> tuple[int, Header | None]:
        """(where the record at `at` ends, the header when it is complete with it)."""
        piece, kind = self._piece, self._piece[at]
        at += 1
        if kind == types.AUX:
            name, at = string_at(piece, at)
            value, at = string_at(piece, at)
            self._aux[name.decode(errors="replace")] = value.decode(errors="replace")
        elif kind == types.FUNCTION:
            _, at = string_at(piece, at)
            self._functions += 1
        elif kind == types.SLOT_IMPORT:
            _, at = string_at(piece, at)
            ranges, at = length_at(piece, at)
            for _ in range(2 * ranges):
                _, at = length_at(piece, at)
        elif kind == types.DATABASE:
            self._database, at = length_at(piece, at)
        elif kind == types.SIZES:
            keys, at = length_at(piece, at)
            expires, at = length_at(piece, at)
            return at, self._header(keys, expires)
        elif kind == types.END:
            return at, self._header(0, 0)
        else:
            return at, self._header(None, None)
        return at, None

    def _header(self, keys: int | None, expires: int | None) -> Header:
        return Header(self._magic, self._version, self._aux, self._functions, self._database, keys, expires)
