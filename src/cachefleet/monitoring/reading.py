"""Reads values of metrics in portions, and makes points of them: no portion holds the event loop for long.

Whatever is of the same series and time is read together, since a block has all metrics of its series. Called by the operations
that read metrics and by the evaluation of alarms.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from cachefleet.clock import Clock
from cachefleet.metric_interfaces import Metrics
from cachefleet.metrics.dimensions import sources
from cachefleet.metrics.lines import Line, Subject, Work
from cachefleet.metrics.periods import Window, window
from cachefleet.metrics.queries import Wanted
from cachefleet.metrics.statistics import binned, series_of, together
from cachefleet.metrics.values import Value
from cachefleet.model.metric import MetricName, Series, names_of

_BLOCKS = 24  # of one portion: each takes about a millisecond
_LINES = 20  # that are made before others get their turn

_Group = tuple[tuple[Series, ...], Window]
_Found = Mapping[tuple[Series, MetricName], Mapping[int, Value]]
_Columns = Sequence[Mapping[int, Value]]


class Readings(msgspec.Struct, frozen=True):
    """Where values are read. most_nodes: of a Memcached cluster."""

    metrics: Metrics
    clock: Clock
    most_nodes: int


async def read_lines(
    readings: Readings, wanted: Sequence[Wanted], start: float, end: float, now: float, work: Work
) -> list[Line]:
    """In the order of wanted. now: by which it is decided what is how old. Raises StoreError, and ExpressionError as soon as
    there are more points than the work allows."""
    groups: dict[_Group, list[int]] = {}
    for number, one in enumerate(wanted):
        key = _stored(readings, one), window(start, end, one.period_s, now)
        groups.setdefault(key, []).append(number)
    points: list[dict[int, float]] = [{} for _ in wanted]
    for batch, span in _batches(groups):
        series = [source for stored, _ in batch for source in stored]
        asked = {(wanted[number].metric.name, wanted[number].unit) for group in batch for number in groups[group]}
        names = [name for one in sorted(asked) for name in names_of(*one)]
        for begin, finish in _portions(span, len(batch)):
            found = await readings.metrics.points(series, names, span.resolution, begin, finish)
            await readings.clock.sleep(0)
            columns = _by_group(found, [stored for stored, _ in batch])
            numbers = [(place, number) for place, group in enumerate(batch) for number in groups[group]]
            for done, (place, number) in enumerate(numbers, 1):
                one = wanted[number]
                values = _joined(columns.get((place, one.metric.name), {}), one.unit)
                more = series_of(one.statistic, binned(values, span.start, span.period_s))
                work.does(len(more))
                points[number].update(more)
                if done % _LINES == 0:
                    await readings.clock.sleep(0)
    return [Line(points[number], one.period_s, _subject(one)) for number, one in enumerate(wanted)]


async def read_values(readings: Readings, wanted: Wanted, start: float, end: float, now: float) -> dict[str, dict[int, Value]]:
    """Unit -> the values of each period, of one metric; wanted.statistic does not matter. Raises StoreError."""
    span, series = window(start, end, wanted.period_s, now), _stored(readings, wanted)
    names = names_of(wanted.metric.name, wanted.unit)
    made: dict[str, dict[int, Value]] = {}
    for begin, finish in _portions(span, 1):
        found = await readings.metrics.points(series, names, span.resolution, begin, finish)
        await readings.clock.sleep(0)
        for by_unit in _by_group(found, [series]).values():
            for unit in by_unit:
                made.setdefault(unit, {}).update(binned(_joined(by_unit, unit), span.start, span.period_s))
    return made


def _stored(readings: Readings, wanted: Wanted) -> tuple[Series, ...]:
    return sources(wanted.metric.series, wanted.metric.name, readings.most_nodes)


def _by_group(found: _Found, groups: Sequence[Sequence[Series]]) -> dict[tuple[int, str], dict[str, list[Mapping[int, Value]]]]:
    """(place of the group, metric's name) -> unit -> what its series have."""
    made: dict[tuple[int, str], dict[str, list[Mapping[int, Value]]]] = {}
    there = {series for series, _ in found}
    places: dict[Series, list[int]] = {}
    for place, stored in enumerate(groups):
        for source in there.intersection(stored):
            places.setdefault(source, []).append(place)
    for (series, name), column in found.items():
        for place in places[series]:
            made.setdefault((place, name.name), {}).setdefault(name.unit, []).append(column)
    return made


def _batches(groups: Mapping[_Group, Sequence[int]]) -> Iterator[tuple[list[_Group], Window]]:
    """As many of the same window as fit into one portion."""
    by_window: dict[Window, list[_Group]] = {}
    for group in groups:
        by_window.setdefault(group[1], []).append(group)
    for span, alike in by_window.items():
        size = max(1, _BLOCKS // _blocks(span.start, span.end, span))
        for first in range(0, len(alike), size):
            yield alike[first : first + size], span


def _portions(span: Window, groups: int) -> Iterator[tuple[int, int]]:
    """Stretches of whole periods."""
    length = max(1, _BLOCKS // groups) * span.resolution.block_s // span.period_s * span.period_s or span.period_s
    for begin in range(span.start, span.end, length):
        yield begin, min(begin + length, span.end)


def _blocks(begin: int, end: int, span: Window) -> int:
    return (end - begin) // span.resolution.block_s + 1


def _joined(by_unit: Mapping[str, _Columns], unit: str) -> Mapping[int, Value]:
    """All series as one; unit "": all units, too."""
    columns = [column for one, several in by_unit.items() if unit in ("", one) for column in several]
    return together(columns)


def _subject(wanted: Wanted) -> Subject:
    series = wanted.metric.series
    return Subject(series.namespace, wanted.metric.name, series.dimensions, wanted.statistic.text, wanted.period_s)
