"""Looks at a random part of one node's keys, so slowly that the engine spends 0.7 % of its time on it at most.

SCAN goes through the keys in the order of their hashes, so the part that it reaches is a random sample. Called by insights.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from cachefleet.clock import Clock
from cachefleet.insight.keyspace import KeyFacts
from cachefleet.model.observed import Address
from cachefleet.telemetry.key_questions import Looker, Measure

KEYS_AT_ONCE = 10
DUTY = 0.007  # share of the time in which the engine may be busy with us, as seen from here, where it looks longer
MOST_LOOKED = 20_000  # of a node


class Surveyed(msgspec.Struct, frozen=True):
    """keys: that there are on the node."""

    keys: int
    found: tuple[KeyFacts, ...]


async def survey(at: Address, seconds: float, looker: Looker, measure: Measure, clock: Clock, *, clustered: bool) -> Surveyed:
    """Raises EngineRefused."""
    counts = _databases(await measure(at))
    lfu = await looker.counts_uses(at)
    begun, found, whole = clock.monotonic(), list[KeyFacts](), sum(counts.values())
    reached = 0.0
    for database, count in sorted(counts.items()):
        reached += count / whole
        cursor = 0
        while True:
            if clock.monotonic() - begun >= seconds * reached or len(found) >= MOST_LOOKED * reached:
                break
            asked = clock.monotonic()
            cursor, facts = await looker.scan(at, database, cursor, KEYS_AT_ONCE, clustered=clustered, lfu=lfu)
            found += facts
            if cursor == 0:
                break
            await clock.sleep((clock.monotonic() - asked) * (1 / DUTY - 1))
    return Surveyed(whole, tuple(found))


def _databases(told: Mapping[str, float]) -> dict[int, int]:
    """Number -> how many keys it has, of those that have any."""
    found = {}
    for name, count in told.items():
        number, dot, field = name.removeprefix("db").partition(".")
        if name.startswith("db") and number.isdecimal() and dot and field == "keys" and count:
            found[int(number)] = int(count)
    return found
