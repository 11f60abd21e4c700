"""One RDB out of several: the keys of all of them whose slots are asked for.

Streams; what the values are does not matter, their bytes are passed on as they are. Called by the worker that restores a
snapshot into other shards than it was made of.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from cachefleet.engines import rdb_types as types
from cachefleet.engines.rdb_faults import RdbDamaged, RdbRefused
from cachefleet.engines.rdb_header import Header, HeaderReader
from cachefleet.engines.rdb_scan import Pick
from cachefleet.engines.rdb_walk import Walk
from cachefleet.model.group import SLOTS, SlotRanges
from cachefleet.model.slots import count, union

BATCH_BYTES = 262_144
_NO_CHECKSUM = bytes(8)  # engines then check none
_FOREIGN_VERSIONS = range(12, 80)  # of Redis since 7.4; no Valkey reads them, and they differ in types from Valkey's own
_KEPT_AUX = ("valkey-ver", "redis-ver", "redis-bits", "ctime")
_LIBRARY = re.compile(rb"#!\s*\S+\s+name=(\S+)")

Source = Callable[[], Iterable[bytes]]


class Selection:
    """Iterate it once. Each source is called for its chunks; twice when there is anything to choose (the first time only its
    beginning is read, and what it returned is closed). Raises RdbFault, and what sources raise.

    A single source whose every slot is asked for is passed on as it is, not read: keys_passed stays None then."""

    def __init__(self, sources: Sequence[Source], slots: SlotRanges | None) -> None:
        self._sources = sources
        self._slots = slots
        self._libraries: dict[bytes, bytes] = {}
        self._pending: list[bytes] = []
        self.keys_passed: int | None = None

    def __iter__(self) -> Iterator[bytes]:
        everything = self._slots is None or count(union(self._slots)) == SLOTS
        if everything and len(self._sources) == 1:
            yield from self._sources[0]()
            return
        headers = [_header(source) for source in self._sources]
        highest = _highest(headers)
        self.keys_passed = 0
        self._pending = [highest.magic.encode(), *_aux(headers[0])]
        for source in self._sources:
            yield from self._of(source)
        self._pending.append(bytes((types.END,)) + (_NO_CHECKSUM if highest.version >= types.FIRST_CHECKED_VERSION else b""))
        yield b"".join(self._pending)

    def _of(self, source: Source) -> Iterator[bytes]:
        """What is wanted of one source, in batches; the rest stays in _pending."""
        pick = Pick(_wanted(self._slots))
        walk = Walk(source(), pick)
        current = None
        size = sum(map(len, self._pending))
        for database, part in walk.records():
            self._refuse_databases(walk)
            self._add_functions(walk)
            if database != current:
                current = database
                self._pending.append(bytes((types.DATABASE,)) + written_length(database))
            self._pending.append(part)
            size += len(part)
            if size >= BATCH_BYTES:
                yield b"".join(self._pending)
                self._pending.clear()
                size = 0
        self._refuse_databases(walk)
        self._add_functions(walk)
        self.keys_passed = (self.keys_passed or 0) + pick.kept

    def _refuse_databases(self, walk: Walk) -> None:
        if self._slots is None or walk.databases.keys() <= {0}:
            return
        numbers = sorted(number for number, tally in walk.databases.items() if tally.keys)
        named = " and ".join(filter(None, (", ".join(map(str, numbers[:-1])), str(numbers[-1]))))
        word = "databases" if len(numbers) > 1 else "database"
        raise RdbRefused(f"has keys in {word} {named}; cluster mode has database 0 only")

    def _add_functions(self, walk: Walk) -> None:
        """A library is usually in every shard, and an engine does not load it twice."""
        for code in walk.functions:
            found = _LIBRARY.match(code)
            name = found[1] if found else code
            before = self._libraries.setdefault(name, code)
            if before is code:
                self._pending.append(bytes((types.FUNCTION,)) + written_length(len(code)) + code)
            elif before != code:
                raise RdbRefused(
                    f"has different code in different shards for the function library {name.decode(errors='replace')}; "
                    "restore it into the shards that it was made of, or load the same code everywhere before it is made"
                )
        walk.functions.clear()


def written_length(number: int) -> bytes:
    """A length in the RDB's form."""
    if number < 64:
        return bytes((number,))
    if number < 16_384:
        return (number | 0x4000).to_bytes(2, "big")
    if number < 1 << 32:
        return b"\x80" + number.to_bytes(4, "big")
    return b"\x81" + number.to_bytes(8, "big")


def _header(source: Source) -> Header:
    """Of its beginning alone."""
    reader = HeaderReader()
    chunks = iter(source())
    try:
        for chunk in chunks:
            if (header := reader.feed(chunk)) is not None:
                return header
    finally:
        if (close := getattr(chunks, "close", None)) is not None:
            close()
    raise RdbDamaged("is cut short: it ends before its first key")


def _highest(headers: Sequence[Header]) -> Header:
    """Raises RdbRefused when no engine could read them as one."""
    highest = max(headers, key=lambda header: header.version)
    foreign = {header.version for header in headers} & {*_FOREIGN_VERSIONS}
    if foreign and highest.version not in _FOREIGN_VERSIONS:
        raise RdbRefused(f"has shards in the RDB versions {max(foreign)} of Redis and {highest.version} of Valkey: choose one")
    return highest


def _aux(header: Header) -> Iterator[bytes]:
    """Who wrote it and when; nothing that a node would take for its own history."""
    for name in _KEPT_AUX:
        if name in header.aux:
            words = (name.encode(), header.aux[name].encode())
            yield bytes((types.AUX,)) + b"".join(written_length(len(word)) + word for word in words)


def _wanted(slots: SlotRanges | None) -> bytearray:
    table = bytearray(SLOTS)
    for first, last in ((0, SLOTS - 1),) if slots is None else slots:
        table[first : last + 1] = bytes((1,)) * (last + 1 - first)
    return table
