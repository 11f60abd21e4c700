"""The queries of GetMetricData: what each asks for, checked before anything is read.

Pure. Refusals are ValidationErrors, by the number of the query or the id of the expression.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from cachefleet.api.context import Context
from cachefleet.api.metrics.metric_inputs import (
    checked_period,
    checked_statistic,
    checked_unit,
    read_metric,
    refuse_query,
)
from cachefleet.api.names import quoted
from cachefleet.metrics.expression_syntax import ExpressionError, parse
from cachefleet.metrics.labels import label_fault
from cachefleet.metrics.queries import Query, QueryFailed, Wanted, linked

MAX_QUERIES = 500
_ID = re.compile(r"[a-z][A-Za-z0-9_]{0,254}", re.ASCII)


def read_queries(
    context: Context, given: Sequence[Mapping[str, Any]], member: str = "MetricDataQueries", most: int = MAX_QUERIES
) -> list[Query]:
    """member: of the request. Raises ValidationError, MissingParameter."""
    if not 1 <= len(given) <= most:
        raise refuse_query(f"The collection {member} must have 1 to {most} members; it has {len(given)}.")
    queries: dict[str, Query] = {}
    for number, one in enumerate(given, 1):
        query = _query(context, one, f"{member}.member.{number}")
        if query.query_id in queries:
            raise refuse_query(f"The values for parameter Id in {member} are not unique: {query.query_id}.")
        queries[query.query_id] = query
    if not any(query.is_returned for query in queries.values()):
        raise refuse_query(f"At least one query of {member} must have ReturnData true.")
    try:
        return linked(queries.values())
    except QueryFailed as error:
        raise refuse_query(str(error)) from None


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
        raise refuse_query(str(QueryFailed(query_id, error))) from None


def _wanted(context: Context, given: Mapping[str, Any], where: str) -> Wanted:
    metric = read_metric(context, given["Metric"], f"{where}.Metric.", refuse_query)
    return Wanted(
        metric,
        checked_unit(given.get("Unit"), f"{where}.Unit", refuse_query),
        checked_statistic(given["Stat"], f"{where}.Stat", refuse_query),
        checked_period(given["Period"], f"{where}.Period", refuse_query),
    )
