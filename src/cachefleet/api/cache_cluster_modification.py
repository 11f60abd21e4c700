"""ModifyCacheCluster, for what needs no change of nodes: windows, notifications, security groups.

Such changes hold from the write on, ApplyImmediately or not (reference 2.3). A member of a replication group is changed through
its group.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from cachefleet.api.cache_cluster_creation import refuse_memcached_snapshots
from cachefleet.api.cache_cluster_topology import CROSS_AZ, SINGLE_AZ
from cachefleet.api.cache_cluster_views import cluster_nodes, cluster_view
from cachefleet.api.context import Context
from cachefleet.api.group_changes import not_yet, refuse_node_changes
from cachefleet.api.group_inputs import MODIFY_REFUSED, RECORDED
from cachefleet.api.group_rows import Change, load_cluster, update_group
from cachefleet.api.group_state import is_group, require_member_available
from cachefleet.api.group_validation import changed_settings
from cachefleet.api.names import folded
from cachefleet.api.registry import Refusal, operation
from cachefleet.model.errors import invalid_combination
from cachefleet.model.group import Shape
from cachefleet.model.row import GroupRow

if TYPE_CHECKING:
    from types_boto3_elasticache.type_defs import ModifyCacheClusterMessageTypeDef


@operation(
    "ModifyCacheCluster",
    effective=(
        "CacheClusterId",
        "NumCacheNodes",
        "AZMode",
        "CacheParameterGroupName",
        "Engine",
        "EngineVersion",
        "CacheNodeType",
    ),
    recorded={
        **RECORDED,
        "NotificationTopicStatus": RECORDED["NotificationTopicArn"],
        "ApplyImmediately": "every change that is possible now holds at once, either way",
    },
    refused={
        **MODIFY_REFUSED,
        "CacheNodeIdsToRemove": Refusal("changing the number of nodes is not implemented yet; leave it out", ([],)),
        "NewAvailabilityZones": Refusal("changing the number of nodes is not implemented yet; leave it out", ([],)),
        "ScaleConfig": Refusal("changing the node type is not implemented yet; leave it out"),
    },
)
async def modify_cache_cluster(context: Context, request: ModifyCacheClusterMessageTypeDef) -> dict[str, Any]:
    name = folded(request["CacheClusterId"])
    changes = changed_settings(context, request)
    row = await load_cluster(context, name)
    require_member_available(row, cluster_nodes(row, name)[0], name)
    _refuse_other_nodes(row, name, request)
    refuse_node_changes(row.desired, request)
    if row.desired.shape is Shape.MEMCACHED:
        refuse_memcached_snapshots(request)
    desired = replace(row.desired, **changes)
    if desired != row.desired:
        if is_group(row):
            raise invalid_combination(
                f"CacheClusterId: {name} is a member of replication group {row.key.name}, whose clusters share these settings; "
                "use ModifyReplicationGroup."
            )
        row = await update_group(context, Change(replace(row, desired=desired)))
    return {"CacheCluster": cluster_view(row, name)}


def _refuse_other_nodes(row: GroupRow, cluster: str, request: Mapping[str, Any]) -> None:
    """Raises InvalidParameterValue for another number of nodes, or other zones."""
    count = len(cluster_nodes(row, cluster))
    if request.get("NumCacheNodes") not in (None, count):
        raise not_yet("NumCacheNodes", count)
    present = CROSS_AZ if row.desired.az_mode == CROSS_AZ else SINGLE_AZ
    if request.get("AZMode") not in (None, "", present):
        raise not_yet("AZMode", present)
