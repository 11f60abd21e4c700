"""Entries of the slow log as they are delivered (reference 13.7). Pure.

What clients wrote stays with them: of a command there are its name and the number of its arguments.
"""

from __future__ import annotations

import re

import msgspec

from cachefleet.model.log import NewEvent, SlowEntry
from cachefleet.model.log_delivery import LogFormat

_SHORTENED = re.compile(r"\.\.\. \(([0-9]+) more arguments\)")  # an engine's word for those that it left out


def slow_event(entry: SlowEntry, cluster: str, node_id: str, log_format: LogFormat) -> NewEvent:
    fields = {
        "CacheClusterId": cluster,
        "CacheNodeId": node_id,
        "Id": entry.number,
        "Timestamp": entry.at_s,
        "Duration (us)": entry.duration_us,
        "Command": hidden(entry.command),
        "ClientAddress": entry.address,
        "ClientName": entry.client,
    }
    as_json = log_format is LogFormat.JSON
    message = msgspec.json.encode(fields).decode() if as_json else ",".join(map(str, fields.values()))
    return NewEvent(entry.at_s * 1000, message)


def hidden(command: tuple[str, ...]) -> str:
    """`GET ... (1 more arguments)`."""
    name, *arguments = command or ("",)
    count = len(arguments)
    last = _SHORTENED.fullmatch(arguments[-1]) if arguments else None
    if last is not None:
        count += int(last[1]) - 1
    return f"{name} ... ({count} more arguments)" if count else name
