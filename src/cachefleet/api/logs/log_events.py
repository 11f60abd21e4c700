"""Events of CloudWatch Logs: read stream by stream in both directions, or found by a pattern over all streams of a group."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from cachefleet.api.context import Context
from cachefleet.api.logs.log_inputs import (
    SERVICE,
    kept_logs,
    limit_of,
    named_group,
    refused,
    require_stream,
    stream_name,
    there,
)
from cachefleet.api.registry import Refusal, operation
from cachefleet.logs.filter_patterns import PatternError, read_pattern
from cachefleet.model.log import EventQuery, LogEvent, Position

MOST_EVENTS = 10_000
REPLY_BYTES = 1_048_576
_EVENT_BYTES = 26  # of each, beside its message
_AT_ONCE, _READ_BYTES = 2_000, 4_194_304  # events read in one go
_SCANNED = 20_000  # events that one call looks at
_NAMES = 100  # of streams, in one request
_LAST_MS = 2**62
_TOKEN = re.compile(r"([fbe])/([0-9]{1,19})/([0-9]{1,19})", re.ASCII)
_START = Position(-1, 0)
_NO_MASKS = Refusal("nothing is masked here; leave it out", (False,))


@operation(
    "GetLogEvents",
    service=SERVICE,
    effective=(
        "logGroupName",
        "logGroupIdentifier",
        "logStreamName",
        "startTime",
        "endTime",
        "nextToken",
        "limit",
        "startFromHead",
    ),
    refused={"unmask": _NO_MASKS},
)
async def get_log_events(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """In order of time. A token that comes back the same says that there is no more in its direction."""
    group, stream = named_group(context, request), stream_name(request)
    limit, (start_ms, end_ms) = limit_of(request, MOST_EVENTS), _times(request)
    token = request.get("nextToken")
    direction, place = _read_token(token, "fb") if token else ("f" if request.get("startFromHead") else "b", None)
    await there(context, group)
    await require_stream(context, group, stream)
    forward = direction == "f"
    query = EventQuery(
        streams=(stream,),
        start_ms=start_ms,
        end_ms=end_ms,
        after=place if forward else None,
        before=None if forward else place,
        newest=not forward,
        limit=limit,
        most_bytes=REPLY_BYTES,
    )
    found = await kept_logs(context).events(context.scope, group, query)
    first, last = _ends(found, forward, place)
    return {
        "events": [_view(event) for event in found],
        "nextForwardToken": _token("f", last),
        "nextBackwardToken": _token("b", first),
    }


def _ends(found: Sequence[LogEvent], forward: bool, place: Position | None) -> tuple[Position, Position]:
    """Before which the page before this one ends, and behind which the next one begins."""
    if found:
        return found[0].position, found[-1].position
    if place is None:
        return Position(0, 0), Position(0, 0)
    if forward:
        return Position(place.at_ms, place.number + 1), place
    return place, Position(place.at_ms, max(0, place.number - 1))


@operation(
    "FilterLogEvents",
    service=SERVICE,
    effective=(
        "logGroupName",
        "logGroupIdentifier",
        "logStreamNames",
        "logStreamNamePrefix",
        "startTime",
        "endTime",
        "filterPattern",
        "nextToken",
        "limit",
    ),
    recorded={"interleaved": "has no meaning any more; streams are always interleaved, as in Amazon CloudWatch Logs"},
    refused={"unmask": _NO_MASKS, "startFromHead": Refusal("events are found from the oldest on; leave it out", (True,))},
)
async def filter_log_events(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """Oldest first, over all streams. A page may be empty and have a successor: a call looks at so many events only."""
    group, limit = named_group(context, request), limit_of(request, MOST_EVENTS)
    start_ms, end_ms = _times(request)
    try:
        matches = read_pattern(request.get("filterPattern") or "")
    except PatternError as error:
        raise refused(f"Invalid filter pattern: {error}") from None
    names, prefix = request.get("logStreamNames"), request.get("logStreamNamePrefix")
    if names and prefix:
        raise refused("logStreamNames and logStreamNamePrefix cannot be used together; give one of them.")
    if names is not None and not 1 <= len(names) <= _NAMES:
        raise refused(f"logStreamNames must have from 1 to {_NAMES} members.")
    token = request.get("nextToken")
    place: Position | None = _read_token(token, "e")[1] if token else _START
    await there(context, group)
    for name in names or ():
        await require_stream(context, group, name)
    if prefix:
        names = [stream.name for stream in await kept_logs(context).streams(context.scope, group, prefix)]
    streams = tuple(names or ()) if names or prefix else None
    query = EventQuery(streams=streams, start_ms=start_ms, end_ms=end_ms, limit=_AT_ONCE, most_bytes=_READ_BYTES)
    found: list[LogEvent] = []
    size, scanned = 0, 0
    while place is not None and scanned < _SCANNED:
        read = await kept_logs(context).events(context.scope, group, replace(query, after=place))
        scanned += len(read)
        for event in read:
            if matches(event.message):
                size += _size(event)
                if len(found) == limit or (found and size > REPLY_BYTES):
                    return _found(found, place)
                found.append(event)
            place = event.position
        if not read:
            place = None
        await context.clock.sleep(0)
    return _found(found, place)


def _found(found: Sequence[LogEvent], place: Position | None) -> dict[str, Any]:
    """place: of the last event that was looked at, None where there is no more."""
    views = [{**_view(event), "logStreamName": event.stream, "eventId": _event_id(event)} for event in found]
    reply: dict[str, Any] = {"events": views, "searchedLogStreams": []}
    return reply if place is None else {**reply, "nextToken": _token("e", place)}


def _event_id(event: LogEvent) -> str:
    return f"{event.position.at_ms:019d}{event.position.number:037d}"


def _size(event: LogEvent) -> int:
    return len(event.message.encode()) + _EVENT_BYTES


def _view(event: LogEvent) -> dict[str, Any]:
    return {"timestamp": event.position.at_ms, "message": event.message, "ingestionTime": event.ingested_ms}


def _times(request: Mapping[str, Any]) -> tuple[int, int]:
    """start <= time < end. Raises InvalidParameterException."""
    start, end = request.get("startTime"), request.get("endTime")
    if min(start or 0, end or 0) < 0:
        raise refused("startTime and endTime must not be negative; they are milliseconds since 1970.")
    return min(start or 0, _LAST_MS), min(_LAST_MS if end is None else end, _LAST_MS)


def _token(direction: str, place: Position) -> str:
    return f"{direction}/{place.at_ms if place.at_ms >= 0 else 0:019d}/{place.number:019d}"


def _read_token(token: str, directions: str) -> tuple[str, Position]:
    """Raises InvalidParameterException."""
    found = _TOKEN.fullmatch(token)
    if found is None or found[1] not in directions or max(int(found[2]), int(found[3])) >= 2**63:
        raise refused("The specified nextToken is invalid.")
    return found[1], Position(int(found[2]), int(found[3]))
