"""Who leads: two control planes on one store in virtual time, one of which fails in every way that a process can."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from cachefleet.control.leadership import LEASE, PAUSE_S, STANDBY_LOOK_S, Leadership
from cachefleet.interfaces import Deposed, HostRefused, Lease, StoreError
from tests.fakes.clock import ManualClock
from tests.fakes.store import MemoryStore

LEASE_S = 3.0


class Flaky(MemoryStore):
    """The database as one process reaches it: it may be away, or slow."""

    def __init__(self, of: MemoryStore) -> None:
        self.__dict__.update(of.__dict__)
        self._of = of
        self.away = False
        self.slow: asyncio.Event | None = None
        self.asked = 0

    async def hold_lease(self, name: str, holder: str, ttl_s: float, *, dead: str = "") -> Lease:
        self.asked += 1
        if self.away:
            raise StoreError("the database is away")
        held = await self._of.hold_lease(name, holder, ttl_s, dead=dead)
        if self.slow is not None:
            await self.slow.wait()
        return held

    async def release_lease(self, name: str, lease: Lease) -> None:
        if self.away:
            raise StoreError("the database is away")
        await self._of.release_lease(name, lease)


class Plane:
    """One that wants to lead. `terms` counts how often it began to; `ends` tells how a term ended."""

    def __init__(self, world: World, name: str, **options: Any) -> None:
        self.store = Flaky(world.store)
        self.told: list[int] = []
        self.leadership = Leadership(
            self.store, world.clock, name, LEASE_S, is_dead=world.dead.__contains__, changed=self.told.append, **options
        )
        self.terms = 0
        self.working = False
        self.failing: Exception | None = None
        self.task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self.task = asyncio.create_task(self.leadership.run(self._term))

    async def end(self) -> None:
        if self.task is not None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)
            self.task = None

    async def _term(self) -> None:
        self.terms += 1
        self.working = True
        try:
            if self.failing is not None:
                raise self.failing
            await asyncio.Event().wait()
        finally:
            self.working = False

    @property
    def leads(self) -> bool:
        try:
            return self.leadership.token() > 0
        except Deposed:
            return False


class World:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.store = MemoryStore(self.clock)
        self.dead: set[str] = set()
        self.planes: list[Plane] = []

    def plane(self, name: str, **options: Any) -> Plane:
        self.planes.append(Plane(self, name, **options))
        self.planes[-1].start()
        return self.planes[-1]

    async def until(self, condition: Callable[[], bool], limit_s: float) -> float:
        """Virtual seconds until it held; in steps so small that nothing is passed over."""
        begun = self.clock.monotonic()
        while not condition():
            assert self.clock.monotonic() - begun < limit_s, "did not happen in time"
            assert sum(plane.leads for plane in self.planes) <= 1, "two believe that they lead"
            await self.clock.advance(0.05)
        return self.clock.monotonic() - begun


@asynccontextmanager
async def world() -> AsyncIterator[World]:
    made = World()
    try:
        yield made
    finally:
        for plane in made.planes:
            await plane.end()


def in_a_world(test: Callable[[World], Awaitable[None]]) -> Callable[[], None]:
    async def body() -> None:
        async with world() as made:
            await test(made)

    def run() -> None:
        asyncio.run(body())

    run.__name__ = test.__name__
    return run


@in_a_world
async def test_one_leads_and_the_other_waits(world: World) -> None:
    first = world.plane("first")
    await world.until(lambda: first.leads, 1)
    second = world.plane("second")
    await world.clock.advance(60)
    assert (first.leads, first.terms, first.working) == (True, 1, True)
    assert (second.leads, second.terms, second.told) == (False, 0, [])
    assert first.leadership.token() == 1
    with pytest.raises(Deposed):
        second.leadership.token()


@in_a_world
async def test_one_that_ends_hands_over_at_once(world: World) -> None:
    first = world.plane("first")
    await world.until(lambda: first.leads, 1)
    second = world.plane("second")
    await world.clock.advance(1)
    await first.end()
    assert not first.leads and not first.working
    assert first.told == [1, 0]
    assert await world.until(lambda: second.working, 5) <= 2 * STANDBY_LOOK_S
    assert second.leadership.token() == 2


@in_a_world
async def test_one_that_is_known_to_be_dead_is_succeeded_at_once(world: World) -> None:
    await world.store.hold_lease(LEASE, "killed", 3600)
    first, second = world.plane("first"), world.plane("second")
    await world.clock.advance(30)
    assert not first.leads and not second.leads
    world.dead.add("killed")
    await world.until(lambda: first.working or second.working, 2 * STANDBY_LOOK_S + 0.1)
    await world.clock.advance(30)
    assert first.leads != second.leads
    assert first.terms + second.terms == 1


@in_a_world
async def test_one_that_is_silent_is_succeeded_when_its_lease_has_run_out(world: World) -> None:
    await world.store.hold_lease(LEASE, "frozen", LEASE_S)
    second = world.plane("second")
    taken_s = await world.until(lambda: second.working, 5)
    assert LEASE_S - 0.1 <= taken_s <= LEASE_S + 2 * STANDBY_LOOK_S


@in_a_world
async def test_the_sole_one_takes_the_lease_of_whoever_had_it_and_never_loses_it(world: World) -> None:
    await world.store.hold_lease(LEASE, "before", math.inf)
    sole = world.plane("sole", sole=True)
    await world.until(lambda: sole.working, 0.1)
    asked = sole.store.asked
    sole.store.away = True
    await world.clock.advance(3600)
    assert sole.leads
    assert sole.terms == 1
    assert sole.store.asked == asked, "there is nobody whom it would have to tell that it lives"


@in_a_world
async def test_without_its_database_it_stops_in_time_and_comes_back_by_itself(world: World) -> None:
    first = world.plane("first")
    await world.until(lambda: first.working, 1)
    first.store.away = True
    lost_s = await world.until(lambda: not first.leads, 5)
    assert LEASE_S * 2 / 3 - 0.1 <= lost_s <= LEASE_S + 0.1
    await world.clock.advance(0.1)
    assert not first.working
    assert first.told == [1, 0]
    await world.clock.advance(60)
    assert first.terms == 1
    first.store.away = False
    await world.until(lambda: first.working, 2 * STANDBY_LOOK_S + 0.1)
    assert first.terms == 2, "whatever it knew is of an earlier term"
    assert first.told == [1, 0, 1], "nobody else had it meanwhile"


@in_a_world
async def test_while_the_database_is_away_from_one_the_other_leads_and_never_both(world: World) -> None:
    first = world.plane("first")
    await world.until(lambda: first.working, 1)
    second = world.plane("second")
    await world.clock.advance(1)
    first.store.away = True
    await world.until(lambda: second.working, 5)
    assert not first.leads and not first.working
    first.store.away = False
    await world.clock.advance(30)
    assert (first.leads, second.leads, first.terms, second.terms) == (False, True, 1, 1)


@in_a_world
async def test_a_few_lost_renewals_change_nothing(world: World) -> None:
    first = world.plane("first")
    await world.until(lambda: first.working, 1)
    for _ in range(10):
        first.store.away = True
        await world.clock.advance(1.2)
        first.store.away = False
        await world.clock.advance(1.5)
    assert (first.leads, first.terms) == (True, 1)


@in_a_world
async def test_a_renewal_counts_from_when_it_was_sent(world: World) -> None:
    """The database counts from when it executed it. Were ours to count from when the answer came, a slow one would leave us
    leading while somebody else does."""
    first = world.plane("first")
    await world.until(lambda: first.working, 1)
    first.store.slow = asyncio.Event()
    second = world.plane("second")
    await world.until(lambda: not first.leads, LEASE_S * 2)
    first.store.slow.set()
    await world.until(lambda: first.leads or second.leads, LEASE_S * 2)
    await world.clock.advance(30)
    assert first.leads != second.leads


@in_a_world
async def test_one_that_was_overthrown_notices_with_its_next_renewal(world: World) -> None:
    """By somebody who took it for dead, or because the database's clock jumped."""
    first = world.plane("first")
    await world.until(lambda: first.working, 1)
    world.clock.jump(3600)
    assert await world.store.hold_lease(LEASE, "usurper", 10) == Lease("usurper", 2)
    await world.until(lambda: not first.leads and not first.working, LEASE_S)
    assert first.told == [1, 0]
    await world.until(lambda: first.working, 20)
    assert first.leadership.token() == 3


@in_a_world
async def test_a_token_is_worth_nothing_the_moment_the_lease_may_have_run_out(world: World) -> None:
    """Before any task had a chance to notice: this is where a process is that was frozen and goes on."""
    first = world.plane("first")
    await world.until(lambda: first.working, 1)
    world.clock.pass_time(LEASE_S)
    assert first.working
    with pytest.raises(Deposed):
        first.leadership.permit()
    await world.clock.settle()
    await world.clock.advance(0.1)
    assert first.leads, "nobody else took it"


@pytest.mark.parametrize("error", [StoreError("a row cannot be read"), HostRefused("no network"), ZeroDivisionError()])
def test_a_term_that_fails_gives_another_a_chance(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    async def body(world: World) -> None:
        first = world.plane("first")
        first.failing = error
        await world.until(lambda: first.terms == 1 and not first.leads, 1)
        second = world.plane("second")
        assert await world.until(lambda: second.working, 5) <= PAUSE_S
        await world.clock.advance(30)
        assert (first.terms, second.leads) == (1, True)

    in_a_world(body)()


@in_a_world
async def test_a_term_that_fails_is_tried_again_with_a_pause(world: World) -> None:
    first = world.plane("first")
    first.failing = StoreError("a row cannot be read")
    await world.clock.advance(10.5 * PAUSE_S)
    assert 8 <= first.terms <= 12
    first.failing = None
    await world.until(lambda: first.working, 2 * PAUSE_S)
    assert first.leads


@in_a_world
async def test_it_ends_also_while_it_waits_and_while_the_database_is_away(world: World) -> None:
    first = world.plane("first")
    await world.until(lambda: first.working, 1)
    second = world.plane("second")
    await world.clock.advance(1)
    await second.end()
    first.store.away = True
    await first.end()
    assert not first.working
    first.store.away = False
    assert await world.store.hold_lease(LEASE, "third", LEASE_S) == Lease("first", 1), "it could not be given up"
