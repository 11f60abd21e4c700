"""Sequences of faults that chance alone would seldom make: a replica that lags when its primary ends, one that had been cut off
long before, a primary that wakes up just when it is given up, a hand-over to a replica that is behind; and things that go wrong
just when slots move or nodes are launched anew."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

from cachefleet.model.snapshot import SnapshotState
from tests.simulation.cluster import ClusterEngine
from tests.simulation.engine import Engine
from tests.simulation.faults import Faults
from tests.simulation.operators import Operators
from tests.simulation.rolls import named
from tests.simulation.world import World


class Plots:
    def __init__(self, world: World, chance: Random, faults: Faults, operators: Operators) -> None:
        self._world, self._chance, self._faults, self._operators = world, chance, faults, operators
        self.kinds: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
            "lag, then crash": self.lag_then_crash,
            "cut off, then crash": self.cut_off_then_crash,
            "freeze a primary": self.freeze_primary,
            "lag, then hand over": self.lag_then_hand_over,
            "crash a primary, and the plane": self.crash_unseen,
            "move slots, then lose an end": self.lose_end,
            "roll, then lose a node": self.lose_while_rolling,
            "snapshot, then lose its node": self.lose_while_snapshotting,
            "snapshot of a replica that is cut off": self.snapshot_of_one_cut_off,
            "restore, then lose something": self.lose_while_restoring,
        }
        self.by_chance = tuple(self.kinds)
        self.kinds["step with TLS, then lose a node"] = self.lose_while_encrypting  # operators take such steps by chance

    def _primary(self) -> Engine | None:
        """One that has replicas, if there is any."""
        leading = [engine for engine in self._world.engines.values() if engine.process.running and engine.leads]
        followed = [engine for engine in leading if self._replicas(engine)]
        found = followed or leading
        return self._chance.choice(found) if found else None

    def _replicas(self, primary: Engine) -> list[Engine]:
        rivals = self._world.checkers.rivals(primary)
        return [engine for engine in rivals if engine.replication.follows == primary.host]

    def _some_replicas(self, primary: Engine) -> list[Engine]:
        """At least one; often all but one, or all."""
        replicas = self._replicas(primary)
        self._chance.shuffle(replicas)
        return replicas[: self._chance.choice((1, max(1, len(replicas) - 1), len(replicas)))]

    async def lag_then_crash(self) -> None:
        primary = self._primary()
        if primary is None:
            return
        for replica in self._some_replicas(primary):
            self._faults.slow(primary.host, replica.host, self._chance.uniform(0.2, 2.0), 4.0)
        await self._world.clock.sleep(self._chance.uniform(0.3, 3.0))
        self._faults.kill(primary.process)

    async def cut_off_then_crash(self) -> None:
        primary = self._primary()
        if primary is None:
            return
        seconds = self._chance.uniform(2.0, 14.0)
        for replica in self._some_replicas(primary):
            paths = [(primary.host, replica.host), (replica.host, primary.host)]
            self._faults.cut(paths, seconds + self._chance.uniform(0.2, 4.0))
            if replica.replication.link is not None and self._chance.random() < 0.5:
                replica.replication.link.reset()
        await self._world.clock.sleep(seconds)
        if primary.process.running:
            self._faults.kill(primary.process)

    async def freeze_primary(self) -> None:
        """For about as long as a silence is borne, and longer; sometimes nobody watches for a part of it."""
        primary = self._primary()
        if primary is None:
            return
        self._faults.hold(primary.process, frozen=self._chance.random() < 0.7, seconds=self._chance.uniform(0.8, 6.0))
        if self._chance.random() < 0.4:
            await self._world.clock.sleep(self._chance.uniform(0.0, 1.5))
            self._faults.kill_plane()

    async def lag_then_hand_over(self) -> None:
        primary = self._primary()
        if primary is None:
            return
        for replica in self._some_replicas(primary):
            self._faults.slow(primary.host, replica.host, self._chance.uniform(0.02, 0.6), 3.0)
        uid, _ = named(primary.process.incarnation)
        await self._world.clock.sleep(self._chance.uniform(0.0, 1.0))
        await self._operators.hand_over(uid, self._world.checkers.shard_of(primary)[1])

    async def crash_unseen(self) -> None:
        """A primary ends while no control plane watches."""
        self._faults.kill_plane()
        await self._world.clock.sleep(self._chance.uniform(0.0, 1.0))
        primary = self._primary()
        if primary is not None:
            self._faults.kill(primary.process)

    async def lose_end(self) -> None:
        """Slots are asked to move; once some are on their way, something happens to one of the ends, or between them."""
        await self._operators.wish(self._chance.choice(("more_shards", "fewer_shards", "other_slots", "other_slots")))
        ends: list[ClusterEngine] = []
        for _ in range(60):
            await self._world.clock.sleep(0.05)
            running = [engine for engine in self._world.engines.values() if engine.process.running]
            ends = [engine for engine in running if isinstance(engine, ClusterEngine) and engine.gives_or_takes]
            if ends:
                break
        if not ends:
            return
        await self._world.clock.sleep(self._chance.choice((0.0, 0.01, 0.1, 0.5)) * self._chance.random())
        self._trouble(self._chance.choice(ends), [engine.host for engine in ends])

    def _trouble(self, engine: Engine, others: list[str]) -> None:
        what = self._chance.choice(("kill", "kill", "freeze", "cut", "plane", "both"))
        if what in ("kill", "both"):
            self._faults.kill(engine.process)
        if what == "freeze":
            self._faults.hold(engine.process, frozen=True, seconds=self._chance.uniform(0.3, 8.0))
        if what == "cut":
            paths = [(engine.host, other) for other in others if other != engine.host]
            paths += [(other, host) for host, other in paths if self._chance.random() < 0.7]
            self._faults.cut(paths, self._chance.uniform(0.2, 8.0))
        if what in ("plane", "both"):
            self._faults.kill_plane()

    async def lose_while_rolling(self) -> None:
        """An upgrade is asked for; some way into it, something happens to a node of a group."""
        await self._operators.wish("upgrade")
        await self._world.clock.sleep(self._chance.uniform(0.0, 4.0))
        running = [engine for engine in self._world.engines.values() if engine.process.running]
        if running:
            engine = self._chance.choice(running)
            self._trouble(engine, [other.host for other in self._world.checkers.rivals(engine)])

    async def lose_while_encrypting(self) -> None:
        """Some steps towards TLS or back; in one of them something happens to a node, or to us."""
        for _ in range(self._chance.randint(1, 3)):
            await self._operators.wish("transit")
            await self._world.clock.sleep(self._chance.choice((0.5, 4.0, 4.0)) * self._chance.random())
        running = [engine for engine in self._world.engines.values() if engine.process.running]
        if running:
            engine = self._chance.choice(running)
            self._trouble(engine, [other.host for other in self._world.checkers.rivals(engine)])

    async def lose_while_snapshotting(self) -> None:
        """Something happens to a node, or to us, while data are taken."""
        await self._operators.wish("snapshot")
        await self._world.clock.sleep(self._chance.uniform(0.0, 1.5))
        running = [engine for engine in self._world.engines.values() if engine.process.running]
        taken_of = [engine for engine in running if engine.replication.children] or running
        if taken_of:
            engine = self._chance.choice(taken_of)
            self._trouble(engine, [other.host for other in self._world.checkers.rivals(engine)])

    async def snapshot_of_one_cut_off(self) -> None:
        """From its primary, without a sign of it on the link; longer than what a snapshot may lack."""
        primary = self._primary()
        if primary is None:
            return
        for replica in self._some_replicas(primary):
            self._faults.cut([(primary.host, replica.host), (replica.host, primary.host)], 20.0)
        await self._world.clock.sleep(self._chance.uniform(8.0, 15.0))
        await self._operators.snapshot(named(primary.process.incarnation)[0])

    async def lose_while_restoring(self) -> None:
        """A group is restored, from a snapshot that is made for it when there is none yet; in the middle of it something
        happens to a node that loads, to another one, to the archive, or to us."""
        rows = self._world.snapshots.rows
        if not any(row.desired.state is SnapshotState.AVAILABLE for row in rows.values()):
            await self._operators.wish("snapshot")
        for _ in range(50):
            if any(row.desired.state is SnapshotState.AVAILABLE for row in rows.values()):
                break
            await self._world.clock.sleep(0.2)
        await self._operators.wish("restore")
        for _ in range(self._chance.randint(1, 3)):
            await self._world.clock.sleep(self._chance.choice((0.1, 0.5, 2.0)) * self._chance.random())
            running = [engine for engine in self._world.engines.values() if engine.process.running]
            loading = [engine for engine in running if engine.process.loads]
            chosen = loading if loading and self._chance.random() < 0.6 else running
            if self._chance.random() < 0.2:
                self._faults.archive_trouble()
            elif chosen:
                engine = self._chance.choice(chosen)
                self._trouble(engine, [other.host for other in self._world.checkers.rivals(engine)])
