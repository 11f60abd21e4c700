"""Restores snapshots as a proof: one at a time, each into a group of its own that no user sees and that is deleted afterwards.

The group's row says of which snapshot it is, and the controller does the restoring; so after our own death whoever comes next
goes on. How it ended is written at one with the group's deletion. Run by control.backups, under the controller's lease.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog
from msgspec.structs import replace

from cachefleet.control.leadership import LEASE
from cachefleet.control.queue import KeyedQueue
from cachefleet.control.seams import Seams
from cachefleet.interfaces import Conflict, Deposed, NameTaken, StoreError
from cachefleet.model.plan import EventDraft
from cachefleet.model.proof import ASKED, is_proof
from cachefleet.model.resource import GROUP_KINDS, Key, Kind
from cachefleet.model.row import GroupRow, SnapshotRow, member_names
from cachefleet.planning.snapshot_proofs import (
    Verdict,
    build_for,
    due,
    group_key,
    judged,
    message,
    need_bytes,
    proof_is_of,
    proof_of,
    told_group,
    verdict,
)
from cachefleet.reference.zones import ZONE_LETTERS

log = structlog.get_logger()
UID_BYTES = 8
IDLE_S = 5.0
BUSY_S = 0.5  # between two looks at a proof that is under way
PATIENCE_S = 600.0  # so long a proof waits for room on this machine
_EVERYTHING = "everything"


class Proofs:
    """run() for each term of leadership, until cancelled; wake() from anywhere in the event loop."""

    def __init__(self, seams: Seams, wake_group: Callable[[Key], None]) -> None:
        self._seams = seams
        self._wake_group = wake_group
        self._queue: KeyedQueue[str] = KeyedQueue(seams.clock)
        self._waiting_since: dict[str, float] = {}  # uid of a snapshot -> since when there is no room for its proof

    def wake(self) -> None:
        self._queue.add(_EVERYTHING)

    async def run(self) -> None:
        """Ends only by cancellation."""
        self._queue = KeyedQueue(self._seams.clock)
        self._waiting_since.clear()
        self.wake()
        while True:
            await self._queue.get()
            again_s = IDLE_S
            try:
                again_s = await self.step()
            except Conflict:
                again_s = 0.0
            except (Deposed, StoreError) as error:
                log.info("proofs of snapshots wait", why=str(error))
            except Exception:
                log.exception("proofs of snapshots broke")
            self._queue.done(_EVERYTHING)
            self._queue.add(_EVERYTHING, again_s)

    async def step(self) -> float:
        """Go on with the proof that there is, or begin one. Returns when to look again, in seconds. Raises Conflict, Deposed,
        StoreError."""
        every: list[GroupRow] = await self._seams.store.every(GROUP_KINDS)
        groups = {row.key: row for row in every}
        snapshots: list[SnapshotRow] = await self._seams.store.every((Kind.SNAPSHOT,))
        proofs = [row for key, row in groups.items() if is_proof(key)]
        for proof in proofs:
            await self._go_on(proof, snapshots)
        if proofs:
            return BUSY_S
        now = self._seams.clock.now()
        waiting = due(snapshots, groups, self._seams.settings.archive.verify_every_h, now)
        uids = {snapshot.desired.uid for snapshot in waiting}
        self._waiting_since = {uid: since for uid, since in self._waiting_since.items() if uid in uids}
        for snapshot in waiting:
            if await self._begin(snapshot, now):
                return BUSY_S
        return IDLE_S

    async def _group(self, key: Key) -> GroupRow | None:
        row: GroupRow | None = await self._seams.store.get(key)
        return row

    # --- one that is under way ---

    async def _go_on(self, proof: GroupRow, snapshots: list[SnapshotRow]) -> None:
        if proof.desired.deleting:
            if proof.status.state != "deleting":  # it has not been looked at since
                self._wake_group(proof.key)
            return
        if not proof.memory.nodes:
            self._wake_group(proof.key)
        snapshot = proof_is_of(proof, snapshots)
        if snapshot is None:
            log.info("proof given up: its snapshot is gone", snapshot=proof.desired.description)
            await self._end(proof)
            return
        found = verdict(proof, snapshot, self._seams.clock.now())
        if found is not None:
            await self._end(proof, snapshot, found)

    async def _end(
        self,
        proof: GroupRow | None,
        snapshot: SnapshotRow | None = None,
        found: Verdict | None = None,
        asked: str | None = None,
    ) -> None:
        """All at once: how it ended, if it did, and that the group goes."""
        now = self._seams.clock.now()
        group = await self._group(group_key(snapshot)) if snapshot is not None else None
        async with self._seams.store.transaction() as transaction:
            await transaction.fence(LEASE, self._seams.authority.token())
            if proof is not None:
                await transaction.update(replace(proof, desired=replace(proof.desired, deleting=True)))
                asked = proof.tags.get(ASKED)
            if snapshot is not None and found is not None:
                await transaction.update(judged(snapshot, found, asked, now))
                if group is not None and group.desired.uid == snapshot.desired.group.uid:
                    await transaction.update(told_group(group, found, now))
                await transaction.add_events(snapshot.key.scope, now, [_event(snapshot, found)])
        if snapshot is not None and found is not None:
            self._seams.instruments.proofs.add("failed" if found.why else "succeeded")
            log.info("proof of a snapshot ended", snapshot=str(snapshot.key), keys=found.keys, why=found.why)
        if proof is not None:
            self._wake_group(proof.key)

    # --- a new one ---

    async def _begin(self, snapshot: SnapshotRow, now: float) -> bool:
        """Whether it is under way."""
        build = build_for(snapshot.desired.group, self._seams.catalogue.builds())
        if isinstance(build, str):
            await self._end(None, snapshot, Verdict(why=build), snapshot.tags.get(ASKED))
            return False
        letter = next((one for one in ZONE_LETTERS if one not in self._seams.host.zones_out()), "")
        why = self._no_room(snapshot) if letter else "all zones are out"
        if why:
            await self._wait(snapshot, why)
            return False
        self._waiting_since.pop(snapshot.desired.uid, None)
        return await self._insert(proof_of(snapshot, build, letter, self._seams.entropy.hex(UID_BYTES), now))

    async def _insert(self, proof: GroupRow) -> bool:
        try:
            async with self._seams.store.transaction() as transaction:
                await transaction.fence(LEASE, self._seams.authority.token())
                await transaction.insert(proof, member_names(proof.key, proof.desired))
        except NameTaken:  # there is one
            return True
        log.info("proof of a snapshot begins", snapshot=proof.desired.description, group=str(proof.key))
        self._wake_group(proof.key)
        return True

    def _no_room(self, snapshot: SnapshotRow) -> str:
        """A proof is never worth the memory that others need."""
        return self._seams.host.refuses(len(snapshot.desired.files), 0, need_bytes(snapshot))

    async def _wait(self, snapshot: SnapshotRow, why: str) -> None:
        now = self._seams.clock.monotonic()
        if now - self._waiting_since.setdefault(snapshot.desired.uid, now) <= PATIENCE_S:
            return
        self._waiting_since.pop(snapshot.desired.uid)
        await self._end(None, snapshot, Verdict(why=f"it could not be tried: {why}"), snapshot.tags.get(ASKED))


def _event(snapshot: SnapshotRow, found: Verdict) -> EventDraft:
    source = "replication-group" if snapshot.desired.replication_group else "cache-cluster"
    return EventDraft(source, snapshot.desired.group_name, message(snapshot, found))
