"""DescribeReplicationGroups and DeleteReplicationGroup.

Reads rows and writes desired state; processes, addresses and the row itself are taken away by the controller.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from cachefleet.api.context import Context
from cachefleet.api.groups.group_rows import Change, load_group, update_group
from cachefleet.api.groups.group_state import DELETING, require_deletable
from cachefleet.api.groups.primary_exchange import retain_primary
from cachefleet.api.groups.replication_group_views import group_fragment, group_view
from cachefleet.api.names import folded
from cachefleet.api.paging import cut, page_of, reply
from cachefleet.api.registry import operation
from cachefleet.api.snapshots.final_snapshots import begin_final_snapshot
from cachefleet.model.errors import invalid_combination
from cachefleet.model.resource import Kind
from cachefleet.model.row import GroupRow

if TYPE_CHECKING:
    from types_boto3_elasticache.type_defs import DeleteReplicationGroupMessageTypeDef, DescribeReplicationGroupsMessageTypeDef


@operation("DescribeReplicationGroups", effective=("ReplicationGroupId", "MaxRecords", "Marker"))
async def describe_replication_groups(context: Context, request: DescribeReplicationGroupsMessageTypeDef) -> dict[str, Any]:
    page = page_of(request, "replication-groups")
    name = request.get("ReplicationGroupId")
    if name:
        return reply("ReplicationGroups", [group_fragment(await load_group(context, name))], None)
    rows = await context.store.rows(Kind.REPLICATION_GROUP, context.scope, page.after, page.fetch)
    shown, marker = cut(rows, page, lambda row: row.key.name)
    return reply("ReplicationGroups", [group_fragment(row) for row in shown], marker)


@operation(
    "DeleteReplicationGroup",
    effective=("ReplicationGroupId", "RetainPrimaryCluster", "FinalSnapshotIdentifier"),
)
async def delete_replication_group(context: Context, request: DeleteReplicationGroupMessageTypeDef) -> dict[str, Any]:
    name, final = folded(request["ReplicationGroupId"]), request.get("FinalSnapshotIdentifier")
    if final and request.get("RetainPrimaryCluster"):
        raise invalid_combination(
            "FinalSnapshotIdentifier: with RetainPrimaryCluster the data stay where they are; leave one of the two out."
        )
    if final:
        return {"ReplicationGroup": group_view(await begin_final_snapshot(context, await load_group(context, name), final))}
    if request.get("RetainPrimaryCluster"):
        return {"ReplicationGroup": group_view(deleted(await retain_primary(context, name)))}
    row = await update_group(context, Change(deleted(await load_group(context, name))))
    return {"ReplicationGroup": group_view(row)}


def deleted(row: GroupRow) -> GroupRow:
    """The row with its deletion asked for. Raises InvalidReplicationGroupState, InvalidCacheClusterState."""
    require_deletable(row)
    return replace(row, desired=replace(row.desired, deleting=True), status=replace(row.status, state=DELETING))
