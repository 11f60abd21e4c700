"""log_interfaces.LogStore over SQL: log groups, streams and events, and how far logs of nodes have been delivered.

In a database of its own with SQLite; with PostgreSQL beside the other tables, over connections of its own. Opened by `app`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from cachefleet.log_interfaces import CursorMoved, LogGroupGone
from cachefleet.model.log import Cursor, Delivery, EventQuery, LogEvent, LogGroup, LogStream, NewEvent, Parcel, Position
from cachefleet.model.resource import Scope
from cachefleet.store.log_tables import (
    LOG_SCHEMA_VERSION,
    cursors_table,
    events_table,
    groups_table,
    log_about,
    parcels_table,
    streams_table,
)
from cachefleet.store.log_trimming import trim
from cachefleet.store.side_schema import open_tables
from cachefleet.store.spare_file import SpareFile, Tables
from cachefleet.store.text import cleaned


async def open_log_store(url: str) -> SqlLogStore:
    """As open_store; creates missing tables. Raises StoreError."""
    return SqlLogStore(await open_tables(url, log_about, LOG_SCHEMA_VERSION, "logs"))


class SqlLogStore:
    """See log_interfaces.LogStore. Made by open_log_store."""

    def __init__(self, database: Tables) -> None:
        self._database = database

    async def close(self) -> None:
        await self._database.close()

    # --- log groups and streams ---

    async def create_group(self, scope: Scope, group: LogGroup) -> bool:
        values = {
            "account": scope.account,
            "region": scope.region,
            "name": group.name,
            "created_ms": group.created_ms,
            "retention_days": group.retention_days,
            "tags": _json(group.tags),
            "stored_bytes": 0,
        }
        return await self._database.write(lambda connection: _insert_new(connection, groups_table, values))

    async def delete_group(self, scope: Scope, name: str) -> bool:
        return await self._changed(groups_table.delete().where(*_named(scope, name)))

    async def change_group(self, scope: Scope, group: LogGroup) -> bool:
        values = {"retention_days": group.retention_days, "tags": _json(group.tags)}
        return await self._changed(groups_table.update().where(*_named(scope, group.name)).values(**values))

    async def _changed(self, statement: sa.Update | sa.Delete) -> bool:
        async def work(connection: AsyncConnection) -> bool:
            return (await connection.execute(statement)).rowcount > 0

        return await self._database.write(work)

    async def group(self, scope: Scope, name: str) -> LogGroup | None:
        async def read(connection: AsyncConnection) -> LogGroup | None:
            row = (await connection.execute(sa.select(groups_table).where(*_named(scope, name)))).first()
            return None if row is None else _group(row)

        return await self._database.read(read)

    async def groups(self, scope: Scope, prefix: str = "", after: str = "") -> list[LogGroup]:
        columns = groups_table.c
        query = (
            sa.select(groups_table)
            .where(columns.account == scope.account, columns.region == scope.region, columns.name > after)
            .where(columns.name.startswith(prefix, autoescape=True))
            .order_by(columns.name)
        )

        async def read(connection: AsyncConnection) -> list[LogGroup]:
            return [_group(row) for row in await connection.execute(query) if row.name.startswith(prefix)]

        return await self._database.read(read)

    async def create_stream(self, scope: Scope, group: str, stream: LogStream) -> bool:
        async def work(connection: AsyncConnection) -> bool:
            return await _insert_stream(connection, await _group_id(connection, scope, group), stream)

        return await self._database.write(work)

    async def delete_stream(self, scope: Scope, group: str, name: str) -> bool:
        async def work(connection: AsyncConnection) -> bool:
            found = await _stream(connection, scope, group, name)
            if found is None:
                return False
            size = sa.select(sa.func.coalesce(sa.func.sum(events_table.c.size_bytes), 0)).where(
                events_table.c.stream == found.id
            )
            await _grow(connection, found.log_group, -int(await connection.scalar(size) or 0))
            return (await connection.execute(streams_table.delete().where(streams_table.c.id == found.id))).rowcount > 0

        return await self._database.write(work)

    async def streams(self, scope: Scope, group: str, prefix: str = "") -> list[LogStream]:
        query = (
            sa.select(streams_table)
            .join(groups_table, groups_table.c.id == streams_table.c.log_group)
            .where(*_named(scope, group), streams_table.c.name.startswith(prefix, autoescape=True))
            .order_by(streams_table.c.name)
        )

        async def read(connection: AsyncConnection) -> list[LogStream]:
            return [
                LogStream(row.name, row.created_ms, row.first_ms, row.last_ms, row.ingested_ms)
                for row in await connection.execute(query)
                if row.name.startswith(prefix)
            ]

        return await self._database.read(read)

    # --- events ---

    async def put(self, scope: Scope, group: str, stream: str, events: Sequence[NewEvent], now_ms: int) -> bool:
        async def work(connection: AsyncConnection) -> bool:
            found = await _stream(connection, scope, group, stream)
            if found is not None:
                await _append(connection, found.log_group, found.id, events, now_ms)
            return found is not None

        return await self._database.write(work)

    async def events(self, scope: Scope, group: str, query: EventQuery) -> list[LogEvent]:
        columns = events_table.c
        place = sa.tuple_(columns.at_ms, columns.id)
        number = sa.select(groups_table.c.id).where(*_named(scope, group)).scalar_subquery()
        wanted = [columns.log_group == number, columns.at_ms >= query.start_ms, columns.at_ms < query.end_ms]
        if query.streams is not None:
            of_group = streams_table.c.log_group == number
            named = sa.select(streams_table.c.id).where(of_group, streams_table.c.name.in_(query.streams))
            wanted.append(columns.stream.in_(named))
        if query.after is not None:
            wanted.append(place > _literal(query.after))
        if query.before is not None:
            wanted.append(place < _literal(query.before))
        order = [column.desc() if query.newest else column for column in (columns.at_ms, columns.id)]
        sizes = sa.select(columns.at_ms, columns.id, columns.size_bytes).where(*wanted).order_by(*order).limit(query.limit)

        async def read(connection: AsyncConnection) -> list[LogEvent]:
            fitting = _fitting((await connection.execute(sizes)).all(), query.most_bytes)
            if not fitting:
                return []
            between = (place >= _literal(min(fitting)), place <= _literal(max(fitting)))
            whole = (
                sa.select(events_table, streams_table.c.name)
                .join(streams_table, streams_table.c.id == columns.stream)
                .where(*wanted, *between)
                .order_by(columns.at_ms, columns.id)
            )
            rows = (await connection.execute(whole)).all()
            return [LogEvent(row.name, Position(row.at_ms, row.id), row.ingested_ms, row.message) for row in rows]

        return await self._database.read(read)

    # --- deliveries ---

    async def deliver(self, scope: Scope, delivery: Delivery, now_ms: int) -> None:
        async def work(connection: AsyncConnection) -> None:
            if delivery.log_group:
                number = await _group_id(connection, scope, delivery.log_group)
                await _insert_stream(connection, number, LogStream(delivery.stream, now_ms))
            if not await _advance(connection, delivery.before, delivery.place):
                raise CursorMoved(f"{delivery.before.log_type} of {delivery.before.launch}")
            if delivery.events:
                found = await _stream(connection, scope, delivery.log_group, delivery.stream)
                await _append(connection, found.log_group, found.id, delivery.events, now_ms)
            if delivery.parcels:
                await connection.execute(parcels_table.insert(), [_parcel_columns(parcel) for parcel in delivery.parcels])

        await self._database.write(work)

    async def cursors(self, uid: str) -> dict[tuple[str, str], Cursor]:
        query = sa.select(cursors_table).where(cursors_table.c.uid == uid)

        async def read(connection: AsyncConnection) -> dict[tuple[str, str], Cursor]:
            rows = await connection.execute(query)
            return {(row.launch, row.log_type): Cursor(row.launch, row.log_type, row.place) for row in rows}

        return await self._database.read(read)

    async def forget_cursors(self, cursors: Sequence[Cursor]) -> None:
        async def work(connection: AsyncConnection) -> None:
            for cursor in cursors:
                await connection.execute(cursors_table.delete().where(*_cursor(cursor)))

        await self._database.write(work)

    async def parcels(self, destination: str, limit: int) -> list[Parcel]:
        columns = parcels_table.c
        query = sa.select(parcels_table).where(columns.destination == destination).order_by(columns.id).limit(limit)

        async def read(connection: AsyncConnection) -> list[Parcel]:
            rows = await connection.execute(query)
            return [Parcel(row.destination, row.at_ms, row.message, _read_json(row.labels), row.id) for row in rows]

        return await self._database.read(read)

    async def waiting(self) -> dict[str, int]:
        columns = parcels_table.c
        query = sa.select(columns.destination, sa.func.count().label("many")).group_by(columns.destination)

        async def read(connection: AsyncConnection) -> dict[str, int]:
            return {row.destination: row.many for row in await connection.execute(query)}

        return await self._database.read(read)

    async def sent(self, destination: str, up_to: int) -> None:
        columns = parcels_table.c
        await self._changed(parcels_table.delete().where(columns.destination == destination, columns.id <= up_to))

    async def trim(self, now_ms: int, most_bytes: int) -> int:
        return await self._database.write(lambda connection: trim(connection, now_ms, most_bytes))


class LogFile(SqlLogStore):
    """On a file that may get lost."""

    def __init__(self, path: Path) -> None:
        """Opens nothing yet."""
        super().__init__(SpareFile(path, log_about, LOG_SCHEMA_VERSION, "logs"))


# --- statements ----------------------------------------------------------------------------------------------------


def _json(tags: dict[str, str]) -> str:
    return msgspec.json.encode(tags).decode()


def _read_json(text: str) -> dict[str, str]:
    return msgspec.json.decode(text, type=dict[str, str])


def _group(row: Any) -> LogGroup:
    return LogGroup(row.name, row.created_ms, row.retention_days, _read_json(row.tags), row.stored_bytes)


def _named(scope: Scope, name: str) -> tuple[sa.ColumnElement[bool], ...]:
    columns = groups_table.c
    return columns.account == scope.account, columns.region == scope.region, columns.name == name


def _literal(position: Position) -> sa.ColumnElement[Any]:
    return sa.tuple_(sa.literal(position.at_ms, sa.BigInteger), sa.literal(position.number, sa.BigInteger))


def _fitting(rows: Sequence[Any], most_bytes: int) -> list[Position]:
    found: list[Position] = []
    size = 0
    for at_ms, number, size_bytes in rows:
        size += size_bytes
        if found and size > most_bytes:
            break
        found.append(Position(at_ms, number))
    return found


def _cursor(cursor: Cursor) -> tuple[sa.ColumnElement[bool], ...]:
    return cursors_table.c.launch == cursor.launch, cursors_table.c.log_type == cursor.log_type


def _parcel_columns(parcel: Parcel) -> dict[str, Any]:
    return {
        "destination": parcel.destination,
        "at_ms": parcel.at_ms,
        "message": cleaned(parcel.message),
        "labels": _json(parcel.labels),
    }


async def _insert_new(connection: AsyncConnection, table: sa.Table, values: dict[str, Any]) -> bool:
    """False when there is one with that key."""
    insert: Any = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    return bool((await connection.execute(insert(table).values(**values).on_conflict_do_nothing())).rowcount)


async def _group_id(connection: AsyncConnection, scope: Scope, name: str) -> int:
    """Raises LogGroupGone."""
    number = await connection.scalar(sa.select(groups_table.c.id).where(*_named(scope, name)))
    if number is None:
        raise LogGroupGone(name)
    return int(number)


async def _insert_stream(connection: AsyncConnection, group: int, stream: LogStream) -> bool:
    return await _insert_new(connection, streams_table, {"log_group": group, **msgspec.structs.asdict(stream)})


async def _stream(connection: AsyncConnection, scope: Scope, group: str, name: str) -> Any:
    query = (
        sa.select(streams_table)
        .join(groups_table, groups_table.c.id == streams_table.c.log_group)
        .where(*_named(scope, group), streams_table.c.name == name)
    )
    return (await connection.execute(query)).first()


async def _append(connection: AsyncConnection, group: int, stream: int, events: Sequence[NewEvent], now_ms: int) -> None:
    messages = [cleaned(event.message) for event in events]
    sizes = [len(message.encode()) for message in messages]
    rows = [
        {
            "log_group": group,
            "stream": stream,
            "at_ms": event.at_ms,
            "ingested_ms": now_ms,
            "size_bytes": size,
            "message": message,
        }
        for event, message, size in zip(events, messages, sizes, strict=True)
    ]
    await connection.execute(events_table.insert(), rows)
    columns = streams_table.c
    first, last = min(event.at_ms for event in events), max(event.at_ms for event in events)
    changed = {
        "first_ms": sa.case((sa.or_(columns.first_ms == 0, columns.first_ms > first), first), else_=columns.first_ms),
        "last_ms": sa.case((columns.last_ms < last, last), else_=columns.last_ms),
        "ingested_ms": now_ms,
    }
    await connection.execute(streams_table.update().where(columns.id == stream).values(**changed))
    await _grow(connection, group, sum(sizes))


async def _grow(connection: AsyncConnection, group: int, by_bytes: int) -> None:
    size = groups_table.c.stored_bytes
    await connection.execute(groups_table.update().where(groups_table.c.id == group).values(stored_bytes=size + by_bytes))


async def _advance(connection: AsyncConnection, before: Cursor, place: str) -> bool:
    """False when another one has moved it since."""
    if before.place:
        unmoved = (*_cursor(before), cursors_table.c.place == before.place)
        return (await connection.execute(cursors_table.update().where(*unmoved).values(place=place))).rowcount > 0
    uid = before.launch.partition(".")[0]
    values = {"launch": before.launch, "log_type": before.log_type, "uid": uid, "place": place}
    return await _insert_new(connection, cursors_table, values)
