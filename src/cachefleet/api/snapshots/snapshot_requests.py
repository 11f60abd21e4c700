"""What a new snapshot of a group is: its row, and the group's row while it is made; and what is refused (reference 3.3, 11.1).

Pure but for drawing an id. Called by CreateSnapshot and by deletions with a final snapshot.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from cachefleet.api.context import Context
from cachefleet.api.groups.group_state import SNAPSHOTTING, is_group
from cachefleet.api.groups.relocation import refuse_relocation
from cachefleet.api.groups.shard_slots import owned
from cachefleet.api.names import quoted
from cachefleet.api.tag_rules import check_memcached, check_saving, check_sharded, read_tags
from cachefleet.archive.key_errors import KeyMissing
from cachefleet.archive.key_names import DEFAULT, key_name
from cachefleet.model.errors import AwsError, invalid_value
from cachefleet.model.group import GroupDesired, Shape
from cachefleet.model.memcached_snapshots import ASKED, ON, has_snapshots
from cachefleet.model.resource import Kind
from cachefleet.model.row import GroupRow, Row, SnapshotRow
from cachefleet.model.snapshot import SnapshotDesired, SnapshotSource, SnapshotState

UID_BYTES = 8


async def asked_key(context: Context, value: str | None) -> str:
    """KmsKeyId as given, since it is shown so; "" for none. Raises InvalidParameterValue for one that cannot be used now."""
    if not value:
        return ""
    try:
        key_name(value)
    except KeyMissing:
        raise invalid_value(
            f"KmsKeyId: {quoted(value)} names no key; use a name of the keyring, alias/NAME or arn:aws:kms:...:key/NAME."
        ) from None
    why = await context.refuses_key(value)
    if why:
        raise invalid_value(f"KmsKeyId: {why}")
    return value


def asked_tags(tags: Sequence[Mapping[str, Any]], what: str) -> dict[str, str]:
    """Raises InvalidParameterValue, also for reserved tags that ask something of a group, TagQuotaPerResourceExceeded."""
    asked = read_tags(tags, of_snapshot=True)
    check_sharded(asked, sharded=False, what=what)
    check_saving(asked, saves=False, what=what)
    check_memcached(asked, memcached=False, what=what)
    refuse_relocation(asked, what)
    return asked


def refuse_unsupported(row: GroupRow, field: str) -> None:
    """Raises SnapshotFeatureNotSupportedFault."""
    if row.desired.shape is Shape.MEMCACHED and not has_snapshots(row.tags):
        raise _unsupported(
            f"{field}: {row.key.name} is a Memcached cluster, which has no snapshots in ElastiCache; here it can have "
            f"them with the tag {ASKED}={ON}."
        )
    if row.desired.node_type.startswith("cache.t1."):
        raise _unsupported(f"{field}: {row.key.name} has nodes of {row.desired.node_type}, which has no snapshots; change it.")


def _unsupported(message: str) -> AwsError:
    return AwsError("SnapshotFeatureNotSupportedFault", message)


def new_snapshot(
    context: Context,
    name: str,
    row: GroupRow,
    *,
    node: str = "",
    key: str = "",
    tags: Mapping[str, str] | None = None,
    final: bool = False,
) -> SnapshotRow:
    """node: the member that it has to be taken of. key: of KmsKeyId, "" for the group's own."""
    return Row(
        key=context.scope.key(Kind.SNAPSHOT, name),
        desired=SnapshotDesired(
            uid=context.entropy.hex(UID_BYTES),
            source=SnapshotSource.MANUAL,
            state=SnapshotState.CREATING,
            created_at=context.clock.now(),
            group=_as_it_is(row),
            group_name=row.key.name,
            replication_group=is_group(row),
            node=node,
            key_name=key or encrypted_with(row.desired),
            final=final,
        ),
        tags=dict(tags or {}),
    )


def encrypted_with(desired: GroupDesired) -> str:
    """The key of a group's snapshots, "" when they are not encrypted."""
    return (desired.key_name or DEFAULT) if desired.at_rest_encryption else ""


def snapshotting(row: GroupRow, name: str, *, final: bool = False) -> GroupRow:
    """The row while that snapshot is made. final: it is deleted afterwards."""
    desired = replace(row.desired, snapshotting=name, final_snapshot=name if final else "")
    return replace(row, desired=desired, status=replace(row.status, state=SNAPSHOTTING))


def _as_it_is(row: GroupRow) -> GroupDesired:
    """What a group that is restored gets: without what is under way."""
    shards = tuple(replace(shard, slots=owned(row, shard)) for shard in row.desired.shards)
    return replace(row.desired, shards=shards, snapshotting="", final_snapshot="", restore=None, pending=None)
