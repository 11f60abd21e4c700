"""Whether more nodes can run: asked of the host, which is told how many they are and what all nodes together may then hold.

Called by the operations that make nodes, inside the transaction that stores them: of two at once the second counts the first.
"""

from __future__ import annotations

from cachefleet.api.context import Context
from cachefleet.model.errors import AwsError
from cachefleet.model.group import Engine, GroupDesired
from cachefleet.model.resource import GROUP_KINDS
from cachefleet.model.row import GroupRow
from cachefleet.reference.node_types import node_type

_MB = 1024 * 1024


async def refuse_capacity(context: Context, desired: GroupDesired, nodes: int) -> None:
    """Raises InsufficientCacheClusterCapacity when that many more nodes of this group cannot run here."""
    memory_bytes = nodes * _node_bytes(context, desired)
    if context.settings.host.memory == "reserve":  # otherwise nobody asks what the others may hold
        memory_bytes += await _promised_bytes(context)
    why = context.refuses(nodes, memory_bytes)
    if why:
        raise AwsError("InsufficientCacheClusterCapacity", f"{nodes} more {desired.node_type} nodes cannot run here: {why}")


async def _promised_bytes(context: Context) -> int:
    """What the nodes of all groups may hold, of every account and region."""
    promised_bytes = 0
    for key in await context.store.keys(GROUP_KINDS):
        row: GroupRow | None = await context.store.get(key)
        if row is not None:
            promised_bytes += len(row.desired.nodes) * _node_bytes(context, row.desired)
    return promised_bytes


def _node_bytes(context: Context, desired: GroupDesired) -> int:
    """By node type, before anything is reserved; 0 when the setting that declared it is gone."""
    kind = node_type(desired.node_type, context.settings.node_types)
    if kind is None:
        return 0
    return kind.memcached_mb * _MB if desired.engine is Engine.MEMCACHED else kind.maxmemory_bytes
