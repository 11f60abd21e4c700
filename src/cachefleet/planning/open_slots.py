"""Slots of which some keys may be at each of two nodes, because their move key by key was broken off. Pure.

None is closed while keys may be at both ends: one that no move is journaled for is moved to where it was going. Marks that mean
nothing any more are taken away. Called by planning.resharding.
"""

from __future__ import annotations

from cachefleet.model.group import SlotMove, SlotRanges
from cachefleet.model.observed import ClusterView, OpenSlot
from cachefleet.model.plan import SettleSlots
from cachefleet.model.slots import common, contains, union, without
from cachefleet.planning.books import Views, in_motion, leading
from cachefleet.planning.draft import Draft
from cachefleet.planning.move_ends import Ends

STRAY_S = 10.0  # somebody who moves slots by hand is left alone for so long


def open_at(view: ClusterView) -> SlotRanges:
    """Slots that the node has marks of."""
    return union(tuple((mark.slot, mark.slot) for mark in view.open_slots))


def gather_strays(draft: Draft, views: Views) -> None:
    """Half-moved slots that no move is journaled for become part of one, or lose their marks."""
    moving = in_motion(draft)
    leads = {
        shard.shard_id: view for shard in draft.desired.shards if (view := leading(draft, shard.shard_id, views)) is not None
    }
    strays = [
        (shard_id, mark) for shard_id, view in leads.items() for mark in view.open_slots if not contains(moving, mark.slot)
    ]
    if not strays:
        draft.memory.strays_since = 0.0
        return
    draft.waiting = True
    draft.memory.strays_since = draft.memory.strays_since or draft.now
    if draft.now - draft.memory.strays_since < STRAY_S and not draft.memory.slots_to_move:
        return
    at = {view.my_id: shard_id for shard_id, view in leads.items()}
    moot: dict[str, SlotRanges] = {}
    for shard_id, mark in strays:
        owner = next(each for each, slots in draft.memory.slots.items() if contains(slots, mark.slot))
        other = at.get(mark.other_id, "")
        if mark.importing and owner != shard_id:
            _adopt(draft, mark, owner, shard_id)
        elif not mark.importing and owner == shard_id and other not in ("", shard_id):
            _adopt(draft, mark, shard_id, other)
        elif mark.importing or owner != shard_id or _is_gone(draft, mark.other_id):
            moot[shard_id] = union(moot.get(shard_id, ()), ((mark.slot, mark.slot),))
    for shard_id, slots in moot.items():
        draft.act(SettleSlots(node=draft.memory.shards[shard_id].primary, slots=slots))


def unheard_of(draft: Draft, move: SlotMove, ends: Ends) -> SlotRanges:
    """Slots that the target has a mark of from a source that is no more, and whose new owner it does not know: of a slot with
    such a mark, engines do not let gossip change the owner, so they would be nobody's to it for ever."""
    dead = [mark.slot for mark in ends.target.open_slots if mark.importing and _is_gone(draft, mark.other_id)]
    marked = common(move.slots, union(*(((slot, slot),) for slot in dead)))
    known = ends.target.nodes[ends.source.my_id].slots
    return without(common(marked, ends.source.nodes[ends.source.my_id].slots), known) if marked else ()


def _adopt(draft: Draft, mark: OpenSlot, source: str, target: str) -> None:
    slots: SlotRanges = ((mark.slot, mark.slot),)
    moves = draft.memory.moves
    for move in moves:
        if (move.source, move.target) == (source, target) and move.by_keys:
            move.slots = union(move.slots, slots)
            return
    if not contains(in_motion(draft), mark.slot):
        moves.append(SlotMove(slots, source, target, begun_at=draft.now, progressed_at=draft.now, by_keys=True))


def _is_gone(draft: Draft, engine_id: str) -> bool:
    """It is no node's present identity, while all that run have told theirs."""
    if any(draft.running(name) and draft.live(name) is None for name in draft.memory.nodes):
        return False
    return all(known.engine_id != engine_id for known in draft.memory.nodes.values())
