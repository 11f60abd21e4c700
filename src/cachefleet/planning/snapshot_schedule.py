"""Automatic snapshots: when one is due, what it is called, when one has outlived its time. Pure.

Called by control.backups with what the store holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from msgspec.structs import replace

from cachefleet.model.group import GroupDesired, Shape
from cachefleet.model.memcached_snapshots import has_snapshots
from cachefleet.model.resource import Kind
from cachefleet.model.row import GroupRow, SnapshotRow
from cachefleet.model.snapshot import SnapshotDesired, SnapshotSource, SnapshotState
from cachefleet.planning.saving import is_kept
from cachefleet.reference.windows import DAY_MINUTES, parse_daily

PREFIX = "automatic."
DAY_S = 86_400.0
DEFAULT_KEY = "default"


def due(row: GroupRow, taken: Sequence[SnapshotRow], now: float) -> bool:
    """Whether an automatic snapshot of this group has to be begun: its window is open, and none was begun since it opened.
    taken: snapshots of any group."""
    desired = row.desired
    if not desired.snapshot_retention_days or not desired.snapshot_window:
        return False
    if desired.shape is Shape.MEMCACHED and not has_snapshots(row.tags):
        return False
    if row.status.state != "available" or desired.snapshotting or desired.deleting:
        return False
    window = parse_daily(desired.snapshot_window)
    open_s = ((now / 60 - window.start_minute) % DAY_MINUTES) * 60
    if open_s >= window.length_minutes * 60:
        return False
    return not any(
        one.desired.source is SnapshotSource.AUTOMATED
        and not one.desired.for_restart
        and one.desired.group.uid == desired.uid
        and one.desired.created_at >= now - open_s
        for one in taken
    )


def snapshotting_cluster(desired: GroupDesired) -> str:
    """The member that automatic snapshots are taken of: the one that was named, else the last, of which they most likely are;
    "" when there are none (or in cluster mode, where all shards are)."""
    if desired.shape is not Shape.REPLICATED:
        return ""
    return _named(desired) or (desired.nodes[-1].name if desired.snapshot_retention_days else "")


def _named(desired: GroupDesired) -> str:
    """By the user, and still there."""
    return next((node.name for node in desired.nodes if node.name == desired.snapshotting_cluster), "")


def name_of(row: GroupRow, now: float) -> str:
    """Of an automatic snapshot that begins now (reference 11.1)."""
    alone = row.desired.shape is Shape.CLUSTERED or row.key.kind is Kind.CACHE_CLUSTER
    source = row.key.name if alone else snapshotting_cluster(row.desired)
    return f"{PREFIX}{source}-{datetime.fromtimestamp(now, UTC):%Y-%m-%d-%H-%M}"


def begun(row: GroupRow, uid: str, now: float) -> SnapshotDesired:
    """An automatic snapshot of this group."""
    desired = row.desired
    return SnapshotDesired(
        uid=uid,
        source=SnapshotSource.AUTOMATED,
        state=SnapshotState.CREATING,
        created_at=now,
        group=replace(desired, snapshotting="", final_snapshot="", restore=None, pending=None),
        group_name=row.key.name,
        replication_group=row.key.kind is Kind.REPLICATION_GROUP,
        node=_named(desired),
        key_name=(desired.key_name or DEFAULT_KEY) if desired.at_rest_encryption else "",
        expires_at=now + desired.snapshot_retention_days * DAY_S,
    )


def in_use(groups: Iterable[GroupRow], snapshots: Iterable[SnapshotRow]) -> frozenset[str]:
    """Names of snapshots that groups are being restored from, or that are being copied. All of one account and region."""
    restored = (row.desired.restore.snapshot for row in groups if row.desired.restore is not None and not row.memory.failure)
    return frozenset((*restored, *(row.desired.copy_of for row in snapshots if row.desired.state is SnapshotState.COPYING)))


def has_expired(name: str, snapshot: SnapshotDesired, group: GroupRow | None, now: float) -> bool:
    """Whether an automated snapshot has to go: with its group, or after the days for which the group keeps them now; one for a
    stop of everything when the group does not need it any more."""
    if snapshot.source is not SnapshotSource.AUTOMATED or snapshot.state not in (SnapshotState.AVAILABLE, SnapshotState.FAILED):
        return False
    if group is None or group.desired.uid != snapshot.group.uid:
        return True
    if snapshot.for_restart:
        return not is_kept(group.desired, name)
    days = group.desired.snapshot_retention_days
    return now >= (snapshot.created_at + days * DAY_S if days else snapshot.expires_at)
