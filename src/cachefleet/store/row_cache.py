"""The newest decoded form of rows that were read or written lately.

Never trusted alone: an entry counts only for the version that the database just named. Used by SqlStore.
"""

from __future__ import annotations

from collections import OrderedDict

from cachefleet.interfaces import AnyRow
from cachefleet.model.resource import Key


class RowCache:
    """One entry a key, the least recently used go first. capacity: in rows."""

    def __init__(self, capacity: int = 4096) -> None:
        self._capacity = capacity
        self._rows: OrderedDict[Key, AnyRow] = OrderedDict()

    def __len__(self) -> int:
        return len(self._rows)

    def find(self, key: Key, version: int) -> AnyRow | None:
        row = self._rows.get(key)
        if row is None or row.version != version:
            return None
        self._rows.move_to_end(key)
        return row

    def put(self, row: AnyRow) -> None:
        """A newer version stays: a slow reader must not undo what a writer put."""
        held = self._rows.get(row.key)
        if held is not None and held.version > row.version:
            return
        self._rows[row.key] = row
        self._rows.move_to_end(row.key)
        if len(self._rows) > self._capacity:
            self._rows.popitem(last=False)

    def drop(self, key: Key) -> None:
        self._rows.pop(key, None)
