"""The two ends of a move of slots: who is primary there, and whether a move can begin between them now. Pure.

Says why not, in words for people. Called by planning.resharding.
"""

from __future__ import annotations

import msgspec

from cachefleet.model.group import DesiredShard, SlotMove
from cachefleet.model.observed import ClusterView
from cachefleet.planning.books import Views, leading
from cachefleet.planning.draft import Draft
from cachefleet.planning.handover import asked_for
from cachefleet.planning.rolling import is_rolling

AWAY_S = 10.0  # a member that has had no process for so long (its zone is out, it cannot start) holds no move up


class Ends(msgspec.Struct, frozen=True):
    source_name: str
    target_name: str
    source: ClusterView
    target: ClusterView


def ends_of(draft: Draft, move: SlotMove, views: Views) -> Ends | str:
    """Primaries that are seen in their roles, keep them and know each other; else what is missing."""
    found = []
    for shard_id in (move.source, move.target):
        view = leading(draft, shard_id, views)
        if view is None:
            return f"node group {shard_id} has no primary at present"
        if draft.memory.shards[shard_id].handing_from:
            return f"the role of the primary of node group {shard_id} is on its way"
        found.append(view)
    source, target = found
    if not (_knows(source, target) and _knows(target, source)):
        return f"primaries of node groups {move.source} and {move.target} have not heard of each other yet"
    shards = draft.memory.shards
    return Ends(shards[move.source].primary, shards[move.target].primary, source, target)


def _knows(view: ClusterView, other: ClusterView) -> bool:
    known = view.nodes.get(other.my_id)
    return known is not None and not known.handshake and known.primary


def why_not_now(draft: Draft, move: SlotMove, ends: Ends, views: Views) -> str:
    """Why nothing may begin between them now; "" when it may. Hand-overs that were asked for, and nodes that are to be launched
    anew, wait for moves that have begun; so those do not wait for them."""
    begun = any(known is move for known in draft.memory.moves)
    if is_rolling(draft) and not begun:
        return "nodes are launched anew in another form"
    for shard in draft.desired.shards:
        memory = draft.shard_memory(shard)
        if (asked_for(shard, memory) and not begun) or memory.handing_from or not memory.taken:
            return f"the role of the primary of node group {shard.shard_id} is on its way"
        if shard.shard_id in (move.source, move.target):
            missing = _missing(draft, shard)
            if missing:
                return f"{', '.join(missing)} is not ready"
    for name in (ends.source_name, ends.target_name):
        node = draft.live(name)
        if node is None or node.has_child:
            return f"{name} sends its data to a replica"
    if not (ends.source.ok and ends.target.ok):
        return "the cluster is not whole"
    if any(not _heard(view, end) for view in views.values() for end in (ends.source, ends.target)):
        return "not every node has heard of all others yet"
    return ""


def _missing(draft: Draft, shard: DesiredShard) -> list[str]:
    """Members that are about to be ready; what is moved had better be copied to them at once."""
    names = [node.name for node in shard.nodes if node.name not in draft.ready]
    return [name for name in names if draft.running(name) or not _is_away(draft, name)]


def _is_away(draft: Draft, name: str) -> bool:
    ended_at = draft.remembered(name).ended_at
    return bool(ended_at) and draft.now - ended_at > AWAY_S


def _heard(view: ClusterView, end: ClusterView) -> bool:
    known = view.nodes.get(end.my_id)
    return known is not None and not known.handshake
