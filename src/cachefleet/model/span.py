"""What is traced: a piece of work, when it began, how long it took and how it ended. Sent by telemetry.traces."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

Attribute = str | int | tuple[str, ...]


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """began_at: epoch seconds. attributes: OpenTelemetry's names where it has one. error: "" when it went well. caller: the
    headers of the request that it is the answer to; None for our own work."""

    name: str
    began_at: float
    took_s: float
    attributes: Mapping[str, Attribute]
    error: str = ""
    caller: Mapping[str, str] | None = None


Trace = Callable[[Span], None]


def untraced(span: Span) -> None:
    """The Trace of those that nobody follows."""
