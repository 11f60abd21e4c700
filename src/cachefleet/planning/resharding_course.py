"""When the moving of slots begins and ends, and what becomes of slots that cannot be moved: they stay where they are. Pure.

Partial success is one (reference 13.2): what is asked for is changed accordingly, and users are told. Called by
planning.resharding.
"""

from __future__ import annotations

from cachefleet.model.event import NoticeName
from cachefleet.model.group import SlotMove, SlotRanges
from cachefleet.model.slots import common, union, without
from cachefleet.planning.books import ALL, stay
from cachefleet.planning.draft import Draft
from cachefleet.planning.resharding_progress import owned, slots_due


def note_course(draft: Draft) -> None:
    """Tell users of the beginning and the end."""
    memory = draft.memory
    due = slots_due(draft.changed or draft.desired, memory)
    if due and not memory.slots_to_move:
        draft.tell_group(f"Slot migration of replication group {draft.name} started: {due} slots")
    elif memory.slots_to_move and not due and not memory.moves:
        told = f"Slot migration of replication group {draft.name} finished"
        draft.tell_group(told, NoticeName.REPLICATION_GROUP_SCALING_COMPLETE)
    memory.slots_to_move = max(due, memory.slots_to_move) if due or memory.moves else 0


def in_words(move: SlotMove) -> str:
    """How often it was tried in vain, and what was said to that last."""
    attempts = "an attempt" if move.failures == 1 else f"{move.failures} attempts in a row"
    return f"moving slots from node group {move.source} to {move.target} failed in {attempts}: {move.refusal}"


def tell_standstill(draft: Draft, move: SlotMove) -> None:
    """Of slots that are half moved, and so cannot be given up: they wait for whoever can do something about it."""
    draft.tell_group(f"Slot migration of replication group {draft.name} stands still: {in_words(move)}")


def give_up_slots(draft: Draft, move: SlotMove, slots: SlotRanges) -> None:
    """These stay where they are, and the rest goes on."""
    first, last = slots[0]
    draft.tell_group(
        f"Slot {first} of node group {move.source} could not be moved to node group {move.target} and stays where it is. A key "
        "in it may be too large; the service's log says more"
        if first == last
        else f"Slots {first}-{last} of node group {move.source} could not be moved to node group {move.target} and stay there"
    )
    move.slots = without(move.slots, slots)
    move.failures, move.refusal = 0, ""
    stay(draft, slots)


def no_room(target: str) -> str:
    return f"node group {target} has no room for more data"


def give_up_pair(draft: Draft, move: SlotMove, why: str) -> None:
    """All that was still to go from the one shard to the other stays where it is, also what has not begun to move."""
    told = (
        f"Slot migration of replication group {draft.name} from node group {move.source} to {move.target} was given up: {why}"
    )
    draft.tell_group(f"{told}. Slots that have not moved stay", NoticeName.REPLICATION_GROUP_SCALING_FAILED)
    wanted = {shard.shard_id: shard.slots for shard in (draft.changed or draft.desired).shards}
    stay(draft, union(move.slots, common(wanted.get(move.target, ()), owned(draft.memory, move.source))))
    move.slots = ()


def give_up_all(draft: Draft, why: str) -> None:
    """Everything stays where it is; shards that were to leave and own something stay, too."""
    told = f"Slot migration of replication group {draft.name} was given up: {why}. Slots that have not moved stay"
    draft.tell_group(told, NoticeName.REPLICATION_GROUP_SCALING_FAILED)
    stay(draft, ALL)
