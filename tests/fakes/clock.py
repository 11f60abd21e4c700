"""Virtual time: stands still until a test moves it; sleepers wake in the order of their deadlines.

Never waits for real. Code that waits for real I/O (threads, sockets) must be awaited by the test itself.
"""

from __future__ import annotations

import asyncio
import heapq

_ROUNDS = 200  # turns of the event loop that woken tasks get before time moves on


class ManualClock:
    """A cachefleet.clock.Clock. `jump` sets the wall clock as an administrator would; `advance` lets time pass."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self._now = now
        self._monotonic = 1000.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._sleeps = 0

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    @property
    def sleepers(self) -> int:
        """How many sleeps are under way."""
        return sum(not future.done() for _, _, future in self._sleepers)

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleeps += 1
        heapq.heappush(self._sleepers, (self._monotonic + seconds, self._sleeps, future))
        await future

    def jump(self, seconds: float) -> None:
        """Move the wall clock only."""
        self._now += seconds

    def pass_time(self, seconds: float) -> None:
        """Let time pass without waking anyone: for tests that have no event loop."""
        self._now += seconds
        self._monotonic += seconds

    async def advance(self, seconds: float) -> None:
        """Let that much time pass. A task that wakes may sleep again and wakes again if its time comes within."""
        end = self._monotonic + seconds
        await self.settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            when, _, future = heapq.heappop(self._sleepers)
            if future.done():
                continue
            self.pass_time(max(0.0, when - self._monotonic))
            future.set_result(None)
            await self.settle()
        self.pass_time(end - self._monotonic)

    async def settle(self) -> None:
        """Give every runnable task its turns."""
        for _ in range(_ROUNDS):
            await asyncio.sleep(0)
