"""Slots of a simulated node that are moved key by key: CLUSTER SETSLOT and MIGRATE, and what becomes of the marks when
somebody fails over. Redis keeps marks to itself and never changes them; Valkey tells its replicas (from 8.0 on), and lets a
mark follow a shard's new primary.

MIGRATE takes no time, or fails: the time in which it would stop its own node is not modelled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.simulation.replication import Change
from tests.simulation.resp import OK
from tests.simulation.slots import NONE, Mask, has, slot_of

if TYPE_CHECKING:
    from tests.simulation.cluster import ClusterEngine


class OpenSlots:
    def __init__(self, engine: ClusterEngine) -> None:
        self._engine = engine
        self.migrating: dict[int, str] = {}  # slot -> engine id that it goes to
        self.importing: dict[int, str] = {}

    @property
    def imported(self) -> Mask:
        """Slots whose owner gossip does not change (Redis)."""
        if self._engine.replicates_marks:
            return NONE
        return sum(1 << slot for slot in self.importing)

    def text(self) -> str:
        marks = [f" [{slot}->-{target}]" for slot, target in sorted(self.migrating.items())]
        return "".join(marks + [f" [{slot}-<-{source}]" for slot, source in sorted(self.importing.items())])

    def lost(self, slots: Mask) -> None:
        """Another one owns them by a higher epoch."""
        for slot in [slot for slot in self.migrating if has(slots, slot)]:
            del self.migrating[slot]

    def succeeded(self, old_id: str, new_id: str) -> None:
        """That shard has another primary."""
        if self._engine.replicates_marks:
            for marks in (self.migrating, self.importing):
                marks.update({slot: new_id for slot, known in marks.items() if known == old_id})

    # --- SETSLOT ---

    def set_slot(self, words: list[str]) -> Any:
        """slot MIGRATING id | IMPORTING id | NODE id | STABLE"""
        engine, slot, verb = self._engine, int(words[0]), words[1]
        engine_id = words[2] if verb != "STABLE" else ""
        why = self._why_not(slot, verb, engine_id)
        if why:
            return why
        me = engine.bus.me
        takes = verb == "NODE" and engine_id == me.engine_id and slot in self.importing
        if engine.replicates_marks:
            engine.replication.append(Change(mark=("SETSLOT", slot, verb, engine_id)))
        else:
            self.marked(slot, verb, engine_id)
        if takes:
            engine.witness.claimed(engine, 1 << slot)
            engine.bus.take(1 << slot)
        return OK

    def _why_not(self, slot: int, verb: str, engine_id: str) -> str:
        engine, me = self._engine, self._engine.bus.me
        if not me.primary:
            return "-ERR You can use SETSLOT only with masters."
        node = engine.bus.table.get(engine_id)
        if engine_id and (node is None or node.handshake):
            return f"-ERR I don't know about node {engine_id}" if verb != "NODE" else f"-ERR Unknown node {engine_id}"
        if node is not None and not node.primary:
            return "-ERR Target node is not a master"
        mine = has(me.slots, slot)
        if verb == "MIGRATING" and not mine:
            return f"-ERR I'm not the owner of hash slot {slot}"
        if verb == "IMPORTING" and mine:
            return f"-ERR I'm already the owner of hash slot {slot}"
        if verb == "NODE" and mine and node is not me and engine.replication.by_slot[slot]:
            return f"-ERR Can't assign hashslot {slot} to a different node while I still hold keys for this hash slot."
        return ""

    def marked(self, slot: int, verb: str, engine_id: str) -> None:
        """At the node itself, or at a replica that it tells."""
        if verb == "MIGRATING":
            self.migrating[slot] = engine_id
        elif verb == "IMPORTING":
            self.importing[slot] = engine_id
        else:
            self.migrating.pop(slot, None)
            self.importing.pop(slot, None)
        owner = self._engine.bus.table.get(engine_id)
        if verb == "NODE" and owner is not None:
            self._engine.bus.give(1 << slot, owner)

    # --- keys ---

    def migrate(self, words: list[str]) -> Any:
        """host port "" 0 timeout [REPLACE] KEYS key ..."""
        engine = self._engine
        host, port = words[0], int(words[1])
        asked = [int(key.removeprefix("w")) for key in words[words.index("KEYS") + 1 :]]
        keys = [write for write in asked if write in engine.replication.data]
        if not keys:
            return "+NOKEY"
        slots = {slot_of(write) for write in keys}
        owner = engine.bus.owner(min(slots))
        if owner is not engine.bus.me and not slots <= set(self.migrating) | set(self.importing):
            return f"-MOVED {min(slots)} {owner.host if owner is not None else ''}:{port}"
        answer = self._restored(host, port, keys)
        if answer == OK:
            engine.replication.append(Change(drop=frozenset(keys)))
        return answer

    def _restored(self, host: str, port: int, keys: list[int]) -> str:
        """RESTORE-ASKING at the target. It may be done, and the answer be lost."""
        engine, network = self._engine, self._engine.process.network
        listener = network.listener(host, port)
        target: Any = getattr(listener, "program", None)
        broken = "-IOERR error or timeout reading to target instance"
        if not isinstance(target, type(engine)) or network.is_cut(engine.host, host) or target.process.still:
            return broken
        if network.speaks_tls(host, port) != engine.transit.gossips_encrypted:
            return broken
        answer = target.restore(keys)
        return broken if network.is_cut(host, engine.host) else answer

    def restore(self, keys: list[int]) -> str:
        engine = self._engine
        refusals = {engine.refusal(slot_of(write), asking=True) for write in keys} - {()}
        if refusals:
            return f"-ERR Target instance replied with error: {' '.join(sorted(refusals)[0])}"
        engine.replication.append(Change(add=tuple(keys)))
        engine.witness.moved(engine, keys)
        return OK
