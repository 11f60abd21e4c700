"""ListAllowedNodeTypeModifications: which node types a cluster or group may be changed to (reference 6, 13.3).

Pure but for reading the row: by memory, whatever the family; not between types with data tiering and without, nor to those that
do not go with the parameter group; down only where the data fit, and up only where the machine has the memory, where that is
promised (host.memory).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cachefleet.api.context import Context
from cachefleet.api.groups.capacity import with_room
from cachefleet.api.groups.group_rows import load_cluster, load_group
from cachefleet.api.groups.node_type_changes import allowed, fits
from cachefleet.api.parameters.parameter_group_rows import find_parameter_group
from cachefleet.api.registry import operation
from cachefleet.model.errors import invalid_combination, invalid_value
from cachefleet.reference.node_types import all_node_types, node_type
from cachefleet.reference.parameter_values import misfit
from cachefleet.reference.parameters import FAMILIES

if TYPE_CHECKING:
    from types_boto3_elasticache.type_defs import ListAllowedNodeTypeModificationsMessageTypeDef


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
    parameters = await find_parameter_group(context, desired.parameter_group)
    family, values = FAMILIES[parameters.family], parameters.values
    kinds = [kind for kind in all_node_types(declared) if not misfit(family, values, kind)]
    up, down = allowed(desired, present, kinds)
    up = await with_room(context, desired, up)
    return {"ScaleUpModifications": up, "ScaleDownModifications": [kind for kind in down if fits(row, kind, declared, values)]}
