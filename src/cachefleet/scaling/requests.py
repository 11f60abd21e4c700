"""How many of something a group has, and the request that makes it another number. Pure; called by the API and by
telemetry.scaler."""

from __future__ import annotations

from typing import Any

from cachefleet.model.row import GroupRow
from cachefleet.model.scaling import Dimension

_SHARDS, _MORE, _FEWER, _NODES = (
    "ModifyReplicationGroupShardConfiguration",
    "IncreaseReplicaCount",
    "DecreaseReplicaCount",
    "ModifyCacheCluster",
)
CHANGING = {
    Dimension.NODE_GROUPS: (_SHARDS,),
    Dimension.REPLICAS: (_MORE, _FEWER),
    Dimension.NODES: (_NODES,),
}


def capacity_of(row: GroupRow, dimension: Dimension) -> int:
    """As it is asked for: shards that are to leave do not count. Of replicas the smallest shard's."""
    if dimension is Dimension.NODE_GROUPS:
        return sum(not shard.leaving for shard in row.desired.shards)
    if dimension is Dimension.REPLICAS:
        return min(len(shard.nodes) for shard in row.desired.shards) - 1
    return len(row.desired.nodes)


def change_request(row: GroupRow, dimension: Dimension, before: int, after: int) -> tuple[str, dict[str, Any]]:
    """(ElastiCache's operation, its input). Shards and nodes that go are those with the highest numbers."""
    if dimension is Dimension.NODES:
        asked: dict[str, Any] = {"CacheClusterId": row.key.name, "NumCacheNodes": after, "ApplyImmediately": True}
        if after < before:
            asked["CacheNodeIdsToRemove"] = sorted(node.node_id for node in row.desired.nodes)[after:]
        return _NODES, asked
    asked = {"ReplicationGroupId": row.key.name, "ApplyImmediately": True}
    if dimension is Dimension.REPLICAS:
        return _MORE if after > before else _FEWER, {**asked, "NewReplicaCount": after}
    asked["NodeGroupCount"] = after
    if after < before:
        asked["NodeGroupsToRemove"] = sorted(shard.shard_id for shard in row.desired.shards)[after:]
    return _SHARDS, asked
