"""CreateSnapshot, DescribeSnapshots and DeleteSnapshot (reference 1.3, 11.1).

Reads and writes rows; data are stored and removed by the controller's keeper of snapshots.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from cachefleet.api import names
from cachefleet.api.context import Context
from cachefleet.api.groups.cache_cluster_views import cluster_nodes
from cachefleet.api.groups.group_rows import load_cluster, load_group
from cachefleet.api.groups.group_state import is_group, require_available, require_member_available
from cachefleet.api.paging import page_of, page_sequence, reply
from cachefleet.api.registry import operation
from cachefleet.api.rows import leave_word
from cachefleet.api.snapshots.snapshot_requests import asked_key, asked_tags, new_snapshot, refuse_unsupported, snapshotting
from cachefleet.api.snapshots.snapshot_rows import begin_snapshot, copying_from, known_snapshots, load_snapshot, restoring_from
from cachefleet.api.snapshots.snapshot_views import snapshot_fragment, snapshot_view
from cachefleet.model.errors import AwsError, invalid_combination, invalid_value
from cachefleet.model.group import Shape
from cachefleet.model.row import GroupRow, SnapshotRow
from cachefleet.model.snapshot import SnapshotSource, SnapshotState

if TYPE_CHECKING:
    from types_boto3_elasticache.type_defs import (
        CreateSnapshotMessageTypeDef,
        DeleteSnapshotMessageTypeDef,
        DescribeSnapshotsListMessageTypeDef,
    )

_GROUP, _CLUSTER = "ReplicationGroupId", "CacheClusterId"
_SOURCES = {"system": SnapshotSource.AUTOMATED, "user": SnapshotSource.MANUAL}
PAGE = 50
_DELETABLE = (SnapshotState.AVAILABLE, SnapshotState.FAILED)


# --- create --------------------------------------------------------------------------------------------------------


@operation("CreateSnapshot", effective=("SnapshotName", _GROUP, _CLUSTER, "KmsKeyId", "Tags"))
async def create_snapshot(context: Context, request: CreateSnapshotMessageTypeDef) -> dict[str, Any]:
    name = names.snapshot_name(request["SnapshotName"])
    tags, key = asked_tags(request.get("Tags") or (), name), await asked_key(context, request.get("KmsKeyId"))
    row, node = await _source(context, request)
    refuse_unsupported(row, "SnapshotName")
    if node and row.desired.shape is Shape.CLUSTERED:
        raise invalid_combination(
            f"{_CLUSTER}: {node} is a node of {row.key.name}, which has cluster mode enabled; snapshots are made of all its "
            f"shards at once: give {_GROUP} instead."
        )
    require_available(row)
    if node:
        require_member_available(row, cluster_nodes(row, node)[0], node)
    snapshot = new_snapshot(context, name, row, node=node, key=key, tags=tags)
    _, snapshot = await begin_snapshot(context, snapshotting(row, name), snapshot)
    return {"Snapshot": snapshot_view(snapshot)}


async def _source(context: Context, request: Mapping[str, Any]) -> tuple[GroupRow, str]:
    """The row and, when one of its members is named, that. A group and a member of it may be named together: Ansible does so.
    Raises InvalidParameterCombination, ReplicationGroupNotFoundFault, CacheClusterNotFound."""
    group, cluster = request.get(_GROUP) or "", names.folded(request.get(_CLUSTER) or "")
    if not (group or cluster):
        raise invalid_combination(f"Name what the snapshot is made of: {_GROUP} or {_CLUSTER}.")
    if not cluster:
        return await load_group(context, group), ""
    row = await load_cluster(context, cluster)
    if group and (await load_group(context, group)).key != row.key:
        raise invalid_combination(f"{_CLUSTER}: {cluster} is no member of {_GROUP} {names.folded(group)}; name one of them.")
    return row, cluster if is_group(row) else ""


# --- describe ------------------------------------------------------------------------------------------------------


@operation(
    "DescribeSnapshots",
    effective=(_GROUP, _CLUSTER, "SnapshotName", "SnapshotSource", "Marker", "MaxRecords", "ShowNodeGroupConfig"),
)
async def describe_snapshots(context: Context, request: DescribeSnapshotsListMessageTypeDef) -> dict[str, Any]:
    page = page_of(request, "snapshots", default=PAGE, maximum=PAGE)
    show = bool(request.get("ShowNodeGroupConfig"))
    found = await _asked(context, request)
    shown, marker = page_sequence(sorted(found, key=_name), page, _name)
    restoring = await restoring_from(context)
    fragments = [snapshot_fragment(row, row.key.name in restoring, show) for row in shown]
    return reply("Snapshots", fragments, marker)


async def _asked(context: Context, request: Mapping[str, Any]) -> list[SnapshotRow]:
    """Raises SnapshotNotFoundFault, CacheClusterNotFound, InvalidParameterValue."""
    source = _asked_source(request.get("SnapshotSource") or "")
    group, cluster = names.folded(request.get(_GROUP) or ""), names.folded(request.get(_CLUSTER) or "")
    name = request.get("SnapshotName")
    rows = [await load_snapshot(context, name)] if name else await known_snapshots(context)
    if source is not None:
        rows = [row for row in rows if row.desired.source is source]
    if group:
        rows = [row for row in rows if row.desired.replication_group and row.desired.group_name == group]
    if cluster:
        rows = [row for row in rows if is_of_cluster(row, cluster)]
        if not rows:
            await load_cluster(context, cluster)
    return rows


def _asked_source(value: str) -> SnapshotSource | None:
    if value and value not in _SOURCES:
        raise invalid_value(f"SnapshotSource: {names.quoted(value)} must be system (automatic ones) or user (manual ones).")
    return _SOURCES.get(value)


def is_of_cluster(row: SnapshotRow, cluster: str) -> bool:
    desired = row.desired
    if not desired.replication_group:
        return desired.group_name == cluster
    return desired.node == cluster or any(file.node == cluster for file in desired.files)


def _name(row: SnapshotRow) -> str:
    return row.key.name


# --- delete --------------------------------------------------------------------------------------------------------


@operation("DeleteSnapshot", effective=("SnapshotName",))
async def delete_snapshot(context: Context, request: DeleteSnapshotMessageTypeDef) -> dict[str, Any]:
    row = await load_snapshot(context, request["SnapshotName"])
    name, state = row.key.name, row.desired.state
    if state not in _DELETABLE:
        raise refused_state(name, state, "a snapshot can be deleted when it is available or failed")
    if name in await restoring_from(context):
        raise refused_state(name, SnapshotState.RESTORING, "wait until the cache that is restored from it is available")
    if await copying_from(context, name):
        raise AwsError("InvalidSnapshotState", f"Snapshot {name} is being copied; wait until the copy is available.")
    async with context.store.transaction() as transaction:
        stored: SnapshotRow = await transaction.update(replace(row, desired=replace(row.desired, state=SnapshotState.DELETING)))
        await leave_word(context, transaction, stored.key)
    context.wake(stored.key)
    return {"Snapshot": snapshot_view(stored)}


def refused_state(name: str, state: str, remedy: str) -> AwsError:
    return AwsError("InvalidSnapshotState", f"Snapshot {name} has status {state}; {remedy}.")
