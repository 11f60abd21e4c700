"""A value of a metric: one measurement, or what is known of many. Pure.

Percentiles of many come from counts in logarithmic buckets: each bucket's limits are 2 % apart, so a percentile is right within
1 %; of a single measurement, or of equal ones, it is exact.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import msgspec

_BASE = math.log(1.02)
_MIDDLE = 2 / 2.02  # of a bucket, over its upper limit
_AWAY = 1 << 20  # so that no exponent is mistaken for zero, or changes its sign

Counts = dict[int, float]  # number of a bucket -> how many measurements are in it


class Value(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True, gc=False):  # there are a million
    """counts: None where all measurements are equal, or nothing more is known than these four (a StatisticSet)."""

    total: float
    count: float = 1.0
    minimum: float = math.nan
    maximum: float = math.nan
    counts: Counts | None = None

    @property
    def lowest(self) -> float:
        return self.total / self.count if math.isnan(self.minimum) else self.minimum

    @property
    def highest(self) -> float:
        return self.total / self.count if math.isnan(self.maximum) else self.maximum

    @property
    def average(self) -> float:
        return self.total / self.count


def single(number: float) -> Value:
    return Value(number)


def measured(numbers: Mapping[float, float]) -> Value:
    """Of measurements -> how often each. At least one, with a count above zero."""
    counts: Counts = {}
    for number, times in numbers.items():
        bucket = bucket_of(number)
        counts[bucket] = counts.get(bucket, 0.0) + times
    total, count = sum(number * times for number, times in numbers.items()), sum(numbers.values())
    return Value(total, count, min(numbers), max(numbers), counts if len(numbers) > 1 else None)


def merged(values: Iterable[Value]) -> Value:
    """At least one."""
    first, *others = values
    if not others:
        return first
    everything = (first, *others)
    lowest, highest = min(one.lowest for one in everything), max(one.highest for one in everything)
    total, count = math.fsum(one.total for one in everything), math.fsum(one.count for one in everything)
    return Value(total, count, lowest, highest, None if lowest == highest else _together(everything))


def percentile(value: Value, percent: float) -> float | None:
    """percent: 0 to 100. None where only sums are known."""
    if value.lowest == value.highest:
        return value.lowest
    if value.counts is None:
        return None
    wanted = value.count * percent / 100
    seen = 0.0
    for bucket in sorted(value.counts):
        seen += value.counts[bucket]
        if seen >= wanted:
            return min(max(_middle(bucket), value.lowest), value.highest)
    return value.highest


def distribution(value: Value) -> list[tuple[float, float]] | None:
    """(measurement, how many were like it) in ascending order. None where only sums are known."""
    if value.lowest == value.highest:
        return [(value.lowest, value.count)]
    if value.counts is None:
        return None
    return [(min(max(_middle(bucket), value.lowest), value.highest), value.counts[bucket]) for bucket in sorted(value.counts)]


def _together(values: Iterable[Value]) -> Counts | None:
    """None when of one of them no more is known than its sum."""
    counts: Counts = {}
    for value in values:
        parts = value.counts
        if parts is None:
            if value.lowest != value.highest:
                return None
            parts = {bucket_of(value.lowest): value.count}
        for bucket, times in parts.items():
            counts[bucket] = counts.get(bucket, 0.0) + times
    return counts


def bucket_of(number: float) -> int:
    """In the order of numbers."""
    if number == 0:
        return 0
    exponent = _AWAY + math.ceil(math.log(abs(number)) / _BASE)
    return exponent if number > 0 else -exponent


def _middle(bucket: int) -> float:
    if bucket == 0:
        return 0.0
    upper = math.exp((abs(bucket) - _AWAY) * _BASE) * _MIDDLE
    return upper if bucket > 0 else -upper
