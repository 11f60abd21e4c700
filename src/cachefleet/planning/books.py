"""The books of slots: which shard owns which, every slot exactly once at any time. Pure.

They follow what primaries are seen to own, first for moves that the planner has journaled, then for what somebody did by hand;
what a primary may claim follows the books, never what is asked for. Moves nothing. Called by planning.clustered at the
beginning of a pass (keep_books) and at its end (take_emptied_away).
"""

from __future__ import annotations

from msgspec.structs import replace

from cachefleet.model.group import SLOTS, SlotMove, SlotRanges
from cachefleet.model.observed import ClusterView
from cachefleet.model.plan import Erase, Stop
from cachefleet.model.slots import common, count, union, without
from cachefleet.planning.draft import Draft
from cachefleet.planning.resharding_progress import owned

ALL: SlotRanges = ((0, SLOTS - 1),)
DISCLAIMED_S = 5.0  # a target that lives and says for so long that it does not own what the source gave it has to claim it

Claims = dict[str, SlotRanges]  # shard id -> what its members that say that they are primaries say that they own
Views = dict[str, ClusterView]  # by node name, of those that answer


def keep_books(draft: Draft, views: Views) -> None:
    """Afterwards every slot is in the books of exactly one shard of the group."""
    claims = {shard.shard_id: _claimed([node.name for node in shard.nodes], views) for shard in draft.desired.shards}
    _seed(draft, claims)
    for move in draft.memory.moves:
        _note_arrived(draft, move, claims)
        _note_handed_over(draft, move, claims, views)
    draft.memory.moves = [move for move in draft.memory.moves if move.slots]
    _note_drift(draft, claims, views)


def in_motion(draft: Draft) -> SlotRanges:
    """Slots of all moves."""
    return union(*(move.slots for move in draft.memory.moves))


def leading(draft: Draft, shard_id: str, views: Views) -> ClusterView | None:
    """The view of the shard's primary while it is seen in its role."""
    memory = draft.memory.shards.get(shard_id)
    view = views.get(memory.primary) if memory is not None and memory.taken else None
    return view if view is not None and view.nodes[view.my_id].primary else None


def claimed_by_members(view: ClusterView) -> SlotRanges:
    """What a node says of itself."""
    mine = view.nodes[view.my_id]
    return mine.slots if mine.primary else ()


def stay(draft: Draft, slots: SlotRanges) -> None:
    """From now on these are to be where the books say that they are; a shard that keeps some does not leave."""
    desired = draft.changed or draft.desired
    shards = []
    for shard in desired.shards:
        target = union(without(shard.slots, slots), common(owned(draft.memory, shard.shard_id), slots))
        shards.append(replace(shard, slots=target, leaving=shard.leaving and not target))
    draft.changed = replace(desired, shards=tuple(shards))


def take_emptied_away(draft: Draft, views: Views) -> None:
    """Shards that are to leave and own nothing any more are no part of the group from now on; their nodes depart. Nothing that
    was planned for these in this pass is done: what it follows from, such as who is primary, is not saved with it."""
    busy = {shard_id for move in draft.memory.moves for shard_id in (move.source, move.target)}
    empty = [
        shard
        for shard in draft.desired.shards
        if shard.leaving
        and shard.shard_id not in busy
        and not owned(draft.memory, shard.shard_id)
        and not _claimed([node.name for node in shard.nodes], views)
    ]
    if not empty:
        return
    gone = {shard.shard_id for shard in empty}
    desired = draft.changed or draft.desired
    draft.changed = replace(desired, shards=tuple(shard for shard in desired.shards if shard.shard_id not in gone))
    names = {node.name for shard in empty for node in shard.nodes}
    draft.actions[:] = [action for action in draft.actions if action.node not in names or isinstance(action, Stop | Erase)]
    for shard_id in gone:
        draft.memory.shards.pop(shard_id, None)
        draft.memory.slots.pop(shard_id, None)


# --- following -----------------------------------------------------------------------------------------------------


def _claimed(names: list[str], views: Views) -> SlotRanges:
    return union(*(claimed_by_members(views[name]) for name in names if name in views))


def _seed(draft: Draft, claims: Claims) -> None:
    """At the first look: of a group that is older than the books, what primaries own, where that is every slot once; else what
    is asked for. Later: shards that came are in the books, too, and what should be in none is the business of who is to own
    it."""
    books = draft.memory.slots
    if not books:
        whole = union(*claims.values()) == ALL and sum(map(count, claims.values())) == SLOTS
        books.update(claims if whole else {shard.shard_id: union(shard.slots) for shard in draft.desired.shards})
    present = {shard.shard_id for shard in draft.desired.shards}
    for shard_id in [shard_id for shard_id in books if shard_id not in present]:
        del books[shard_id]
    for shard in draft.desired.shards:
        books.setdefault(shard.shard_id, ())
    nobodys = without(ALL, union(*books.values()))
    for shard in draft.desired.shards:
        books[shard.shard_id] = union(books[shard.shard_id], common(nobodys, shard.slots))


def _transfer(draft: Draft, slots: SlotRanges, source: str, target: str) -> None:
    """Only what the source has by the books."""
    books = draft.memory.slots
    moved = common(slots, books.get(source, ()))
    books[source] = without(books.get(source, ()), moved)
    books[target] = union(books.get(target, ()), moved)


def _settle(draft: Draft, move: SlotMove, slots: SlotRanges) -> None:
    _transfer(draft, slots, move.source, move.target)
    move.slots = without(move.slots, slots)
    move.failures, move.refusal, move.progressed_at = 0, "", draft.now


def _note_arrived(draft: Draft, move: SlotMove, claims: Claims) -> None:
    """The target's primary owns them. Where both say so, the engines settle that by epoch first."""
    arrived = without(common(move.slots, claims.get(move.target, ())), claims.get(move.source, ()))
    if arrived:
        _settle(draft, move, arrived)


def _note_handed_over(draft: Draft, move: SlotMove, claims: Claims, views: Views) -> None:
    """Nobody claims them, and the source says that somebody else owns them: the target took them and ended before its successor
    heard of it. The source has deleted its keys by then, so they are the target's to claim."""
    source = leading(draft, move.source, views)
    if source is None:
        return
    unclaimed = without(move.slots, union(*claims.values()))
    if not unclaimed:
        return
    living = {view.my_id for view in views.values()}
    late = draft.now - move.progressed_at > DISCLAIMED_S
    heirless = [node.slots for node in source.nodes.values() if node.engine_id not in living or late]
    given = common(unclaimed, union(*heirless))
    if given:
        _settle(draft, move, given)


def _note_drift(draft: Draft, claims: Claims, views: Views) -> None:
    """Slots that another shard of the group owns than the books say, by the word of every node that answers: somebody moved
    them by hand, or the engines settled a conflict. Where the owner by the books does not answer, its claim stands. They stay
    where they are, unless slots are being moved anyway."""
    moving = in_motion(draft)
    for taker, claimed in claims.items():
        extra = without(claimed, union(owned(draft.memory, taker), moving))
        if not extra:
            continue
        for loser in claims:
            lost = without(common(extra, owned(draft.memory, loser)), claims[loser])
            if lost and leading(draft, loser, views) is not None and _all_say(draft, taker, lost, views):
                _transfer(draft, lost, loser, taker)
                if not draft.memory.slots_to_move:
                    stay(draft, lost)


def _all_say(draft: Draft, taker: str, slots: SlotRanges, views: Views) -> bool:
    names = [node.name for shard in draft.desired.shards if shard.shard_id == taker for node in shard.nodes]
    ids = [views[name].my_id for name in names if name in views]
    for view in views.values():
        told = union(*(view.nodes[engine_id].slots for engine_id in ids if engine_id in view.nodes))
        if without(slots, told):
            return False
    return True
