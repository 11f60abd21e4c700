"""DescribeCacheClusters, DeleteCacheCluster and RebootCacheCluster, for clusters of their own and members of groups.

Reads rows and writes desired state; engines are started, stopped and taken away by the controller.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from cachefleet.api.context import Context
from cachefleet.api.groups.cache_cluster_views import cluster_fragment, cluster_nodes, cluster_view
from cachefleet.api.groups.group_rows import Change, load_cluster, update_group
from cachefleet.api.groups.group_state import DELETING, MODIFYING, REBOOTING, is_group, require_member_available
from cachefleet.api.groups.replica_membership import without_replica
from cachefleet.api.groups.replication_groups import deleted
from cachefleet.api.names import folded, quoted
from cachefleet.api.paging import cut, page_of, reply
from cachefleet.api.registry import operation
from cachefleet.api.snapshots.final_snapshots import begin_final_snapshot
from cachefleet.model.errors import AwsError, invalid_combination, invalid_value
from cachefleet.model.group import Shape
from cachefleet.model.resource import Kind
from cachefleet.model.row import GroupRow

if TYPE_CHECKING:
    from types_boto3_elasticache.type_defs import (
        DeleteCacheClusterMessageTypeDef,
        DescribeCacheClustersMessageTypeDef,
        RebootCacheClusterMessageTypeDef,
    )


@operation(
    "DescribeCacheClusters",
    effective=("CacheClusterId", "MaxRecords", "Marker", "ShowCacheNodeInfo", "ShowCacheClustersNotInReplicationGroups"),
)
async def describe_cache_clusters(context: Context, request: DescribeCacheClustersMessageTypeDef) -> dict[str, Any]:
    page = page_of(request, "cache-clusters")
    show_nodes = bool(request.get("ShowCacheNodeInfo"))
    alone = bool(request.get("ShowCacheClustersNotInReplicationGroups"))
    name = folded(request.get("CacheClusterId") or "")
    if name:
        row = await load_cluster(context, name)
        found = [] if alone and is_group(row) else [(name, row)]
    elif alone:
        rows = await context.store.rows(Kind.CACHE_CLUSTER, context.scope, page.after, page.fetch)
        found = [(row.key.name, row) for row in rows]
    else:
        found = await context.store.members(context.scope, page.after, page.fetch)
    shown, marker = cut(found, page, lambda item: item[0])
    return reply("CacheClusters", [cluster_fragment(row, cluster, show_nodes) for cluster, row in shown], marker)


@operation(
    "DeleteCacheCluster",
    effective=("CacheClusterId", "FinalSnapshotIdentifier"),
)
async def delete_cache_cluster(context: Context, request: DeleteCacheClusterMessageTypeDef) -> dict[str, Any]:
    name = folded(request["CacheClusterId"])
    row = await load_cluster(context, name)
    final = request.get("FinalSnapshotIdentifier")
    if final and is_group(row):
        raise invalid_combination(
            f"FinalSnapshotIdentifier: {name} is a member of replication group {row.key.name}, which keeps the data; use "
            "CreateSnapshot, or delete the group with a final snapshot."
        )
    if final:
        row = await begin_final_snapshot(context, row, final)
    else:
        await update_group(context, without_replica(row, name) if is_group(row) else Change(deleted(row)))
    return {"CacheCluster": {**cluster_view(row, name), "CacheClusterStatus": DELETING}}


@operation("RebootCacheCluster", effective=("CacheClusterId", "CacheNodeIdsToReboot"))
async def reboot_cache_cluster(context: Context, request: RebootCacheClusterMessageTypeDef) -> dict[str, Any]:
    name = folded(request["CacheClusterId"])
    row = rebooted(await load_cluster(context, name), name, request["CacheNodeIdsToReboot"])
    return {"CacheCluster": cluster_view(await update_group(context, Change(row)), name)}


def rebooted(row: GroupRow, cluster: str, node_ids: Sequence[str]) -> GroupRow:
    """The row with the reboot of these nodes asked for (reference 2.5). Raises InvalidParameterValue,
    InvalidCacheClusterState."""
    nodes = cluster_nodes(row, cluster)
    known = [node.node_id for node in nodes]
    if not node_ids:
        raise invalid_value(f"CacheNodeIdsToReboot is empty; name at least one of {', '.join(known)}.")
    for node_id in node_ids:
        if node_id not in known:
            raise invalid_value(
                f"CacheNodeIdsToReboot: {quoted(node_id)} is no node of {cluster}; its nodes are {', '.join(known)}."
            )
    if row.desired.shape is Shape.CLUSTERED:
        raise AwsError(
            "InvalidCacheClusterState",
            f"Cache cluster {cluster} cannot be rebooted: its replication group {row.key.name} has cluster mode enabled.",
        )
    require_member_available(row, nodes[0], cluster)
    if row.status.state == MODIFYING:  # others that are rebooted are no reason
        raise AwsError(
            "InvalidCacheClusterState",
            f"Cache cluster {cluster} cannot be rebooted while its replication group {row.key.name} has status {MODIFYING}.",
        )
    chosen = {node.name for node in nodes if node.node_id in node_ids}
    shards = tuple(
        replace(
            shard,
            nodes=tuple(replace(node, reboots=node.reboots + 1) if node.name in chosen else node for node in shard.nodes),
        )
        for shard in row.desired.shards
    )
    states = {name: replace(status, state=REBOOTING) if name in chosen else status for name, status in row.status.nodes.items()}
    status = replace(row.status, state=REBOOTING, nodes=states)
    return replace(row, desired=replace(row.desired, shards=shards), status=status)
