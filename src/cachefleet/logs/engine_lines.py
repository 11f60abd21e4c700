"""Lines of an engine's log: read, and as they are delivered (reference 13.7). Pure.

`pid:role DD Mon YYYY HH:MM:SS.mmm level message`. Lines of other forms (reports of crashes) belong to the one before.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

import msgspec

from cachefleet.model.log import NewEvent
from cachefleet.model.log_delivery import LogFormat

_LINE = re.compile(r"[0-9]+:([MSCX]) ([0-9]{2}) ([A-Z][a-z]{2}) ([0-9]{4}) ([0-9:]{8})\.([0-9]{3}) ([.*#-]) (.*)", re.ASCII)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_LEVELS = {".": "DEBUG", "-": "VERBOSE", "*": "NOTICE", "#": "WARNING"}
LONGEST_LINE = 16_384  # characters; the rest is cut


class EngineLine(msgspec.Struct, frozen=True):
    """role: M primary, S replica, C child, X sentinel; "" before the first line that has one. level: . - * #"""

    at_ms: int
    role: str
    level: str
    message: str


class Before(msgspec.Struct, frozen=True):
    """What a line without a head of its own has from those before it."""

    at_ms: int
    role: str = ""
    level: str = "#"


def read_lines(text: str, before: Before) -> list[EngineLine]:
    """Of whole lines; empty ones are left out."""
    found: list[EngineLine] = []
    for line in text.split("\n"):
        cut = line.rstrip("\r")[:LONGEST_LINE]
        if not cut.strip():
            continue
        made = _read(cut, before)
        before = Before(made.at_ms, made.role, made.level)
        found.append(made)
    return found


def _read(line: str, before: Before) -> EngineLine:
    head = _LINE.fullmatch(line)
    at_ms = None if head is None else _time_ms(head)
    if head is None or at_ms is None:
        return EngineLine(before.at_ms, before.role, before.level, line)
    return EngineLine(at_ms, head[1], head[7], head[8])


def _time_ms(head: re.Match[str]) -> int | None:
    _, day, month, year, clock, milliseconds, *_ = head.groups()
    try:
        hour, minute, second = map(int, clock.split(":"))
        at = datetime(int(year), _MONTHS.index(month) + 1, int(day), hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
    return int(at.timestamp()) * 1000 + int(milliseconds)


def engine_event(line: EngineLine, cluster: str, node_id: str, log_format: LogFormat) -> NewEvent:
    if log_format is LogFormat.JSON:
        fields = {
            "CacheClusterId": cluster,
            "CacheNodeId": node_id,
            "LogLevel": _LEVELS.get(line.level, "WARNING"),
            "Role": line.role,
            "Time": time_text(line.at_ms),
            "Message": line.message,
        }
        return NewEvent(line.at_ms, msgspec.json.encode(fields).decode())
    text = f"{cluster}/{node_id}:{line.role} {time_text(line.at_ms)} {line.level} {line.message}"
    return NewEvent(line.at_ms, text)


def time_text(at_ms: int) -> str:
    """DD MMM YYYY hh:mm:ss.ms UTC"""
    at = datetime.fromtimestamp(at_ms // 1000, UTC)
    return f"{at.day:02d} {_MONTHS[at.month - 1]} {at.year} {at:%H:%M:%S}.{at_ms % 1000:03d} UTC"
