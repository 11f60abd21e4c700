"""Primaries that have piled up in one zone: Multi-AZ groups hand one role over when all is quiet. Pure.

Decides whether, which shard's and to whom; never for less than a majority in one zone, so that the loss of a zone does not take
a majority of votes along (operations 8, story 5). Called at the end of planning.clustered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from cachefleet.model.group import DesiredShard
from cachefleet.model.observed import ClusterView
from cachefleet.planning.agreement import agree, is_linked
from cachefleet.planning.draft import Draft
from cachefleet.planning.handover import asked_for
from cachefleet.planning.succession import candidates

FEWEST_SHARDS = 3  # with two, one zone or the other always holds half of the votes
QUIET_S = 10.0
AGAIN_S = 600.0  # the same shard's role is not moved again before: an engine that refuses is not asked for ever


def balance(draft: Draft, views: Mapping[str, ClusterView]) -> None:
    """At most one hand-over. Each makes the fullest zone one less full, and no other as full as it was: so they come to an
    end."""
    if draft.modifying or not draft.desired.multi_az or len(draft.desired.shards) < FEWEST_SHARDS or not _may_begin(draft):
        return
    crowd = Counter(draft.zone(shard.primary) for shard in draft.memory.shards.values())
    fullest, most = max(crowd.items(), key=lambda item: (item[1], item[0]))
    if most <= len(draft.desired.shards) // 2:
        return
    if draft.now - _last_change(draft) < QUIET_S:
        return
    moves = [
        (crowd[draft.zone(heir)], shard.shard_id, shard, heir)
        for shard in draft.desired.shards
        if draft.zone(draft.shard_memory(shard).primary) == fullest and _may_move(draft, shard)
        for heir in _heirs(draft, shard, views)
        if crowd[draft.zone(heir)] < most - 1
    ]
    if moves:
        _, _, shard, heir = min(moves, key=lambda move: move[:2])
        memory = draft.shard_memory(shard)
        memory.balanced_at = draft.now
        draft.tell_group(f"Primary node {memory.primary} hands over to {heir}, so that zones have equal parts of the primaries")
        agree(draft, memory, heir, views)


def _may_begin(draft: Draft) -> bool:
    """Everything is there and ready, nothing is under way, and no zone is out."""
    memories = [draft.shard_memory(shard) for shard in draft.desired.shards]
    under_way = any(
        not memory.taken or memory.handing_from or asked_for(shard, memory)
        for shard, memory in zip(draft.desired.shards, memories, strict=True)
    )
    whole = draft.memory.provisioned and all(node.name in draft.ready for node in draft.desired.nodes)
    return whole and not (under_way or draft.actions or draft.observed.zones_out or draft.desired.snapshotting)


def _last_change(draft: Draft) -> float:
    nodes, shards = draft.memory.nodes.values(), draft.memory.shards.values()
    return max(
        *(max(node.launched_at, node.ended_at, node.ready_at) for node in nodes), *(shard.decided_at for shard in shards)
    )


def _may_move(draft: Draft, shard: DesiredShard) -> bool:
    """A primary that was chosen by hand stays."""
    memory = draft.shard_memory(shard)
    rested = not memory.balanced_at or draft.now - memory.balanced_at >= AGAIN_S
    return rested and memory.primary != shard.handover_to


def _heirs(draft: Draft, shard: DesiredShard, views: Mapping[str, ClusterView]) -> list[str]:
    """They can take the role at once."""
    memory = draft.shard_memory(shard)
    others = [node.name for node in shard.nodes if node.name != memory.primary]
    return [name for name in candidates(draft, memory, others) if is_linked(views, name, memory.primary)]
