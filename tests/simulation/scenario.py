"""One run: make groups, let things go wrong, heal everything, demand convergence."""

from __future__ import annotations

import asyncio
import sys
import traceback
from collections.abc import Iterator, MutableMapping, Sequence, Set
from contextlib import contextmanager
from random import Random
from typing import Any
from unittest.mock import patch

import msgspec
import structlog
from msgspec.structs import replace

from cachefleet.control import controller
from cachefleet.interfaces import StoreError
from cachefleet.model.group import GroupDesired, Shape
from tests.simulation import groups
from tests.simulation.convergence import data_differ, why_not
from tests.simulation.faults import Faults
from tests.simulation.keys import BOUND_S, TEAM, Keys
from tests.simulation.loop import ACTOR
from tests.simulation.operators import Operators
from tests.simulation.plots import Plots
from tests.simulation.trace import Trace, Violation
from tests.simulation.world import SCOPE, World

WORKERS = 4  # of a control plane; there are fewer groups
CREATION_S = 60.0
_KEYS = "keys"  # of IAM: only where they are asked for; beside them all faults, if no others are named
_WITH_KEYS, _KEYS_SHARE = (_KEYS, _KEYS, _KEYS, "hand_over", "reboot"), 0.5
CONVERGENCE_S = 180.0
QUIET_S = 3.0
_BROKEN = frozenset({"pass failed", "action broke", "sweep failed", "snapshot broke", "sweep of snapshots failed"})


class Outcome(msgspec.Struct, frozen=True):
    seed: int
    violations: tuple[Violation, ...]
    digest: str  # of the whole trace
    tail: tuple[str, ...]
    virtual_s: float
    acked: int
    lost: int
    promotions: int


def run(
    seed: int, *, keep_trace: bool = False, only: Sequence[str] = (), sqlite: bool = False, until: Set[str] = frozenset()
) -> Outcome:
    """Everything of that seed. only: the kinds of faults and plots to choose from; all when none is given. sqlite: over the
    real store, in memory. until: the rules of which one violation is enough."""
    world = World(seed, keep_trace=keep_trace)
    with (
        _logged_to(world.trace),
        patch.object(controller, "WORKERS", WORKERS),
        asyncio.Runner(loop_factory=lambda: world.loop) as runner,
    ):
        runner.run(_Scenario(world, only, until).play(sqlite=sqlite))
    ledgers = world.checkers.ledgers.values()
    return Outcome(
        seed,
        tuple(world.trace.violations),
        world.trace.digest,
        tuple(world.trace.lines),
        world.loop.time(),
        sum(len(ledger.acked_s) for ledger in ledgers),
        sum(len(ledger.lost) for ledger in ledgers),
        world.checkers.promotions,
    )


@contextmanager
def _logged_to(trace: Trace) -> Iterator[None]:
    """The service's log becomes part of the trace; what it did not expect is a violation."""

    def note(logger: Any, method: str, event: MutableMapping[str, Any]) -> Any:
        actor = ACTOR.get()
        words = " ".join(f"{name}={value}" for name, value in event.items() if name not in ("event", "exc_info"))
        trace.note(f"log      {actor.name if actor else ''}: {event['event']} {words}")
        if event["event"] in _BROKEN and not isinstance(sys.exc_info()[1], StoreError):
            trace.violation("broken", traceback.format_exc(limit=-3))
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(processors=[note], wrapper_class=structlog.BoundLogger, cache_logger_on_first_use=False)
    try:
        yield
    finally:
        structlog.configure(**before)


class _Scenario:
    def __init__(self, world: World, only: Sequence[str], until: Set[str]) -> None:
        self._world = world
        self._enough = until
        self._only = only
        self._plotting: list[asyncio.Task[None]] = []
        self._chance: Random = world.chance("scenario")
        self._faults = Faults(world, world.chance("faults"))
        self._operators = Operators(world, world.chance("operators"))
        self._plots = Plots(world, world.chance("plots"), self._faults, self._operators)

    async def play(self, *, sqlite: bool) -> None:
        world = self._world
        if sqlite:
            await world.database.open_sqlite(world.database_clock)
        await self._play()
        for plane in world.planes:
            plane.kill()
            await plane.gone()
        await world.database.run(world.database.inner.close())
        world.loop.outside += 1  # the end of threads is waited for

    async def _play(self) -> None:
        world, chance = self._world, self._chance
        if _KEYS in self._only:
            world.keys = Keys(world, SCOPE, world.chance("keys"))
            await world.keys.begin()
        world.begin_plane()
        await self._create()
        if chance.random() < 0.8:
            await self._until(lambda: not self._unsettled(), CREATION_S)
        end_s = world.loop.time() + chance.uniform(5.0, 25.0) * (1 if world.keys is None else 5)
        pace_s = chance.choice((0.3, 1.0, 3.0))
        while world.loop.time() < end_s and not self._is_enough():
            lull_s = BOUND_S * 1.5 if world.keys is not None and chance.random() < 0.2 else 0.0
            await world.clock.sleep(lull_s + chance.expovariate(1 / pace_s))
            await self._something()
        for plot in self._plotting:
            plot.cancel()
        await asyncio.gather(*self._plotting, return_exceptions=True)
        world.trace.note("everything is healed")
        self._faults.heal()
        await self._converge()

    def _is_enough(self) -> bool:
        return any(violation.rule in self._enough for violation in self._world.trace.violations)

    async def _something(self) -> None:
        what = self._chance.random()
        if self._world.keys is not None and what < _KEYS_SHARE:
            self._begin(self._chance.choice(_WITH_KEYS))
            return
        if what < 0.2:
            await self._operators.any()
        elif self._only and self._only != (_KEYS,):
            self._begin(self._chance.choice(self._only))
        elif what < 0.35:
            self._begin(self._chance.choice(self._plots.by_chance))
        else:
            self._faults.any()

    def _begin(self, kind: str) -> None:
        if kind == _KEYS and self._world.keys is not None:
            self._plotting.append(asyncio.create_task(self._world.keys.change()))
        elif kind in self._plots.kinds:
            self._world.trace.note(f"plot     {kind}")
            self._plotting.append(asyncio.create_task(self._plots.kinds[kind]()))
        elif hasattr(self._operators, kind):
            self._plotting.append(asyncio.create_task(self._operators.wish(kind)))
        else:
            self._faults.begin(kind)

    async def _create(self) -> None:
        """One group, sometimes two."""
        for number in range(self._chance.choice((1, 1, 1, 2))):
            await self._world.begin_group(self._group(f"u{number}", f"g{number}"), f"g{number}")

    def _group(self, uid: str, name: str) -> GroupDesired:
        if self._world.keys is None:
            return groups.any_group(self._chance, uid, name)
        made = self._chance.choice(
            (groups.replicated(uid, name, 3), groups.replicated(uid, name, 1), groups.clustered(uid, name, 2, 1))
        )
        return replace(made, transit="required", user_group=TEAM)

    def _unsettled(self) -> str:
        found = [(uid, why_not(self._world, uid, self._world.checkers.rows.get(uid))) for uid in self._world.groups]
        waits = self._world.snapshots.unsettled()
        return "; ".join([*(f"{uid}: {why}" for uid, why in found if why), *([waits] if waits else [])])

    async def _until(self, condition: Any, limit_s: float) -> bool:
        end_s = self._world.loop.time() + limit_s
        while not condition():
            if self._world.loop.time() >= end_s or self._is_enough():
                return False
            await self._world.clock.sleep(0.1)
        return True

    async def _converge(self) -> None:
        world = self._world
        end_s = world.loop.time() + CONVERGENCE_S
        helped = False
        while world.loop.time() < end_s and not self._is_enough():
            await self._until(lambda: not self._unsettled(), 20.0)
            if self._unsettled():
                if not helped:
                    await self._help_headless()
                continue
            effects = world.checkers.effects
            await world.clock.sleep(QUIET_S)
            if not self._unsettled() and world.checkers.effects == effects:
                await self._compare()
                return
        if not self._is_enough():
            world.trace.violation("not converged", self._unsettled() or "something is done again and again")

    async def _help_headless(self) -> None:
        """What the event of such a group asks of the operator."""
        for uid, row in list(self._world.checkers.rows.items()):
            for shard_id, shard in row.memory.shards.items():
                if shard.headless:
                    await self._operators.hand_over(uid, shard_id)

    async def _compare(self) -> None:
        for writer in self._world.writers:
            writer.stop()
        await self._world.clock.sleep(1.5)
        for uid, row in self._world.checkers.rows.items():
            if row.status.state == "available" and row.desired.shape is not Shape.MEMCACHED:
                why = data_differ(self._world, uid, row)
                if why:
                    self._world.trace.violation("data differ", f"{uid}: {why}")
        strays = self._world.snapshots.strays()
        if strays:
            self._world.trace.violation("strays", f"{len(strays)} objects of snapshots that are no more: {strays[:3]}")
