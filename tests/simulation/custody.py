"""Which shard has to answer for which slots and writes, and what the books say of it: checked when slots change hands, when
somebody writes, and whenever a row is saved.

A shard's ledger has the writes that its primary must not lose. They go along when keys are moved, or slots claimed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from cachefleet.model.group import GroupDesired, Shape
from cachefleet.model.row import Row
from tests.simulation.cluster import ClusterEngine
from tests.simulation.engine import Engine
from tests.simulation.slots import ALL, NONE, WRITTEN_MASK, Mask, has, mask_of, slot_of, text_of, within
from tests.simulation.trace import Trace


class Ledger(msgspec.Struct):
    """The writes of one shard."""

    held: set[int] = set()  # acknowledged and not lost
    acked_s: dict[int, float] = {}  # when, or when they came to this shard
    lost: dict[int, str] = {}
    engines: list[Engine] = []  # of the shard, oldest first
    decisions: list[tuple[float, str]] = []  # (when, who was to be primary)
    headless: bool = False
    elected: bool = False  # the last promotion was made by the engines themselves
    by_hand_s: float = -1e9  # when somebody last made a primary behind our back
    asked_s: float = -1e9  # when an operator last asked for a hand-over


class Custody:
    """ledgers: by (uid, shard id). shard_of(engine): its key there. applied: who has carried a write out, or has it since."""

    def __init__(
        self,
        trace: Trace,
        now: Callable[[], float],
        ledgers: dict[tuple[str, str], Ledger],
        shard_of: Callable[[Engine], tuple[str, str]],
    ) -> None:
        self._trace, self._now, self._ledgers, self._shard_of = trace, now, ledgers, shard_of
        self.owners: dict[str, dict[str, Mask]] = {}  # uid -> shard id -> slots that it has claimed last
        self.applied: dict[int, Engine] = {}
        self._books: dict[str, dict[str, Mask]] = {}

    def ledger(self, engine: Engine) -> Ledger:
        return self._ledgers.setdefault(self._shard_of(engine), Ledger())

    def engines(self, uid: str) -> list[ClusterEngine]:
        """Of all shards, those that run."""
        ledgers = [ledger for (known, _), ledger in self._ledgers.items() if known == uid]
        return [
            engine
            for ledger in ledgers
            for engine in ledger.engines
            if isinstance(engine, ClusterEngine) and engine.process.running
        ]

    def custodian(self, engine: Engine, write: int) -> Engine:
        """Who answers for a write that this one has carried out: it may have given it away meanwhile."""
        if not isinstance(engine, ClusterEngine) or (engine.process.running and write in engine.replication.data):
            return engine
        uid, _ = self._shard_of(engine)
        others = (other for other in self.engines(uid) if other.bus.me.primary and write in other.replication.data)
        return next(others, engine)

    # --- slots that change hands ---

    def moved(self, engine: Engine, writes: Iterable[int]) -> None:
        """Key by key, to this one."""
        uid, shard_id = self._shard_of(engine)
        to = self.ledger(engine)
        asked = set(writes)
        for (known, other_id), ledger in self._ledgers.items():
            if known == uid and other_id != shard_id:
                self._hand_over(ledger, to, engine, ledger.held & asked)

    def _hand_over(self, ledger: Ledger, to: Ledger, engine: Engine, writes: set[int]) -> None:
        for write in sorted(writes):
            ledger.held.discard(write)
            ledger.acked_s.pop(write, None)
            to.held.add(write)
            to.acked_s[write] = self._now()
            self.applied[write] = engine

    def claimed(self, engine: Engine, slots: Mask) -> None:
        """It owns these from now on."""
        uid, shard_id = self._shard_of(engine)
        owners = self.owners.setdefault(uid, {})
        to = self.ledger(engine)
        for other_id in [other_id for other_id in owners if other_id != shard_id]:
            taken = owners[other_id] & slots
            if not taken:
                continue
            owners[other_id] &= ~taken
            ledger = self._ledgers.setdefault((uid, other_id), Ledger())
            moved = within(ledger.held, taken) if taken & WRITTEN_MASK else set()
            if moved or taken & (taken - 1):
                self._trace.note(f"claimed  {engine.process.incarnation}: {text_of(taken)} of {other_id}, {len(moved)} writes")
            lacking = moved - engine.replication.data
            if lacking and self._alive(uid, other_id, taken):
                self._trace.violation(
                    "lost in a move", f"{engine.process.incarnation} takes slots without {len(lacking)} writes of {other_id}"
                )
            for write in lacking:
                ledger.held.discard(write)
                ledger.lost[write] = engine.process.incarnation
            self._hand_over(ledger, to, engine, moved - lacking)
        owners[shard_id] = owners.get(shard_id, NONE) | slots

    def _alive(self, uid: str, shard_id: str, slots: Mask) -> bool:
        """The shard has a primary that still owns some of these."""
        return any(
            engine.leads and engine.bus.me.slots & slots and self._shard_of(engine)[1] == shard_id
            for engine in self.engines(uid)
        )

    def wrote(self, engine: ClusterEngine, write: int) -> None:
        """For a slot that it believes to own, or imports."""
        slot = slot_of(write)
        if not engine.owns(slot):
            return
        uid, shard_id = self._shard_of(engine)
        for other in self.engines(uid):
            rival = other is not engine and self._shard_of(other)[1] != shard_id and other.owns(slot) and other.writable
            if rival and not (other.process.still or other.superseded or engine.superseded):
                self._trace.violation(
                    "two owners", f"{engine.process.incarnation} and {other.process.incarnation} write to slot {slot}"
                )
        if not has(self.owners.get(uid, {}).get(shard_id, NONE), slot):
            self._trace.note(f"reverted {engine.process.incarnation} goes on with slot {slot}")
            self.claimed(engine, 1 << slot)

    # --- the books ---

    def committed(self, row: Row[GroupDesired]) -> None:
        if row.desired.shape is not Shape.CLUSTERED or row.desired.deleting:
            return
        uid = row.desired.uid
        self.owners.setdefault(uid, {shard.shard_id: mask_of(shard.slots) for shard in row.desired.shards})
        books = {shard_id: mask_of(slots) for shard_id, slots in row.memory.slots.items()}
        if books == self._books.get(uid, {}):
            return
        before, self._books[uid] = self._books.get(uid, {}), books
        seen = NONE
        for slots in books.values():
            if seen & slots:
                self._trace.violation("books", f"two shards of {uid} own {text_of(seen & slots)}")
            seen |= slots
        if seen != ALL:
            self._trace.violation("books", f"nobody owns {text_of(ALL & ~seen)} of {uid}")
        for shard_id, slots in books.items():
            early = slots & ~before.get(shard_id, NONE) & ~self.owners[uid].get(shard_id, NONE)
            if early and before:
                self._trace.violation("books ahead", f"{shard_id} of {uid} does not own {text_of(early)} yet")
