"""One disruptive thing at a time: nodes are launched anew one after the other while all others are well, primaries hand over
first, and no slots move meanwhile. Checked when it is decided (saved), and when a node is asked to end.
"""

from __future__ import annotations

from collections.abc import Callable

from cachefleet.model.group import DesiredShard, GroupDesired, GroupMemory
from cachefleet.model.row import Row
from tests.simulation.cluster import ClusterEngine
from tests.simulation.custody import Ledger
from tests.simulation.engine import Engine
from tests.simulation.trace import Trace

SEEN_S = 2.0  # what was so for so long was seen


class Rolls:
    """rows: as they were saved last, by uid. ledgers: by (uid, shard id)."""

    def __init__(
        self,
        trace: Trace,
        now: Callable[[], float],
        rows: dict[str, Row[GroupDesired]],
        ledgers: dict[tuple[str, str], Ledger],
    ) -> None:
        self._trace, self._now, self._rows, self._ledgers = trace, now, rows, ledgers

    def is_retired(self, engine: Engine) -> bool:
        """Its launch is to end, by a roll: nobody tells clients of it any more."""
        uid, node = named(engine.process.incarnation)
        row = self._rows.get(uid)
        return row is not None and node in _retired(row.memory)

    def stopped(self, engine: Engine) -> None:
        """It is asked to end. One that has handed over, and whose writers wait, has the role no more, whatever it says."""
        serves = engine.leads and not (engine.by_hand or engine.superseded or engine.retired)
        if self.is_retired(engine) and serves:
            self._trace.violation("primary rolled", f"{engine.process.incarnation} is ended while it has the role")

    def committed(self, before: Row[GroupDesired] | None, row: Row[GroupDesired], calm_s: float) -> None:
        if before is None:
            return
        retired = _retired(row.memory)
        new = retired - _retired(before.memory)
        pairs = {(move.source, move.target) for move in before.memory.moves}
        begun = [move for move in row.memory.moves if (move.source, move.target) not in pairs]
        if (
            begun
            and not self._has_open_slots(row.desired.uid)
            and (retired or any(not shard.taken for shard in row.memory.shards.values()))
        ):
            self._trace.violation("two at once", f"slots of {row.desired.uid} begin to move while nodes or roles change")
        if new and row.memory.moves:
            self._trace.violation("two at once", f"{sorted(new)} are to be launched anew while slots move")
        for shard in row.desired.shards:
            for node in sorted(new & {member.name for member in shard.nodes}):
                if not _is_renewed(row, shard):
                    self._check_mates(row, shard, node, calm_s)

    def _has_open_slots(self, uid: str) -> bool:
        """Half-moved ones are journaled when they are seen, whatever else is under way."""
        engines = [engine for (known, _), ledger in self._ledgers.items() if known == uid for engine in ledger.engines]
        return any(isinstance(engine, ClusterEngine) and engine.open_slots.text() for engine in engines)

    def _check_mates(self, row: Row[GroupDesired], shard: DesiredShard, node: str, calm_s: float) -> None:
        """One that keeps up with its primary leaves only while the others do, too."""
        engines = {named(engine.process.incarnation)[1]: engine for engine in self._running(row.desired.uid, shard)}
        leaver = engines.get(node)
        if leaver is None or leaver.leads or leaver.replication.state != "up" or calm_s < SEEN_S:
            return
        for mate in shard.nodes:
            engine = engines.get(mate.name)
            away = engine is None and self._ended_s(row.desired.uid, shard, mate.name) > SEEN_S
            behind = engine is not None and not engine.leads and engine.replication.state in ("syncing", "loading")
            going = mate.name in _retired(row.memory) and engine is not None
            if mate.name != node and (away or behind or going):
                self._trace.violation("two at once", f"{node} is to be launched anew while {mate.name} is not there")

    def _running(self, uid: str, shard: DesiredShard) -> list[Engine]:
        ledger = self._ledgers.get((uid, shard.shard_id), Ledger())
        return [engine for engine in ledger.engines if engine.process.running]

    def _ended_s(self, uid: str, shard: DesiredShard, node: str) -> float:
        """For how long it has had no process; 0 when it never had one."""
        ledger = self._ledgers.get((uid, shard.shard_id), Ledger())
        ends = [engine.process.ended_s for engine in ledger.engines if named(engine.process.incarnation)[1] == node]
        return self._now() - max(ends) if ends else 0.0


def _is_renewed(row: Row[GroupDesired], shard: DesiredShard) -> bool:
    """Its primary is new already: who is old and behind may not understand it, and is not waited for."""
    primary = row.memory.nodes.get(row.memory.shards[shard.shard_id].primary)
    form = primary.form if primary is not None else None
    return form is not None and (form.engine, form.version) == (row.desired.engine, row.desired.engine_version)


def _retired(memory: GroupMemory) -> set[str]:
    return {name for name, known in memory.nodes.items() if known.roll_of and known.roll_of == known.launches}


def named(incarnation: str) -> tuple[str, str]:
    """(uid, node name)."""
    uid, _, rest = incarnation.partition(".")
    return uid, rest.rpartition(".")[0]
