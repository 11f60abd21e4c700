"""Drives every snapshot to its end: made, copied, exported, removed; begins automatic ones and ends those whose time is over.

Works as the controller does: a key of a row is looked at, something is done, it is looked at again. What a transfer needs lasts
longer than a pass, so each key has its own; nothing is known from an earlier term. Runs with the controller, under its lease.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import structlog
from msgspec.structs import replace

from cachefleet.announcing import announce
from cachefleet.control.leadership import LEASE
from cachefleet.control.queue import KeyedQueue
from cachefleet.control.saving import Saving
from cachefleet.control.seams import Seams
from cachefleet.control.snapshot_attempt import Attempt, folder_of
from cachefleet.control.snapshot_proof import Proofs
from cachefleet.interfaces import Conflict, Deposed, NameTaken, StoreError
from cachefleet.model.event import NoticeName
from cachefleet.model.plan import EventDraft
from cachefleet.model.resource import GROUP_KINDS, Key, Kind, Scope
from cachefleet.model.row import GroupRow, Row, SnapshotRow
from cachefleet.model.snapshot import SnapshotDesired, SnapshotState
from cachefleet.planning.saving import answered, concerns
from cachefleet.planning.snapshot_schedule import begun, due, has_expired, in_use, name_of
from cachefleet.snapshot_interfaces import TransferFailed

log = structlog.get_logger()
WORKERS = 8
SWEEP_S = 5.0
RETRY_FIRST_S = 0.2
WAIT_S = 0.2
RETRY_CAP_S = 30.0
PATIENCE_S = 600.0  # so long a snapshot waits for a group that has nothing to take it of


class Backups:
    """run() for each term of leadership, until cancelled; wake(key) from anywhere in the event loop."""

    def __init__(self, seams: Seams, wake_group: Callable[[Key], None]) -> None:
        self._seams = seams
        self._wake_group = wake_group
        self._queue: KeyedQueue[Key] = KeyedQueue(seams.clock)
        self._trouble: dict[Key, int] = {}  # attempts in a row that came to nothing
        self._waiting_since: dict[Key, float] = {}
        self._avoid: dict[Key, set[str]] = {}  # nodes at which an attempt has failed
        self._turns = asyncio.Semaphore(seams.settings.archive.parallel)
        self._proofs = Proofs(seams, wake_group)
        self._saving = Saving(seams, wake_group, self.wake)
        self._is_first_look = True  # of a term
        self._steps: dict[SnapshotState, Callable[[SnapshotRow], Awaitable[float | None]]] = {
            SnapshotState.CREATING: self._make,
            SnapshotState.COPYING: self._copy,
            SnapshotState.DELETING: self._remove,
        }

    def wake(self, key: Key) -> None:
        self._queue.add(key)
        if key.kind is Kind.SNAPSHOT:
            self._proofs.wake()

    async def run(self) -> None:
        """Ends only by cancellation; every transfer ends with it."""
        self._queue = KeyedQueue(self._seams.clock)
        self._trouble.clear()
        self._waiting_since.clear()
        self._avoid.clear()
        self._is_first_look = True
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(WORKERS):
                    group.create_task(self._work())
                group.create_task(self._sweep())
                group.create_task(self._proofs.run())
        finally:
            await self._seams.transfers.close()

    async def _work(self) -> None:
        while True:
            key = await self._queue.get()
            try:
                again_s = await self.step(key)
            except Conflict:
                again_s = 0.0
            except (Deposed, StoreError) as error:
                log.info("snapshot waits", snapshot=str(key), why=str(error))
                again_s = self._back_off(key)
            except Exception:
                log.exception("snapshot broke", snapshot=str(key))
                again_s = self._back_off(key)
            self._queue.done(key)
            if again_s is not None:
                self._queue.add(key, again_s)

    def _back_off(self, key: Key) -> float:
        self._trouble[key] = self._trouble.get(key, 0) + 1
        return min(RETRY_CAP_S, RETRY_FIRST_S * 2.0 ** min(self._trouble[key] - 1, 20))

    async def step(self, key: Key) -> float | None:
        """Returns when to look again in seconds, None when there is nothing to do. Raises Conflict, Deposed, StoreError."""
        if key.kind in GROUP_KINDS:
            again_s = await self._saving.step(key)
            self._trouble.pop(key, None)
            return again_s
        row: SnapshotRow | None = await self._seams.store.get(key)
        step = self._steps.get(row.desired.state) if row is not None else None
        if row is None or step is None:
            for known in (self._trouble, self._waiting_since, self._avoid):
                known.pop(key, None)
            return None
        return await step(row)

    # --- steps ---

    async def _make(self, row: SnapshotRow) -> float | None:
        group = await self._group_of(row)
        if group is None or group.desired.snapshotting != row.key.name or group.desired.deleting:
            await self._fail(row, "the cache that it was to be taken of is gone, or being deleted")
            return None
        attempt = Attempt(self._seams, self._turns, row, self._avoid.setdefault(row.key, set()))
        sources = attempt.sources(group)
        if isinstance(sources, str):
            return await self._wait(row, sources)
        try:
            row = await self._begin_attempt(row)
            files = await attempt.run(row, group, sources)
        except TransferFailed as error:
            return await self._take_failure(row, error)
        done = replace(row.desired, state=SnapshotState.AVAILABLE, files=files, why="")
        told = f"Snapshot succeeded for snapshot with ID '{row.key.name}' of {_whom(row)}"
        await self._drop_other_attempts(row)
        notice = None if row.desired.for_restart else NoticeName.SNAPSHOT_COMPLETE
        clusters = dict.fromkeys(_cluster_of(row, file.node) for file in files)
        await self._write_end(row, done, [EventDraft("cache-cluster", cluster, told, notice) for cluster in clusters])
        return None

    async def _copy(self, row: SnapshotRow) -> float | None:
        original: SnapshotRow | None = await self._seams.store.get(row.key.scope.key(Kind.SNAPSHOT, row.desired.copy_of))
        if original is None or original.desired.state is not SnapshotState.AVAILABLE:
            await self._fail(row, f"the snapshot {row.desired.copy_of} is gone")
            return None
        attempt = Attempt(self._seams, self._turns, row, set())
        done: SnapshotDesired | None = None
        events = []
        try:
            row = await self._begin_attempt(row)
            if row.desired.bucket:
                await attempt.export(row, original)
                events.append(_event(row, f"Snapshot {row.desired.copy_of} was exported to the bucket {row.desired.bucket}"))
            else:
                files = await attempt.copy(row, original)
                done = replace(row.desired, state=SnapshotState.AVAILABLE, files=files, why="")
        except TransferFailed as error:
            return await self._take_failure(row, error)
        await self._drop_other_attempts(row)
        await self._write_end(row, done, events)
        return None

    async def _wait(self, row: SnapshotRow, why: str) -> float | None:
        """There is nothing to take it of at present."""
        now = self._seams.clock.monotonic()
        if now - self._waiting_since.setdefault(row.key, now) <= PATIENCE_S:
            return WAIT_S
        await self._fail(row, why)
        return None

    async def _take_failure(self, row: SnapshotRow, error: TransferFailed) -> float | None:
        """Of an attempt. Tried again where that may help."""
        log.warning("snapshot attempt failed", snapshot=str(row.key), attempt=row.desired.attempts, why=str(error))
        if not error.lasting and row.desired.attempts < self._seams.settings.archive.attempts:
            return self._back_off(row.key)
        await self._fail(row, str(error))
        return None

    async def _remove(self, row: SnapshotRow) -> float | None:
        """The objects first: a row that is gone could not tell where they are."""
        try:
            await self._seams.transfers.remove(folder_of(row))
        except TransferFailed as error:
            log.warning("snapshot cannot be removed", snapshot=str(row.key), why=str(error))
            return self._back_off(row.key)
        await self._write_end(row, None, [])
        return None

    # --- what they have in common ---

    async def _group_of(self, row: SnapshotRow) -> GroupRow | None:
        """None when the group that it is of is no more. A cluster that has become a replication group, or the other way round,
        is found by its node."""
        scope, desired = row.key.scope, row.desired
        kind = Kind.REPLICATION_GROUP if desired.replication_group else Kind.CACHE_CLUSTER
        group: GroupRow | None = await self._seams.store.get(scope.key(kind, desired.group_name))
        if group is None:
            group = await self._seams.store.owner(scope, desired.group.nodes[0].name)
        return group if group is not None and group.desired.uid == desired.group.uid else None

    async def _begin_attempt(self, row: SnapshotRow) -> SnapshotRow:
        """Saved before anything is written, so that what an attempt leaves can always be found."""
        changed = replace(row.desired, attempts=row.desired.attempts + 1)
        async with self._seams.store.transaction() as transaction:
            await transaction.fence(LEASE, self._seams.authority.token())
            stored: SnapshotRow = await transaction.update(replace(row, desired=changed))
        return stored

    async def _fail(self, row: SnapshotRow, why: str) -> None:
        """The row stays and says why, until it is deleted."""
        message = f"Snapshot failed for snapshot with ID '{row.key.name}' of {_whom(row)}: {why}"
        notice = None if row.desired.for_restart else NoticeName.SNAPSHOT_FAILED
        await self._write_end(row, replace(row.desired, state=SnapshotState.FAILED, why=why), [_event(row, message, notice)])
        try:
            await self._seams.transfers.remove(folder_of(row))
        except TransferFailed as error:  # goes with the row
            log.warning("leftovers of a failed snapshot stay for now", snapshot=str(row.key), why=str(error))

    async def _write_end(self, row: SnapshotRow, ended: SnapshotDesired | None, events: list[EventDraft]) -> None:
        """The row as it ends (None: removed) and, at one with it, the group free again: or, after its final snapshot, gone. The
        controller writes the group's row, too: then this is tried again with what it wrote. Raises Conflict when
        somebody changed the snapshot's row."""
        while True:
            group = await self._group_of(row)
            held = group is not None and group.desired.snapshotting == row.key.name
            try:
                async with self._seams.store.transaction() as transaction:
                    await transaction.fence(LEASE, self._seams.authority.token())
                    if ended is None:
                        await transaction.delete(row)
                    else:
                        await transaction.update(replace(row, desired=ended))
                    if group is not None and held:
                        await transaction.update(answered(_released(group, row, ended), row, ended))
                    now, entropy = self._seams.clock.now(), self._seams.entropy
                    await announce(transaction, row.key.scope, None if group is None else group.desired, events, now, entropy)
            except Conflict:
                if await self._seams.store.get(row.key) != row:
                    raise
                continue
            if group is not None and held:
                self._wake_group(group.key)
            self._count(row, ended)
            return

    def _count(self, row: SnapshotRow, ended: SnapshotDesired | None) -> None:
        if row.desired.state is SnapshotState.DELETING:
            return
        if ended is None or ended.state is SnapshotState.AVAILABLE:  # an export leaves no row
            self._seams.instruments.snapshots.add("made")
        elif ended.state is SnapshotState.FAILED:
            self._seams.instruments.snapshots.add("failed")

    async def _drop_other_attempts(self, row: SnapshotRow) -> None:
        """What earlier ones have left: before the row says that it is done, since nobody looks at it afterwards."""
        for attempt in range(1, row.desired.attempts):
            try:
                await self._seams.transfers.remove(f"{folder_of(row)}{attempt}/")
            except TransferFailed as error:  # goes with the snapshot
                log.warning("leftovers of a snapshot stay for now", snapshot=str(row.key), why=str(error))

    # --- by the clock ---

    async def _sweep(self) -> None:
        while True:
            try:
                await self.look_around()
            except (Deposed, StoreError, Conflict) as error:
                log.info("sweep of snapshots given up", why=str(error))
            except Exception:
                log.exception("sweep of snapshots failed")
            await self._seams.clock.sleep(SWEEP_S)

    async def look_around(self) -> None:
        """Whatever has something to do is looked at; automatic snapshots begin and end."""
        now = self._seams.clock.now()
        if self._is_first_look:  # before what they ask for is gone on with
            for key in await self._seams.store.keys(GROUP_KINDS):
                await self._saving.abandon(key)
            self._is_first_look = False
        groups = await self._rows(GROUP_KINDS)
        snapshots = await self._rows((Kind.SNAPSHOT,))
        for scope, rows in snapshots.items():
            held = in_use(groups.get(scope, ()), rows)
            for row in rows:
                if row.desired.state in self._steps:
                    self._queue.add(row.key)
                elif row.key.name not in held and has_expired(row.key.name, row.desired, await self._group_of(row), now):
                    await self._write_end(row, replace(row.desired, state=SnapshotState.DELETING), [])
                    self._queue.add(row.key)
        for scope, members in groups.items():
            for group in members:
                if concerns(group):
                    self._queue.add(group.key)
                if due(group, snapshots.get(scope, ()), now):
                    await self._begin_automatic(group, now)

    async def _rows(self, kinds: Sequence[Kind]) -> dict[Scope, list[Any]]:
        """Of all accounts and regions."""
        found: dict[Scope, list[Any]] = {}
        for row in await self._seams.store.every(kinds):
            found.setdefault(row.key.scope, []).append(row)
        return found

    async def _begin_automatic(self, group: GroupRow, now: float) -> None:
        name = name_of(group, now)
        key = group.key.scope.key(Kind.SNAPSHOT, name)
        row: SnapshotRow = Row(key=key, desired=begun(group, self._seams.entropy.hex(8), now))
        try:
            async with self._seams.store.transaction() as transaction:
                await transaction.fence(LEASE, self._seams.authority.token())
                await transaction.insert(row)
                status = replace(group.status, state="snapshotting")
                await transaction.update(replace(group, desired=replace(group.desired, snapshotting=name), status=status))
        except NameTaken:
            return  # one has been made within this minute
        self._wake_group(group.key)
        self._queue.add(key)


def _released(group: GroupRow, row: SnapshotRow, ended: SnapshotDesired | None) -> GroupRow:
    """Nothing else has been wrong with it when `snapshotting` is shown; who waits for the snapshot may go on at once."""
    deleting = row.desired.final and ended is not None and ended.state is SnapshotState.AVAILABLE
    desired = replace(group.desired, snapshotting="", final_snapshot="", deleting=group.desired.deleting or deleting)
    shown = replace(group.status, state="available") if group.status.state == "snapshotting" else group.status
    return replace(group, desired=desired, status=shown)


def _whom(row: SnapshotRow) -> str:
    kind = "replication group" if row.desired.replication_group else "cache cluster"
    return f"{kind} with ID '{row.desired.group_name}'"


def _cluster_of(row: SnapshotRow, node: str) -> str:
    """Nodes of Memcached, and a node that is in no group, are no cache clusters of that name."""
    return node if row.desired.replication_group else row.desired.group_name


def _event(row: SnapshotRow, message: str, notice: NoticeName | None = None) -> EventDraft:
    source = "replication-group" if row.desired.replication_group else "cache-cluster"
    return EventDraft(source, row.desired.group_name, message, notice)
