"""Whether more nodes can run: asked of the host, which is told how many they are and what all nodes together may then hold.

Called by the operations that make nodes, inside the transaction that stores them: of two at once the second counts the first.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from cachefleet.api.context import Context
from cachefleet.model.errors import AwsError
from cachefleet.model.group import Engine, GroupDesired
from cachefleet.model.proof import is_proof
from cachefleet.model.resource import GROUP_KINDS
from cachefleet.model.row import GroupRow
from cachefleet.planning.pending import applied
from cachefleet.reference.node_types import node_type

_MB = 1024 * 1024


async def refuse_capacity(context: Context, desired: GroupDesired, nodes: int, memory_bytes: int | None = None) -> None:
    """Raises InsufficientCacheClusterCapacity when that many more nodes of this group cannot run here. memory_bytes: how much
    more its nodes may hold then, None for so many nodes' share."""
    if memory_bytes is None:
        memory_bytes = nodes * _node_bytes(context, desired)
    if context.settings.host.memory == "reserve":  # otherwise nobody asks what the others may hold
        memory_bytes += await _promised_bytes(context)
    why = context.refuses(nodes, memory_bytes)
    if why:
        what = f"{nodes} more {desired.node_type} nodes" if nodes else f"Nodes with {memory_bytes // _MB} MB more in all"
        raise AwsError("InsufficientCacheClusterCapacity", f"{what} cannot run here: {why}")


async def with_room(context: Context, desired: GroupDesired, kinds: Sequence[str]) -> list[str]:
    """Those of these node types with which the group's nodes would still find memory here."""
    if context.settings.host.memory != "reserve":
        return list(kinds)
    promised_bytes = await _promised_bytes(context)
    more = {kind: more_bytes(context, desired, replace(desired, node_type=kind)) for kind in kinds}
    return [kind for kind, size_bytes in more.items() if size_bytes <= 0 or not context.refuses(0, promised_bytes + size_bytes)]


def more_bytes(context: Context, before: GroupDesired, after: GroupDesired) -> int:
    """How much more the group's nodes may hold, what is pending included; negative when it is less."""
    return _group_bytes(context, after) - _group_bytes(context, before)


async def _promised_bytes(context: Context) -> int:
    """What the nodes of all groups may hold, of every account and region."""
    rows: list[GroupRow] = await context.store.every(GROUP_KINDS)
    # A proof begins only where there is room, and makes it soon.
    return sum(_group_bytes(context, row.desired) for row in rows if not is_proof(row.key))


def _group_bytes(context: Context, desired: GroupDesired) -> int:
    """Of all nodes, at present or with what is pending, whichever is more: what was accepted must not lack memory then."""
    present = len(desired.nodes) * _node_bytes(context, desired)
    if desired.pending is None:
        return present
    then = applied(desired, desired.pending, 0.0)
    return max(present, len(then.nodes) * _node_bytes(context, then))


def _node_bytes(context: Context, desired: GroupDesired) -> int:
    """By node type, before anything is reserved; 0 when the setting that declared it is gone."""
    kind = node_type(desired.node_type, context.settings.node_types)
    if kind is None:
        return 0
    return kind.memcached_mb * _MB if desired.engine is Engine.MEMCACHED else kind.maxmemory_bytes
