"""A last snapshot before a cache is deleted (FinalSnapshotIdentifier): the deletion follows when the snapshot is there.

Until then the cache is whole, and it stays so when the snapshot fails. Called by the deletions (reference 3.3, 11.1).
"""

from __future__ import annotations

from cachefleet.api import names
from cachefleet.api.context import Context
from cachefleet.api.groups.group_state import require_available
from cachefleet.api.snapshots.snapshot_requests import new_snapshot, refuse_unsupported, snapshotting
from cachefleet.api.snapshots.snapshot_rows import begin_snapshot
from cachefleet.model.row import GroupRow

FIELD = "FinalSnapshotIdentifier"


async def begin_final_snapshot(context: Context, row: GroupRow, asked: str) -> GroupRow:
    """The row as it is meanwhile. Raises InvalidParameterValue, SnapshotFeatureNotSupportedFault, InvalidReplicationGroupState,
    InvalidCacheClusterState, SnapshotAlreadyExistsFault, SnapshotQuotaExceededFault."""
    refuse_unsupported(row, FIELD)
    name = names.snapshot_name(asked, FIELD)
    require_available(row)
    snapshot = new_snapshot(context, name, row, final=True)
    changed, _ = await begin_snapshot(context, snapshotting(row, name, final=True), snapshot)
    return changed
