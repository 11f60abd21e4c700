"""The functions of metric math. Pure; each takes values and gives one, by CloudWatch's definitions."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise

import msgspec

from cachefleet.metrics.expression_syntax import ExpressionError
from cachefleet.metrics.lines import Array, Line, Value, Work, across, each, mapped, number_of

Reduce = Callable[[Sequence[float]], float]


class Search(msgspec.Struct, frozen=True):
    """What SEARCH is asked for. period_s: 0 when it is not said."""

    query: str
    statistic: str
    period_s: int


class Scene(msgspec.Struct):
    """What an expression is computed from. values: of the queries that it names. metrics: (id, series) of the queries that are
    no expressions. found: what searches found. times: period in seconds -> the times of points. period_s: of what has no
    other."""

    values: Mapping[str, Value]
    metrics: Sequence[tuple[str, Line]]
    found: Mapping[Search, Array]
    times: Callable[[int], range]
    period_s: int
    work: Work


class Function(msgspec.Struct, frozen=True):
    """fewest, most: arguments."""

    fewest: int
    most: int
    run: Callable[[Scene, list[Value]], Value]


# --- many numbers to one ---


def _sum(numbers: Iterable[float]) -> float:
    try:
        return math.fsum(numbers)
    except OverflowError:
        return math.nan


def _average(numbers: Sequence[float]) -> float:
    return _sum(numbers) / len(numbers)


def _deviation(numbers: Sequence[float]) -> float:
    mean = _average(numbers)
    return math.sqrt(_sum((number - mean) * (number - mean) for number in numbers) / len(numbers))


def _count(numbers: Sequence[float]) -> float:
    return float(len(numbers))


_REDUCTIONS: Mapping[str, Reduce] = {
    "AVG": _average,
    "DATAPOINT_COUNT": _count,
    "MAX": max,
    "MIN": min,
    "STDDEV": _deviation,
    "SUM": _sum,
}
_ORDERS = ("AVG", "MAX", "MIN", "SUM")


def _reduction(name: str) -> Function:
    def run(scene: Scene, arguments: list[Value]) -> Value:
        (value,) = arguments
        if isinstance(value, Line):
            return _reduced(name, value, scene.work)
        if isinstance(value, tuple):
            return across(_REDUCTIONS[name], value, scene.work)
        raise ExpressionError(f"{name}() needs a time series or an array of them")

    return Function(1, 1, run)


def _reduced(name: str, line: Line, work: Work) -> float:
    work.does(len(line.points))
    if not line.points:
        return 0.0 if name == "DATAPOINT_COUNT" else math.nan
    return number_of(_REDUCTIONS[name](tuple(line.points.values())))


# --- number by number ---


def _logarithm(log: Callable[[float], float]) -> Callable[[float], float | None]:
    return lambda number: log(number) if number > 0 else None


def _pointwise(combine: Callable[[float], float | None]) -> Function:
    return Function(1, 1, lambda scene, arguments: each(combine, arguments, scene.work))


def _clocked(part: Callable[[datetime], float]) -> Function:
    """Of the points' times, in UTC."""

    def change(line: Line) -> Line:
        return _with(line, {time: float(part(datetime.fromtimestamp(time, UTC))) for time in line.points})

    return Function(1, 1, lambda scene, arguments: mapped(change, arguments[0], scene.work, "A function of time"))


# --- along a series ---


def _with(line: Line, points: Mapping[int, float]) -> Line:
    return Line({time: number for time, number in points.items() if math.isfinite(number)}, line.period_s, line.subject)


def _difference(line: Line) -> Line:
    return _with(line, {time: number - before for (_, before), (time, number) in pairwise(line.points.items())})


def _time_difference(line: Line) -> Line:
    return _with(line, {time: float(time - before) for before, time in pairwise(line.points)})


def _rate(line: Line) -> Line:
    steps = pairwise(line.points.items())
    return _with(line, {time: (number - before) / (time - then) for (then, before), (time, number) in steps})


def _running_sum(line: Line) -> Line:
    points: dict[int, float] = {}
    total = 0.0
    for time, number in line.points.items():
        total += number
        points[time] = total
    return _with(line, points)


def _along(change: Callable[[Line], Line], name: str) -> Function:
    return Function(1, 1, lambda scene, arguments: mapped(change, arguments[0], scene.work, f"{name}()"))


def _fill(scene: Scene, arguments: list[Value]) -> Value:
    value, by = arguments
    if isinstance(by, Line | tuple) or (isinstance(by, str) and by not in ("REPEAT", "LINEAR")):
        raise ExpressionError("FILL() fills with a number, REPEAT or LINEAR")

    def change(line: Line) -> Line:
        grid = scene.times(line.period_s or scene.period_s)
        times = sorted({*grid, *line.points})
        scene.work.does(len(times))
        if isinstance(by, float):
            return _with(line, {time: line.points.get(time, by) for time in times})
        return _with(line, _repeated(line.points, times) if by == "REPEAT" else _interpolated(line.points, grid.step))

    return mapped(change, value, scene.work, "FILL()")


def _repeated(points: Mapping[int, float], times: Sequence[int]) -> dict[int, float]:
    filled: dict[int, float] = {}
    last = math.nan
    for time in times:
        last = points.get(time, last)
        filled[time] = last
    return filled


def _interpolated(points: Mapping[int, float], step: int) -> dict[int, float]:
    """Only within gaps: there is nothing to go by before the first point, nor after the last."""
    filled = dict(points)
    for (begin, first), (end, last) in pairwise(points.items()):
        for time in range(begin + step, end, step):
            filled[time] = first + (last - first) * (time - begin) / (end - begin)
    return {time: filled[time] for time in sorted(filled)}


# --- choosing ---


def _if(scene: Scene, arguments: list[Value]) -> Value:
    arrays = [argument for argument in arguments if isinstance(argument, tuple)]
    if len(arrays) > 1:
        raise ExpressionError("IF() takes one array of time series at most")
    if arrays:
        return tuple(
            line
            for one in arrays[0]
            if isinstance(line := _chosen(scene, [one if isinstance(given, tuple) else given for given in arguments]), Line)
        )
    return _chosen(scene, arguments)


def _chosen(scene: Scene, arguments: list[Value]) -> Value:
    condition, *branches = arguments
    if any(isinstance(argument, str) for argument in arguments):
        raise ExpressionError("IF() takes numbers and time series")
    if isinstance(condition, float):
        position = 0 if condition else 1
        return branches[position] if position < len(branches) and not math.isnan(condition) else Line({}, scene.period_s)
    assert isinstance(condition, Line)
    scene.work.does(len(condition.points))
    points: dict[int, float] = {}
    for time, holds in condition.points.items():
        branch = branches[0] if holds else (branches[1] if len(branches) > 1 else math.nan)
        number = branch.points.get(time, math.nan) if isinstance(branch, Line) else branch
        if isinstance(number, float) and math.isfinite(number):
            points[time] = number
    lines = [branch for branch in branches if isinstance(branch, Line)]
    return Line(points, condition.period_s, lines[0].subject if lines else condition.subject)


def _array(value: Value, name: str) -> Array:
    if isinstance(value, Line):
        return (value,)
    if not isinstance(value, tuple):
        raise ExpressionError(f"{name}() needs an array of time series")
    return value


def _whole(value: Value, name: str) -> int:
    if not isinstance(value, float) or not value.is_integer() or value < 0:
        raise ExpressionError(f"{name}() takes whole numbers from 0 on")
    return int(value)


def _first(scene: Scene, arguments: list[Value]) -> Value:
    return next(iter(_array(arguments[0], "FIRST")), Line({}, scene.period_s))


def _last(scene: Scene, arguments: list[Value]) -> Value:
    return next(reversed(_array(arguments[0], "LAST")), Line({}, scene.period_s))


def _slice(scene: Scene, arguments: list[Value]) -> Value:
    array, *bounds = arguments
    return _array(array, "SLICE")[slice(*[*(_whole(bound, "SLICE") for bound in bounds), None][:2])]


def _sort(scene: Scene, arguments: list[Value]) -> Value:
    array, by, order, *most = arguments
    if by not in _ORDERS or order not in ("ASC", "DESC"):
        raise ExpressionError(f"SORT() takes an array, one of {', '.join(_ORDERS)}, ASC or DESC, and how many to keep")
    keyed = [(_reduced(str(by), line, scene.work), line) for line in _array(array, "SORT")]
    some = sorted((one for one in keyed if not math.isnan(one[0])), key=lambda one: one[0], reverse=order == "DESC")
    lines = [line for _, line in (*some, *(one for one in keyed if math.isnan(one[0])))]
    return tuple(lines[: _whole(most[0], "SORT")] if most else lines)


def _remove_empty(scene: Scene, arguments: list[Value]) -> Value:
    return tuple(line for line in _array(arguments[0], "REMOVE_EMPTY") if line.points)


# --- where series come from ---


def _metrics(scene: Scene, arguments: list[Value]) -> Value:
    wanted = arguments[0] if arguments else ""
    if not isinstance(wanted, str):
        raise ExpressionError("METRICS() takes a text that is part of ids")
    return tuple(line for name, line in scene.metrics if wanted in name)


def search_of(arguments: Sequence[object]) -> Search:
    """Raises ExpressionError."""
    query, statistic, period = [*arguments, 0.0][:3]
    if not isinstance(query, str) or not isinstance(statistic, str) or not isinstance(period, float):
        raise ExpressionError("SEARCH() takes a text, a statistic as a text, and a period in seconds")
    return Search(query, statistic, _whole(period, "SEARCH"))


def _metric_count(scene: Scene, arguments: list[Value]) -> Value:
    return float(len(_array(arguments[0], "METRIC_COUNT")))


def _period(scene: Scene, arguments: list[Value]) -> Value:
    if not isinstance(arguments[0], Line):
        raise ExpressionError("PERIOD() needs a time series")
    return float(arguments[0].period_s)


def _time_series(scene: Scene, arguments: list[Value]) -> Value:
    if not isinstance(arguments[0], float):
        raise ExpressionError("TIME_SERIES() needs a number")
    times = scene.times(scene.period_s)
    scene.work.does(len(times))
    return _with(Line({}, scene.period_s), dict.fromkeys(times, arguments[0]))


FUNCTIONS: Mapping[str, Function] = {
    **{name: _reduction(name) for name in _REDUCTIONS},
    "ABS": _pointwise(abs),
    "CEIL": _pointwise(lambda number: float(math.ceil(number))),
    "DATE": _clocked(lambda time: time.day),
    "DAY": _clocked(lambda time: time.isoweekday()),
    "DIFF": _along(_difference, "DIFF"),
    "DIFF_TIME": _along(_time_difference, "DIFF_TIME"),
    "EPOCH": _clocked(lambda time: time.timestamp()),
    "FILL": Function(2, 2, _fill),
    "FIRST": Function(1, 1, _first),
    "FLOOR": _pointwise(lambda number: float(math.floor(number))),
    "HOUR": _clocked(lambda time: time.hour),
    "IF": Function(2, 3, _if),
    "LAST": Function(1, 1, _last),
    "LOG": _pointwise(_logarithm(math.log)),
    "LOG10": _pointwise(_logarithm(math.log10)),
    "METRICS": Function(0, 1, _metrics),
    "METRIC_COUNT": Function(1, 1, _metric_count),
    "MINUTE": _clocked(lambda time: time.minute),
    "MONTH": _clocked(lambda time: time.month),
    "PERIOD": Function(1, 1, _period),
    "RATE": _along(_rate, "RATE"),
    "REMOVE_EMPTY": Function(1, 1, _remove_empty),
    "RUNNING_SUM": _along(_running_sum, "RUNNING_SUM"),
    "SEARCH": Function(2, 3, lambda scene, arguments: scene.found[search_of(arguments)]),
    "SLICE": Function(2, 3, _slice),
    "SORT": Function(3, 4, _sort),
    "TIME_SERIES": Function(1, 1, _time_series),
    "YEAR": _clocked(lambda time: time.year),
}
