"""usage_interfaces.UsageLedger over SQL: every statement about spans of used nodes. Made by SqlStore.

Spans that go on have no end of their own: one row says until when they count. So a look that finds nothing new writes one row.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from cachefleet.model.resource import Key, Kind, Scope
from cachefleet.model.usage import Counted, Span, Use
from cachefleet.store import leases
from cachefleet.store.database import Database
from cachefleet.store.tables import usage_counted, usage_spans

_columns = usage_spans.c
_counted = sa.select(usage_counted.c.since, usage_counted.c.until).where(usage_counted.c.id == 1)
_going_on = sa.select(usage_spans).where(_columns.ends_at.is_(None)).order_by(_columns.id)
_spans = (
    sa.select(usage_spans)
    .where(
        _columns.account == sa.bindparam("account"),
        _columns.region == sa.bindparam("region"),
        _columns.begins_at < sa.bindparam("end"),
        sa.or_(_columns.ends_at.is_(None), _columns.ends_at > sa.bindparam("start")),
    )
    .order_by(_columns.begins_at, _columns.id)
)
_begin = usage_spans.insert()
_end = (
    usage_spans.update()
    .where(_columns.id == sa.bindparam("its_id"), _columns.ends_at.is_(None))
    .values(ends_at=sa.bindparam("its_end"))
)
_look = usage_counted.update().values(until=sa.bindparam("now")).where(usage_counted.c.until < sa.bindparam("now"))
_forget = usage_spans.delete().where(_columns.ends_at < sa.bindparam("before"))


class SqlUsageLedger:
    """See UsageLedger."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def counted(self) -> Counted | None:
        return await self._database.read(_read_counted)

    async def going_on(self) -> list[Span]:
        async def read(connection: AsyncConnection) -> list[Span]:
            return [_span(row) for row in await connection.execute(_going_on)]

        return await self._database.read(read)

    async def write(self, lease: str, token: int, now: float, closed: Sequence[Span], begun: Sequence[Span]) -> None:
        async def write(connection: AsyncConnection) -> None:
            await leases.fence(connection, lease, token)
            if closed:
                await connection.execute(_end, [{"its_id": span.number, "its_end": span.end} for span in closed])
            if begun:
                await connection.execute(_begin, [_values(span) for span in begun])
            if await _read_counted(connection) is None:
                await connection.execute(usage_counted.insert().values(id=1, since=now, until=now))
            else:
                await connection.execute(_look, {"now": now})

        await self._database.write(write)

    async def spans(self, scope: Scope, start: float, end: float) -> list[Span]:
        parameters = {"account": scope.account, "region": scope.region, "start": start, "end": end}

        async def read(connection: AsyncConnection) -> list[Span]:
            counted = await _read_counted(connection)
            until = counted.until if counted is not None else 0.0
            found = [_span(row) for row in await connection.execute(_spans, parameters)]
            ended = [msgspec.structs.replace(one, end=max(one.begin, until)) if one.end is None else one for one in found]
            return [one for one in ended if one.end is not None and one.end > start]

        return await self._database.read(read)

    async def forget(self, before: float) -> int:
        async def forget(connection: AsyncConnection) -> int:
            return (await connection.execute(_forget, {"before": before})).rowcount

        return await self._database.write(forget)


async def _read_counted(connection: AsyncConnection) -> Counted | None:
    found = (await connection.execute(_counted)).one_or_none()
    return None if found is None else Counted(found.since, found.until)


def _values(span: Span) -> dict[str, Any]:
    return {
        "account": span.group.account,
        "region": span.group.region,
        "kind": span.group.kind.value,
        "name": span.group.name,
        "uid": span.uid,
        "begins_at": span.begin,
        "ends_at": span.end,
        "document": msgspec.json.encode(span.use).decode(),
    }


def _span(row: Any) -> Span:
    group = Key(Kind(row.kind), row.account, row.region, row.name)
    return Span(group, row.uid, _use(row.document), row.begins_at, row.ends_at, row.id)


@lru_cache(maxsize=2048)
def _use(document: str) -> Use:
    """Most spans of a group have had the same nodes before."""
    return msgspec.json.decode(document, type=Use)
