"""What metrics and expressions are asked for, by GetMetricData and by alarms; and what hangs on what. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from cachefleet.metrics.expression_functions import Search
from cachefleet.metrics.expression_syntax import ExpressionError, Node
from cachefleet.metrics.expressions import check, needed, order, searches
from cachefleet.metrics.periods import is_period
from cachefleet.metrics.search import read_search
from cachefleet.metrics.statistics import Statistic, read_statistic
from cachefleet.model.metric import Series

DEFAULT_PERIOD_S = 300  # of a search and of TIME_SERIES(), where nothing says another one


class Metric(msgspec.Struct, frozen=True):
    """series: as it is asked for; where its values are: metrics.dimensions."""

    series: Series
    name: str


class Wanted(msgspec.Struct, frozen=True):
    """A statistic of a metric. unit: "" all units that it was recorded with."""

    metric: Metric
    unit: str
    statistic: Statistic
    period_s: int


class Query(msgspec.Struct, frozen=True):
    """wanted: of a metric; node: of an expression. needs: ids that an expression is computed from. period_s: of an expression,
    0 where it does not say."""

    query_id: str
    label: str
    is_returned: bool
    wanted: Wanted | None = None
    node: Node | None = None
    needs: frozenset[str] = frozenset()
    period_s: int = 0


class QueryFailed(Exception):
    """A sentence that names the expression."""

    def __init__(self, query_id: str, error: ExpressionError) -> None:
        super().__init__(f"Error in expression '{query_id}': {error}.")


def linked(queries: Iterable[Query]) -> list[Query]:
    """With what each expression needs. Raises QueryFailed for what can be told before there are any values."""
    queries = list(queries)
    is_metric = {query.query_id: query.wanted is not None for query in queries}
    return [_linked(query, is_metric) for query in queries]


def _linked(query: Query, is_metric: Mapping[str, bool]) -> Query:
    if query.node is None:
        return query
    try:
        check(query.node, is_metric)
        for search in searches(query.node):
            _check_search(search)
        return msgspec.structs.replace(query, needs=frozenset(needed(query.node, is_metric)))
    except ExpressionError as error:
        raise QueryFailed(query.query_id, error) from None


def in_order(queries: Sequence[Query]) -> list[str]:
    """The ids, each after those that it needs. Raises QueryFailed for a circle."""
    try:
        return order({query.query_id: query.needs for query in queries})
    except ExpressionError as error:
        circled = next(query.query_id for query in queries if query.query_id in str(error).replace(":", " ").split())
        raise QueryFailed(circled, error) from None


def closure(query: Query, queries: Mapping[str, Query]) -> set[str]:
    """The ids of everything that it needs, itself among them."""
    found = {query.query_id}
    waiting = [query]
    while waiting:
        for name in waiting.pop().needs - found:
            found.add(name)
            waiting.append(queries[name])
    return found


def _check_search(search: Search) -> None:
    """Raises ExpressionError."""
    read_search(search.query)
    if read_statistic(search.statistic) is None:
        raise ExpressionError(f"{search.statistic[:120]!r} is not a valid statistic for SEARCH()")
    if search.period_s and not is_period(search.period_s):
        raise ExpressionError(f"{search.period_s} is not a valid period for SEARCH()")
