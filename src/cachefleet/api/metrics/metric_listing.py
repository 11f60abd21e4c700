"""ListMetrics: which metrics there are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from cachefleet.api.context import Context
from cachefleet.api.metrics.metric_inputs import NAME_LENGTH, VALUE_LENGTH, checked_text, refuse_value, shown_metric
from cachefleet.api.paging import read_marker, write_marker
from cachefleet.api.registry import operation
from cachefleet.metrics.dimensions import listings
from cachefleet.model.errors import AwsError
from cachefleet.model.metric import DAY_S, ListedSeries, Series

PAGE = 500
LISTED_S = 14 * DAY_S  # after its last value, a metric is no longer listed
RECENT_S = 3 * 3600
MAX_FILTERS = 10
_KIND = "metrics"
_SERIES_AT_ONCE = 500


class Position(msgspec.Struct, frozen=True, array_like=True):
    """Where a page ends. done: how many metrics of the series after `after` it has shown."""

    after: Series | None
    done: int


@operation(
    "ListMetrics",
    service="monitoring",
    effective=(
        "Namespace",
        "MetricName",
        "Dimensions",
        "NextToken",
        "RecentlyActive",
        "IncludeLinkedAccounts",
        "OwningAccount",
    ),
)
async def list_metrics(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    filters = request.get("Dimensions") or ()
    _check(request, filters)
    shown, token = await _page(context, request, filters)
    if request.get("OwningAccount", context.scope.account) != context.scope.account:
        shown, token = [], None  # no other account's metrics are seen here
    reply: dict[str, Any] = {"Metrics": shown}
    if token is not None:
        reply["NextToken"] = token
    if request.get("IncludeLinkedAccounts"):
        reply["OwningAccounts"] = [context.scope.account] * len(shown)
    return reply


def _check(request: Mapping[str, Any], filters: Sequence[Mapping[str, Any]]) -> None:
    for member in ("Namespace", "MetricName"):
        if member in request:
            checked_text(request[member], member, NAME_LENGTH, refuse_value)
    if len(filters) > MAX_FILTERS:
        raise refuse_value(f"The collection Dimensions must not have a size greater than {MAX_FILTERS}.")
    for number, one in enumerate(filters, 1):
        checked_text(one["Name"], f"Dimensions.member.{number}.Name", NAME_LENGTH, refuse_value)
        if "Value" in one:
            checked_text(one["Value"], f"Dimensions.member.{number}.Value", VALUE_LENGTH, refuse_value)
    if request.get("RecentlyActive", "PT3H") != "PT3H":
        raise refuse_value("The parameter RecentlyActive must be PT3H.")


async def _page(
    context: Context, request: Mapping[str, Any], filters: Sequence[Mapping[str, Any]]
) -> tuple[list[dict[str, Any]], str | None]:
    """The metrics and the next token."""
    position = _read_token(context, request.get("NextToken"))
    since = context.clock.now() - (RECENT_S if "RecentlyActive" in request else LISTED_S)
    namespace, after, skip = request.get("Namespace", ""), position.after, position.done
    shown: list[dict[str, Any]] = []
    while True:
        found = await context.metrics.listed(context.scope, namespace, since, after, _SERIES_AT_ONCE)
        for one in found:
            done = 0
            for series, name in _matching(one, after, request, filters):
                done += 1
                if done <= skip:
                    continue
                if len(shown) == PAGE:
                    return shown, _token(Position(after, done - 1))
                shown.append(shown_metric(series, name))
            after, skip = one.series, 0
        if len(found) < _SERIES_AT_ONCE:
            return shown, None


def _matching(
    listed: ListedSeries, before: Series | None, request: Mapping[str, Any], filters: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[Series, str]]:
    wanted = request.get("MetricName")
    for series, names in listings(listed, before):
        has = dict(series.dimensions)
        if all(one["Name"] in has and one.get("Value", has[one["Name"]]) == has[one["Name"]] for one in filters):
            yield from ((series, name) for name in names if wanted in (None, name))


def _token(position: Position) -> str:
    series = position.after
    told = [position.done, *((series.namespace, series.dimensions) if series is not None else ())]
    return write_marker(_KIND, msgspec.json.encode(told).decode())


def _read_token(context: Context, token: str | None) -> Position:
    if not token:
        return Position(None, 0)
    try:
        done, *series = msgspec.json.decode(read_marker(_KIND, token))
        if not series:
            return Position(None, int(done))
        namespace, dimensions = msgspec.convert(series, tuple[str, tuple[tuple[str, str], ...]])
        return Position(Series(context.scope.account, context.scope.region, namespace, dimensions), int(done))
    except (AwsError, msgspec.MsgspecError, ValueError, TypeError):
        raise refuse_value(
            "The parameter NextToken must be what an earlier page of ListMetrics returned; leave it out to start anew."
        ) from None
