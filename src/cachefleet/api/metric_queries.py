"""The queries of GetMetricData: what each asks for, checked before anything is read.

Pure. Refusals are ValidationErrors, by the number of the query or the id of the expression.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from cachefleet.api.context import Context
from cachefleet.api.metric_inputs import (
    Wanted,
    checked_period,
    checked_statistic,
    checked_unit,
    read_metric,
    refuse_query,
)
from cachefleet.api.names import quoted
from cachefleet.metrics.expression_functions import Search
from cachefleet.metrics.expression_syntax import ExpressionError, Node, parse
from cachefleet.metrics.expressions import check, needed, order, searches
from cachefleet.metrics.labels import label_fault
from cachefleet.metrics.periods import is_period
from cachefleet.metrics.search import read_search
from cachefleet.metrics.statistics import read_statistic
from cachefleet.model.errors import AwsError

MAX_QUERIES = 500
DEFAULT_PERIOD_S = 300  # of a search and of TIME_SERIES(), where nothing says another one
_ID = re.compile(r"[a-z][A-Za-z0-9_]{0,254}", re.ASCII)


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


def in_expression(query_id: str, error: ExpressionError) -> AwsError:
    return refuse_query(f"Error in expression '{query_id}': {error}.")


def read_queries(context: Context, given: Sequence[Mapping[str, Any]]) -> list[Query]:
    """Raises ValidationError, MissingParameter."""
    if not 1 <= len(given) <= MAX_QUERIES:
        raise refuse_query(f"The collection MetricDataQueries must have 1 to {MAX_QUERIES} members; it has {len(given)}.")
    queries: dict[str, Query] = {}
    for number, one in enumerate(given, 1):
        query = _query(context, one, f"MetricDataQueries.member.{number}")
        if query.query_id in queries:
            raise refuse_query(f"The values for parameter Id in MetricDataQueries are not unique: {query.query_id}.")
        queries[query.query_id] = query
    if not any(query.is_returned for query in queries.values()):
        raise refuse_query("At least one query of MetricDataQueries must have ReturnData true.")
    is_metric = {name: query.wanted is not None for name, query in queries.items()}
    return [_linked(query, is_metric) for query in queries.values()]


def in_order(queries: Sequence[Query]) -> list[str]:
    """The ids, each after those that it needs. Raises ValidationError for a circle."""
    try:
        return order({query.query_id: query.needs for query in queries})
    except ExpressionError as error:
        circled = next(query.query_id for query in queries if query.query_id in str(error).replace(":", " ").split())
        raise in_expression(circled, error) from None


def closure(query: Query, queries: Mapping[str, Query]) -> set[str]:
    """The ids of everything that it needs, itself among them."""
    found = {query.query_id}
    waiting = [query]
    while waiting:
        for name in waiting.pop().needs - found:
            found.add(name)
            waiting.append(queries[name])
    return found


def _query(context: Context, given: Mapping[str, Any], where: str) -> Query:
    query_id, label = given["Id"], given.get("Label", "")
    if not _ID.fullmatch(query_id):
        raise refuse_query(
            f"The value {quoted(query_id)} for parameter {where}.Id is not matching the expected pattern ^[a-z][a-zA-Z0-9_]*$."
        )
    if fault := label_fault(label):
        raise refuse_query(f"The parameter {where}.Label has {quoted(fault)}, which is not a dynamic label that is known here.")
    if given.get("AccountId", context.scope.account) != context.scope.account:
        raise refuse_query(f"The parameter {where}.AccountId must be the own account: others' metrics are not seen here.")
    expression, metric_stat = given.get("Expression"), given.get("MetricStat")
    if expression is not None and metric_stat is not None:
        raise refuse_query(
            f"The parameters {where}.Expression and {where}.MetricStat are mutually exclusive and you have specified both."
        )
    period_s = checked_period(given["Period"], f"{where}.Period", refuse_query) if "Period" in given else 0
    is_returned = given.get("ReturnData", True)
    if metric_stat is not None:
        wanted = _wanted(context, metric_stat, f"{where}.MetricStat")
        if period_s not in (0, wanted.period_s):
            raise refuse_query(f"The parameters {where}.Period and {where}.MetricStat.Period differ; leave out the first one.")
        return Query(query_id, label, is_returned, wanted=wanted)
    if expression is None:
        raise refuse_query(f"The parameter {where}.MetricStat is required, or {where}.Expression.")
    try:
        return Query(query_id, label, is_returned, node=parse(expression), period_s=period_s)
    except ExpressionError as error:
        raise in_expression(query_id, error) from None


def _wanted(context: Context, given: Mapping[str, Any], where: str) -> Wanted:
    metric = read_metric(context, given["Metric"], f"{where}.Metric.", refuse_query)
    return Wanted(
        metric,
        checked_unit(given.get("Unit"), f"{where}.Unit", refuse_query),
        checked_statistic(given["Stat"], f"{where}.Stat", refuse_query),
        checked_period(given["Period"], f"{where}.Period", refuse_query),
    )


def _linked(query: Query, is_metric: Mapping[str, bool]) -> Query:
    """With what an expression needs."""
    if query.node is None:
        return query
    try:
        check(query.node, is_metric)
        for search in searches(query.node):
            _check_search(search)
        return msgspec.structs.replace(query, needs=frozenset(needed(query.node, is_metric)))
    except ExpressionError as error:
        raise in_expression(query.query_id, error) from None


def _check_search(search: Search) -> None:
    """Raises ExpressionError."""
    read_search(search.query)
    if read_statistic(search.statistic) is None:
        raise ExpressionError(f"{quoted(search.statistic)} is not a valid statistic for SEARCH()")
    if search.period_s and not is_period(search.period_s):
        raise ExpressionError(f"{search.period_s} is not a valid period for SEARCH()")
