"""Which node of each shard a snapshot is taken of. Pure.

A replica that gets every write at once comes before the primary, so that clients of the primary feel nothing of it. Nothing is
taken while a role or slots are on their way. Of a Memcached cluster it is taken of all nodes. Decides from a group's row alone;
called by control.backups, outside of a pass.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from cachefleet.model.group import (
    DesiredNode,
    DesiredShard,
    GroupMemory,
    NodeMemory,
    Shape,
    ShardMemory,
    SlotRanges,
    incarnation,
)
from cachefleet.model.observed import Address
from cachefleet.model.row import GroupRow


class Source(msgspec.Struct, frozen=True):
    """One shard's data are taken of this node."""

    shard_id: str
    slots: SlotRanges  # that it owns by the books; none with cluster mode disabled
    node: str
    address: Address
    zone: str
    created_at: float  # of the node, epoch seconds


def sources(row: GroupRow, node: str = "", avoid: Collection[str] = ()) -> list[Source] | str:
    """One for each shard; or why there is none now. node: the one that it has to be taken of, which is in a group of one shard.
    avoid: nodes at which it has just failed; they come last."""
    why = _why_not_now(row)
    if why:
        return why
    if row.desired.shape is Shape.MEMCACHED:
        return _every_node(row)
    if node and all(member.name != node for member in row.desired.nodes):
        return f"there is no node {node} in it"
    found = []
    for shard in row.desired.shards:
        source = _source(row, shard, node, avoid)
        if isinstance(source, str):
            return source
        found.append(source)
    return found


def _every_node(row: GroupRow) -> list[Source] | str:
    """Each has items that no other has."""
    found = []
    for member in row.desired.nodes:
        known = row.memory.nodes.get(member.name)
        if known is None or not _is_up(known):
            return f"{member.name} is not ready"
        found.append(_source_at(row, row.desired.shards[0].shard_id, member))
    return found


def _why_not_now(row: GroupRow) -> str:
    desired, memory = row.desired, row.memory
    if desired.deleting:
        return "it is being deleted"
    if not memory.provisioned:
        return "it has not been available yet"
    if memory.moves:
        return "slots are on their way"
    for shard in desired.shards if desired.shape is not Shape.MEMCACHED else ():
        known = memory.shards.get(shard.shard_id)
        if known is None or not known.taken or known.handing_from or known.headless or shard.handovers > known.handovers:
            return f"the primary role of node group {shard.shard_id} is on its way"
    return ""


def _source(row: GroupRow, shard: DesiredShard, node: str, avoid: Collection[str]) -> Source | str:
    memory = row.memory
    primary = memory.shards[shard.shard_id]
    fit = [member for member in shard.nodes if node in ("", member.name) and _is_fit(memory, primary, member.name)]
    if not fit:
        return f"{node or f'every node of node group {shard.shard_id}'} is not ready, or lags behind its primary"
    return _source_at(row, shard.shard_id, _best(fit, primary.primary, avoid))


def _source_at(row: GroupRow, shard_id: str, node: DesiredNode) -> Source:
    known = row.memory.nodes[node.name]
    launch = incarnation(row.desired.uid, node.name, known.launches)
    return Source(
        shard_id=shard_id,
        slots=row.memory.slots.get(shard_id, ()) if row.desired.shape is Shape.CLUSTERED else (),
        node=node.name,
        address=_address(row, known, launch),
        zone=known.zone,
        created_at=node.created_at,
    )


def _address(row: GroupRow, known: NodeMemory, launch: str) -> Address:
    if known.form is None:
        return Address(known.address, row.desired.port, launch, row.desired.transit)
    return Address(known.address, known.form.port, launch, known.form.transit, row.memory.encrypted_links)


def _best(fit: Sequence[DesiredNode], primary: str, avoid: Collection[str]) -> DesiredNode:
    """Replicas that are fit have every write: among them the first by name will do."""
    return min(fit, key=lambda member: (member.name in avoid, member.name == primary, member.name))


def _is_fit(memory: GroupMemory, shard: ShardMemory, name: str) -> bool:
    known = memory.nodes.get(name)
    if known is None or not _is_up(known):
        return False
    return name == shard.primary or not known.lagging_since


def _is_up(known: NodeMemory) -> bool:
    ends = known.launches in (known.given_up, known.roll_of, known.reboot_of)
    return known.ready and not known.ended_at and not ends
