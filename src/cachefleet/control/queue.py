"""A queue of keys, never of events: de-duplicated, each with the time when it is due, one worker per key.

The controller takes from it; the API, exits of processes and plans put into it. Adding is never lost: a key that is added while
its worker runs comes again afterwards.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Hashable
from typing import Generic, TypeVar

from cachefleet.clock import Clock

K = TypeVar("K", bound=Hashable)


class KeyedQueue(Generic[K]):
    """Times are the clock's monotonic seconds."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._due: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._running: set[K] = set()
        self._order = 0
        self._changed = asyncio.Event()

    def add(self, key: K, delay_s: float = 0.0) -> None:
        """Make the key due in delay_s, or leave it at an earlier time that it has already."""
        due = self._clock.monotonic() + delay_s
        if self._due.get(key, float("inf")) <= due:
            return
        self._due[key] = due
        if key not in self._running:
            self._push(key, due)

    def _push(self, key: K, due: float) -> None:
        self._order += 1
        heapq.heappush(self._heap, (due, self._order, key))
        self._changed.set()

    async def get(self) -> K:
        """The next due key; it is nobody else's until done."""
        while True:
            wait_s = self._wait_s()
            if wait_s is not None and wait_s <= 0:
                _, _, key = heapq.heappop(self._heap)
                del self._due[key]
                self._running.add(key)
                return key
            self._changed.clear()
            try:
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _wait_s(self) -> float | None:
        """Seconds until the first valid entry is due; None when there is none."""
        while self._heap:
            due, _, key = self._heap[0]
            if self._due.get(key) == due and key not in self._running:
                return due - self._clock.monotonic()
            heapq.heappop(self._heap)
        return None

    def done(self, key: K) -> None:
        """The worker is through with the key."""
        self._running.discard(key)
        if key in self._due:
            self._push(key, self._due[key])

    def overdue(self) -> tuple[int, float]:
        """How many keys are due and wait for a worker, and for how many seconds the first of them has."""
        now = self._clock.monotonic()
        waits_s = [now - due for key, due in self._due.items() if due <= now and key not in self._running]
        return len(waits_s), max(waits_s, default=0.0)
