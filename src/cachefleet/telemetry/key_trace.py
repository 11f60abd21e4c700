"""Follows the uses of a sample of one primary's keys for a while. Decides how large the sample is; what follows from it is
decided in cachefleet.insight. Called by insights.

The engine's side ends by itself when nobody fetches any more (engines/trace_module), so nothing is left on, whatever becomes of
us.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

import msgspec

from cachefleet.clock import Clock
from cachefleet.engine_interfaces import EngineRefused
from cachefleet.insight.expectation import ShardTrace
from cachefleet.insight.facts import Fetched, HotName
from cachefleet.insight.shards import FULL, MOST_KEYS, Shards
from cachefleet.model.observed import Address
from cachefleet.telemetry.key_questions import Looker, Measure

FETCH_S = 0.1
MOST_USES_PER_S = 5_000.0  # of sampled keys: each takes us some 10 us
LEAST_THRESHOLD = FULL >> 16
_TYPICAL_BYTES = 256.0  # of a key, where there are none to tell
_AT_ONCE = 256  # entries between two turns of others


class Traced(msgspec.Struct, frozen=True):
    """uses: of all keys in that time, about."""

    shard: ShardTrace
    hot: tuple[HotName, ...]
    looked_keys: int
    uses: float


def first_threshold(told: Mapping[str, float]) -> int:
    """From what the engine tells of itself: as many keys as are kept, but no more uses than can be followed."""
    keys, per_s = _keys(told), told.get("instantaneous_ops_per_sec", 0.0)
    share = min(1.0, MOST_KEYS / max(keys, 1.0), MOST_USES_PER_S / max(per_s, 1.0))
    return max(LEAST_THRESHOLD, int(FULL * share))


async def trace(at: Address, seconds: float, looker: Looker, measure: Measure, clock: Clock, seed: int) -> Traced | None:
    """None: the node was launched without the module. Raises EngineRefused."""
    before = await measure(at)
    used = _used(before)
    shards = Shards(first_threshold(before), used / _keys(before) if _keys(before) else _TYPICAL_BYTES)
    told = shards.threshold
    if not await looker.begin(at, told, seed):
        return None
    try:
        until, dropped, last = clock.monotonic() + seconds, 0, None
        while last is None or clock.monotonic() < until:
            await clock.sleep(FETCH_S)
            last = await _take_all(at, shards, looker, clock)
            if last.dropped > dropped:
                dropped = last.dropped
                shards.lower(max(LEAST_THRESHOLD, shards.threshold // 2))
            if shards.threshold < told:
                told = shards.threshold
                await looker.lower(at, told)
        hot, after = await looker.hot(at), await measure(at)
    finally:
        with contextlib.suppress(EngineRefused):
            await looker.end(at)
    return Traced(_shard(shards, before, after, last), tuple(hot), last.looked_keys, _uses(last))


async def _take_all(at: Address, shards: Shards, looker: Looker, clock: Clock) -> Fetched:
    while True:
        fetched = await looker.fetch(at)
        for number, use in enumerate(fetched.entries):
            shards.take(*use)
            if number % _AT_ONCE == _AT_ONCE - 1:
                await clock.sleep(0)
        if not fetched.more:
            return fetched


def _shard(shards: Shards, before: Mapping[str, float], after: Mapping[str, float], last: Fetched) -> ShardTrace:
    def risen(name: str) -> float:
        return max(0.0, after.get(name, 0.0) - before.get(name, 0.0))

    memory, used = after.get("maxmemory", 0.0) - after.get("used_memory_startup", 0.0), _used(after)
    return ShardTrace(
        curve=shards.curve(last.reads if not last.dropped else None),
        hits=risen("keyspace_hits"),
        misses=risen("keyspace_misses"),
        memory_bytes=max(memory, 1.0),
        used_bytes=used,
        evicting=risen("evicted_keys") > 0 or used >= 0.95 * memory,
        seconds=last.traced_ms / 1000,
        resting=last.resting_ms / max(last.traced_ms, 1),
        dropped=last.dropped,
    )


def _uses(last: Fetched) -> float:
    return last.commands * last.looked_keys / last.looked if last.looked else 0.0


def _used(told: Mapping[str, float]) -> float:
    return max(0.0, told.get("used_memory", 0.0) - told.get("used_memory_startup", 0.0))


def _keys(told: Mapping[str, float]) -> float:
    return sum(number for name, number in told.items() if name.startswith("db") and name.endswith(".keys"))
