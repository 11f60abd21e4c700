"""An event loop in virtual time: when nothing is ready, the time of the next timer has come.

asyncio.timeout, asyncio.sleep and call_later of product code run in it too. What runs on behalf of an Actor (a control plane)
can be stalled as SIGSTOP stalls a process: its callbacks are kept, in order, until it goes on.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from contextvars import Context, ContextVar
from typing import Any

START_S = 1000.0
EPOCH_S = 1_700_000_000.0
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


class _Jumping(selectors.SelectSelector):
    """Never waits; lets the loop's time jump instead. Only while threads work for us is their word waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = START_S
        self.outside = 0  # operations under way in threads: time stands still for them

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if self.outside:
            return super().select(0 if timeout == 0 else _PATIENCE_S)
        if timeout is None:
            raise Stuck("nothing is ready and no timer is set")
        if timeout > 0:
            self.now_s += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """connect: who makes connections, in place of the operating system."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)
        self.connect: Callable[[Callable[[], asyncio.BaseProtocol], str, int], Any] | None = None

    def time(self) -> float:
        return self._jumping.now_s

    @property
    def outside(self) -> int:
        return self._jumping.outside

    @outside.setter
    def outside(self, operations: int) -> None:
        self._jumping.outside = operations

    def call_soon(self, callback: Any, *args: Any, context: Context | None = None) -> asyncio.Handle:  # type: ignore[override]
        actor = ACTOR.get() if context is None else context.get(ACTOR)
        if actor is None or not actor.stalled:
            return super().call_soon(callback, *args, context=context)
        handle = asyncio.Handle(callback, args, self, context)
        actor.deferred.append(handle)
        return handle

    def call_at(  # type: ignore[override]
        self, when: float, callback: Any, *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        actor = ACTOR.get() if context is None else context.get(ACTOR)
        if actor is None:
            return super().call_at(when, callback, *args, context=context)
        timer: list[asyncio.TimerHandle] = []

        def due() -> None:
            if actor.stalled:
                actor.deferred.append(asyncio.Handle(due, (), self, context))
            elif not timer[0].cancelled():
                callback(*args)

        timer.append(super().call_at(when, due, context=context))
        return timer[0]

    def go_on(self, actor: Actor) -> None:
        """The actor is stalled no longer; what came meanwhile comes now."""
        actor.stalled = False
        self._ready.extend(actor.deferred)  # type: ignore[attr-defined]
        actor.deferred = []

    async def create_connection(self, protocol_factory: Any, host: Any = None, port: Any = None, **options: Any) -> Any:
        assert self.connect is not None and not options, "connections of another kind are not simulated"
        return await self.connect(protocol_factory, host, port)

    def after(self, delay_s: float, callback: Callable[..., None], *args: Any) -> asyncio.TimerHandle:
        """On nobody's behalf: it happens whoever is stalled."""
        return super().call_at(self._jumping.now_s + delay_s, callback, *args, context=WORLD)


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
