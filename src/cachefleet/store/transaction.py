"""One write transaction: rows by compare-and-swap, member names, events.

Remembers what it wrote, so that SqlStore can cache it once it is committed. Used through SqlStore.transaction only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from cachefleet.interfaces import AnyRow, Conflict, NameTaken
from cachefleet.model.notice import Notice
from cachefleet.model.plan import EventDraft
from cachefleet.model.resource import Key, Scope
from cachefleet.store import leases, outbox
from cachefleet.store.cancellation import uninterrupted
from cachefleet.store.documents import decoded, encoded
from cachefleet.store.errors import StoreError
from cachefleet.store.tables import about, events, members, resources
from cachefleet.store.text import cleaned, storable

T = TypeVar("T")

_DOCUMENTS = ("desired", "memory", "status", "tags")
_its_row = sa.and_(
    resources.c.account == sa.bindparam("the_account"),
    resources.c.region == sa.bindparam("the_region"),
    resources.c.kind == sa.bindparam("the_kind"),
    resources.c.name == sa.bindparam("the_name"),
    resources.c.version == sa.bindparam("the_version"),
)
_its_members = sa.and_(
    members.c.account == sa.bindparam("the_account"),
    members.c.region == sa.bindparam("the_region"),
    members.c.kind == sa.bindparam("the_kind"),
    members.c.name == sa.bindparam("the_name"),
)
_update = (
    resources.update()
    .where(_its_row)
    .values(version=resources.c.version + 1, **{column: sa.bindparam(column) for column in _DOCUMENTS})
)
_delete = resources.delete().where(_its_row)
_held = sa.select(members.c.member).where(_its_members)
_release = members.delete().where(_its_members, members.c.member == sa.bindparam("the_member"))
# Locked until the end (PostgreSQL): an insert that waits for the deletion of the same key must see the floor it leaves.
_floor = sa.select(about.c.version_floor).with_for_update()
_raise_floor = about.update().where(about.c.version_floor < sa.bindparam("floor")).values(version_floor=sa.bindparam("floor"))
_add_events = events.insert()
_count_events = sa.select(sa.func.count()).where(
    events.c.account == sa.bindparam("account"),
    events.c.region == sa.bindparam("region"),
    events.c.source_type == sa.bindparam("source_type"),
    events.c.at > sa.bindparam("since"),
    sa.func.substr(events.c.message, 1, sa.bindparam("length", type_=sa.Integer)) == sa.bindparam("beginning"),
)
_TURN_LOCK = 0x63616369  # PostgreSQL; another number than that of schema.py


def _unless_there(insert: Callable[[sa.Table], Any], table: sa.Table) -> sa.Insert:
    statement: sa.Insert = insert(table).on_conflict_do_nothing()
    return statement


_claim = {"sqlite": _unless_there(sqlite.insert, members), "postgresql": _unless_there(postgresql.insert, members)}
_insert = {"sqlite": _unless_there(sqlite.insert, resources), "postgresql": _unless_there(postgresql.insert, resources)}


class SqlTransaction:
    """See interfaces.Transaction. After a refusal (Conflict, NameTaken, Deposed) it can only be rolled back: catching the
    refusal inside and going on raises it again."""

    def __init__(self, connection: AsyncConnection, translated: Callable[[], AbstractContextManager[None]]) -> None:
        self.written: dict[Key, AnyRow | None] = {}
        self.published = False
        self._connection = connection
        self._translated = translated
        self._refusal: Exception | None = None

    async def insert(self, row: AnyRow, members: Sequence[str] = ()) -> AnyRow:
        return await self._step(partial(self._insert, row, members))

    async def update(self, row: AnyRow, members: Sequence[str] | None = None) -> AnyRow:
        return await self._step(partial(self._update, row, members))

    async def delete(self, row: AnyRow) -> None:
        await self._step(partial(self._delete, row))

    async def add_events(self, scope: Scope, at: float, events: Sequence[EventDraft]) -> None:
        if events:
            await self._step(partial(self._add_events, [_event_columns(scope, at, event) for event in events]))

    async def take_turn(self) -> None:
        await self._step(self._take_turn)

    async def count_events(self, scope: Scope, *, since: float, source_type: str, beginning: str) -> int:
        return await self._step(partial(self._count_events, scope, since, source_type, beginning))

    async def fence(self, lease: str, token: int) -> None:
        await self._step(partial(leases.fence, self._connection, lease, token))

    async def wake(self, key: Key) -> None:
        await self._step(partial(leases.leave_wake, self._connection, key))

    async def publish(self, notices: Sequence[Notice]) -> None:
        if notices:
            await self._step(partial(outbox.publish, self._connection, notices))
            self.published = True

    def check(self) -> None:
        """Raises what ended this transaction, if anything did."""
        if self._refusal is not None:
            raise self._refusal

    async def _step(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        self.check()
        try:
            with self._translated():
                return await uninterrupted(work())
        except Exception as error:
            self._refusal = error
            raise
        except asyncio.CancelledError:
            self._refusal = StoreError("a step of this transaction was cancelled, so none of it is kept")
            raise

    async def _insert(self, row: AnyRow, members: Sequence[str]) -> AnyRow:
        _check_names(row.key.name, *members)
        floor = await self._connection.scalar(_floor)
        columns = encoded(row)
        stored = decoded(row.key, int(floor or 0) + 1, columns)
        values = {**_columns(row.key), "version": stored.version, **columns}
        done = await self._connection.execute(_insert[self._connection.dialect.name], values)
        if done.rowcount != 1:
            raise NameTaken(row.key.name)
        await self._take(row.key, set(members))
        self.written[row.key] = stored
        return stored

    async def _update(self, row: AnyRow, members: Sequence[str] | None) -> AnyRow:
        columns = encoded(row)
        stored = decoded(row.key, row.version + 1, columns)
        await self._swap(_update, row, columns)
        if members is not None:
            _check_names(*members)
            await self._replace_members(row.key, set(members))
        self.written[row.key] = stored
        return stored

    async def _delete(self, row: AnyRow) -> None:
        await self._swap(_delete, row, {})
        await self._connection.execute(_raise_floor, {"floor": row.version})
        self.written[row.key] = None

    async def _swap(self, statement: sa.Update | sa.Delete, row: AnyRow, columns: dict[str, str]) -> None:
        done = await self._connection.execute(statement, {**_named(row.key), "the_version": row.version, **columns})
        if done.rowcount != 1:
            raise Conflict(f"{row.key} has no version {row.version} any more")

    async def _add_events(self, columns: list[dict[str, Any]]) -> None:
        await self._connection.execute(_add_events, columns)

    async def _take_turn(self) -> None:
        if self._connection.dialect.name == "postgresql":  # in SQLite there is one writer at a time anyway
            await self._connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_TURN_LOCK)))

    async def _count_events(self, scope: Scope, since: float, source_type: str, beginning: str) -> int:
        await self._take_turn()
        found = {"source_type": source_type, "since": since, "beginning": beginning, "length": len(beginning)}
        counted = await self._connection.scalar(_count_events, {"account": scope.account, "region": scope.region, **found})
        return int(counted or 0)

    async def _replace_members(self, key: Key, wanted: set[str]) -> None:
        held = await self._members(key)
        gone = held - wanted
        if gone:
            await self._connection.execute(_release, [{**_named(key), "the_member": member} for member in sorted(gone)])
        await self._take(key, wanted - held)

    async def _take(self, key: Key, wanted: set[str]) -> None:
        if not wanted:
            return
        # Sorted: two transactions that want the same names take them in one order, and cannot wait for each other.
        claims = [{**_columns(key), "member": member} for member in sorted(wanted)]
        await self._connection.execute(_claim[self._connection.dialect.name], claims)
        missing = wanted - await self._members(key)
        if missing:
            raise NameTaken(min(missing))

    async def _members(self, key: Key) -> set[str]:
        return set((await self._connection.scalars(_held, _named(key))).all())


def _check_names(*names: str) -> None:
    for name in names:
        if not name or not storable(name):
            raise ValueError(f"{name!r} cannot be a name: it is empty, or holds U+0000 or a lone surrogate")


def _columns(key: Key) -> dict[str, str]:
    return {"account": key.account, "region": key.region, "kind": key.kind.value, "name": key.name}


def _named(key: Key) -> dict[str, Any]:
    return {f"the_{column}": value for column, value in _columns(key).items()}


def _event_columns(scope: Scope, at: float, event: EventDraft) -> dict[str, Any]:
    return {
        "account": scope.account,
        "region": scope.region,
        "source_type": event.source_type,
        "source_id": event.source_id,
        "message": cleaned(event.message),
        "at": at,
    }
