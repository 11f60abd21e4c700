"""Nodes that join a shard: their names and numbers, and whether a group may have so many.

Reads the store for names that others have; writes nothing. Called by the operations that add replicas or shards.
"""

from __future__ import annotations

from collections.abc import Sequence

from cachefleet.api.context import Context
from cachefleet.api.groups.group_nodes import names_in_use
from cachefleet.api.groups.replication_group_topology import member_name
from cachefleet.api.tag_rules import for_nodes
from cachefleet.model.errors import AwsError
from cachefleet.model.group import DesiredNode, Shape
from cachefleet.model.row import GroupRow


async def new_nodes(context: Context, row: GroupRow, shard_id: str, places: Sequence[str]) -> list[DesiredNode]:
    """One for each zone. Each has the lowest number that is free: no node of the group has its name, also none that is still
    being taken away, and no other cache cluster. The group's tags are copied to it."""
    taken, number, made = names_in_use(row), 0, list[DesiredNode]()
    for zone in places:
        while True:
            number += 1
            name = member_name(row.key.name, shard_id, number, row.desired.shape is Shape.CLUSTERED)
            if name not in taken and await context.store.owner(context.scope, name) is None:
                break
        made.append(DesiredNode(name, "0001", zone, context.clock.now(), tags=for_nodes(row.tags)))
    return made


def check_node_quota(context: Context, row: GroupRow, more: int) -> None:
    """Raises NodeQuotaForCustomerExceeded when the group may not have that many more nodes."""
    most, total = context.settings.api.nodes_per_group, len(row.desired.nodes) + more
    if total > most:
        raise AwsError(
            "NodeQuotaForCustomerExceeded",
            f"Cluster node quota exceeded: {total} nodes are more than the {most} that a group may have (setting "
            "api.nodes_per_group).",
        )
