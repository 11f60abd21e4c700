"""The part of a stream that is in memory: one piece, and a place in it.

Fetches further pieces when asked, never goes back, and never holds a value: what it passes over it hands out. Used by rdb_walk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from cachefleet.engines.rdb_faults import RdbDamaged
from cachefleet.engines.rdb_strings import decoded, length_at, string_body
from cachefleet.engines.rdb_types import LENGTH, STRING, Layout, Repeat, double_end, passed

LEAST_PIECE_BYTES = 131_072
_T = TypeVar("_T")


class Window:
    """Everything before piece[at] is done with. Raises RdbDamaged when the stream ends where more has to come."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self.piece = b""
        self.at = 0

    def fetch(self) -> bool:
        """Forget what is before `at`, and add what comes next; False when nothing comes any more."""
        left = self.piece[self.at :]
        parts = [left] if left else []  # one part alone is not copied
        size = 0
        for chunk in self._chunks:
            parts.append(bytes(chunk))
            size += len(chunk)
            if size >= LEAST_PIECE_BYTES:
                break
        self.piece, self.at = b"".join(parts), 0
        return size > 0

    def need(self) -> None:
        if not self.fetch():
            raise RdbDamaged("is cut short: it ends in the middle")

    def take(self, count: int) -> bytes:
        """So many bytes in one."""
        parts = []
        while count > (there := len(self.piece) - self.at):
            parts.append(self.piece[self.at :])
            self.at = len(self.piece)
            count -= there
            self.need()
        parts.append(self.piece[self.at : self.at + count])
        self.at += count
        return b"".join(parts)

    def read(self, reader: Callable[[bytes, int], tuple[_T, int]]) -> _T:
        """What a small thing at `at` says; reader gives it and its end, IndexError when it is not all there."""
        while True:
            try:
                value, end = reader(self.piece, self.at)
            except IndexError:
                end = len(self.piece) + 1
            if end <= len(self.piece):
                self.at = end
                return value
            self.need()

    def length(self) -> int:
        return self.read(length_at)

    def stored_string(self) -> bytes:
        """A string as it stands in the RDB, with its length."""
        size, start = self.read(_look(string_body))
        return self.take(start - self.at + size)

    def string(self) -> bytes:
        return decoded(self.stored_string())

    def stored(self, reader: Callable[[bytes, int], tuple[int, int]]) -> bytes:
        """A small thing as it stands in the RDB."""
        size = self.read(_look(lambda piece, at: (reader(piece, at)[1] - at, 0)))[0]
        return self.take(size)

    def past(self, layout: Layout) -> Iterator[bytes]:
        """Pass over a value; hands out all its bytes in pieces."""
        for step in layout:
            if isinstance(step, int):
                yield from self._past_bytes(step)
            elif isinstance(step, Repeat):
                start = self.stored(length_at)
                yield start
                yield from self._past_elements(step, length_at(start, 0)[0])
            elif step is STRING:
                size, start_at = self.read(_look(string_body))
                yield from self._past_bytes(start_at - self.at + size)
            else:
                yield self.stored(length_at if step is LENGTH else lambda piece, at: (0, double_end(piece, at)))

    def _past_elements(self, repeat: Repeat, count: int) -> Iterator[bytes]:
        """As many as are in the piece at once; the one across its end step by step."""
        while count:
            end, done = passed(self.piece, self.at, repeat, count)
            yield self.piece[self.at : end]
            self.at = end
            count -= done
            if count:
                yield from self.past(repeat.steps)
                count -= 1

    def _past_bytes(self, count: int) -> Iterator[bytes]:
        while count > (there := len(self.piece) - self.at):
            yield self.piece[self.at :]
            self.at = len(self.piece)
            count -= there
            self.need()
        yield self.piece[self.at : self.at + count]
        self.at += count


def _look(reader: Callable[[bytes, int], tuple[_T, int]]) -> Callable[[bytes, int], tuple[tuple[_T, int], int]]:
    """The same, without moving on: (what it gives, `at`)."""
    return lambda piece, at: (reader(piece, at), at)
