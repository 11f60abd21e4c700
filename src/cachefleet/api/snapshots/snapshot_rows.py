"""Snapshot rows in the store: looked up, and written together with the group that one is made of.

Decides nothing. The controller's keeper of snapshots, woken after the commit, does what the row says. Called by the operations
on snapshots and by deletions with a final one.
"""

from __future__ import annotations

from cachefleet.api.context import Context
from cachefleet.api.names import folded, quoted
from cachefleet.api.rows import leave_word
from cachefleet.interfaces import NameTaken
from cachefleet.model.errors import AwsError
from cachefleet.model.plan import EventDraft
from cachefleet.model.resource import GROUP_KINDS, Kind
from cachefleet.model.row import GroupRow, SnapshotRow
from cachefleet.model.snapshot import SnapshotState

DAY_S = 24 * 3600.0


async def find_snapshot(context: Context, name: str) -> SnapshotRow | None:
    """By its name as given, since that of an export may have capitals, else in lower case."""
    for candidate in dict.fromkeys((name, folded(name))):
        row: SnapshotRow | None = await context.store.get(context.scope.key(Kind.SNAPSHOT, candidate))
        if row is not None and not row.desired.for_restart:
            return row
    return None


async def known_snapshots(context: Context) -> list[SnapshotRow]:
    """All that users are shown: those that are made for a stop of everything are not."""
    rows: list[SnapshotRow] = await context.store.rows(Kind.SNAPSHOT, context.scope)
    return [row for row in rows if not row.desired.for_restart]


async def load_snapshot(context: Context, name: str) -> SnapshotRow:
    """Raises SnapshotNotFoundFault."""
    row = await find_snapshot(context, name)
    if row is None:
        raise AwsError("SnapshotNotFoundFault", f"Snapshot {quoted(name)} not found.")
    return row


async def restoring_from(context: Context) -> frozenset[str]:
    """Names of snapshots that a group is being restored from at present."""
    rows: list[GroupRow] = [row for kind in GROUP_KINDS for row in await context.store.rows(kind, context.scope)]
    return frozenset(
        row.desired.restore.snapshot
        for row in rows
        if row.desired.restore is not None and not (row.memory.provisioned or row.memory.failure or row.desired.deleting)
    )


async def copying_from(context: Context, name: str) -> bool:
    """Whether a copy of this snapshot is under way."""
    rows: list[SnapshotRow] = await context.store.rows(Kind.SNAPSHOT, context.scope)
    return any(row.desired.copy_of == name and row.desired.state is SnapshotState.COPYING for row in rows)


async def begin_snapshot(context: Context, group: GroupRow, snapshot: SnapshotRow) -> tuple[GroupRow, SnapshotRow]:
    """Store a snapshot that is to be made, and the group that it is made of as it is meanwhile. The quota is counted by the
    events that tell of it, so that deleting snapshots makes no room. Raises SnapshotQuotaExceededFault,
    SnapshotAlreadyExistsFault, Conflict."""
    asked, now, quota = requested(snapshot), context.clock.now(), context.settings.api.snapshots_per_day
    try:
        async with context.store.transaction() as transaction:
            made = await transaction.count_events(
                context.scope, since=now - DAY_S, source_type=asked.source_type, beginning=asked.message
            )
            if made >= quota:
                raise AwsError(
                    "SnapshotQuotaExceededFault",
                    f"{made} snapshots of {asked.source_id} were made within 24 hours; {quota} are the maximum number of "
                    "snapshots within 24 hours, deleted ones included (setting api.snapshots_per_day).",
                )
            stored: SnapshotRow = await transaction.insert(snapshot)
            changed: GroupRow = await transaction.update(group)
            event = EventDraft(asked.source_type, asked.source_id, asked.message + snapshot.key.name)
            await transaction.add_events(context.scope, now, [event])
            await leave_word(context, transaction, stored.key, changed.key)
    except NameTaken:
        raise already_exists(snapshot.key.name) from None
    context.wake(stored.key)
    context.wake(changed.key)
    return changed, stored


def requested(snapshot: SnapshotRow) -> EventDraft:
    """The event that tells of it, up to the snapshot's name."""
    desired = snapshot.desired
    if desired.replication_group and not desired.node:
        return EventDraft("replication-group", desired.group_name, f"Snapshot of replication group {desired.group_name}: ")
    cluster = desired.node or desired.group_name
    return EventDraft("cache-cluster", cluster, f"Snapshot of cache cluster {cluster}: ")


def already_exists(name: str) -> AwsError:
    return AwsError("SnapshotAlreadyExistsFault", f"Snapshot {name} already exists; choose another name.")
