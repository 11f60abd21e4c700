"""What hit rate other sizes of the memory would have: what engines counted, moved by what the curve of the trace says. Pure.

The engines' own count has all that the trace cannot know: what was there before it began, keys that expire, keys that never
are. So only differences are taken from the curve. Of more bytes than were seen to be used nothing is known, unless the memory
was never full: then more of it changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from cachefleet.insight.shards import Curve
from cachefleet.model.insight import Point

TIMES = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0)


class ShardTrace(msgspec.Struct, frozen=True):
    """One primary. hits, misses: as it counted them meanwhile; memory_bytes: for data, used_bytes: of them."""

    curve: Curve
    hits: float
    misses: float
    memory_bytes: float
    used_bytes: float
    evicting: bool
    seconds: float = 0.0
    resting: float = 0.0  # share of the seconds
    dropped: int = 0


def hit_rate(traces: Sequence[ShardTrace]) -> float | None:
    """Of all of them; None without reads."""
    hits, all_reads = sum(one.hits for one in traces), sum(one.hits + one.misses for one in traces)
    return hits / all_reads if all_reads > 0 else None


def points(traces: Sequence[ShardTrace]) -> tuple[Point, ...]:
    """With each shard's memory so many times as large; none without reads."""
    with_reads = [one for one in traces if one.hits + one.misses > 0]
    if not with_reads:
        return ()
    return tuple(Point(times, _together(with_reads, times)) for times in TIMES)


def _together(traces: Sequence[ShardTrace], times: float) -> float | None:
    hits = 0.0
    for one in traces:
        rate = _expected(one, times)
        if rate is None:
            return None
        hits += rate * (one.hits + one.misses)
    return hits / sum(one.hits + one.misses for one in traces)


def _expected(one: ShardTrace, times: float) -> float | None:
    now = one.hits / (one.hits + one.misses)
    size = times * one.memory_bytes
    if times == 1.0 or (not one.evicting and size >= one.used_bytes):
        return now
    present = one.memory_bytes if one.evicting else max(one.used_bytes, one.curve.seen_bytes)
    if one.curve.seen_bytes < min(size, present) or (times > 1 and one.curve.seen_bytes < size):
        return None
    return min(1.0, max(0.0, now + one.curve.hit_rate(size) - one.curve.hit_rate(present)))
