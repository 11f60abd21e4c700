"""Reads values of metrics in portions, and makes points of them: no portion holds the event loop for long.

Whatever is of the same series and time is read together, since a block has all metrics of its series. Called by GetMetricData
and GetMetricStatistics.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence

from cachefleet.api.context import Context
from cachefleet.api.metric_inputs import Wanted, stored, stored_names
from cachefleet.metrics.lines import Line, Subject
from cachefleet.metrics.periods import Window, window
from cachefleet.metrics.statistics import binned, series_of
from cachefleet.metrics.values import Value, merged
from cachefleet.model.metric import MetricName, Series

_BLOCKS = 24  # of one portion: each takes about a millisecond

_Group = tuple[tuple[Series, ...], Window]


async def read_lines(context: Context, wanted: Sequence[Wanted], start: float, end: float, now: float) -> list[Line]:
    """In the order of wanted. now: by which it is decided what is how old. Raises StoreError."""
    groups: dict[_Group, list[int]] = {}
    for number, one in enumerate(wanted):
        key = stored(context, one.metric), window(start, end, one.period_s, now)
        groups.setdefault(key, []).append(number)
    points: list[dict[int, float]] = [{} for _ in wanted]
    for batch, span in _batches(groups):
        series = [source for sources, _ in batch for source in sources]
        numbers = [number for group in batch for number in groups[group]]
        names = {name for number in numbers for name in stored_names(wanted[number].metric.name, wanted[number].unit)}
        for begin, finish in _portions(span, len(batch)):
            found = await context.metrics.points(series, list(names), span.resolution, begin, finish)
            await asyncio.sleep(0)
            for group in batch:
                for number in groups[group]:
                    one = wanted[number]
                    values = _joined(found, group[0], stored_names(one.metric.name, one.unit))
                    points[number].update(series_of(one.statistic, binned(values, span.start, span.period_s)))
    return [Line(points[number], one.period_s, _subject(one)) for number, one in enumerate(wanted)]


async def read_values(context: Context, wanted: Wanted, start: float, end: float, now: float) -> dict[str, dict[int, Value]]:
    """Unit -> the values of each period, of one metric; wanted.statistic does not matter. Raises StoreError."""
    span, sources = window(start, end, wanted.period_s, now), stored(context, wanted.metric)
    made: dict[str, dict[int, Value]] = {}
    for begin, finish in _portions(span, 1):
        names = stored_names(wanted.metric.name, wanted.unit)
        found = await context.metrics.points(sources, names, span.resolution, begin, finish)
        await asyncio.sleep(0)
        for name in names:
            if values := _joined(found, sources, [name]):
                made.setdefault(name.unit, {}).update(binned(values, span.start, span.period_s))
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


def _joined(
    found: Mapping[tuple[Series, MetricName], Mapping[int, Value]], sources: Sequence[Series], names: Sequence[MetricName]
) -> Mapping[int, Value]:
    """All series and units as one."""
    columns = [found[series, name] for series in sources for name in names if (series, name) in found]
    if len(columns) == 1:
        return columns[0]
    values: dict[int, list[Value]] = {}
    for column in columns:
        for time, value in column.items():
            values.setdefault(time, []).append(value)
    return {time: merged(several) for time, several in values.items()}


def _subject(wanted: Wanted) -> Subject:
    series = wanted.metric.series
    return Subject(series.namespace, wanted.metric.name, series.dimensions, wanted.statistic.text, wanted.period_s)
