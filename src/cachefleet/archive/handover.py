"""Hands pieces of bytes from one thread to another, with a bound on how many wait, and a way out for both sides.

Knows nothing of what the pieces are. Used where a library pulls (uploads) what we push.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator

_WAITING_PIECES = 4


class Cancelled(Exception):
    """The giver has gone away: what was taken is worth nothing."""


class Handover:
    """One giver (give, finish or cancel), one taker (iterates in the thread that serve starts)."""

    def __init__(self) -> None:
        self._pieces: queue.Queue[bytes | None] = queue.Queue(_WAITING_PIECES)
        self._over = threading.Event()  # the taker has ended
        self._cancelled = False
        self._finished = False
        self._thread: threading.Thread | None = None
        self.error: BaseException | None = None  # of the taker, once it has ended; none when it was cancelled

    def serve(self, take: Callable[[], None], name: str) -> None:
        """Run take in a thread; it iterates over self."""

        def run() -> None:
            try:
                take()
            except BaseException as error:
                if not self._cancelled:
                    self.error = error
            finally:
                self._over.set()
                self._make_room()

        self._thread = threading.Thread(target=run, name=name, daemon=True)
        self._thread.start()

    def give(self, piece: bytes) -> bool:
        """Waits for room. False when the taker has ended, or nothing may be given any more."""
        if self._over.is_set() or self._finished:
            return False
        self._pieces.put(piece)
        return not self._over.is_set()

    def finish(self) -> bool:
        """Nothing follows: waits until the taker has ended. False when that was said before."""
        return self._end()

    def cancel(self) -> None:
        """The taker gets Cancelled instead of the next piece. Waits until it has ended."""
        self._cancelled = True
        self._end()

    def __iter__(self) -> Iterator[bytes]:
        while (piece := self._pieces.get()) is not None:
            if self._cancelled:
                break
            yield piece
        if self._cancelled:
            raise Cancelled

    def _end(self) -> bool:
        first, self._finished = not self._finished, True
        if first and not self._over.is_set():
            self._pieces.put(None)
        if self._thread is not None:
            self._thread.join()
        return first

    def _make_room(self) -> None:
        """A giver that waits must see that nobody takes any more."""
        while True:
            try:
                self._pieces.get_nowait()
            except queue.Empty:
                return
