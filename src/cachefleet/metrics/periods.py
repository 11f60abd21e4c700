"""Which points in time a query answers for, and which fineness of stored values it reads. Pure.

As in CloudWatch: the start is rounded down by its age, points lie a period apart from there on, and each takes the values from
its time up to the next. Values of a fineness are there for as long as model.metric says; what is older has no points.
"""

from __future__ import annotations

import math

import msgspec

from cachefleet.model.metric import DAY_S, RESOLUTIONS, Resolution

SHORT_S = (1, 5, 10, 20, 30)
PERIOD_RULE = "must be 1, 5, 10, 20, 30 or a multiple of 60"
MINUTE_S = 60
AHEAD_S = 2 * 3600  # no value is of a later time
_START_STEPS = ((15 * DAY_S, 60), (63 * DAY_S, 300))  # (younger than, is rounded down to whole); older ones to whole hours
_OLDEST_STEP_S = 3600


class Window(msgspec.Struct, frozen=True):
    """start <= time < end in epoch seconds; points are at start, start + period_s and so on."""

    start: int
    end: int
    period_s: int
    resolution: Resolution

    def times(self, until: float = math.inf) -> range:
        """Of all points that begin before that moment."""
        return range(self.start, min(self.end, math.ceil(min(until, self.end))), self.period_s)


def is_period(seconds: int) -> bool:
    return seconds in SHORT_S or (seconds > 0 and seconds % MINUTE_S == 0)


def rounded_start(start: float, period_s: int, now: float) -> int:
    if period_s < MINUTE_S:
        return math.floor(start) // period_s * period_s
    age = now - start
    step = next((step for younger, step in _START_STEPS if age < younger), _OLDEST_STEP_S)
    return math.floor(start) // step * step


def window(start: float, end: float, period_s: int, now: float) -> Window:
    """period_s: see is_period. It begins no earlier than with the point that has the oldest values that may be left, and ends
    no later than there may be values."""
    first = rounded_start(start, period_s, now)
    fits = [one for one in RESOLUTIONS if period_s % one.seconds == 0 and first % one.seconds == 0]
    resolution = fits[-1]  # the coarsest is kept for longest, and read fastest
    oldest = math.floor(now) - resolution.kept_s
    if first < oldest:
        first += (oldest - first) // period_s * period_s
    return Window(first, max(first, math.ceil(min(end, now + AHEAD_S + 1))), period_s, resolution)


def count(start: float, end: float, period_s: int) -> int:
    """How many points there are at most."""
    return max(0, math.ceil((end - start) / period_s))
