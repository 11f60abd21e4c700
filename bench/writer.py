"""A client that writes without a pause, one write at a time, and remembers what was acknowledged, and when.

The values rise; they are appended to lists, which show later what was lost.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from types import TracebackType

from bench.history import Acknowledgement, History
from tests.fixtures.service import wait_for

Write = Callable[[str, int], object]  # append the value to the list at the key; any Exception: not acknowledged
Connect = Callable[[], AbstractContextManager[Write]]
PAUSE_S = 0.001


class Writer:
    """connect is called in the writer's thread; it gives what writes. Keys take turns, and the next one's comes only after an
    acknowledgement, so that one shard's outage is not hidden by the others. rest_s: a pause after every write, for outages so
    long that it does not matter."""

    def __init__(self, connect: Connect, keys: Sequence[str], rest_s: float = 0.0) -> None:
        self._connect, self._keys, self._rest_s = connect, keys, rest_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._done: list[Acknowledgement] = []
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
            key = self._keys[len(self._done) % len(self._keys)]
            try:
                write(key, value)
            except Exception as error:
                self.errors[type(error).__name__] += 1
                self._stop.wait(max(PAUSE_S, self._rest_s))
                continue
            self._done.append(Acknowledgement(time.perf_counter(), key, value))
            if self._rest_s:
                self._stop.wait(self._rest_s)

    def await_writes(self, more: int, timeout_s: float = 20.0) -> None:
        goal = len(self._done) + more
        wait_for(f"{more} more acknowledged writes", lambda: len(self._done) >= goal, timeout_s)

    def history(self) -> History:
        return History(tuple(self._done))
