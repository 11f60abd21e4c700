"""Slots on their way to where they are to be: which move begins, how it is gone on with, what becomes of one that fails. Pure.

A move is journaled in memory before anything happens. It is done by jobs of the engines where both ends have such (all slots
of a job change hands at once), else keys are moved in short slices; it is done when the books say so (planning.books), however
that came. No move begins while anything else is under way in the group, and nothing else begins while there are moves; what is
half moved is gone on with as soon as both ends have a primary. Called by planning.clustered when everything else is planned.
"""

from __future__ import annotations

from cachefleet.model.group import SLOTS, SlotMove, SlotRanges
from cachefleet.model.plan import CancelMigrations, CopyFunctions, MigrateSlots, MoveKeys, SettleSlots
from cachefleet.model.slots import common, count, first_of, union, without
from cachefleet.planning.books import Views, in_motion, leading
from cachefleet.planning.draft import Draft
from cachefleet.planning.move_ends import Ends, ends_of, why_not_now
from cachefleet.planning.open_slots import gather_strays, open_at, unheard_of
from cachefleet.planning.pacing import choose_way, may_get_on, pace_of
from cachefleet.planning.resharding_course import (
    give_up_all,
    give_up_pair,
    give_up_slots,
    in_words,
    no_room,
    note_course,
    tell_standstill,
)
from cachefleet.planning.resharding_progress import owned

Pair = tuple[str, str]  # source and target, shard ids

IMPORTS_AT_ONCE = 2  # moves to one shard; each shard is the source of one at most, since that takes most of it
RETRY_FIRST_S = 0.2
RETRY_CAP_S = 30.0
FREE_ATTEMPTS = 3  # so many cost no time
STALLED_S = 20.0  # a job that gets nowhere for so long is begun anew
UNMOVABLE_AFTER = 10  # attempts in a row that were refused: then the first of its slots stays where it is
LONGEST_REFUSAL = 500  # letters of what was said that are kept
FUNCTIONS_S = 20.0  # for so long a new shard waits for the functions of the others
ROOM_S = 60.0  # for so long it is waited for room
FULL_SHARE = 1 / 32  # of a node's memory: with no more free than that, what it refuses is refused for lack of room


def reshard(draft: Draft, views: Views) -> None:
    """One step of everything that is under way, and what can begin now."""
    if draft.memory.unfilled:
        return
    gather_strays(draft, views)
    due = _due(draft)
    _forget_idle(draft, due)
    note_course(draft)
    if not due and not draft.memory.moves:
        return
    draft.modifying = True
    for move in draft.memory.moves:
        _go_on(draft, move, views)
    lacking = _copy_functions(draft, views)
    _begin(draft, {pair: slots for pair, slots in due.items() if pair[1] not in lacking}, views)


def _due(draft: Draft) -> dict[Pair, SlotRanges]:
    """What is not where it is to be, and not on its way."""
    moving = in_motion(draft)
    books = draft.memory.slots
    asked = draft.changed or draft.desired
    missing = {shard.shard_id: without(shard.slots, union(books.get(shard.shard_id, ()), moving)) for shard in asked.shards}
    pairs = {
        (source, target): common(wanted, books[source])
        for target, wanted in missing.items()
        if wanted
        for source in sorted(books)
        if source != target
    }
    return {pair: slots for pair, slots in pairs.items() if slots}


def _forget_idle(draft: Draft, due: dict[Pair, SlotRanges]) -> None:
    """Moves that nothing was done for yet, and that nobody wants any more."""
    wanted = {shard.shard_id: shard.slots for shard in (draft.changed or draft.desired).shards}
    for move in draft.memory.moves:
        if not (move.failures or move.job or move.by_keys):
            move.slots = common(move.slots, wanted.get(move.target, ()))
    draft.memory.moves = [move for move in draft.memory.moves if move.slots]


# --- moves that have begun -----------------------------------------------------------------------------------------


def _go_on(draft: Draft, move: SlotMove, views: Views) -> None:
    ends = ends_of(draft, move, views)
    if isinstance(ends, str):
        _hold(draft, ends)
        return
    unheard = unheard_of(draft, move, ends)
    if unheard:
        draft.act(SettleSlots(node=ends.target_name, slots=unheard, owner_id=ends.source.my_id))
    elif not _note_job(draft, move, ends):
        _try(draft, move, ends, views)


def _hold(draft: Draft, why: str) -> None:
    draft.waiting = True
    draft.holds["slots"] = f"slots wait: {why}"


def _note_job(draft: Draft, move: SlotMove, ends: Ends) -> bool:
    """Whether a job of the engines moves them at present, and how far it is. Of one that the source knows nothing of any more
    the target may be about to clear away what it got."""
    jobs = [job for job in ends.source.migrations if job.exports and not job.over and common(job.slots, move.slots)]
    if not jobs:
        move.job = move.stage = ""
        move.remaining_bytes = -1
        return any(not job.over and common(job.slots, move.slots) for job in ends.target.migrations)
    job = jobs[-1]  # the oldest; the engine does one after the other
    less = job.remaining_bytes >= 0 and not 0 <= move.remaining_bytes <= job.remaining_bytes
    if job.job != move.job or job.state != move.stage or less:
        move.progressed_at = draft.now
        move.remaining_bytes = job.remaining_bytes
    move.job, move.stage = job.job, job.state
    stalled, gone = draft.now - move.progressed_at > STALLED_S, job.target_id != ends.target.my_id
    if stalled or gone:
        move.progressed_at = draft.now
        move.refusal = (
            "the job was for a node that is not the target any more" if gone else f"a job got nowhere for {STALLED_S:g} s"
        )
        draft.act(CancelMigrations(node=ends.source_name))
    return True


def _try(draft: Draft, move: SlotMove, ends: Ends, views: Views) -> None:
    """Begin it, begin it again, or take the next slice of it."""
    half = common(move.slots, union(open_at(ends.source), open_at(ends.target)))  # some keys may be at each end
    refusal = draft.observed.refusals.get(ends.source_name, "") or _why_job_failed(move, ends)
    move.refusal = refusal[:LONGEST_REFUSAL] or move.refusal
    why = why_not_now(draft, move, ends, views)
    if why and not half:
        _hold(draft, why)
        return
    if refusal and move.by_keys:  # a job is counted when it is asked for, since it fails later
        move.failures += 1
        move.progressed_at = draft.now
        if half and move.failures == UNMOVABLE_AFTER:
            tell_standstill(draft, move)
    if move.failures and move.refusal:  # told also while it is tried again: attempts may take all the time
        draft.holds[f"move {move.source} {move.target}"] = in_words(move)
    if draft.now < move.progressed_at + _delay_s(move):
        _hold(draft, "they are tried again")
        return
    if move.failures >= UNMOVABLE_AFTER and not half:
        if _is_full(draft, ends):  # slot after slot would be refused, each as often
            give_up_pair(draft, move, no_room(move.target))
        else:
            give_up_slots(draft, move, first_of(move.slots, 1))
        return
    if not may_get_on(draft, views):
        return
    slots = choose_way(draft, move, ends, half)
    if move.by_keys:
        _move_keys(draft, move, ends, half if why else slots, views)
        return
    move.failures += 1
    move.progressed_at = draft.now
    draft.act(MigrateSlots(node=ends.source_name, slots=move.slots, target_id=ends.target.my_id))


def _why_job_failed(move: SlotMove, ends: Ends) -> str:
    """What the engine says of the last job for these slots, when that has failed. Jobs of before this move do not count."""
    jobs = [job for job in ends.source.migrations if job.exports and job.over and common(job.slots, move.slots)]
    if not (jobs and move.failures) or move.by_keys or jobs[0].state != "failed":  # the newest comes first
        return ""
    return jobs[0].message


def _delay_s(move: SlotMove) -> float:
    if move.failures < FREE_ATTEMPTS:
        return 0.0
    return float(min(RETRY_CAP_S, RETRY_FIRST_S * 2 ** min(move.failures - FREE_ATTEMPTS, 20)))


def _move_keys(draft: Draft, move: SlotMove, ends: Ends, slots: SlotRanges, views: Views) -> None:
    primaries = [draft.shard_memory(shard).primary for shard in draft.desired.shards if leading(draft, shard.shard_id, views)]
    others = tuple(draft.address(name) for name in primaries if name not in (ends.source_name, ends.target_name))
    pace = pace_of(draft.desired)
    draft.act(MoveKeys(node=ends.source_name, to=draft.address(ends.target_name), slots=slots, others=others, pace=pace))


# --- moves that begin ----------------------------------------------------------------------------------------------


def _copy_functions(draft: Draft, views: Views) -> set[str]:
    """Shards without slots get the functions of the others before keys come (reference 13.2). Which of them lack some still."""
    primaries = {
        shard.shard_id: draft.shard_memory(shard).primary
        for shard in draft.desired.shards
        if leading(draft, shard.shard_id, views) is not None
    }
    numbers = {shard_id: view.libraries for shard_id, name in primaries.items() if (view := draft.live(name)) is not None}
    donor = max(numbers, key=lambda shard_id: (numbers[shard_id], shard_id), default="")
    lacking = set()
    for shard_id, number in numbers.items():
        name = primaries[shard_id]
        ready_at = draft.remembered(name).ready_at
        fresh = not ready_at or draft.now - ready_at < FUNCTIONS_S
        if not owned(draft.memory, shard_id) and number < numbers[donor] and fresh:
            lacking.add(shard_id)
            draft.act(CopyFunctions(node=primaries[donor], to=draft.address(name)))
    return lacking


def _begin(draft: Draft, due: dict[Pair, SlotRanges], views: Views) -> None:
    """The largest first, so that the last does not take the longest. What cannot move for lack of room is waited for, and then
    stays."""
    full, pace = "", pace_of(draft.desired)
    for (source, target), slots in sorted(due.items(), key=lambda item: (-count(item[1]), item[0])):
        moves = draft.memory.moves
        imports = sum(move.target == target for move in moves)
        if len(moves) >= pace.moves or any(move.source == source for move in moves) or imports >= IMPORTS_AT_ONCE:
            continue
        move = SlotMove(slots, source, target, begun_at=draft.now, progressed_at=draft.now)
        ends = ends_of(draft, move, views)
        why = ends if isinstance(ends, str) else why_not_now(draft, move, ends, views)
        if why or isinstance(ends, str):
            _hold(draft, why)
            continue
        move.slots = first_of(slots, _number(draft, move, ends))
        if not move.slots:
            full = no_room(target)
            continue
        moves.append(move)
        _try(draft, move, ends, views)
    _note_room(draft, full)


def _number(draft: Draft, move: SlotMove, ends: Ends) -> int:
    """For how many slots the target has room."""
    source, target = draft.live(ends.source_name), draft.live(ends.target_name)
    if source is None or target is None:
        return 0
    each_bytes = max(1, source.used_bytes // max(1, count(owned(draft.memory, move.source))))
    if target.maxmemory_bytes <= 0 or target.used_bytes < 0:
        return SLOTS
    coming = sum(count(other.slots) * each_bytes for other in draft.memory.moves if other.target == move.target)
    return max(0, (target.maxmemory_bytes - target.used_bytes - coming) // each_bytes)


def _is_full(draft: Draft, ends: Ends) -> bool:
    """Whether lack of room may well be why the target takes no keys."""
    target = draft.live(ends.target_name)
    if target is None or target.maxmemory_bytes <= 0 or target.used_bytes < 0:
        return False
    return target.maxmemory_bytes - target.used_bytes <= target.maxmemory_bytes * FULL_SHARE


def _note_room(draft: Draft, full: str) -> None:
    memory = draft.memory
    if not full or memory.moves:
        memory.slots_held_since = 0.0
        return
    _hold(draft, full)
    memory.slots_held_since = memory.slots_held_since or draft.now
    if draft.now - memory.slots_held_since > ROOM_S:
        memory.slots_held_since = 0.0
        give_up_all(draft, full)
