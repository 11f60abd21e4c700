"""What caches cost, told as a report: GET /cost?from=TIME&to=TIME&tag=KEY. No operation of AWS; called by way of reports.py."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from cachefleet.api.access.authorization import GET_COST, authorize_action
from cachefleet.api.context import Context
from cachefleet.api.names import quoted
from cachefleet.api.report_queries import read_query
from cachefleet.costs.report import cost_report
from cachefleet.model.errors import invalid_value
from cachefleet.model.resource import Kind
from cachefleet.model.row import ReservedNodesRow
from cachefleet.protocol.timestamp import format_timestamp, parse_timestamp

_PARAMETERS = ("from", "to", "tag")


async def get_cost(context: Context, query: str) -> Mapping[str, Any]:
    """Of the caller's account and region, from the beginning of the month until now where nothing else is asked for. What was
    not counted (before the first look, and in the future) is no part of it. Raises AwsError."""
    await authorize_action(context, GET_COST)
    asked = read_query(query, _PARAMETERS, "a cost report")
    now = context.clock.now()
    end = _time(asked, "to", now)
    begin = _time(asked, "from", _month_of(min(now, end)))
    if begin >= end:
        raise invalid_value(f"from ({format_timestamp(begin)}) must be before to ({format_timestamp(end)}).")
    tag = asked.get("tag", "")
    told: dict[str, Any] = {
        "from": format_timestamp(begin),
        "to": format_timestamp(end),
        "currency": context.settings.prices.currency,
        "tag": tag,
    }
    counted = await context.usage.counted() if context.usage is not None else None
    if counted is not None:
        begin, end = max(begin, counted.since), min(end, counted.until)
    if counted is None or begin >= end:
        begin = end = 0.0
    told["counted_from"], told["counted_to"] = (format_timestamp(at) if end else None for at in (begin, end))
    spans = await context.usage.spans(context.scope, begin, end) if context.usage is not None and end else []
    rows: list[ReservedNodesRow] = await context.store.rows(Kind.RESERVED_NODES, context.scope)
    bought = {row.key.name: row.desired for row in rows}
    found = await asyncio.to_thread(cost_report, spans, bought, context.settings, begin, end, tag=tag)
    return {**told, **msgspec.to_builtins(found)}


def _time(asked: Mapping[str, str], name: str, otherwise: float) -> float:
    if name not in asked:
        return otherwise
    try:
        found = parse_timestamp(asked[name])
        format_timestamp(found)  # what cannot be written is refused, too
    except (ValueError, OverflowError):
        raise invalid_value(
            f"{name} is {quoted(asked[name])}; it is a date or a time in ISO 8601, such as 2026-11-01 or 2026-11-01T12:00:00Z."
        ) from None
    return found


def _month_of(now: float) -> float:
    """When the month began, in UTC."""
    return datetime.fromtimestamp(now, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0).timestamp()
