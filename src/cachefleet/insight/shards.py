"""The hit rate of every memory size from the uses of a sample of the keys: SHARDS (Waldspurger and others: Efficient MRC
construction with SHARDS, FAST 2015), with a fixed number of keys and with its adjustment. Pure.

Of all keys those are sampled whose hash is below a threshold; distances between their uses, divided by the sampled share, are
those of all keys. When there are more sampled keys than are kept, the threshold falls, and what was counted before counts less.
The adjustment: a sample that by chance has a key that is used very often, or lacks it, has too many or too few uses; the
difference is put where such keys are, at distance 0. Called by telemetry.insights.
"""

from __future__ import annotations

import heapq
import math

import msgspec

from cachefleet.insight.recency import Recency

FULL = 1 << 24  # thresholds are out of it (engines/trace_module/trace.h)
MOST_KEYS = 16_384  # errors of 1 to 2 points; with a quarter of them twice that
READ, CHANGED, STORED, ERASED = range(4)  # trace_module/commands.h
KEY_OVERHEAD_BYTES = 64  # what engines add to the bytes of a key and its value, about
_STEP = 1.02  # sizes of the curve are known to 2 %
_LOG_STEP = math.log(_STEP)


class Curve(msgspec.Struct, frozen=True):
    """Hit rates of reads by memory for data, with keys that were not used for longest evicted first (LRU).

    steps: (bytes, share of all reads that hit in so many), rising. reads: of all keys. keys: that were sampled. seen_bytes:
    what all keys that were seen take; of larger memories nothing is known."""

    steps: tuple[tuple[float, float], ...]
    reads: float
    keys: int
    seen_bytes: float

    def hit_rate(self, size_bytes: float) -> float:
        """0.0 to 1.0."""
        found = 0.0
        for size, rate in self.steps:
            if size > size_bytes:
                break
            found = rate
        return found


class Shards:
    """One trace. typical_bytes: of a key whose size its uses do not tell."""

    def __init__(self, threshold: int, typical_bytes: float, most_keys: int = MOST_KEYS) -> None:
        self.threshold = threshold
        self._typical_bytes = typical_bytes
        self._most_keys = most_keys
        self._recency = Recency()
        self._largest: list[tuple[int, int]] = []  # -low bits of the hash, hash: the keys that go first
        self._counts: dict[int, float] = {}  # sampled reads by step of distance; those of smaller thresholds count in full
        self._first_reads = 0.0
        self._keys = 0

    def take(self, hashed: int, size_bytes: int, use: int) -> None:
        """A use of a key. size_bytes: of a value that was stored, with its key."""
        low = hashed % FULL
        if low >= self.threshold:
            return
        if use == ERASED:
            self._recency.forget(hashed)
            return
        known = hashed in self._recency
        if size_bytes:
            weight = float(size_bytes + KEY_OVERHEAD_BYTES)
        else:
            weight = self._recency.weight(hashed) if known else self._typical_bytes
        distance = self._recency.use(hashed, weight)
        if use == READ:
            self._count(distance, weight)
        if not known:
            self._keys += 1
            heapq.heappush(self._largest, (-low, hashed))
            while len(self._recency) > self._most_keys:
                self.lower(-self._largest[0][0])

    def lower(self, threshold: int) -> None:
        """From now on only keys below it; what was counted before counts as much less. A higher one changes nothing."""
        if threshold >= self.threshold:
            return
        share = threshold / self.threshold
        self._counts = {step: count * share for step, count in self._counts.items()}
        self._first_reads *= share
        self.threshold = threshold
        while self._largest and -self._largest[0][0] >= threshold:
            self._recency.forget(heapq.heappop(self._largest)[1])

    def curve(self, reads: float | None = None) -> Curve:
        """reads: how many there were of all keys, None not known (then there is no adjustment)."""
        rate = self.threshold / FULL
        counted = sum(self._counts.values()) + self._first_reads
        expected = counted if reads is None else reads * rate
        if not rate or expected <= 0:
            return Curve((), 0.0, self._keys, 0.0)
        hits = expected - counted
        steps = []
        for step in sorted(self._counts):
            hits += self._counts[step]
            steps.append((_STEP**step, min(1.0, max(0.0, hits / expected))))
        rising, highest = [], 0.0
        for size, share in steps:
            highest = max(highest, share)
            rising.append((size, highest))
        return Curve(tuple(rising), expected / rate, self._keys, self._recency.total / rate)

    def _count(self, distance: float | None, weight: float) -> None:
        if distance is None:
            self._first_reads += 1
            return
        size = distance * FULL / self.threshold + weight  # it has to fit in as well
        step = math.ceil(math.log(max(1.0, size)) / _LOG_STEP)
        self._counts[step] = self._counts.get(step, 0.0) + 1
