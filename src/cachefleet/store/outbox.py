"""notice_interfaces.Outbox over SQL: every statement about notices. Publishing itself is a step of SqlTransaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from cachefleet.model.notice import Delivery, Notice, Posted
from cachefleet.store.database import Database
from cachefleet.store.errors import StoreError
from cachefleet.store.tables import notices
from cachefleet.store.text import cleaned, storable

_decoder = msgspec.json.Decoder(Notice)
_its_id = notices.c.id == sa.bindparam("its_id")
_publish = notices.insert()
_posted = (
    sa.select(notices.c.id, notices.c.document)
    .where(notices.c.subscription == "")
    .order_by(notices.c.id)
    .limit(sa.bindparam("limit", type_=sa.Integer))
)
_take = notices.delete().where(_its_id, notices.c.subscription == "").returning(notices.c.document)
_waiting = (
    sa.select(notices.c.subscription, sa.func.count().label("many"))
    .where(notices.c.subscription != "")
    .group_by(notices.c.subscription)
)
_next = (
    sa.select(notices.c.id, notices.c.document, notices.c.attempts, notices.c.due_at)
    .where(notices.c.subscription == sa.bindparam("subscription"))
    .order_by(notices.c.id)
    .limit(1)
)
_postpone = notices.update().where(_its_id).values(attempts=sa.bindparam("failed"), due_at=sa.bindparam("again_at"))
_done = notices.delete().where(_its_id)
_forget = notices.delete().where(
    notices.c.subscription == sa.bindparam("subscription"), notices.c.published_at < sa.bindparam("before")
)


async def publish(connection: AsyncConnection, published: Sequence[Notice]) -> None:
    """As a step of a transaction."""
    await connection.execute(_publish, [_columns(notice, "", _encoded(notice)) for notice in published])


class SqlOutbox:
    """See Outbox. Made by SqlStore."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._callbacks: list[Callable[[], None]] = []

    def on_publish(self, callback: Callable[[], None]) -> None:
        self._callbacks.append(callback)

    def published(self) -> None:
        """A transaction that has published was committed."""
        for callback in self._callbacks:
            callback()

    async def posted(self, limit: int) -> list[Posted]:
        async def read(connection: AsyncConnection) -> list[Posted]:
            found = (await connection.execute(_posted, {"limit": limit})).all()
            return [Posted(its_id, _decoded(document)) for its_id, document in found]

        return await self._database.read(read)

    async def hand_out(self, posted: Sequence[tuple[Posted, Sequence[str]]]) -> None:
        async def hand_out(connection: AsyncConnection) -> None:
            for one, subscriptions in posted:
                document = await connection.scalar(_take, {"its_id": one.id})
                if document is not None and subscriptions:
                    values = [_columns(one.notice, subscription, document) for subscription in subscriptions]
                    await connection.execute(_publish, values)

        await self._database.write(hand_out)

    async def waiting(self) -> dict[str, int]:
        async def read(connection: AsyncConnection) -> dict[str, int]:
            return {row.subscription: row.many for row in await connection.execute(_waiting)}

        return await self._database.read(read)

    async def next_delivery(self, subscription: str) -> Delivery | None:
        async def read(connection: AsyncConnection) -> Delivery | None:
            found = (await connection.execute(_next, {"subscription": subscription})).one_or_none()
            if found is None:
                return None
            return Delivery(found.id, subscription, _decoded(found.document), found.attempts, found.due_at)

        return await self._database.read(read) if storable(subscription) else None

    async def postpone(self, delivery: Delivery) -> None:
        values = {"its_id": delivery.id, "failed": delivery.attempts, "again_at": delivery.due_at}
        await self._write(_postpone, values)

    async def done(self, delivery: Delivery) -> None:
        await self._write(_done, {"its_id": delivery.id})

    async def forget(self, subscription: str, before: float) -> int:
        return await self._write(_forget, {"subscription": subscription, "before": before})

    async def _write(self, statement: sa.Update | sa.Delete, values: dict[str, Any]) -> int:
        async def write(connection: AsyncConnection) -> int:
            return (await connection.execute(statement, values)).rowcount

        return await self._database.at_once(write)


def _columns(notice: Notice, subscription: str, document: str) -> dict[str, Any]:
    return {
        "subscription": subscription,
        "published_at": notice.at,
        "attempts": 0,
        "due_at": notice.at,
        "document": document,
    }


def _encoded(notice: Notice) -> str:
    texts = {"message": cleaned(notice.message), "subject": cleaned(notice.subject)}
    return msgspec.json.encode(msgspec.structs.replace(notice, **texts)).decode()


def _decoded(document: str) -> Notice:
    try:
        return _decoder.decode(document)
    except msgspec.DecodeError as error:
        raise StoreError(f"a stored notice cannot be read: {error}") from error
