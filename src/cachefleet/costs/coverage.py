"""Which part of what runs reservations pay for, at every instant (reference 13.11).

A reservation is for a product and a family of node types, in normalised units: one of cache.r7g.xlarge (8) covers two nodes of
cache.r7g.large (4 each). What is reserved of a product is spread evenly, by units, over everything that runs of it at that
instant; so no order of groups or reservations matters. What Redis leaves of its reservations covers Valkey, with 20 % more
units.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import msgspec

from cachefleet.reference.node_types import NODE_TYPES
from cachefleet.settings import NodeTypeSetting

VALKEY_FACTOR = 1.2  # units of Valkey that one reserved unit of Redis covers
REDIS, VALKEY = "redis", "valkey"
_UNITS = {
    "micro": 0.5,
    "small": 1.0,
    "medium": 2.0,
    "large": 4.0,
    "xlarge": 8.0,
    "2xlarge": 16.0,
    "4xlarge": 32.0,
    "8xlarge": 64.0,
    "10xlarge": 80.0,
    "12xlarge": 96.0,
    "16xlarge": 128.0,
    "24xlarge": 192.0,
}


class Portion(msgspec.Struct, frozen=True):
    """Something that runs, or is reserved, without a change from begin to end (epoch seconds, begin <= end). product: redis,
    valkey, memcached. units: normalised, of all its nodes."""

    product: str
    family: str
    units: float
    begin: float
    end: float

    @property
    def unit_seconds(self) -> float:
        return self.units * (self.end - self.begin)


class Coverage(msgspec.Struct, frozen=True):
    """Unit-seconds, in the order of what was given. used: of each that runs, what is paid by reservations; at most all of it.
    reserved: of each reservation, what is used; at most all of it."""

    used: list[float]
    reserved: list[float]


def normalised(node_type: str, declared: dict[str, NodeTypeSetting]) -> tuple[str, float]:
    """(family, units of one node). A node type of one's own is a family of itself."""
    family, _, size = node_type.rpartition(".")
    if node_type in declared or node_type not in NODE_TYPES or size not in _UNITS:
        return node_type, 1.0
    return family, _UNITS[size]


def cover(used: Sequence[Portion], reserved: Sequence[Portion]) -> Coverage:
    found = Coverage([0.0] * len(used), [0.0] * len(reserved))
    for family in {one.family for one in used} & {one.family for one in reserved}:
        running = [(number, one) for number, one in enumerate(used) if one.family == family]
        bought = [(number, one) for number, one in enumerate(reserved) if one.family == family]
        _cover_family(running, bought, found)
    return found


_Numbered = list[tuple[int, Portion]]


def _cover_family(used: _Numbered, reserved: _Numbered, found: Coverage) -> None:
    """One sweep over the instants at which anything changes. What a portion gets is its units times the growth of a sum over
    time, so that long spans cost no more than short ones."""
    times = sorted({at for _, one in (*used, *reserved) for at in (one.begin, one.end)})
    place = {at: number for number, at in enumerate(times)}
    steps_used, steps_reserved = _steps(used, place, len(times)), _steps(reserved, place, len(times))
    of_used: dict[str, list[float]] = {product: [0.0] for product in steps_used}
    of_reserved: dict[str, list[float]] = {product: [0.0] for product in steps_reserved}
    running, bought = dict.fromkeys(steps_used, 0.0), dict.fromkeys(steps_reserved, 0.0)
    for number, (at, until) in enumerate(pairwise(times)):
        for units, steps in ((running, steps_used), (bought, steps_reserved)):
            for product, changes in steps.items():
                units[product] += changes[number]
        covered, taken = shares(running, bought)
        for sums, part in ((of_used, covered), (of_reserved, taken)):
            for product, grown in sums.items():
                grown.append(grown[-1] + part.get(product, 0.0) * (until - at))
    for portions, sums, result in ((used, of_used, found.used), (reserved, of_reserved, found.reserved)):
        for number, one in portions:
            grown = sums[one.product]
            gained = one.units * (grown[place[one.end]] - grown[place[one.begin]])
            result[number] = min(max(gained, 0.0), one.unit_seconds)


def _steps(portions: _Numbered, place: dict[float, int], many: int) -> dict[str, list[float]]:
    """By product: how many units come or go at each instant. Units are multiples of 0.5, so sums of them are exact."""
    steps: dict[str, list[float]] = {}
    for _, one in portions:
        changes = steps.setdefault(one.product, [0.0] * many)
        changes[place[one.begin]] += one.units
        changes[place[one.end]] -= one.units
    return steps


def shares(running: dict[str, float], bought: dict[str, float]) -> tuple[dict[str, float], dict[str, float]]:
    """At one instant, in units by product: which part of what runs is covered, and which part of what is reserved is used. Each
    product takes its own first."""
    covered = {product: min(units, bought.get(product, 0.0)) for product, units in running.items()}
    taken = {product: min(units, running.get(product, 0.0)) for product, units in bought.items()}
    left = bought.get(REDIS, 0.0) - taken.get(REDIS, 0.0)
    open_valkey = running.get(VALKEY, 0.0) - covered.get(VALKEY, 0.0)
    if left > 0 and open_valkey > 0:
        more = min(open_valkey, left * VALKEY_FACTOR)
        covered[VALKEY] += more
        taken[REDIS] += more / VALKEY_FACTOR
    return _parts(covered, running), _parts(taken, bought)


def _parts(some: dict[str, float], all_of_it: dict[str, float]) -> dict[str, float]:
    return {product: min(1.0, units / all_of_it[product]) for product, units in some.items() if all_of_it[product] > 0}
