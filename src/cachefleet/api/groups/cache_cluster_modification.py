"""ModifyCacheCluster: the nodes of a cluster, and what needs no change of nodes (windows, notifications ...).

The latter hold from the write on, ApplyImmediately or not; the former wait without it (reference 2.3). A member of a
replication group is changed through its group.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from cachefleet.api.access.group_access import changed_access
from cachefleet.api.context import Context
from cachefleet.api.groups.cache_cluster_creation import refuse_memcached_snapshots
from cachefleet.api.groups.cache_cluster_views import cluster_nodes, cluster_view
from cachefleet.api.groups.group_changes import asked_change, changed, waiting
from cachefleet.api.groups.group_inputs import MODIFY_REFUSED
from cachefleet.api.groups.group_rows import load_cluster, update_group
from cachefleet.api.groups.group_state import MODIFYING, is_group, require_member_available
from cachefleet.api.groups.group_validation import asked_snapshot_window, changed_settings, check_topic_status
from cachefleet.api.groups.memcached_nodes import asked_nodes_change
from cachefleet.api.logs.log_deliveries import changed_logs
from cachefleet.api.names import folded
from cachefleet.api.registry import operation
from cachefleet.model.errors import invalid_combination
from cachefleet.model.group import Shape
from cachefleet.model.memcached_snapshots import has_snapshots

if TYPE_CHECKING:
    from types_boto3_elasticache.type_defs import ModifyCacheClusterMessageTypeDef


@operation(
    "ModifyCacheCluster",
    effective=(
        "CacheClusterId",
        "NumCacheNodes",
        "CacheNodeIdsToRemove",
        "AZMode",
        "NewAvailabilityZones",
        "ApplyImmediately",
        "CacheParameterGroupName",
        "Engine",
        "EngineVersion",
        "CacheNodeType",
        "ScaleConfig",
        "AuthToken",
        "AuthTokenUpdateStrategy",
        "PreferredMaintenanceWindow",
        "AutoMinorVersionUpgrade",
        "SnapshotRetentionLimit",
        "SnapshotWindow",
        "SecurityGroupIds",
        "NotificationTopicArn",
        "NotificationTopicStatus",
        "LogDeliveryConfigurations",
    ),
    refused=MODIFY_REFUSED,
)
async def modify_cache_cluster(context: Context, request: ModifyCacheClusterMessageTypeDef) -> dict[str, Any]:
    name = folded(request["CacheClusterId"])
    changes = changed_settings(context, request)
    row = await load_cluster(context, name)
    require_member_available(row, cluster_nodes(row, name)[0], name)
    if row.desired.shape is Shape.MEMCACHED and not has_snapshots(row.tags):
        refuse_memcached_snapshots(request)
    elif not (row.desired.snapshot_window or request.get("SnapshotWindow")):  # a Memcached cluster that had no snapshots
        changes["snapshot_window"] = asked_snapshot_window(context, None)
    changes |= await changed_logs(context, row.desired, request)
    after, pending = await asked_nodes_change(
        context, replace(row, desired=replace(row.desired, **changes)), request, waiting(row)
    )
    check_topic_status(after.desired, request)
    change = await changed(context, after, await asked_change(context, after, request, pending), request)
    access = await changed_access(context, row, change.row, request)
    if access.desired != change.row.desired:
        status = replace(change.row.status, state=MODIFYING)
        change = replace(change, row=replace(change.row, desired=access.desired, status=status))
    if change.row.desired != row.desired:
        if is_group(row):
            raise invalid_combination(
                f"CacheClusterId: {name} is a member of replication group {row.key.name}, whose clusters share these settings; "
                "use ModifyReplicationGroup."
            )
        row = await update_group(context, change)
    return {"CacheCluster": cluster_view(row, name)}
