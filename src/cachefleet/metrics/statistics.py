"""Statistics by CloudWatch's names, and the points that a period makes of values. Pure.

Those that need to know how measurements are spread (percentiles, trimmed and winsorised means, percentile ranks) come from the
buckets of metrics.values, within 1 %; where only sums are known they have no value, unless all measurements are equal.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from cachefleet.metrics.values import Value, bucket_of, distribution, merged, percentile

SIMPLE: Mapping[str, Callable[[Value], float]] = {
    "SampleCount": lambda value: value.count,
    "Average": lambda value: value.average,
    "Sum": lambda value: value.total,
    "Minimum": lambda value: value.lowest,
    "Maximum": lambda value: value.highest,
}
_NUMBER = r"\d{1,15}(?:\.\d{1,10})?"
_UP_TO = re.compile(rf"(p|tm|tc|ts|wm)({_NUMBER})", re.ASCII | re.IGNORECASE)
_BETWEEN = re.compile(rf"(tm|tc|ts|wm|pr)\(({_NUMBER})?(%)?:({_NUMBER})?(%)?\)", re.ASCII | re.IGNORECASE)
_ALL = 100.0

_Part = tuple[float, float]  # a measurement, and how often


class Statistic(msgspec.Struct, frozen=True):
    """kind: a key of SIMPLE, or p, tm, tc, ts, wm, pr. low, high: bounds in percent of the measurements, or (absolute)
    measurements; None where there is none. Of a percentile, high is the percentage."""

    text: str
    kind: str
    low: float | None = None
    high: float | None = None
    absolute: bool = False

    @property
    def is_extended(self) -> bool:
        return self.kind not in SIMPLE

    def of(self, value: Value) -> float | None:
        """None where it cannot be told."""
        if self.kind in SIMPLE:
            return SIMPLE[self.kind](value)
        if self.kind == "p":
            return percentile(value, self.high or 0.0)
        parts = distribution(value)
        return None if parts is None else _SPREAD[self.kind](self, value, parts)


def read_statistic(text: str) -> Statistic | None:
    """None for what is no statistic, or has bounds that cannot be."""
    if text in SIMPLE:
        return Statistic(text, text)
    if text.upper() == "IQM":
        return Statistic(text, "tm", 25.0, 75.0)
    if up_to := _UP_TO.fullmatch(text):
        kind, number = up_to[1].lower(), float(up_to[2])
        return Statistic(text, kind, None, number) if number <= _ALL else None
    between = _BETWEEN.fullmatch(text)
    return _ranged(text, *between.groups()) if between else None


def _ranged(
    text: str, kind: str, low: str | None, low_sign: str | None, high: str | None, high_sign: str | None
) -> Statistic | None:
    given = [(number, sign) for number, sign in ((low, low_sign), (high, high_sign)) if number is not None]
    signs = {sign for _, sign in given}
    if len(signs) != 1 or (low is None and low_sign) or (high is None and high_sign):
        return None
    bounds = [float(number) for number, _ in given]
    absolute = signs == {None}
    if bounds != sorted(bounds) or (not absolute and bounds[-1] > _ALL) or (kind.lower() == "pr" and not absolute):
        return None
    return Statistic(text, kind.lower(), None if low is None else float(low), None if high is None else float(high), absolute)


def together(columns: Sequence[Mapping[int, Value]]) -> Mapping[int, Value]:
    """Of several series or units as one."""
    if len(columns) == 1:
        return columns[0]
    values: dict[int, list[Value]] = {}
    for column in columns:
        for time, value in column.items():
            values.setdefault(time, []).append(value)
    return {time: merged(several) for time, several in values.items()}


def binned(points: Mapping[int, Value], start: int, period_s: int) -> dict[int, Value]:
    """Times in order. points: of times from start on. There is nothing for a period without values."""
    found: dict[int, list[Value]] = {}
    for time in sorted(points):
        found.setdefault(start + (time - start) // period_s * period_s, []).append(points[time])
    return {time: merged(values) for time, values in found.items()}


def series_of(statistic: Statistic, values: Mapping[int, Value]) -> dict[int, float]:
    """Without the times at which it cannot be told."""
    numbers = ((time, statistic.of(value)) for time, value in values.items())
    return {time: number for time, number in numbers if number is not None}


def _within(statistic: Statistic, value: Value, parts: Iterable[_Part]) -> list[_Part]:
    """Of the measurements those between the bounds: above low, up to high."""
    if statistic.absolute:
        place = float if value.counts is None else bucket_of  # a bound that is a measurement itself is in its bucket
        low, high = (None if bound is None else place(bound) for bound in (statistic.low, statistic.high))
        return [part for part in parts if (low is None or place(part[0]) > low) and (high is None or place(part[0]) <= high)]
    first, last = _ranks(statistic, value)
    kept: list[_Part] = []
    seen = 0.0
    for number, times in parts:
        share = min(seen + times, last) - max(seen, first)
        if share > 0:
            kept.append((number, share))
        seen += times
    return kept


def _ranks(statistic: Statistic, value: Value) -> tuple[float, float]:
    low, high = statistic.low or 0.0, _ALL if statistic.high is None else statistic.high
    return low / _ALL * value.count, high / _ALL * value.count


def _trimmed_mean(statistic: Statistic, value: Value, parts: list[_Part]) -> float | None:
    kept = _within(statistic, value, parts)
    times = sum(part[1] for part in kept)
    return sum(number * share for number, share in kept) / times if times else None


def _trimmed_count(statistic: Statistic, value: Value, parts: list[_Part]) -> float | None:
    return sum((times for _, times in _within(statistic, value, parts)), 0.0)


def _trimmed_sum(statistic: Statistic, value: Value, parts: list[_Part]) -> float | None:
    return sum((number * times for number, times in _within(statistic, value, parts)), 0.0)


def _winsorised_mean(statistic: Statistic, value: Value, parts: list[_Part]) -> float | None:
    lowest, highest = statistic.low, statistic.high
    if not statistic.absolute:
        lowest = None if lowest is None else percentile(value, lowest)
        highest = None if highest is None else percentile(value, highest)
    total = 0.0
    for number, times in parts:
        raised = number if lowest is None else max(number, lowest)
        total += times * (raised if highest is None else min(raised, highest))
    return total / value.count


def _rank(statistic: Statistic, value: Value, parts: list[_Part]) -> float | None:
    return _ALL * sum(times for _, times in _within(statistic, value, parts)) / value.count


_SPREAD: Mapping[str, Callable[[Statistic, Value, list[_Part]], float | None]] = {
    "tm": _trimmed_mean,
    "tc": _trimmed_count,
    "ts": _trimmed_sum,
    "wm": _winsorised_mean,
    "pr": _rank,
}
