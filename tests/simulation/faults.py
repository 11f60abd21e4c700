"""What goes wrong, by the seed's chance: each fault begins, lasts for a while, and is over when everything is healed.

Decides which and when; what a fault does is in the parts that it happens to. Operators' wishes are in operators.py.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from tests.simulation.engine import Engine
from tests.simulation.plane import Plane
from tests.simulation.process import Process
from tests.simulation.rolls import named
from tests.simulation.world import World

Undo = Callable[[], None]
_HOUR_S = 3600.0
MOST_PLANES = 8


class Faults:
    """begin(kind) makes one; heal() ends all."""

    def __init__(self, world: World, chance: Random) -> None:
        self._world, self._chance = world, chance
        self._undone: dict[int, Undo] = {}
        self._count = 0
        self.kinds: dict[str, tuple[int, Callable[[], None]]] = {
            "crash": (10, self.crash),
            "crash many": (3, self.crash_many),
            "crash loop": (2, self.crash_loop),
            "freeze": (8, self.freeze),
            "busy": (4, self.busy),
            "script": (2, self.script),
            "by hand": (1, self.promote_by_hand),
            "partition": (8, self.partition),
            "slow path": (4, self.slow_path),
            "lost replies": (4, self.lost_replies),
            "store": (4, self.store_trouble),
            "archive": (2, self.archive_trouble),
            "plane killed": (6, self.kill_plane),
            "plane killed at an effect": (8, self.kill_plane_at_effect),
            "plane stalled": (4, self.stall_plane),
            "plane stalled at an effect": (4, self.stall_plane_at_effect),
            "rival plane": (2, self.rival_plane),
            "clock": (2, self.jump_clock),
            "zone": (2, self.zone_out),
        }

    def any(self) -> None:
        names = list(self.kinds)
        self.begin(self._chance.choices(names, [self.kinds[name][0] for name in names])[0])

    def begin(self, kind: str) -> None:
        self._world.trace.note(f"fault    {kind}")
        self.kinds[kind][1]()

    def heal(self) -> None:
        """End everything that lasts, and let one control plane live."""
        for number in list(self._undone):
            self._end(number)
        if not any(plane.alive for plane in self._world.planes):
            self._world.begin_plane()

    def _lasts(self, seconds: float, undo: Undo) -> None:
        self._count += 1
        self._undone[self._count] = undo
        self._world.loop.after(seconds, self._end, self._count)

    def _end(self, number: int) -> None:
        undo = self._undone.pop(number, None)
        if undo is not None:
            undo()

    def _seconds(self, least: float, most: float) -> float:
        """Short ones as often as long ones."""
        return float(least * (most / least) ** self._chance.random())

    # --- processes ---

    def _process(self) -> Process | None:
        running = self._world.machine.running()
        return self._chance.choice(running) if running else None

    def kill(self, process: Process) -> None:
        process.end("signal 9 (SIGKILL)", losing=self._chance.random() < 0.5)

    def crash(self) -> None:
        process = self._process()
        if process is not None:
            self.kill(process)

    def crash_many(self) -> None:
        """Everything, a share of it, or all of one shard; at once or one after the other."""
        chosen = self._process()
        if chosen is None:
            return
        engine = self._world.engines.get(chosen.incarnation)
        doomed = [other.process for other in self._world.checkers.rivals(engine)] + [chosen] if engine is not None else []
        if self._chance.random() < 0.5:
            share = self._chance.choice((0.3, 0.6, 1.0))
            doomed = [process for process in self._world.machine.running() if self._chance.random() < share]
        for process in doomed:
            if self._chance.random() < 0.5:
                self.kill(process)
            else:
                self._world.loop.after(self._seconds(0.001, 1.0), self.kill, process)

    def crash_loop(self) -> None:
        process = self._process()
        if process is None:
            return
        uid, node = named(process.incarnation)
        doomed = self._world.machine.doomed
        doomed.add((uid, node))
        self._lasts(self._seconds(0.5, 15.0), lambda: doomed.discard((uid, node)))
        self.kill(process)

    def freeze(self) -> None:
        self.hold(self._process(), frozen=True, seconds=self._seconds(0.2, 60.0))

    def busy(self) -> None:
        self.hold(self._process(), frozen=False, seconds=self._seconds(0.2, 45.0))

    def hold(self, process: Process | None, *, frozen: bool, seconds: float) -> None:
        if process is not None:
            self._world.trace.note(f"{'frozen' if frozen else 'busy'}   {process.incarnation} for {seconds:.2f} s")
            process.hold(frozen=frozen)
            self._lasts(seconds, process.release)

    def _engine(self) -> Engine | None:
        running = [engine for engine in self._world.engines.values() if engine.process.running]
        return self._chance.choice(running) if running else None

    def script(self) -> None:
        """An engine answers nothing but that it is busy."""
        engine = self._engine()
        if engine is not None and not engine.script_since_s:
            seconds = self._seconds(0.3, 40.0)
            self._world.trace.note(f"script   {engine.process.incarnation} for {seconds:.2f} s")
            engine.run_script(begins=True)
            self._lasts(seconds, lambda: engine.run_script(begins=False))

    def promote_by_hand(self) -> None:
        """A client says REPLICAOF NO ONE to a replica."""
        engine = self._engine()
        if engine is not None and not engine.is_clustered and engine.replication.state == "up":
            engine.lead_by_hand()

    def zone_out(self) -> None:
        zone = self._chance.choice("abc")
        machine = self._world.machine
        machine.zones_out.add(zone)
        self._lasts(self._seconds(0.5, 20.0), lambda: machine.zones_out.discard(zone))
        for process in machine.running():
            if self._world.zone_of(process) == zone:
                self.kill(process)

    # --- network ---

    def _pair(self) -> tuple[str, str] | None:
        nodes = [process.party for process in self._world.machine.running()]
        planes = [plane.name for plane in self._world.planes if plane.alive]
        if not nodes:
            return None
        one = self._chance.choice(nodes)
        others = [name for name in (*planes, *nodes, "clients") if name != one]
        other = self._chance.choice(others)
        return (one, other) if self._chance.random() < 0.5 else (other, one)

    def partition(self) -> None:
        """Between two, or of one node from everybody else; one way or both."""
        pair = self._pair()
        if pair is None:
            return
        paths = [pair]
        if self._chance.random() < 0.3:
            everybody = [process.party for process in self._world.machine.running()]
            everybody += [plane.name for plane in self._world.planes] + ["clients"]
            paths = [(pair[0], name) for name in everybody if name != pair[0]]
        if self._chance.random() < 0.6:
            paths += [(target, source) for source, target in paths]
        self.cut(paths, self._seconds(0.1, 20.0))

    def cut(self, paths: list[tuple[str, str]], seconds: float) -> None:
        self._world.trace.note(f"cut      {', '.join('>'.join(path) for path in paths)} for {seconds:.2f} s")
        for path in paths:
            self._world.network.cut(*path)

        def mend() -> None:
            for path in paths:
                self._world.network.mend(*path)

        self._lasts(seconds, mend)

    def slow_path(self) -> None:
        pair = self._pair()
        if pair is not None:
            self.slow(*pair, self._seconds(0.01, 0.8), self._seconds(0.5, 15.0))

    def slow(self, source: str, target: str, most_s: float, seconds: float) -> None:
        network = self._world.network
        self._world.trace.note(f"slow     {source}>{target} by {most_s:.2f} s for {seconds:.2f} s")
        network.slow(source, target, most_s)
        self._lasts(seconds, lambda: network.slow(source, target, 0.0))

    def lost_replies(self) -> None:
        """For a while some commands are carried out, and whoever sent them does not hear of it."""
        share = self._chance.choice((0.1, 0.3, 0.7))
        world = self._world

        def lose(by: str, host: str) -> None:
            if host and self._chance.random() < share:
                world.loop.after(0.0, world.cables.break_one, by, host)

        world.effects.append(lose)
        self._lasts(self._seconds(0.5, 10.0), lambda: world.effects.remove(lose))

    # --- store ---

    def store_trouble(self) -> None:
        database = self._world.database
        kind = self._chance.choice(("failing", "forgetful", "away", "slow"))
        seconds = self._seconds(0.2, 8.0)
        self._world.trace.note(f"store is {kind} for {seconds:.2f} s")
        if kind == "failing":
            database.failing = self._chance.choice((0.1, 0.5))
        elif kind == "forgetful":
            database.forgetful = self._chance.choice((0.2, 0.6))
        elif kind == "away":
            database.away = True
        else:
            database.latency_s = self._seconds(0.02, 0.5)
        self._lasts(seconds, database.heal)

    def archive_trouble(self) -> None:
        archive = self._world.archive
        archive.failing = self._chance.choice((0.2, 0.6, 1.0))
        self._lasts(self._seconds(0.2, 8.0), lambda: setattr(archive, "failing", 0.0))

    # --- control planes ---

    def _plane(self) -> Plane | None:
        alive = [plane for plane in self._world.planes if plane.alive]
        return self._chance.choice(alive) if alive else None

    def _kill_plane(self, plane: Plane | None) -> None:
        if plane is None or not plane.alive:
            return
        self._world.trace.note(f"{plane.name} is killed")
        plane.kill()
        self._lasts(self._seconds(0.05, 8.0), self._replace_plane)

    def _replace_plane(self) -> None:
        if not any(plane.alive for plane in self._world.planes):
            self._world.begin_plane()

    def kill_plane(self) -> None:
        self._kill_plane(self._plane())

    def kill_plane_at_effect(self) -> None:
        self._at_effect(self._kill_plane)

    def _at_effect(self, then: Callable[[Plane | None], None]) -> None:
        """At the n-th thing that a control plane does from now on, before or just after it hears of it."""
        left = self._chance.randrange(1, 12)
        world = self._world
        after_s = self._chance.choice((0.0, 0.0, 0.001, 0.004))

        def count(by: str, host: str) -> None:
            nonlocal left
            left -= 1
            if not left:
                plane = next((plane for plane in world.planes if plane.name == by), None)
                world.loop.after(after_s, then, plane)

        world.effects.append(count)
        self._lasts(20.0, lambda: world.effects.remove(count))

    def stall_plane(self) -> None:
        self._stall_plane(self._plane())

    def stall_plane_at_effect(self) -> None:
        self._at_effect(self._stall_plane)

    def _stall_plane(self, plane: Plane | None) -> None:
        """SIGSTOP of a control plane; half of the time another one is there to take over."""
        if plane is None or not plane.alive or plane.stalled:
            return
        if self._chance.random() < 0.5 and len(self._world.planes) < MOST_PLANES:
            self._world.begin_plane()
        seconds = self._seconds(0.3, 12.0)
        self._world.trace.note(f"{plane.name} stands still for {seconds:.2f} s")
        plane.stalled = True
        self._world.checkers.stall_s = max(self._world.checkers.stall_s, seconds)
        self._lasts(seconds, plane.go_on)

    def rival_plane(self) -> None:
        if len(self._world.planes) < MOST_PLANES:
            self._world.begin_plane()

    # --- time ---

    def jump_clock(self) -> None:
        self._world.clock.jump_s += self._chance.choice((-_HOUR_S, _HOUR_S, -2.0, 2.0))
        self._world.trace.note(f"the wall clock is set to {self._world.clock.now():.1f}")
