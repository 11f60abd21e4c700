"""One line of the table: what was measured, every value of it, and what it is held against."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

import msgspec

_ENOUGH = 20


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """values: one a repetition. target: None where there is none; the median is compared with it, or each value."""

    figure: str
    unit: str  # "s", "ms", "1/s", "%", "MB", "" for ratios and counts
    values: Sequence[float]
    target: float | None = None
    at_least: bool = False  # the target is a lower bound
    each: bool = False  # the target holds for every value
    reference: str = ""  # what a ratio is relative to, or what else the figure consists of

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def p95(self) -> float | None:
        """At most one value in 20 is worse; None where that is the worst (fewer than 20 values)."""
        if len(self.values) < _ENOUGH:
            return None
        return sorted(self.values, reverse=self.at_least)[math.ceil(0.95 * len(self.values)) - 1]

    @property
    def worst(self) -> float:
        return min(self.values) if self.at_least else max(self.values)

    @property
    def met(self) -> bool | None:
        """None: there is no target."""
        if self.target is None:
            return None
        value = self.worst if self.each else self.median
        return value >= self.target if self.at_least else value <= self.target


def shown(value: float, unit: str) -> str:
    """Three significant digits or whole numbers, and the unit."""
    if unit == "1/s" or value >= 1000:
        text = f"{value:,.0f}"
    elif unit == "" and value == int(value):
        text = f"{value:.0f}"
    else:
        text = f"{value:.3g}" if value < 100 else f"{value:.0f}"
    return f"{text} {unit}".rstrip()
