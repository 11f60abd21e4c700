"""The values of queries: reads what they need, and computes expressions in a thread, each once.

What is read is bounded by the work that a request may make. Called by GetMetricData and by the evaluation of alarms.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import msgspec

from cachefleet.metrics.dimensions import listings
from cachefleet.metrics.expression_functions import Scene, Search
from cachefleet.metrics.expression_syntax import ExpressionError
from cachefleet.metrics.expressions import result, searches
from cachefleet.metrics.lines import Array, Line, Value, Work
from cachefleet.metrics.periods import Window, window
from cachefleet.metrics.queries import DEFAULT_PERIOD_S, Metric, Query, QueryFailed, Wanted, closure, in_order
from cachefleet.metrics.search import SearchQuery, read_search
from cachefleet.metrics.statistics import read_statistic
from cachefleet.model.metric import DAY_S, Series
from cachefleet.model.resource import Scope
from cachefleet.monitoring.reading import Readings, read_lines

MOST_FOUND = 500  # series of one search
_LISTED_S = 14 * DAY_S  # a search finds metrics with values since
_SERIES_AT_ONCE = 500
_FEW_POINTS = 100  # of which an expression is computed at once, in less time than a thread takes to begin


class Span(msgspec.Struct, frozen=True):
    """Epoch seconds. now: by which it is decided what is how old."""

    start: float
    end: float
    now: float


class Evaluation:
    """Of one request. Not for several tasks."""

    def __init__(
        self,
        readings: Readings,
        scope: Scope,
        queries: Sequence[Query],
        span: Span,
        known: Mapping[str, Value] | None = None,
    ) -> None:
        """scope: in which SEARCH searches. known: what was read already, by the ids of queries. Raises QueryFailed for
        expressions that refer to each other in a circle."""
        self._readings = readings
        self._scope = scope
        self._queries = {query.query_id: query for query in queries}
        self._order = in_order(queries)
        self._span = span
        self._values: dict[str, Value] = dict(known or {})
        self._work = Work()
        self.limited = False  # whether a search found more than is taken

    async def lines(self, query: Query, ahead: Sequence[Query] = ()) -> list[Line]:
        """ahead: metrics that are going to be asked for next, and are read along. Raises QueryFailed, StoreError."""
        wanted = closure(query, self._queries) | {one.query_id for one in ahead}
        try:
            await self._read([name for name in self._order if name in wanted])
        except ExpressionError as error:
            raise QueryFailed(query.query_id, error) from None
        for name in self._order:
            if name in wanted and name not in self._values:
                self._values[name] = await self._computed(self._queries[name])
        value = self._values[query.query_id]
        return list(value) if isinstance(value, tuple) else [value] if isinstance(value, Line) else []

    def has(self, query: Query) -> bool:
        """Whether it was read or computed already."""
        return query.query_id in self._values

    def points(self, query: Query) -> int:
        """How many a metric may have."""
        return len(self._window(query.wanted.period_s).times(self._span.now)) if query.wanted is not None else 0

    async def _read(self, names: Sequence[str]) -> None:
        missing = [(name, wanted) for name in names if name not in self._values and (wanted := self._queries[name].wanted)]
        lines = await self._read_lines([wanted for _, wanted in missing])
        self._values.update({name: line for (name, _), line in zip(missing, lines, strict=True)})

    async def _read_lines(self, wanted: Sequence[Wanted]) -> list[Line]:
        """Raises ExpressionError when it is too much."""
        return await read_lines(self._readings, wanted, self._span.start, self._span.end, self._span.now, self._work)

    async def _computed(self, query: Query) -> Value:
        assert query.node is not None
        try:
            found = {search: await self._found(search, query) for search in searches(query.node)}
            scene = Scene(
                {name: self._values[name] for name in query.needs},
                [(name, line) for name, line in self._metrics() if name in query.needs],
                found,
                lambda period_s: self._window(period_s).times(self._span.now),
                query.period_s or self._shortest(query),
                self._work,
            )
            if not found and sum(map(_points, scene.values.values())) <= _FEW_POINTS:
                return result(query.node, scene)
            return await asyncio.to_thread(result, query.node, scene)
        except ExpressionError as error:
            raise QueryFailed(query.query_id, error) from None

    def _metrics(self) -> list[tuple[str, Line]]:
        """In the order of the request."""
        found = [(name, self._values.get(name)) for name, query in self._queries.items() if query.wanted is not None]
        return [(name, value) for name, value in found if isinstance(value, Line)]

    def _shortest(self, query: Query) -> int:
        """Of the series that an expression is computed from, or else of the request."""
        ids = query.needs or set(self._queries)
        periods = [one.wanted.period_s for name in ids if (one := self._queries[name]).wanted is not None]
        return min(periods, default=DEFAULT_PERIOD_S)

    def _window(self, period_s: int) -> Window:
        return window(self._span.start, self._span.end, period_s, self._span.now)

    async def _found(self, search: Search, query: Query) -> Array:
        statistic = read_statistic(search.statistic)
        assert statistic is not None
        period_s = search.period_s or query.period_s or DEFAULT_PERIOD_S
        metrics = await self._listed(read_search(search.query))
        return tuple(await self._read_lines([Wanted(metric, "", statistic, period_s) for metric in metrics]))

    async def _listed(self, search: SearchQuery) -> list[Metric]:
        since = min(self._span.end, self._span.now) - _LISTED_S
        found: list[Metric] = []
        after: Series | None = None
        while True:
            page = await self._readings.metrics.listed(self._scope, search.namespace, since, after, _SERIES_AT_ONCE)
            for one in page:
                for series, names in listings(one, after):
                    fits = [name for name in names if search.finds(series.namespace, name, series.dimensions)]
                    found += [Metric(series, name) for name in fits]
                after = one.series
            if len(found) > MOST_FOUND:
                self.limited = True
                return found[:MOST_FOUND]
            if len(page) < _SERIES_AT_ONCE:
                return found


def _points(value: Value) -> int:
    """How many there are in it."""
    if isinstance(value, Line):
        return len(value.points)
    return sum(map(_points, value)) if isinstance(value, tuple) else 1
