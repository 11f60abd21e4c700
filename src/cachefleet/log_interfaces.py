"""The seams of logs: where they are kept, how log files are read, and where they are sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from cachefleet.model.log import Cursor, Delivery, EventQuery, LogChunk, LogEvent, LogGroup, LogStream, NewEvent, Parcel
from cachefleet.model.resource import Scope


class LogGroupGone(Exception):
    """There is no log group of that name (any more)."""


class CursorMoved(Exception):
    """Another one has delivered from this log since its cursor was read."""


class LogStore(Protocol):
    """Log groups and what is on its way. Every method raises interfaces.StoreError when the database cannot be used."""

    async def create_group(self, scope: Scope, group: LogGroup) -> bool:
        """False when there is one of that name."""

    async def delete_group(self, scope: Scope, name: str) -> bool:
        """With everything in it. False when there is none."""

    async def change_group(self, scope: Scope, group: LogGroup) -> bool:
        """Retention and tags. False when there is none."""

    async def group(self, scope: Scope, name: str) -> LogGroup | None: ...

    async def groups(self, scope: Scope, prefix: str = "", after: str = "") -> list[LogGroup]:
        """By name."""

    async def create_stream(self, scope: Scope, group: str, stream: LogStream) -> bool:
        """False when there is one of that name. Raises LogGroupGone."""

    async def delete_stream(self, scope: Scope, group: str, name: str) -> bool:
        """False when there is none."""

    async def streams(self, scope: Scope, group: str, prefix: str = "") -> list[LogStream]:
        """By name."""

    async def put(self, scope: Scope, group: str, stream: str, events: Sequence[NewEvent], now_ms: int) -> bool:
        """False when there is no such stream."""

    async def events(self, scope: Scope, group: str, query: EventQuery) -> list[LogEvent]:
        """In order."""

    async def deliver(self, scope: Scope, delivery: Delivery, now_ms: int) -> None:
        """Makes the stream when there is none. Raises LogGroupGone, CursorMoved; nothing is stored then."""

    async def cursors(self, uid: str) -> dict[tuple[str, str], Cursor]:
        """By launch and log type, of all launches of the group with this uid."""

    async def forget_cursors(self, cursors: Sequence[Cursor]) -> None: ...

    async def parcels(self, destination: str, limit: int) -> list[Parcel]:
        """The oldest."""

    async def waiting(self) -> dict[str, int]:
        """Destination -> how many parcels wait for it."""

    async def sent(self, destination: str, up_to: int) -> None:
        """Forget parcels up to this number."""

    async def trim(self, now_ms: int, most_bytes: int) -> int:
        """Delete what is beyond retention, and the oldest beyond so many bytes; returns how many events. Deletes no more than
        some thousands at a time: 0 says that it is done."""

    async def close(self) -> None: ...


class LogFiles(Protocol):
    """Log files of launches, where they run."""

    async def read(self, incarnation: str, mark: str, offset: int, most_bytes: int) -> LogChunk:
        """What the engine has written behind that place, "" and 0 being the beginning; also of one whose folder is gone, until
        `discard`. No data: there is nothing more. Raises OSError."""

    async def rotate(self, incarnation: str, most_bytes: int) -> None:
        """Begin another file where one is longer than that; the one before is kept, an older one is not. Raises OSError."""

    async def known(self) -> tuple[Sequence[str], Sequence[str]]:
        """Launches that have a folder; and those whose folders are gone and whose logs are still there. Raises OSError."""

    async def discard(self, incarnation: str) -> None: ...

    def running(self) -> Sequence[str]:
        """Launches that have a process here."""


class LogSender(Protocol):
    """Where parcels go."""

    def refuses(self, stream: str) -> str:
        """Why nothing can be sent to the stream of that name, "" when it can be tried."""

    async def send(self, stream: str, parcels: Sequence[Parcel]) -> str:
        """Why they did not arrive, "" when they did."""
