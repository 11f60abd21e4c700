"""How slots of a group move, by its pace: by jobs or key by key, and how many moves get on at once. Pure.

The pace may change while slots are moving: engines finish the jobs that they were given, and slots that are half moved are
finished key by key before jobs begin. Called by planning.resharding.
"""

from __future__ import annotations

from cachefleet.model.group import GroupDesired, SlotMove, SlotRanges
from cachefleet.model.pace import FAST, GENTLE, Pace
from cachefleet.model.plan import MigrateSlots, MoveKeys
from cachefleet.model.slots import common
from cachefleet.planning.books import Views
from cachefleet.planning.draft import Draft
from cachefleet.planning.move_ends import Ends

BY_KEYS_AFTER = 4  # attempts in a row with jobs: then the way that needs no fork and no pause


def pace_of(desired: GroupDesired) -> Pace:
    return GENTLE if desired.gentle else FAST


def may_get_on(draft: Draft, views: Views) -> bool:
    """Whether one more move may get on in this pass, besides those that do, and those of which a job is not over."""
    steps = sum(isinstance(action, MigrateSlots | MoveKeys) for action in draft.actions)
    jobs = [job for view in views.values() for job in view.migrations if job.exports and not job.over]
    busy = sum(any(common(job.slots, move.slots) for job in jobs) for move in draft.memory.moves)
    return steps + busy < pace_of(draft.desired).moves


def choose_way(draft: Draft, move: SlotMove, ends: Ends, half: SlotRanges) -> SlotRanges:
    """Sets SlotMove.by_keys; which slots go that way now. half: those of which keys may be at both ends."""
    by_pace = pace_of(draft.desired).by_keys
    atomic = ends.source.atomic and ends.target.atomic
    if move.gentle and not by_pace and not half:
        move.by_keys = move.gentle = False
        move.failures = 0
    if not move.by_keys and (half or by_pace or not atomic or move.failures >= BY_KEYS_AFTER):
        move.gentle = by_pace and atomic and move.failures < BY_KEYS_AFTER
        move.by_keys, move.failures = True, 0
    return half if move.gentle and not by_pace else move.slots
