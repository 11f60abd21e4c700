"""Rebalancing by load, when it is asked for: measure, write down who shall own which slots, wait for that, measure again. Pure.

It moves nothing itself: planning.resharding does what the desired slots say. Waits until nothing else is under way, and gives a
measurement up that does not come about. Called by planning.group at the end of a pass.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from msgspec.structs import replace

from cachefleet.model.group import SLOTS, LoadBalancing, Shape, SlotRanges
from cachefleet.model.observed import SlotLoad
from cachefleet.model.plan import CountLoad
from cachefleet.model.slots import count, without
from cachefleet.planning.draft import Draft
from cachefleet.planning.slot_loads import EVEN, by_load, charged, hottest, shares

PATIENCE_S = 60.0  # longer than the sample itself: then there is no measurement; the control plane's own restart is in it
LEAST_LOAD = 0.0005  # of one processor in the sample; of less, chance decides which slots were hit
FULL = 0.9  # of the memory for data; slots are not moved where they would take more
_SHOWN_SHARDS = 6


def balance_load(draft: Draft) -> None:
    memory = draft.memory
    if memory.balancing is None and draft.desired.rebalances > memory.rebalances:
        draft.modifying = draft.waiting = True
        if not has_its_slots(draft) or draft.desired.snapshotting:
            return
        memory.balancing = LoadBalancing(asked=draft.desired.rebalances, begun_at=draft.now)
    if memory.balancing is not None:
        _go_on(draft, memory.balancing)
    _stop_counting(draft)


def has_its_slots(draft: Draft) -> bool:
    """Every shard owns what it shall own, and nothing is about to change that."""
    if draft.changed is not None or draft.memory.moves or not draft.memory.provisioned:
        return False
    staying = all(not shard.leaving for shard in draft.desired.shards)
    return staying and _books(draft) == {shard.shard_id: shard.slots for shard in draft.desired.shards}


def _primaries(draft: Draft) -> list[str]:
    """Of all shards; none when one is not ready."""
    found = [draft.shard_memory(shard) for shard in draft.desired.shards]
    ready = all(memory.taken and memory.primary in draft.ready for memory in found)
    return [memory.primary for memory in found] if ready else []


def _books(draft: Draft) -> dict[str, SlotRanges]:
    return {shard.shard_id: draft.memory.slots.get(shard.shard_id, ()) for shard in draft.desired.shards}


def _go_on(draft: Draft, balancing: LoadBalancing) -> None:
    draft.modifying = draft.waiting = True
    if draft.desired.shape is not Shape.CLUSTERED:
        return _finish(draft)
    if not balancing.measuring:
        if has_its_slots(draft):
            balancing.measuring, balancing.begun_at = True, draft.now
        return None
    loads = draft.observed.loads
    if loads is not None and len(loads) == SLOTS:
        return _judge(draft, balancing, loads)
    if draft.now - balancing.begun_at > draft.rules.load_sample_s + PATIENCE_S:
        if balancing.before:
            return _tell_end(draft, balancing, balancing.expected, "is expected to have")
        draft.tell_group(_nothing(draft, "its load could not be measured; try again when all its nodes are available"))
        return _finish(draft)
    for primary in _primaries(draft):
        if not draft.observed.counting.get(primary):
            draft.remembered(primary).counts_load = True
            draft.act(CountLoad(node=primary, on=True))
    return None


def _judge(draft: Draft, balancing: LoadBalancing, loads: Mapping[int, SlotLoad]) -> None:
    """The load was measured, for the first time or when the slots had moved."""
    least_us = LEAST_LOAD * 1e6 * draft.rules.load_sample_s
    too_little = sum(load.cpu_us for load in loads.values()) < least_us
    loads = charged(loads, draft.observed.beside_us)
    if balancing.before:
        found = balancing.expected if too_little else shares(_books(draft), loads)
        return _tell_end(draft, balancing, found, "is expected to have" if too_little else "has")
    if too_little:
        why = f"in {draft.rules.load_sample_s:g} s there was too little load to tell which slots cause it"
        draft.tell_group(_nothing(draft, why))
        return _finish(draft)
    if not has_its_slots(draft):
        return None  # the next sample will do
    books = _books(draft)
    targets = by_load(books, loads, _room(draft, loads))
    balancing.before, balancing.expected = shares(books, loads), shares(targets, loads)
    balancing.moved = sum(count(without(targets[shard], books[shard])) for shard in books)
    if not balancing.moved:
        why = f"no move would make it more even; {_shown(balancing.before)}{_obstacle(draft, balancing.before, loads)}"
        draft.tell_group(_nothing(draft, why))
        return _finish(draft)
    balancing.measuring = False
    shards = tuple(replace(shard, slots=targets[shard.shard_id]) for shard in draft.desired.shards)
    draft.changed = replace(draft.desired, shards=shards)
    draft.tell_group(
        f"Rebalancing replication group {draft.name} by load: {_shown(balancing.before)}; {balancing.moved} slots are moved"
        f"{_obstacle(draft, balancing.expected, loads)}"
    )
    return None


def _room(draft: Draft, loads: Mapping[int, SlotLoad]) -> dict[str, float]:
    """How many more keys each shard has memory for, when all keys are of the size that they have on average."""
    used = {
        shard.shard_id: max(0, view.used_bytes) if (view := draft.live(draft.shard_memory(shard).primary)) is not None else 0
        for shard in draft.desired.shards
    }
    keys, data_bytes = sum(load.keys for load in loads.values()), draft.observed.data_bytes
    if not keys or not data_bytes:
        return dict.fromkeys(used, math.inf)
    key_bytes = max(1.0, sum(used.values()) / keys)
    return {shard: max(0.0, FULL * data_bytes - taken) / key_bytes for shard, taken in used.items()}


# --- the end of it -------------------------------------------------------------------------------------------------


def _tell_end(draft: Draft, balancing: LoadBalancing, after: Mapping[str, float], verb: str) -> None:
    before, now, even = (_percent(part) for part in (max(balancing.before.values()), max(after.values()), 1 / len(after)))
    draft.tell_group(
        f"Rebalanced replication group {draft.name} by load: the busiest node group had {before} of the load and {verb} {now}, "
        f"{even} being an even part; {balancing.moved} slots were moved; {_shown(after)}"
    )
    _finish(draft)


def _finish(draft: Draft) -> None:
    memory = draft.memory
    memory.rebalances = memory.balancing.asked if memory.balancing is not None else draft.desired.rebalances
    memory.balancing = None


def _stop_counting(draft: Draft) -> None:
    """Counting costs a little, so it ends with the measurement; told again until it is seen to have ended."""
    balancing = draft.memory.balancing
    wanted = (
        {shard.primary for shard in draft.memory.shards.values()} if balancing is not None and balancing.measuring else set()
    )
    for name, known in draft.memory.nodes.items():
        if not known.counts_load or name in wanted or draft.live(name) is None:
            continue
        draft.waiting = True
        counts = draft.observed.counting.get(name)  # None: it has not been asked, or did not answer
        if counts:
            draft.act(CountLoad(node=name, on=False))
        known.counts_load = counts is not False


# --- words ---------------------------------------------------------------------------------------------------------


def _nothing(draft: Draft, why: str) -> str:
    return f"Slots of replication group {draft.name} were not rebalanced by load: {why}"


def _obstacle(draft: Draft, parts: Mapping[str, float], loads: Mapping[int, SlotLoad]) -> str:
    """Why the busiest shard has more than an even part, where one slot is to blame, which cannot be split."""
    slot, part = hottest(loads)
    even = 1 / len(parts)
    if max(parts.values()) <= EVEN * even or part <= even:
        return ""
    return f". Slot {slot} alone has {_percent(part)}, and a slot cannot be split: spread its keys over several hash tags"


def _shown(parts: Mapping[str, float]) -> str:
    ranked = sorted(parts, key=lambda shard: (-parts[shard], shard))
    shown = ", ".join(f"{shard} {_percent(parts[shard])}" for shard in ranked[:_SHOWN_SHARDS])
    return f"node groups' parts of the load: {shown}{' ...' if len(ranked) > _SHOWN_SHARDS else ''}"


def _percent(part: float) -> str:
    return f"{100 * part:.1f} %"
