"""An event loop in virtual time: when nothing is ready, the time of the next timer has come.

asyncio.timeout, asyncio.sleep and call_later of product code run in it too. What runs on behalf of an Actor (a control plane)
can be stalled as SIGSTOP stalls a process: its callbacks are kept, in order, until it goes on.
"""

from __future__ import annotations

import asyncio
import selectors
from collections import deque
from collections.abc import Callable
from contextvars import Context, ContextVar
from heapq import heappop, heappush
from typing import Any

START_S = 1000.0
EPOCH_S = 1_700_000_000.0
_TLS = frozenset({"ssl", "ssl_shutdown_timeout"})
_PATIENCE_S = 30.0  # real seconds that work in a thread may take


class Actor:
    """Somebody whose tasks may be stalled. name: who it is on the network."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.stalled = False
        self.deferred: list[asyncio.Handle] = []


ACTOR: ContextVar[Actor | None] = ContextVar("actor", default=None)
WORLD = Context()  # on nobody's behalf


class Stuck(Exception):
    """Nothing is ready, and no timer is set: the simulation can never go on."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """connect: who makes connections, in place of the operating system. outside: operations under way in threads, for which
    time stands still."""

    _stopping: bool
    _selector: selectors.BaseSelector
    _process_events: Callable[[list[tuple[selectors.SelectorKey, int]]], None]

    def __init__(self) -> None:
        super().__init__(selectors.SelectSelector())
        self.connect: Callable[[Callable[[], asyncio.BaseProtocol], str, int, bool], Any] | None = None
        self.outside = 0
        self._now_s = START_S
        self._timers: list[tuple[float, int, asyncio.Handle]] = []
        self._order = 0
        self._ready: deque[asyncio.Handle]

    def time(self) -> float:
        return self._now_s

    def _run_once(self) -> None:
        """As the original, but that it never waits: time jumps to the next timer."""
        timers, ready = self._timers, self._ready
        while timers and timers[0][2].cancelled():
            heappop(timers)
        if self.outside or self._stopping:
            self._look_outside(0.0 if ready or self._stopping else _PATIENCE_S)
        elif not ready:
            if not timers:
                raise Stuck("nothing is ready and no timer is set")
            self._now_s = max(self._now_s, timers[0][0])
        while timers and timers[0][0] <= self._now_s:
            ready.append(heappop(timers)[2])
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle.cancelled():
                handle._run()

    def _look_outside(self, patience_s: float) -> None:
        """Word from threads comes through a socket of the loop's own."""
        self._process_events(self._selector.select(patience_s))

    def _set(self, when: float, handle: asyncio.Handle) -> None:
        self._order += 1
        heappush(self._timers, (when, self._order, handle))

    def call_soon(  # type: ignore[override]
        self, callback: Any, *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        actor = ACTOR.get() if context is None else context.get(ACTOR)
        handle = asyncio.Handle(callback, args, self, context)
        (self._ready if actor is None or not actor.stalled else actor.deferred).append(handle)
        return handle

    def call_at(  # type: ignore[override]
        self, when: float, callback: Any, *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        actor = ACTOR.get() if context is None else context.get(ACTOR)
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        if actor is None:
            self._set(when, timer)
        else:
            self._set(when, asyncio.Handle(self._due, (actor, timer), self, WORLD))
        return timer

    def _due(self, actor: Actor, timer: asyncio.TimerHandle) -> None:
        """Of somebody who may be stalled."""
        (actor.deferred if actor.stalled else self._ready).append(timer)

    def go_on(self, actor: Actor) -> None:
        """The actor is stalled no longer; what came meanwhile comes now."""
        actor.stalled = False
        self._ready.extend(actor.deferred)
        actor.deferred = []

    async def create_connection(self, protocol_factory: Any, host: Any = None, port: Any = None, **options: Any) -> Any:
        assert self.connect is not None and not options.keys() - _TLS, "connections of another kind are not simulated"
        return await self.connect(protocol_factory, host, port, options.get("ssl") is not None)

    def after(self, delay_s: float, callback: Callable[..., None], *args: Any) -> None:
        """On nobody's behalf: it happens whoever is stalled."""
        self._set(self._now_s + delay_s, asyncio.Handle(callback, args, self, WORLD))


class VirtualClock:
    """A cachefleet.clock.Clock; `jump_s` is by how much the wall clock was set wrong."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self.jump_s = 0.0

    def now(self) -> float:
        return EPOCH_S + self._loop.time() + self.jump_s

    def monotonic(self) -> float:
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        done = self._loop.create_future()
        timer = self._loop.call_later(max(0.0, seconds), _settle, done)
        try:
            await done
        finally:
            timer.cancel()


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
