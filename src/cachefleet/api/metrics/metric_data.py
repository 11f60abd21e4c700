"""GetMetricData: values of metrics and expressions, a page at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import timezone
from typing import Any

import msgspec

from cachefleet.api.context import Context
from cachefleet.api.metrics.metric_inputs import checked_times, readings, refuse_query
from cachefleet.api.metrics.metric_queries import read_queries
from cachefleet.api.names import quoted
from cachefleet.api.paging import read_marker, write_marker
from cachefleet.api.registry import operation
from cachefleet.metrics.labels import Owner, default_labels, filled, is_dynamic, read_timezone
from cachefleet.metrics.lines import Line
from cachefleet.metrics.queries import Query, QueryFailed
from cachefleet.model.errors import AwsError
from cachefleet.monitoring.evaluation import MOST_FOUND, Evaluation, Span

MAX_DATAPOINTS = 100_800
_ORDERS = ("TimestampDescending", "TimestampAscending")
_KIND = "metric-data"


class Position(msgspec.Struct, frozen=True, array_like=True):
    """Where a page begins: in which query, with which of its series, after the point of which time (None: with the first one).
    now: of the first page, so that all pages have the same points."""

    now: float
    query: int = 0
    line: int = 0
    after: int | None = None


class Page(msgspec.Struct):
    """left: points that it still has room for. next: None when everything was shown."""

    left: int
    results: list[dict[str, Any]] = []
    next: Position | None = None


@operation(
    "GetMetricData",
    service="monitoring",
    effective=("MetricDataQueries", "StartTime", "EndTime", "NextToken", "ScanBy", "MaxDatapoints", "LabelOptions"),
)
async def get_metric_data(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    start, end = checked_times(request, refuse_query)
    queries = read_queries(context, request["MetricDataQueries"])
    zone, newest_first, most = _zone(request), _newest_first(request), _most(request)
    digest = _digest(request)
    position = _read_token(request.get("NextToken"), digest, context.clock.now())
    page = Page(most)
    try:
        evaluation = Evaluation(readings(context), context.scope, queries, Span(start, end, position.now))
        await _fill(context, evaluation, page, position, queries, zone, newest_first)
    except QueryFailed as error:
        raise refuse_query(str(error)) from None
    limited = f"Maximum number of allowed metrics exceeded: a search takes the first {MOST_FOUND}."
    reply: dict[str, Any] = {
        "MetricDataResults": page.results,
        "Messages": [{"Code": "MaxMetricsExceeded", "Value": limited}] if evaluation.limited else [],
    }
    if page.next is not None:
        reply["NextToken"] = _token(page.next, digest)
    return reply


async def _fill(
    context: Context,
    evaluation: Evaluation,
    page: Page,
    position: Position,
    queries: Sequence[Query],
    zone: timezone,
    newest_first: bool,
) -> None:
    """Raises QueryFailed, StoreError."""
    returned = [query for query in queries if query.is_returned]
    for number in range(position.query, len(returned)):
        here = position if number == position.query else Position(position.now, number)
        if page.left == 0:
            page.next = here
            break
        query = returned[number]
        ahead = [] if evaluation.has(query) else _ahead(evaluation, returned[number:], page.left)
        lines = await evaluation.lines(query, ahead)
        labels = _labels(query, lines, Owner(context.scope.account, context.scope.region), zone)
        _show(page, here, query, list(zip(labels, lines, strict=True)), newest_first)
        if page.next is not None:
            break


def _show(page: Page, here: Position, query: Query, lines: Sequence[tuple[str, Line]], newest_first: bool) -> None:
    """Adds a query's series to the page, as far as there is room."""
    for number in range(here.line, len(lines)):
        label, line = lines[number]
        after = here.after if number == here.line else None
        times = _times(line, after, newest_first)
        if times and page.left == 0:
            page.next = Position(here.now, here.query, number, after)
            return
        taken = times[: page.left]
        page.left -= len(taken)
        is_whole = len(taken) == len(times)
        page.results.append(
            {
                "Id": query.query_id,
                "Label": label,
                "Timestamps": [float(time) for time in taken],
                "Values": [line.points[time] for time in taken],
                "StatusCode": "Complete" if is_whole else "PartialData",
            }
        )
        if not is_whole:
            page.next = Position(here.now, here.query, number, taken[-1])
            return


def _times(line: Line, after: int | None, newest_first: bool) -> list[int]:
    times = sorted(line.points, reverse=newest_first)
    if after is None:
        return times
    return [time for time in times if (time < after if newest_first else time > after)]


def _ahead(evaluation: Evaluation, queries: Sequence[Query], room: int) -> list[Query]:
    """Those of the next metrics that probably fit on the page."""
    found: list[Query] = []
    for query in queries:
        room -= evaluation.points(query)
        if query.wanted is None or room < 0:
            break
        found.append(query)
    return found


def _labels(query: Query, lines: Sequence[Line], owner: Owner, zone: timezone) -> list[str]:
    if query.wanted is not None:
        defaults = [query.wanted.metric.name]
    else:
        defaults = [default or query.query_id for default in default_labels(lines)] if len(lines) != 1 else [query.query_id]
    if not query.label:
        return defaults
    made = [filled(query.label, default, line, owner, zone) for default, line in zip(defaults, lines, strict=True)]
    if is_dynamic(query.label) or len(lines) == 1:
        return made
    return [f"{label} {default}" for label, default in zip(made, defaults, strict=True)]


def _zone(request: Mapping[str, Any]) -> timezone:
    text = (request.get("LabelOptions") or {}).get("Timezone", "+0000")
    zone = read_timezone(text)
    if zone is None:
        raise refuse_query(f"The value {quoted(text)} for parameter LabelOptions.Timezone is invalid: it must be like +0130.")
    return zone


def _newest_first(request: Mapping[str, Any]) -> bool:
    order = request.get("ScanBy", _ORDERS[0])
    if order not in _ORDERS:
        raise refuse_query(f"The parameter ScanBy must be a value in the set [ {', '.join(_ORDERS)} ].")
    return bool(order == _ORDERS[0])


def _most(request: Mapping[str, Any]) -> int:
    most: int = request.get("MaxDatapoints", MAX_DATAPOINTS)
    if not 1 <= most <= MAX_DATAPOINTS:
        raise refuse_query(f"The parameter MaxDatapoints must be from 1 to {MAX_DATAPOINTS}.")
    return most


def _digest(request: Mapping[str, Any]) -> str:
    """Of everything that a token must not be used with another value of."""
    asked = {name: value for name, value in request.items() if name not in ("NextToken", "MaxDatapoints")}
    return hashlib.sha256(msgspec.json.encode(asked, order="deterministic")).hexdigest()[:16]


def _token(position: Position, digest: str) -> str:
    return write_marker(_KIND, digest + msgspec.json.encode(position).decode())


def _read_token(token: str | None, digest: str, now: float) -> Position:
    if not token:
        return Position(now)
    try:
        text = read_marker(_KIND, token)
        position = msgspec.json.decode(text.removeprefix(digest), type=Position)
    except (AwsError, msgspec.MsgspecError):
        raise AwsError(
            "InvalidNextToken",
            "The parameter NextToken must be what an earlier page of the same request returned; leave it out to start anew.",
        ) from None
    if not (position.query >= 0 and position.line >= 0 and 0 < position.now <= now):
        raise AwsError("InvalidNextToken", "The parameter NextToken is invalid; leave it out to start anew.")
    return position
