"""Log streams of CloudWatch Logs, and events that callers put there themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cachefleet.api.context import Context
from cachefleet.api.logs.log_inputs import (
    SERVICE,
    group_arn,
    group_name,
    kept_logs,
    limit_of,
    named_group,
    no_group,
    no_stream,
    refused,
    require_stream,
    stream_name,
    there,
    wrong_token,
)
from cachefleet.api.paging import page_from, place_of
from cachefleet.api.registry import operation
from cachefleet.log_interfaces import LogGroupGone
from cachefleet.model.errors import AwsError
from cachefleet.model.log import LogStream, NewEvent

MOST_RECORDS = 50
BATCH_BYTES, EVENT_BYTES, EVENT_OVERHEAD_BYTES = 1_048_576, 1_048_576, 26
BATCH_EVENTS = 10_000
_HOUR_MS = 3_600_000
_LATE_MS, _EARLY_MS = 14 * 24 * _HOUR_MS, 2 * _HOUR_MS
_BY_NAME, _BY_TIME = "LogStreamName", "LastEventTime"


@operation("CreateLogStream", service=SERVICE, effective=("logGroupName", "logStreamName"))
async def create_log_stream(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    group, stream = group_name(request), LogStream(stream_name(request), int(context.clock.now() * 1000))
    try:
        made = await kept_logs(context).create_stream(context.scope, group, stream)
    except LogGroupGone:
        raise no_group() from None
    if not made:
        raise AwsError("ResourceAlreadyExistsException", "The specified log stream already exists")
    return {}


@operation("DeleteLogStream", service=SERVICE, effective=("logGroupName", "logStreamName"))
async def delete_log_stream(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    group, stream = group_name(request), stream_name(request)
    await there(context, group)
    if not await kept_logs(context).delete_stream(context.scope, group, stream):
        raise no_stream()
    return {}


@operation(
    "DescribeLogStreams",
    service=SERVICE,
    effective=(
        "logGroupName",
        "logGroupIdentifier",
        "logStreamNamePrefix",
        "orderBy",
        "descending",
        "nextToken",
        "limit",
    ),
)
async def describe_log_streams(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    group, limit = named_group(context, request), limit_of(request, MOST_RECORDS)
    prefix, order = request.get("logStreamNamePrefix") or "", request.get("orderBy") or _BY_NAME
    if order not in (_BY_NAME, _BY_TIME):
        raise refused(f"orderBy must be {_BY_NAME} or {_BY_TIME}.")
    if order == _BY_TIME and prefix:
        raise refused("Cannot order by LastEventTime with a logStreamNamePrefix.")
    place = place_of("log-streams", request.get("nextToken"), wrong_token())
    await there(context, group)
    streams = await kept_logs(context).streams(context.scope, group, prefix)
    if order == _BY_TIME:
        streams.sort(key=lambda stream: (stream.last_ms, stream.name))
    if request.get("descending"):
        streams.reverse()
    shown, token = page_from(place, streams, limit, "log-streams")
    reply = {"logStreams": [_view(group_arn(context.scope, group), stream) for stream in shown]}
    return {**reply, "nextToken": token} if token else reply


@operation(
    "PutLogEvents",
    service=SERVICE,
    effective=("logGroupName", "logStreamName", "logEvents"),
    recorded={
        "sequenceToken": "has no meaning any more; Amazon CloudWatch Logs ignores it too",
        "entity": "is not kept; nothing here shows entities",
    },
)
async def put_log_events(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """Events too old or too new are left out, and told."""
    name, stream = group_name(request), stream_name(request)
    events = [NewEvent(int(given["timestamp"]), given["message"]) for given in request["logEvents"]]
    _check_batch(events)
    group = await there(context, name)
    now_ms = int(context.clock.now() * 1000)
    late_ms = now_ms - _LATE_MS
    expired_ms = now_ms - group.retention_days * 24 * _HOUR_MS if group.retention_days else 0
    good = [event for event in events if max(late_ms, expired_ms) <= event.at_ms <= now_ms + _EARLY_MS]
    if good:
        if not await kept_logs(context).put(context.scope, name, stream, good, now_ms):
            raise no_stream()
    else:
        await require_stream(context, name, stream)
    told = _rejected(events, late_ms, expired_ms, now_ms + _EARLY_MS)
    return {"nextSequenceToken": "0", **({"rejectedLogEventsInfo": told} if told else {})}


def _check_batch(events: Sequence[NewEvent]) -> None:
    """Raises InvalidParameterException."""
    if not 1 <= len(events) <= BATCH_EVENTS:
        raise refused(f"logEvents must have from 1 to {BATCH_EVENTS} members.")
    if any(not event.message for event in events):
        raise refused("Log event message must not be empty.")
    if any(event.at_ms < 0 for event in events):
        raise refused("Log event timestamp must not be negative.")
    sizes = [len(event.message.encode(errors="replace")) + EVENT_OVERHEAD_BYTES for event in events]
    if sum(sizes) > BATCH_BYTES:
        raise refused(f"Upload too large: {sum(sizes)} bytes exceeds limit of {BATCH_BYTES}")
    times = [event.at_ms for event in events]
    if times != sorted(times):
        raise refused("Log events in a single PutLogEvents request must be in chronological order.")
    if times[-1] - times[0] > 24 * _HOUR_MS:
        raise refused("The batch of log events in a single PutLogEvents request cannot span more than 24 hours.")


def _rejected(events: Sequence[NewEvent], late_ms: int, expired_ms: int, early_ms: int) -> Mapping[str, int]:
    times = [event.at_ms for event in events]
    told = {}
    if times[0] < late_ms:
        told["tooOldLogEventEndIndex"] = sum(at < late_ms for at in times)
    if times[0] < expired_ms:
        told["expiredLogEventEndIndex"] = sum(at < expired_ms for at in times)
    if times[-1] > early_ms:
        told["tooNewLogEventStartIndex"] = sum(at <= early_ms for at in times)
    return told


def _view(arn: str, stream: LogStream) -> dict[str, Any]:
    view: dict[str, Any] = {
        "logStreamName": stream.name,
        "creationTime": stream.created_ms,
        "arn": f"{arn}:log-stream:{stream.name}",
        "storedBytes": 0,  # as CloudWatch Logs shows since 2019: of streams it is not told
    }
    if stream.ingested_ms:
        view |= {
            "firstEventTimestamp": stream.first_ms,
            "lastEventTimestamp": stream.last_ms,
            "lastIngestionTime": stream.ingested_ms,
            "uploadSequenceToken": "0",
        }
    return view
