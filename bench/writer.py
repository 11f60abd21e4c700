"""A client that writes without a pause, one write at a time, and remembers what was acknowledged, and when.

The values rise; they are appended to lists, whose order shows later what was lost, and whether something before it was kept.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from types import TracebackType

from tests.fixtures.service import wait_for

Write = Callable[[str, int], object]  # append the value to the list at the key; any Exception: not acknowledged
PAUSE_S = 0.001


class Writer:
    """connect is called in the writer's thread; it gives what writes. Keys take turns."""

    def __init__(self, connect: Callable[[], AbstractContextManager[Write]], keys: Sequence[str]) -> None:
        self._connect, self._keys = connect, keys
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._done: list[tuple[float, str, int]] = []
        self.errors: Counter[str] = Counter()

    def __enter__(self) -> Writer:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join(20)

    def _run(self) -> None:
        with self._connect() as write:
            self._append(write)

    def _append(self, write: Write) -> None:
        for value in itertools.count():
            if self._stop.is_set():
                return
            key = self._keys[value % len(self._keys)]
            try:
                write(key, value)
            except Exception as error:
                self.errors[type(error).__name__] += 1
                self._stop.wait(PAUSE_S)
                continue
            self._done.append((time.perf_counter(), key, value))

    @property
    def acknowledged(self) -> int:
        return len(self._done)

    def await_writes(self, more: int, timeout_s: float = 20.0) -> None:
        goal = len(self._done) + more
        wait_for(f"{more} more acknowledged writes", lambda: len(self._done) >= goal, timeout_s)

    def longest_gap_s(self) -> float:
        times = [at for at, _, _ in self._done]
        return max(after - before for before, after in itertools.pairwise(times))

    def lost(self, kept: Mapping[str, Sequence[int]]) -> tuple[int, int]:
        """(acknowledged values that are not there, those among them although a later one written before the gap is): the
        first kind had not reached a replica, of the second kind there must be none."""
        times = [at for at, _, _ in self._done]
        gaps = [after - before for before, after in itertools.pairwise(times)]
        before_gap = self._done[: gaps.index(max(gaps)) + 1]
        newest = {key: max((value for _, own, value in before_gap if own == key and value in set(kept[key])), default=-1)
                  for key in self._keys}  # fmt: skip
        there = {key: set(values) for key, values in kept.items()}
        missing = [(key, value) for _, key, value in self._done if value not in there[key]]
        after_gap = {value for _, _, value in self._done[len(before_gap) :]}
        return len(missing), sum(value < newest[key] or value in after_gap for key, value in missing)
