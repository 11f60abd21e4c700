"""Logs as CloudWatch Logs has them: groups of streams of events; and what is on its way there. Plain data.

Times are epoch milliseconds.
"""

from __future__ import annotations

import msgspec


class LogGroup(msgspec.Struct, frozen=True):
    name: str
    created_ms: int
    retention_days: int = 0  # 0: for ever, within the bound on all logs
    tags: dict[str, str] = {}
    stored_bytes: int = 0


class LogStream(msgspec.Struct, frozen=True):
    """first_ms, last_ms: of its events by their own times, ingested_ms of the last one by ours; 0 for none."""

    name: str
    created_ms: int
    first_ms: int = 0
    last_ms: int = 0
    ingested_ms: int = 0


class NewEvent(msgspec.Struct, frozen=True):
    at_ms: int
    message: str


class Position(msgspec.Struct, frozen=True, order=True):
    """Of an event among those of its log group."""

    at_ms: int
    number: int


class EventQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Events with start <= time < end and after < position < before. streams: None for all of the group. newest: the last of
    them instead of the first. most_bytes: of their messages, but at least one event."""

    limit: int
    most_bytes: int
    streams: tuple[str, ...] | None = None
    start_ms: int = 0
    end_ms: int = 1 << 62
    after: Position | None = None
    before: Position | None = None
    newest: bool = False


class LogEvent(msgspec.Struct, frozen=True):
    stream: str
    position: Position
    ingested_ms: int
    message: str


class Parcel(msgspec.Struct, frozen=True):
    """An event on its way to a destination outside. labels: what it is of."""

    destination: str
    at_ms: int
    message: str
    labels: dict[str, str] = {}
    number: int = 0  # given by the store; rises


class Cursor(msgspec.Struct, frozen=True):
    """How far the log of one launch of a node has been delivered. place: in the words of whoever reads that log; "" before the
    first time."""

    launch: str
    log_type: str
    place: str


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """Entries of one log and the cursor behind them: stored together, or not at all. Either for a log group, or as parcels."""

    before: Cursor  # as it was read
    place: str  # from now on
    log_group: str = ""
    stream: str = ""
    events: tuple[NewEvent, ...] = ()
    parcels: tuple[Parcel, ...] = ()


class SlowEntry(msgspec.Struct, frozen=True):
    """An entry of an engine's slow log. Ids count from 0 in each launch."""

    number: int
    at_s: int
    duration_us: int
    command: tuple[str, ...]  # with arguments, as the engine has shortened them
    address: str = ""
    client: str = ""  # its name


class LogChunk(msgspec.Struct, frozen=True):
    """What was read of a log file. mark: tells it from those before and after it. offset: where data
    ends. missed: something between the place asked for and data is not there any more."""

    mark: str
    offset: int
    data: bytes
    missed: bool = False
    more: bool = False
