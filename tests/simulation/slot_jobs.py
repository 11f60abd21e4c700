"""Atomic slot migration of a simulated Valkey 9: jobs of a source and a target over a connection of their own. A snapshot,
then the stream; the source stops its writers, the target asks for the slots, gets them and claims them by an epoch of its own.
What the target was sent reaches its replicas at once. A job fails when either end, or the connection, is lost before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from tests.simulation.network import End
from tests.simulation.replication import Change
from tests.simulation.resp import OK
from tests.simulation.slots import ALL, NONE, Mask, has, mask_of, slot_of, text_of, within

if TYPE_CHECKING:
    from tests.simulation.cluster import ClusterEngine

SNAPSHOT_S = (0.02, 1.0)
WAIT_S = 0.1  # for a fork of another kind to end
_MOST_LISTED = 20
_BEFORE_SNAPSHOT = ("connecting", "reading-establish-response", "waiting-to-snapshot")


class Job(msgspec.Struct):
    name: str
    slots: Mask
    source_id: str
    target_id: str
    exports: bool
    state: str
    began_s: float
    message: str = ""
    link: End | None = None
    waiting: list[int] = []  # written while the snapshot was under way

    @property
    def over(self) -> bool:
        return self.state in ("success", "failed", "cancelled")


class Migrations:
    def __init__(self, engine: ClusterEngine) -> None:
        self._engine = engine
        self._jobs: list[Job] = []  # newest first
        self._marked: dict[str, Mask] = {}  # imports that our primary has told of
        self._paused_for: Job | None = None

    def open(self) -> list[Job]:
        return [job for job in self._jobs if not job.over]

    def _of(self, end: End) -> Job | None:
        return next((job for job in self.open() if job.link is end), None)

    # --- commands ---

    def begin(self, words: list[str]) -> Any:
        """SLOTSRANGE first last ... NODE id"""
        at = words.index("NODE")
        ends = [int(word) for word in words[1:at]]
        slots, target_id = mask_of(tuple(zip(ends[::2], ends[1::2], strict=True))), words[at + 1]
        bus = self._engine.bus
        target = bus.table.get(target_id)
        if target is None or target.handshake:
            return f"-ERR Unknown node name: {target_id}"
        if target is bus.me:
            return "-ERR Target node can not be this node."
        if slots & ~bus.me.slots or not bus.me.primary:
            return "-ERR Slots are not served by this node."
        if any(job.slots & slots for job in self.open()):
            return "-ERR I am already migrating slot"
        if self._engine.open_slots.migrating or self._engine.open_slots.importing:
            return "-ERR Slots are being manually migrated"
        name = f"{self._engine.chance.getrandbits(160):040x}"
        job = Job(name, slots, bus.me.engine_id, target_id, True, "connecting", self._now())
        self._add(job)
        process, encrypted = self._engine.process, self._engine.transit.replicates_encrypted
        process.network.dial(process, target.host, target.port or process.port, self._dialled_for(job), encrypted=encrypted)
        return OK

    def _add(self, job: Job) -> None:
        self._jobs.insert(0, job)
        del self._jobs[_MOST_LISTED:]

    def _now(self) -> float:
        return self._engine.process.network.now()

    def cancel(self) -> Any:
        exports = [job for job in self.open() if job.exports]
        for job in exports:
            self._end(job, "cancelled", "Cancelled")
        return OK if exports else "-ERR No migrations ongoing"

    def told(self) -> Any:
        return [self._line(job) for job in self._jobs]

    def _line(self, job: Job) -> list[Any]:
        fields: dict[str, Any] = {
            "name": job.name,
            "operation": "EXPORT" if job.exports else "IMPORT",
            "slot_ranges": text_of(job.slots),
            "target_node": job.target_id,
            "source_node": job.source_id,
            "create_time": int(job.began_s),
            "last_update_time": int(job.began_s),
            "last_ack_time": int(job.began_s),
            "state": job.state,
            "message": job.message,
            "cow_size": 0,
            "remaining_repl_size": 0 if job.over else 10 * len(job.waiting),
        }
        return [word for pair in fields.items() for word in pair]

    # --- the source ---

    def _dialled_for(self, job: Job) -> Callable[[End | None], None]:
        return lambda end: self._engine.process.do(self._dialled, job, end)

    def _dialled(self, job: Job, end: End | None) -> None:
        if job.over or end is None:
            if end is not None:
                end.close()
            self._end(job, "failed", "Unable to connect to target node")
            return
        job.link, job.state = end, "reading-establish-response"
        end.send(("MIGRATION", "ESTABLISH", job.name, job.source_id, job.target_id, job.slots))

    def _snapshot(self, job: Job) -> None:
        if job.over:
            return
        replication = self._engine.replication
        if replication.children:
            self._engine.process.after(WAIT_S, self._snapshot, job)
            return
        job.state = "snapshotting"
        replication.children += 1
        content = tuple(sorted(within(replication.data, job.slots)))
        self._engine.process.after(self._engine.chance.uniform(*SNAPSHOT_S), self._snapshot_sent, job, content)

    def _snapshot_sent(self, job: Job, content: tuple[int, ...]) -> None:
        self._engine.replication.children -= 1
        if job.over or job.link is None:
            return
        job.state = "replicating"
        job.link.send(("MIGRATION", "KEYS", (*content, *job.waiting)))
        job.waiting = []

    def wrote(self, write: int) -> None:
        """By a client, just now."""
        for job in self._jobs:
            if job.exports and not job.over and has(job.slots, slot_of(write)):
                if job.state == "snapshotting":
                    job.waiting.append(write)
                elif job.link is not None and job.state not in _BEFORE_SNAPSHOT:
                    job.link.send(("MIGRATION", "KEYS", (write,)))

    def _pause(self, job: Job) -> None:
        """The target has all but what is on its way."""
        if self._paused_for is not None:
            job.state = "waiting-to-pause"
            self._engine.process.after(WAIT_S, self._pause_again, job)
            return
        self._paused_for, job.state = job, "failover-paused"
        limit_s = int(self._engine.config.get("cluster-manual-failover-timeout", "5000")) / 1000
        self._engine.pause(limit_s, "slots")
        self._engine.process.after(limit_s, self._pause_over, job)
        if job.link is not None:
            job.link.send(("MIGRATION", "PAUSED"))

    def _pause_again(self, job: Job) -> None:
        if not job.over:
            self._pause(job)

    def _pause_over(self, job: Job) -> None:
        """Nobody is held back for longer, whether the target has taken over unheard or not."""
        if not job.over:
            self._engine.witness.went_on(self._engine, job.slots if job.state == "failover-granted" else NONE)
            self._end(job, "failed", "Unpaused before migration completed")

    def lost_slots(self, slots: Mask) -> None:
        """To whoever claims them."""
        for job in self.open():
            if job.exports and job.slots & slots:
                taken = not job.slots & ~slots and job.state == "failover-granted"
                self._end(job, "success" if taken else "failed", "" if taken else "Slots are no longer owned by myself")

    # --- the target ---

    def _establish(self, end: End, name: str, source_id: str, target_id: str, slots: Mask) -> None:
        bus = self._engine.bus
        source = bus.table.get(source_id)
        if target_id != bus.me.engine_id or not bus.me.primary or source is None or slots & ~source.slots:
            end.send(("MIGRATION", "REFUSED", "Target node does not agree about current slot ownership"))
            return
        job = Job(name, slots, source_id, target_id, False, "replicating", self._now(), link=end)
        self._add(job)
        self._engine.replication.append(Change(mark=("IMPORT", name, slots)))
        end.send(("MIGRATION", "ESTABLISHED"))

    def _claim(self, job: Job) -> None:
        engine = self._engine
        job.state = "success"
        engine.replication.append(Change(mark=("IMPORTED", job.name, NONE)))
        engine.witness.claimed(engine, job.slots)
        engine.bus.take(job.slots)

    # --- both ---

    def received(self, end: End, word: str, *body: Any) -> None:
        if word == "ESTABLISH":
            self._establish(end, *body)
            return
        job = self._of(end)
        if job is None:
            end.close()
        elif word == "REFUSED":
            self._end(job, "failed", body[0])
        elif word == "ESTABLISHED":
            job.state = "waiting-to-snapshot"
            self._snapshot(job)
        elif word == "KEYS":
            self._engine.replication.append(Change(add=body[0]))
            end.send(("MIGRATION", "ACK"))
        elif word == "ACK":
            if job.state == "replicating":
                self._pause(job)
        elif word == "PAUSED":
            end.send(("MIGRATION", "REQUEST"))
        elif word == "REQUEST":
            if job.state == "failover-paused":
                job.state = "failover-granted"
                end.send(("MIGRATION", "GRANTED"))
        elif word == "GRANTED":
            self._claim(job)

    def lost(self, end: End) -> None:
        job = self._of(end)
        if job is not None and job.state != "failover-granted":  # that one waits to hear who owns them
            self._end(job, "failed", "Connection lost to " + ("target" if job.exports else "source"))

    def _end(self, job: Job, state: str, message: str) -> None:
        if job.over:
            return
        job.state, job.message = state, message
        if job.link is not None:
            job.link.close()
        if self._paused_for is job:
            self._paused_for = None
            self._engine.unpause("slots")
        if not job.exports and self._engine.bus.me.primary:
            self._engine.drop(job.slots & ~self._engine.bus.me.slots)
            self._engine.replication.append(Change(mark=("IMPORTED", job.name, NONE)))

    def stepped_down(self) -> None:
        for job in self.open():
            self._end(job, "failed", "A failover occurred during slot migration")

    def marked(self, word: str, name: str, slots: Mask) -> None:
        """Of an import of our primary, or our own: it began, or is over."""
        if word == "IMPORT":
            self._marked[name] = slots
        else:
            self._marked.pop(name, None)

    def took_over(self) -> None:
        """What our primary had been sent, and did not own yet, goes."""
        unfinished, self._marked = self._marked, {}
        slots = NONE
        for part in unfinished.values():
            slots |= part
        if self._engine.bus.me.primary and slots:
            self._engine.drop(slots & ~self._engine.bus.me.slots & ALL)
