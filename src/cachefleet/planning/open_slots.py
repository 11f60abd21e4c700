"""Slots of which some keys may be at each of two nodes, because their move key by key was broken off. Pure.

None is closed while keys may be at both ends: one that no move is journaled for is moved to where it was going, and back from
there when it is to be elsewhere. Marks that mean nothing any more are taken away. Called by planning.resharding.
"""

from __future__ import annotations

from cachefleet.model.group import SlotMove, SlotRanges
from cachefleet.model.observed import ClusterView
from cachefleet.model.plan import SettleSlots
from cachefleet.model.slots import contains, union
from cachefleet.planning.books import Views, in_motion, leading
from cachefleet.planning.draft import Draft


def open_at(view: ClusterView) -> SlotRanges:
    return union(tuple((mark.slot, mark.slot) for mark in view.open_slots))


def adopt_open_slots(draft: Draft, views: Views) -> None:
    leads = {
        shard.shard_id: view for shard in draft.desired.shards if (view := leading(draft, shard.shard_id, views)) is not None
    }
    shard_of = {view.my_id: shard_id for shard_id, view in leads.items()}
    owner = {
        mark.slot: shard_id
        for view in leads.values()
        for mark in view.open_slots
        for shard_id, owned in draft.memory.slots.items()
        if contains(owned, mark.slot)
    }
    for shard_id, view in leads.items():
        moot = []
        for mark in view.open_slots:
            slot: SlotRanges = ((mark.slot, mark.slot),)
            if contains(in_motion(draft), mark.slot):
                continue
            if mark.importing and owner[mark.slot] != shard_id:
                _adopt(draft, slot, owner[mark.slot], shard_id)
            elif not mark.importing and owner[mark.slot] == shard_id and shard_of.get(mark.other_id, shard_id) != shard_id:
                _adopt(draft, slot, shard_id, shard_of[mark.other_id])
            elif mark.importing or owner[mark.slot] != shard_id or _is_gone(draft, mark.other_id):
                moot.append(mark.slot)
        if moot:
            name = draft.memory.shards[shard_id].primary
            draft.act(SettleSlots(node=name, slots=union(tuple((slot, slot) for slot in moot))))


def _adopt(draft: Draft, slots: SlotRanges, source: str, target: str) -> None:
    for move in draft.memory.moves:
        if (move.source, move.target) == (source, target):
            move.slots = union(move.slots, slots)
            return
    draft.memory.moves.append(SlotMove(slots, source, target, begun_at=draft.now, progressed_at=draft.now, failures=1))


def _is_gone(draft: Draft, engine_id: str) -> bool:
    """It is no node's present identity, while all that run have told theirs."""
    if any(draft.running(name) and draft.live(name) is None for name in draft.memory.nodes):
        return False
    return all(known.engine_id != engine_id for known in draft.memory.nodes.values())
