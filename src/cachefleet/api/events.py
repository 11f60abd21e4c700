"""DescribeEvents: what happened, newest first, of the last 14 days (reference 8.1)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from cachefleet.api.context import Context
from cachefleet.api.names import folded, quoted
from cachefleet.api.paging import cut, page_of, reply
from cachefleet.api.registry import operation
from cachefleet.model.errors import invalid_combination, invalid_value

if TYPE_CHECKING:
    from types_boto3_elasticache.type_defs import DescribeEventsMessageTypeDef

SOURCE_TYPES = (
    "cache-cluster",
    "cache-parameter-group",
    "cache-security-group",
    "cache-subnet-group",
    "replication-group",
    "serverless-cache",
    "serverless-cache-snapshot",
    "user",
    "user-group",
)
DEFAULT_MINUTES = 60
LONGEST_MINUTES = 14 * 24 * 60
_KIND = "events"
_NUMBER = r"(-?[0-9]{1,15}(?:\.[0-9]{1,9})?)"
_PLACE = re.compile(f"{_NUMBER}/{_NUMBER}/([0-9]{{1,18}})", re.ASCII)  # start, end, id of the last event shown


class Span(msgspec.Struct, frozen=True):
    """start <= time < end, in epoch seconds."""

    start: float
    end: float


@operation(
    "DescribeEvents",
    effective=("SourceIdentifier", "SourceType", "StartTime", "EndTime", "Duration", "MaxRecords", "Marker"),
)
async def describe_events(context: Context, request: DescribeEventsMessageTypeDef) -> dict[str, Any]:
    page = page_of(request, _KIND)
    source_type = _source_type(request)
    span, before_id = _kept(span_of(request, context.clock.now()), context.clock.now()), None
    if page.after:  # the span of the first page, or events would fall out of it while its reader turns pages
        span, before_id = _read_place(page.after)
    found = await context.store.events(
        context.scope,
        start=span.start,
        end=span.end,
        source_type=source_type,
        source_id=folded(request.get("SourceIdentifier") or ""),
        before_id=before_id,
        limit=page.fetch,
    )
    shown, marker = cut(found, page, lambda event: f"{span.start:.6f}/{span.end:.6f}/{event.id}")
    events = [
        {"SourceIdentifier": event.source_id, "SourceType": event.source_type, "Message": event.message, "Date": event.at}
        for event in shown
    ]
    return reply("Events", events, marker)


def span_of(request: Mapping[str, Any], now: float) -> Span:
    """The time that a request asks for: the last hour when it says nothing. Duration reaches forward from StartTime, else back
    from EndTime, else back from now. Raises InvalidParameterValue, InvalidParameterCombination."""
    start, end, minutes = request.get("StartTime"), request.get("EndTime"), request.get("Duration")
    if minutes is not None and not 1 <= minutes <= LONGEST_MINUTES:
        raise invalid_value(f"Duration {minutes} is not valid: it must be 1 to {LONGEST_MINUTES} minutes (14 days).")
    if start is not None and end is not None:
        if minutes is not None:
            raise invalid_combination("Duration cannot be used with both StartTime and EndTime; leave one of the three out.")
        if start > end:
            raise invalid_combination("StartTime must not be later than EndTime.")
        return Span(start, end)
    length_s = 60.0 * (minutes or DEFAULT_MINUTES)
    if end is not None:
        return Span(end - length_s, end)
    latest = now + 1.0  # events of this very moment too
    if start is None:
        return Span(now - length_s, latest)
    return Span(start, latest if minutes is None else start + length_s)


def _kept(span: Span, now: float) -> Span:
    """Without what is older than events are kept, which may be there for some time more."""
    return Span(max(span.start, now - 60.0 * LONGEST_MINUTES), span.end)


def _source_type(request: Mapping[str, Any]) -> str:
    source_type: str = request.get("SourceType") or ""
    if source_type and source_type not in SOURCE_TYPES:
        raise invalid_value(f"SourceType {quoted(source_type)} is not valid; it must be one of {', '.join(SOURCE_TYPES)}.")
    return source_type


def _read_place(place: str) -> tuple[Span, int]:
    """The span and the last event's id. Raises InvalidParameterValue."""
    match = _PLACE.fullmatch(place)
    if match is None:
        raise invalid_value("Invalid marker: Marker must be what an earlier page of DescribeEvents returned.")
    return Span(float(match[1]), float(match[2])), int(match[3])
