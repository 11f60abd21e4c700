"""Which shard is to own which slots so that each has about the same part of the load, moving few slots. Pure.

By what each slot cost its owner within a sample: processor time where engines count it (of commands, and by traffic its part of
what connections took), else traffic, else keys. Moves nothing: planning.resharding does. Called by planning.load_balance.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Mapping, Sequence

import msgspec

from cachefleet.model.group import SlotRanges
from cachefleet.model.observed import SlotLoad
from cachefleet.model.slots import union

Books = Mapping[str, SlotRanges]  # shard id -> its slots
Loads = Mapping[int, SlotLoad]  # by slot, what it cost within the sample
Room = Mapping[str, float]  # shard id -> how many more keys it has memory for

EVEN = 1.05  # a busiest shard with less than this times an even part is even: the next sample would differ by as much
LEAST_GAIN = 0.02  # of an even part; what makes the busiest shard less busy by less than that is not worth a move


def by_load(books: Books, loads: Loads, room: Room | None = None) -> dict[str, SlotRanges]:
    """The books themselves when nothing better is to be had. Always the hottest shard gives to the coolest that has memory for
    it: the slots that cost most first, so that few are moved; one that cannot be helped (a single slot has it all) is left, and
    the next hottest gives. Slots that cost nothing stay."""
    state = _State(books, loads, room or {})
    helpless: set[str] = set()
    while (giver := state.hottest(helpless)) and state.is_busy(giver):
        move = state.best_move(giver)
        if move is None:
            helpless.add(giver)
        else:
            state.apply(move)
    return state.result() if state.moved else {shard: union(slots) for shard, slots in books.items()}


def charged(loads: Loads, beside_us: float) -> dict[int, SlotLoad]:
    """With the processor time that no command took laid on the slots by their traffic. Of small commands it is most of all."""
    traffic = sum(map(_traffic, loads.values()))
    if not traffic or any(load.cpu_us < 0 for load in loads.values()):
        return dict(loads)
    each_us = beside_us / traffic
    return {
        slot: SlotLoad(load.keys, load.cpu_us + round(each_us * _traffic(load)), load.in_bytes, load.out_bytes)
        for slot, load in loads.items()
    }


def _traffic(load: SlotLoad) -> int:
    return load.in_bytes + load.out_bytes if load.in_bytes > 0 or load.out_bytes > 0 else 0


def shares(books: Books, loads: Loads) -> dict[str, float]:
    """Each shard's part of the whole load, 0 to 1. Without any load all have the same."""
    weigh = weight(loads)
    sums = {shard: sum(weigh(loads[slot]) for slot in _each(slots) if slot in loads) for shard, slots in books.items()}
    whole = sum(sums.values())
    return {shard: part / whole if whole else 1 / len(sums) for shard, part in sums.items()}


def hottest(loads: Loads) -> tuple[int, float]:
    """The slot that costs most, and its part of the whole load."""
    weigh = weight(loads)
    slot = max(sorted(loads), key=lambda slot: weigh(loads[slot]))
    whole = sum(map(weigh, loads.values()))
    return slot, weigh(loads[slot]) / whole if whole else 0.0


def weight(loads: Loads) -> Callable[[SlotLoad], int]:
    """By what a slot's load is measured: the best that is known of every slot."""
    if all(load.cpu_us >= 0 for load in loads.values()):
        return lambda load: load.cpu_us
    if all(load.in_bytes >= 0 and load.out_bytes >= 0 for load in loads.values()):
        return _traffic
    return lambda load: load.keys


class _Move(msgspec.Struct, frozen=True):
    giver: str
    taker: str
    slots: tuple[int, ...]
    busier: int  # the load of whichever of the two has more afterwards


class _State:
    """Who owns what so far. Loads are in the unit of `weight`."""

    def __init__(self, books: Books, loads: Loads, room: Room) -> None:
        weigh = weight(loads)
        self._weights = {slot: weigh(load) for slot, load in loads.items()}
        self._keys = {slot: load.keys for slot, load in loads.items()}
        self._owned = {shard: set(_each(slots)) for shard, slots in books.items()}
        self._sums = {shard: sum(self._weights.get(slot, 0) for slot in owned) for shard, owned in self._owned.items()}
        self._room = {shard: room.get(shard, math.inf) for shard in books}
        self.even = sum(self._sums.values()) / len(self._sums)
        self.moved = False

    def hottest(self, but: Collection[str]) -> str:
        """ "" when no other is left."""
        return max(
            (shard for shard in self._sums if shard not in but), key=lambda shard: (self._sums[shard], shard), default=""
        )

    def is_busy(self, shard: str) -> bool:
        return self._sums[shard] > EVEN * self.even

    def best_move(self, giver: str) -> _Move | None:
        """Of what this shard can give to the coolest, what helps it most; None when nothing helps enough. A taker that has no
        memory left is passed over."""
        ranked = self._ranked(giver)
        takers = [shard for shard in self._sums if shard != giver and self._sums[shard] < self.even]
        for taker in sorted(takers, key=lambda shard: (self._sums[shard], shard)):
            moves = [
                move for move in (self._bundle(giver, taker, ranked), self._single(giver, taker, ranked)) if move is not None
            ]
            if moves:
                best = min(moves, key=lambda move: (move.busier, len(move.slots)))
                if self._sums[giver] - best.busier >= LEAST_GAIN * self.even:
                    return best
        return None

    def _bundle(self, giver: str, taker: str, ranked: Sequence[int]) -> _Move | None:
        """So many slots that either of the two comes close to an even part, and neither goes beyond it."""
        left, room = min(self._sums[giver] - self.even, self.even - self._sums[taker]), self._room[taker]
        chosen: list[int] = []
        for slot in ranked:
            if left <= self.even * (EVEN - 1) / 2:
                break  # what comes now would take many slots for little
            if self._weights[slot] <= left and self._keys[slot] <= room and len(chosen) + 1 < len(self._owned[giver]):
                chosen.append(slot)
                left -= self._weights[slot]
                room -= self._keys[slot]
        return self._move(giver, taker, chosen) if chosen else None

    def _single(self, giver: str, taker: str, ranked: Sequence[int]) -> _Move | None:
        """The one slot that brings the two closest to each other."""
        if len(self._owned[giver]) < 2:
            return None
        high, low, room = self._sums[giver], self._sums[taker], self._room[taker]
        worth = itertools.takewhile(lambda slot: self._weights[slot] >= LEAST_GAIN * self.even, ranked)
        fit = [(max(high - self._weights[slot], low + self._weights[slot]), slot) for slot in worth if self._keys[slot] <= room]
        return self._move(giver, taker, [min(fit)[1]]) if fit else None

    def _ranked(self, giver: str) -> list[int]:
        """Its slots that cost anything: what costs most first; of equals that with the fewest keys, which moves fastest."""
        costly = [slot for slot in self._owned[giver] if self._weights.get(slot)]
        return sorted(costly, key=lambda slot: (-self._weights[slot], self._keys[slot], slot))

    def _move(self, giver: str, taker: str, slots: list[int]) -> _Move:
        given = sum(self._weights[slot] for slot in slots)
        return _Move(giver, taker, tuple(slots), max(self._sums[giver] - given, self._sums[taker] + given))

    def apply(self, move: _Move) -> None:
        given, keys = (sum(values[slot] for slot in move.slots) for values in (self._weights, self._keys))
        for shard, sign in ((move.giver, -1), (move.taker, 1)):
            self._sums[shard] += sign * given
            self._room[shard] -= sign * keys
        self._owned[move.giver] -= set(move.slots)
        self._owned[move.taker] |= set(move.slots)
        self.moved = True

    def result(self) -> dict[str, SlotRanges]:
        return {shard: union(tuple((slot, slot) for slot in owned)) for shard, owned in self._owned.items()}


def _each(slots: SlotRanges) -> list[int]:
    return [slot for first, last in slots for slot in range(first, last + 1)]
