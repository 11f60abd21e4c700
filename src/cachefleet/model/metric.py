"""Metrics: what a value is of, and for how long values of which fineness are kept (as CloudWatch keeps them)."""

from __future__ import annotations

import msgspec

NODES = "AWS/ElastiCache"  # the namespace of what is measured here
BEYOND_AWS = "Cachefleet"  # of what is known here and has no name in AWS
DAY_S = 86400
_SIZES = ("Bytes", "Kilobytes", "Megabytes", "Gigabytes", "Terabytes", "Bits", "Kilobits", "Megabits", "Gigabits", "Terabits")
UNITS = (
    *("Seconds", "Microseconds", "Milliseconds"),
    *_SIZES,
    *("Percent", "Count"),
    *(f"{size}/Second" for size in _SIZES),
    *("Count/Second", "None"),
)


class Series(msgspec.Struct, frozen=True, order=True):
    """One set of dimensions, sorted by name; all metrics that have it are kept together."""

    account: str
    region: str
    namespace: str
    dimensions: tuple[tuple[str, str], ...]


class MetricName(msgspec.Struct, frozen=True, order=True):
    """Within a series. The same name with another unit is another metric, as in CloudWatch."""

    name: str
    unit: str = "None"


def names_of(name: str, unit: str = "") -> list[MetricName]:
    """unit: "" all."""
    return [MetricName(name, one) for one in ((unit,) if unit else UNITS)]


class Resolution(msgspec.Struct, frozen=True):
    """How fine values are kept, and for how long; block_s: so much is one block, which its writer has in memory. Seconds."""

    seconds: int
    kept_s: int
    block_s: int


RESOLUTIONS = (
    Resolution(1, 3 * 3600, 300),
    Resolution(60, 15 * DAY_S, 3600),
    Resolution(300, 63 * DAY_S, 2 * 3600),
    Resolution(3600, 455 * DAY_S, 6 * 3600),
)


class Block(msgspec.Struct, frozen=True):
    """What one writer has for a stretch of a series. data: see metrics.blocks."""

    series: Series
    resolution_s: int
    begins_at: int  # epoch seconds, a multiple of the resolution's block_s
    writer: str  # a process; blocks of several are merged when they are read
    names: tuple[MetricName, ...]
    data: bytes


class ListedSeries(msgspec.Struct, frozen=True):
    """last_at: epoch seconds of its youngest value."""

    series: Series
    names: tuple[MetricName, ...]
    last_at: float
