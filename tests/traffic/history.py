"""What was acknowledged to one client, and when; says how long nothing was, and which of it is gone. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import msgspec


class Acknowledgement(msgspec.Struct, frozen=True):
    at_s: float  # of time.perf_counter()
    key: str
    value: int


class Losses(msgspec.Struct, frozen=True):
    """Acknowledged values that are gone. after_kept: a later one of the same key, from before the gap, is there, or the value
    was acknowledged after the gap; a replica must have had it, since a replica has all that came before what it has."""

    unreplicated: int
    after_kept: int

    @property
    def total(self) -> int:
        return self.unreplicated + self.after_kept


class History(msgspec.Struct, frozen=True):
    """In the order of acknowledgement; the values of a key rise."""

    done: Sequence[Acknowledgement]

    def longest_gap_s(self, since_s: float) -> float:
        """Between two acknowledgements, the later of which came after since_s. Raises ValueError when none did."""
        return self._gap(since_s)[0]

    def before_gap(self, since_s: float) -> Sequence[Acknowledgement]:
        """What was acknowledged before the longest gap since then."""
        return self.done[: self._gap(since_s)[1] + 1]

    def losses(self, kept: Mapping[str, Sequence[int]], since_s: float) -> Losses:
        """kept: what is there in the end, by key. since_s: when the fault came."""
        before_gap = self.before_gap(since_s)
        there = {key: set(values) for key, values in kept.items()}
        newest = dict.fromkeys(there, -1)
        for one in before_gap:
            if one.value in there[one.key]:
                newest[one.key] = max(newest[one.key], one.value)
        missing = [number for number, one in enumerate(self.done) if one.value not in there[one.key]]
        wrong = sum(number >= len(before_gap) or self.done[number].value < newest[self.done[number].key] for number in missing)
        return Losses(len(missing) - wrong, wrong)

    def _gap(self, since_s: float) -> tuple[float, int]:
        """(the longest, the index of the acknowledgement that it follows)"""
        return max(
            (after.at_s - before.at_s, number)
            for number, (before, after) in enumerate(itertools.pairwise(self.done))
            if after.at_s > since_s
        )
