"""ListAllowedNodeTypeModifications: which node types a cluster or group may be changed to (reference 6, 13.3).

Pure but for reading the row: by memory, whatever the family; not between types with data tiering and without.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from cachefleet.api.context import Context
from cachefleet.api.group_rows import load_cluster, load_group
from cachefleet.api.registry import operation
from cachefleet.model.errors import invalid_combination, invalid_value
from cachefleet.model.group import Engine, GroupDesired
from cachefleet.reference.node_types import NodeType, all_node_types, node_type

if TYPE_CHECKING:
    from types_boto3_elasticache.type_defs import ListAllowedNodeTypeModificationsMessageTypeDef

_TIERED = "cache.r6gd."
_NO_FAILOVER = ("cache.t1.",)
_NO_ENCRYPTION = ("cache.t1.", "cache.m1.", "cache.m2.")


@operation("ListAllowedNodeTypeModifications", effective=("CacheClusterId", "ReplicationGroupId"))
async def list_allowed_node_type_modifications(
    context: Context, request: ListAllowedNodeTypeModificationsMessageTypeDef
) -> dict[str, Any]:
    cluster, group = request.get("CacheClusterId"), request.get("ReplicationGroupId")
    if bool(cluster) == bool(group):
        raise invalid_combination("Give exactly one of CacheClusterId and ReplicationGroupId.")
    row = await load_group(context, group) if group else await load_cluster(context, cluster or "")
    desired, declared = row.desired, context.settings.node_types
    present = node_type(desired.node_type, declared)
    if present is None:
        raise invalid_value(
            f"{desired.node_type}, the node type of {row.key.name}, is not declared in the settings any more; add it again."
        )
    up, down = allowed(desired, present, all_node_types(declared))
    return {"ScaleUpModifications": up, "ScaleDownModifications": down}


def allowed(desired: GroupDesired, present: NodeType, kinds: Iterable[NodeType]) -> tuple[list[str], list[str]]:
    """Names of types to scale up to, and down to, each in order. One of equal memory is among the former: all data fit."""
    up: list[str] = []
    down: list[str] = []
    for kind in kinds:
        if kind.name == present.name or not _fits(desired, present, kind):
            continue
        (up if _memory(desired, kind) >= _memory(desired, present) else down).append(kind.name)
    return sorted(up), sorted(down)


def _fits(desired: GroupDesired, present: NodeType, kind: NodeType) -> bool:
    """What the group has switched on is possible on that type, too (reference 3.3)."""
    if kind.name.startswith(_TIERED) != present.name.startswith(_TIERED):
        return False
    if desired.automatic_failover and kind.name.startswith(_NO_FAILOVER):
        return False
    return not (desired.at_rest_encryption and kind.name.startswith(_NO_ENCRYPTION))


def _memory(desired: GroupDesired, kind: NodeType) -> int:
    return kind.memcached_mb if desired.engine is Engine.MEMCACHED else kind.maxmemory_bytes
