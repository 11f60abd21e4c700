"""CopySnapshot: a copy under another name, or with TargetBucket an export of plain RDB files (reference 1.3, 11.2).

Writes a row that says what is wanted; the controller's keeper of snapshots moves the data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cachefleet.api import names
from cachefleet.api.context import Context
from cachefleet.api.registry import operation
from cachefleet.api.rows import leave_word
from cachefleet.api.snapshots.s3_names import bucket_name, export_name
from cachefleet.api.snapshots.snapshot_requests import UID_BYTES, asked_key, asked_tags
from cachefleet.api.snapshots.snapshot_rows import already_exists, load_snapshot
from cachefleet.api.snapshots.snapshot_views import snapshot_view
from cachefleet.api.snapshots.snapshots import refused_state
from cachefleet.interfaces import NameTaken
from cachefleet.model.errors import invalid_combination
from cachefleet.model.group import Shape
from cachefleet.model.resource import Kind
from cachefleet.model.row import Row, SnapshotRow
from cachefleet.model.snapshot import SnapshotDesired, SnapshotSource, SnapshotState

if TYPE_CHECKING:
    from types_boto3_elasticache.type_defs import CopySnapshotMessageTypeDef

_TARGET = "TargetSnapshotName"


@operation("CopySnapshot", effective=("SourceSnapshotName", _TARGET, "TargetBucket", "KmsKeyId", "Tags"))
async def copy_snapshot(context: Context, request: CopySnapshotMessageTypeDef) -> dict[str, Any]:
    bucket = bucket_name(request["TargetBucket"], "TargetBucket") if request.get("TargetBucket") else ""
    asked = request["TargetSnapshotName"]
    name = export_name(asked, _TARGET) if bucket else names.snapshot_name(asked, _TARGET)
    tags, key = asked_tags(request.get("Tags") or (), name), await asked_key(context, request.get("KmsKeyId"))
    if bucket and key:
        raise invalid_combination("KmsKeyId: an export has plain files, which no key encrypts; leave it out.")
    source = await load_snapshot(context, request["SourceSnapshotName"])
    if source.desired.state is not SnapshotState.AVAILABLE:
        raise refused_state(source.key.name, source.desired.state, "only one that is available can be copied")
    if bucket and source.desired.group.shape is Shape.MEMCACHED:
        raise invalid_combination(
            f"TargetBucket: {source.key.name} is of Memcached, of which there are no RDB files; leave TargetBucket out."
        )
    row: SnapshotRow = Row(
        key=context.scope.key(Kind.SNAPSHOT, name),
        desired=SnapshotDesired(
            uid=context.entropy.hex(UID_BYTES),
            source=SnapshotSource.MANUAL,
            state=SnapshotState.COPYING,
            created_at=context.clock.now(),
            group=source.desired.group,
            group_name=source.desired.group_name,
            replication_group=source.desired.replication_group,
            node=source.desired.node,
            key_name="" if bucket else key or source.desired.key_name,
            copy_of=source.key.name,
            bucket=bucket,
        ),
        tags=tags,
    )
    return {"Snapshot": snapshot_view(await _insert(context, row, source))}


async def _insert(context: Context, row: SnapshotRow, source: SnapshotRow) -> SnapshotRow:
    """The source's row gets a new version with it, so that whoever deletes it at the same time looks again. Raises
    SnapshotAlreadyExistsFault, Conflict."""
    try:
        async with context.store.transaction() as transaction:
            stored: SnapshotRow = await transaction.insert(row)
            await transaction.update(source)
            await leave_word(context, transaction, stored.key)
    except NameTaken:
        raise already_exists(row.key.name) from None
    context.wake(stored.key)
    return stored
