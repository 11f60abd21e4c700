"""One RDB from its first byte to its last: counts what is in it and hands out the records of keys that are wanted.

Holds one piece of the stream at a time, whatever the size of a value. Called by rdb (counts) and rdb_selection.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from cachefleet.engines import rdb_types as types
from cachefleet.engines.rdb_faults import RdbDamaged, RdbUnknown
from cachefleet.engines.rdb_scan import Pick, Tally, kinds_of, scan
from cachefleet.engines.rdb_strings import decoded, length_at
from cachefleet.engines.rdb_window import Window
from cachefleet.model.group import SLOTS

_PREFIXES = {types.EXPIRY_MS: 8, types.EXPIRY_S: 4, types.FREQUENCY: 1, types.IDLE: 0}  # bytes; of IDLE: a length


class Walk:
    """What is known so far of one RDB; all of it when `records` has ended."""

    def __init__(self, chunks: Iterable[bytes], pick: Pick | None = None) -> None:
        self._window = Window(chunks)
        self._pick = pick
        self.magic = ""
        self.version = 0
        self.aux: dict[str, str] = {}
        self.functions: list[bytes] = []  # the code of each library
        self.databases: dict[int, Tally] = {}
        self.importing: list[tuple[int, int]] = []  # slots that were on their way to the node: it did not own them yet

    def head(self) -> None:
        """Read the first nine bytes."""
        head = self._window.take(types.HEAD_BYTES)
        self.version, self._layouts = types.layouts_of(head)
        self._kinds = kinds_of(self._layouts)
        self.magic = head.decode()

    def records(self) -> Iterator[tuple[int, bytes]]:
        """(database, bytes of whole records or of parts of one), in order; nothing without a pick. Functions are in `functions`
        before the first record. Raises RdbDamaged, RdbUnknown."""
        self.head()
        window, database = self._window, 0
        while True:
            tally = self.databases.get(database) or Tally()
            window.at, picked = scan(window.piece, window.at, self._layouts, self._kinds, tally, self._pick)
            if tally.keys:
                self.databases[database] = tally
            if picked:
                yield database, b"".join(picked)
            if window.at == len(window.piece):
                window.need()
                continue
            kind = window.take(1)[0]
            if kind == types.DATABASE:
                database = window.length()
            elif kind == types.END:
                return self._end()
            elif not self._noted(kind):
                for part in self._key(kind, self.databases.setdefault(database, Tally())):
                    yield database, part

    def _noted(self, kind: int) -> bool:
        """Whether it was a record about something else than a key."""
        window = self._window
        if kind == types.AUX:
            name = window.string().decode(errors="replace")
            self.aux[name] = window.string().decode(errors="replace")
        elif kind == types.SIZES:
            window.length(), window.length()
        elif kind == types.SLOT_INFO:
            window.length(), window.length(), window.length()
        elif kind == types.SLOT_IMPORT:
            window.string()
            self.importing += [(window.length(), window.length()) for _ in range(window.length())]
            self._leave_out(self.importing)
        elif kind == types.FUNCTION:
            self.functions.append(window.string())
        elif kind == types.MODULE_DATA:
            name = types.module_name(window.length())
            raise RdbUnknown(f"holds data of the module {name!r}; only what the engine itself keeps can be read")
        else:
            return False
        return True

    def _leave_out(self, ranges: Iterable[tuple[int, int]]) -> None:
        for first, last in ranges:
            if not first <= last < SLOTS:
                raise RdbDamaged(f"is damaged: it names slots {first} to {last}")
            if self._pick:
                self._pick.slots[first : last + 1] = bytes(last + 1 - first)

    def _key(self, kind: int, tally: Tally) -> Iterator[bytes]:
        """A key that is not common, or lies across the end of a piece."""
        window = self._window
        expiry_ms = 0
        head = bytes((kind,))
        while kind in _PREFIXES:
            said = window.stored(length_at) if kind == types.IDLE else window.take(_PREFIXES[kind])
            if kind in (types.EXPIRY_MS, types.EXPIRY_S):
                expiry_ms = int.from_bytes(said, "little") * (1 if kind == types.EXPIRY_MS else 1000)
            following = window.take(1)
            head += said + following
            kind = following[0]
        layout = types.layout_of(self._layouts, kind)
        stored = window.stored_string()
        wanted = self._pick is not None and self._pick.wants(decoded(stored))
        if wanted:
            yield head + stored
        for part in window.past(layout):
            if wanted:
                yield part
        tally.keys += 1
        tally.expires += expiry_ms > 0

    def _end(self) -> None:
        if self.version >= types.FIRST_CHECKED_VERSION:
            self._window.take(8)
        if self._window.at < len(self._window.piece) or self._window.fetch():
            raise RdbDamaged("is damaged: something follows its end")
