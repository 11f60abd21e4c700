"""The metrics and expressions of an alarm, as they are stored and as they are evaluated. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from cachefleet.metrics.expression_functions import Scene
from cachefleet.metrics.expression_syntax import ExpressionError, calls, parse
from cachefleet.metrics.expressions import result
from cachefleet.metrics.lines import Line, Value, Work
from cachefleet.metrics.queries import Metric, Query, QueryFailed, Wanted, in_order, linked
from cachefleet.metrics.statistics import read_statistic
from cachefleet.model.alarm import AlarmDesired, AlarmQuery


def wanted_of(alarm: AlarmDesired) -> Wanted | None:
    """Of an alarm on one metric. None where only a later version knows its statistic."""
    statistic = read_statistic(alarm.statistic)
    if statistic is None:
        return None
    return Wanted(Metric(alarm.series, alarm.metric), alarm.unit, statistic, alarm.period_s)


def queries_of(alarm: AlarmDesired) -> list[Query]:
    """Of an alarm on expressions. Raises QueryFailed."""
    return linked(_query(query) for query in alarm.queries)


def watched(queries: Sequence[Query]) -> Query:
    return next(query for query in queries if query.is_returned)


def stored(query: Query, expression: str) -> AlarmQuery:
    """expression: its text, "" of a metric."""
    if query.wanted is None:
        return AlarmQuery(
            query_id=query.query_id,
            is_watched=query.is_returned,
            label=query.label,
            period_s=query.period_s,
            expression=expression,
        )
    wanted = query.wanted
    return AlarmQuery(
        query_id=query.query_id,
        is_watched=query.is_returned,
        label=query.label,
        period_s=wanted.period_s,
        series=wanted.metric.series,
        metric=wanted.metric.name,
        statistic=wanted.statistic.text,
        unit=wanted.unit,
    )


def check_shape(queries: Sequence[Query]) -> None:
    """That the watched one comes to one time series, whatever the values will be. Raises QueryFailed."""
    values: dict[str, Value] = {one.query_id: Line({0: 1.0}, one.wanted.period_s) for one in queries if one.wanted is not None}
    metrics = [(name, line) for name, line in values.items() if isinstance(line, Line)]
    by_id = {query.query_id: query for query in queries}
    for query in (by_id[name] for name in in_order(queries)):
        if query.node is None:
            continue
        try:
            if calls(query.node, "SEARCH"):
                raise ExpressionError("SEARCH() may find other metrics every time; an alarm has to name its metrics")
            needed = [(name, line) for name, line in metrics if name in query.needs]
            scene = Scene(values, needed, {}, lambda period_s: range(0, period_s, period_s), 60, Work())
            values[query.query_id] = result(query.node, scene)
            if query.is_returned and isinstance(values[query.query_id], tuple):
                raise ExpressionError("It comes to an array, and an alarm needs one time series; MAX() or SUM() make one of it")
        except ExpressionError as error:
            raise QueryFailed(query.query_id, error) from None


def _query(query: AlarmQuery) -> Query:
    """Raises QueryFailed."""
    try:
        if query.series is None:
            node = parse(query.expression)
            return Query(query.query_id, query.label, query.is_watched, node=node, period_s=query.period_s)
        statistic = read_statistic(query.statistic)
        if statistic is None:
            raise ExpressionError(f"{query.statistic!r} is not a valid statistic")
    except ExpressionError as error:
        raise QueryFailed(query.query_id, error) from None
    wanted = Wanted(Metric(query.series, query.metric), query.unit, statistic, query.period_s)
    return Query(query.query_id, query.label, query.is_watched, wanted=wanted)
