"""log_interfaces.LogStore on a file that may get lost (store.spare_file)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cachefleet.model.log import Cursor, Delivery, EventQuery, LogEvent, LogGroup, LogStream, NewEvent, Parcel
from cachefleet.model.resource import Scope
from cachefleet.store.log_store import SqlLogStore, open_log_store
from cachefleet.store.spare_file import SpareFile


class LogFile(SpareFile[SqlLogStore]):
    """See log_interfaces.LogStore."""

    def __init__(self, path: Path) -> None:
        """Opens nothing yet."""
        super().__init__(path, open_log_store, "logs")

    async def create_group(self, scope: Scope, group: LogGroup) -> bool:
        return await self._with(lambda store: store.create_group(scope, group))

    async def delete_group(self, scope: Scope, name: str) -> bool:
        return await self._with(lambda store: store.delete_group(scope, name))

    async def change_group(self, scope: Scope, group: LogGroup) -> bool:
        return await self._with(lambda store: store.change_group(scope, group))

    async def group(self, scope: Scope, name: str) -> LogGroup | None:
        return await self._with(lambda store: store.group(scope, name))

    async def groups(self, scope: Scope, prefix: str = "", after: str = "", limit: int | None = None) -> list[LogGroup]:
        return await self._with(lambda store: store.groups(scope, prefix, after, limit))

    async def create_stream(self, scope: Scope, group: str, stream: LogStream) -> bool:
        return await self._with(lambda store: store.create_stream(scope, group, stream))

    async def delete_stream(self, scope: Scope, group: str, name: str) -> bool:
        return await self._with(lambda store: store.delete_stream(scope, group, name))

    async def streams(self, scope: Scope, group: str, prefix: str = "") -> list[LogStream]:
        return await self._with(lambda store: store.streams(scope, group, prefix))

    async def put(self, scope: Scope, group: str, stream: str, events: Sequence[NewEvent], now_ms: int) -> bool:
        return await self._with(lambda store: store.put(scope, group, stream, events, now_ms))

    async def events(self, scope: Scope, group: str, query: EventQuery) -> list[LogEvent]:
        return await self._with(lambda store: store.events(scope, group, query))

    async def deliver(self, scope: Scope, delivery: Delivery, now_ms: int) -> None:
        await self._with(lambda store: store.deliver(scope, delivery, now_ms))

    async def cursors(self, uid: str) -> dict[tuple[str, str], Cursor]:
        return await self._with(lambda store: store.cursors(uid))

    async def forget_cursors(self, cursors: Sequence[Cursor]) -> None:
        await self._with(lambda store: store.forget_cursors(cursors))

    async def parcels(self, destination: str, limit: int) -> list[Parcel]:
        return await self._with(lambda store: store.parcels(destination, limit))

    async def waiting(self) -> dict[str, int]:
        return await self._with(lambda store: store.waiting())

    async def sent(self, destination: str, up_to: int) -> None:
        await self._with(lambda store: store.sent(destination, up_to))

    async def trim(self, now_ms: int, most_bytes: int) -> int:
        return await self._with(lambda store: store.trim(now_ms, most_bytes))
