"""Calls that are done in a thread of their own while the caller goes on. Called by sealing.py."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any

WAITING = 8  # calls; what they were given is in memory meanwhile

Call = tuple[Callable[[Any], object], Any]


class Behind:
    """One call after the other, in their order. The first that fails is the last: finish, or the next call, raises what it
    raised."""

    def __init__(self, name: str) -> None:
        self._calls: queue.Queue[Call | None] = queue.Queue(WAITING)
        self._error: BaseException | None = None
        self._over = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def call(self, action: Callable[[Any], object], argument: Any) -> None:
        """Waits while there are too many."""
        self._check()
        self._calls.put((action, argument))

    def finish(self) -> None:
        """All is done. Nothing may follow."""
        self._end()
        self._check()

    def abort(self) -> None:
        """What is not done yet is left out. At any time, any number of times. Raises nothing."""
        self._over = True
        self._end()

    def _end(self) -> None:
        if self._thread.is_alive():
            self._calls.put(None)
            self._thread.join()

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            if self._over or self._error is not None:
                continue  # who puts must not wait for ever
            action, argument = call
            try:
                action(argument)
            except BaseException as error:
                self._error = error
