"""What metric math computes with: numbers, time series and arrays of them; and how an operator acts on each. Pure.

What has no value (a division by zero, a point that one of two series lacks) is left out of a series: a gap. As a number it is
NaN, and whatever is computed with it is left out, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import msgspec

from cachefleet.metrics.expression_syntax import ExpressionError

MAX_WORK = 2_000_000  # points that one request's expressions may go through: about a second of a processor, and 200 MB


class Subject(msgspec.Struct, frozen=True):
    """Whose values a series is of, for labels. statistic, period_s: as asked for."""

    namespace: str
    name: str
    dimensions: tuple[tuple[str, str], ...]
    statistic: str
    period_s: int


class Line(msgspec.Struct, frozen=True):
    """A time series. points: epoch seconds, ascending -> finite number. subject: None for what is of several."""

    points: Mapping[int, float]
    period_s: int
    subject: Subject | None = None


Array = tuple[Line, ...]
Value = float | Line | Array | str  # a text is an argument only
Combine = Callable[..., float | None]  # of as many numbers as there are operands; None: no value


class Work:
    """What may still be done for this request."""

    def __init__(self, points: int = MAX_WORK) -> None:
        self._left = points

    def does(self, points: int) -> None:
        """Raises ExpressionError when it is too much."""
        self._left -= points
        if self._left < 0:
            raise ExpressionError("Too much data; ask for a shorter time, a longer period or fewer metrics")


def number_of(value: float | None) -> float:
    """NaN for what is none."""
    return value if value is not None and math.isfinite(value) else math.nan


def each(combine: Combine, operands: Sequence[Value], work: Work) -> Value:
    """Numbers make a number; a series is combined point by point, an array series by series. Raises ExpressionError for a text
    and for two arrays."""
    if any(isinstance(operand, str) for operand in operands):
        raise ExpressionError("A text or word stands where a number or a time series is needed")
    arrays = [operand for operand in operands if isinstance(operand, tuple)]
    if len(arrays) > 1:
        raise ExpressionError("Two arrays of time series cannot be combined; use a function that makes one series of each")
    if arrays:
        return tuple(
            _lines(combine, [line if isinstance(operand, tuple) else operand for operand in operands], work)
            for line in arrays[0]
        )
    if any(isinstance(operand, Line) for operand in operands):
        return _lines(combine, operands, work)
    return math.nan if any(math.isnan(number) for number in _numbers(operands)) else number_of(combine(*operands))


def _numbers(operands: Sequence[Value]) -> list[float]:
    return [operand for operand in operands if isinstance(operand, float)]


def _lines(combine: Combine, operands: Sequence[Value], work: Work) -> Line:
    lines = [operand for operand in operands if isinstance(operand, Line)]
    fewest = min(lines, key=lambda line: len(line.points))
    work.does(len(fewest.points) * len(operands))
    found: dict[int, float] = {}
    for time in () if any(math.isnan(number) for number in _numbers(operands)) else fewest.points:
        numbers = [operand.points.get(time) if isinstance(operand, Line) else operand for operand in operands]
        if None not in numbers and math.isfinite(number := number_of(combine(*numbers))):
            found[time] = number
    subject = lines[0].subject if len(lines) == 1 else None
    return Line(found, max(line.period_s for line in lines), subject)


def mapped(change: Callable[[Line], Line], value: Value, work: Work, what: str) -> Value:
    """A series, or every series of an array. what: for the refusal of anything else."""
    if isinstance(value, Line):
        work.does(len(value.points))
        return change(value)
    if isinstance(value, tuple):
        return tuple(line for one in value if isinstance(line := mapped(change, one, work, what), Line))
    raise ExpressionError(f"{what} needs a time series or an array of them")


def across(reduce: Callable[[Sequence[float]], float], array: Array, work: Work) -> Line:
    """One series of many: at each time, of those that have a point there."""
    work.does(sum(len(line.points) for line in array))
    found: dict[int, list[float]] = {}
    for line in array:
        for time, number in line.points.items():
            found.setdefault(time, []).append(number)
    made = {time: number_of(reduce(found[time])) for time in sorted(found)}
    points = {time: number for time, number in made.items() if math.isfinite(number)}
    return Line(points, max((line.period_s for line in array), default=0))
