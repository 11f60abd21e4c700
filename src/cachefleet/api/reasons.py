"""Why groups and clusters are not available and whether their backups were proven, in words: what the structures of AWS have no
member for. GET /status.

Reads what the controller has written down; decides nothing. Called by the gateway, for `cachefleet status`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cachefleet.api.access.authorization import GET_STATUS, authorize_action
from cachefleet.api.context import Context
from cachefleet.api.snapshots.snapshot_rows import known_snapshots
from cachefleet.model.resource import GROUP_KINDS
from cachefleet.model.row import GroupRow
from cachefleet.model.snapshot import SnapshotState
from cachefleet.planning.snapshot_proofs import group_key, last_proof


async def reasons(context: Context) -> Mapping[str, Mapping[str, str]]:
    """Kind -> name -> why, of the caller's account and region; only of those that something keeps waiting; "proofs": name ->
    how the last proof of its backup ended, of those that have one; "host": what this machine cannot enforce. Raises
    AccessDenied."""
    await authorize_action(context, GET_STATUS)
    groups = {kind: await context.store.rows(kind, context.scope) for kind in GROUP_KINDS}
    told = {str(kind): {row.key.name: row.status.why for row in rows if row.status.why} for kind, rows in groups.items()}
    why = context.unguarded()
    if why:
        told["host"] = {"security groups": f"recorded, not enforced: {why}"}
    return {**told, "proofs": await _proofs(context, [row for rows in groups.values() for row in rows])}


async def _proofs(context: Context, groups: Sequence[GroupRow]) -> dict[str, str]:
    saved = {group_key(row) for row in await known_snapshots(context) if row.desired.state is SnapshotState.AVAILABLE}
    now = context.clock.now()
    return {row.key.name: last_proof(row, now) for row in groups if row.memory.proof_at or row.key in saved}
