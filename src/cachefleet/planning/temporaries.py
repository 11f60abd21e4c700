"""Temporary replicas: a shard with one node has a second one for as long as the first is changed (ShardMemory.temporary). Pure.

Decides what the group is with them and without them; when one is needed is planning.rolling's business. Planners see them as
nodes like any other; users, views and operations never do. Called by planning.group and planning.addresses.
"""

from __future__ import annotations

from msgspec.structs import replace

from cachefleet.model.group import DesiredNode, DesiredShard, GroupDesired, GroupMemory
from cachefleet.model.temporary import is_temporary, temporary_of


def effective(desired: GroupDesired, memory: GroupMemory) -> GroupDesired:
    """The group with its temporary nodes. The same again for a group that has them."""
    if not any(shard.temporary for shard in memory.shards.values()):
        return desired
    return replace(desired, shards=tuple(_with_temporary(shard, memory) for shard in desired.shards))


def lasting(desired: GroupDesired) -> GroupDesired:
    """The group without temporary nodes, as it is stored."""
    if not any(is_temporary(node.name) for node in desired.nodes):
        return desired
    return replace(desired, shards=tuple(replace(shard, nodes=tuple(lasting_nodes(shard.nodes))) for shard in desired.shards))


def lasting_nodes(nodes: tuple[DesiredNode, ...]) -> list[DesiredNode]:
    return [node for node in nodes if not is_temporary(node.name)]


def _with_temporary(shard: DesiredShard, memory: GroupMemory) -> DesiredShard:
    known = memory.shards.get(shard.shard_id)
    if known is None or not known.temporary or any(is_temporary(node.name) for node in shard.nodes):
        return shard
    first = shard.nodes[0]
    return replace(shard, nodes=(*shard.nodes, DesiredNode(temporary_of(first.name), first.node_id, first.zone, 0.0)))
