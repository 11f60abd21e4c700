"""Leases, and word left for whoever holds one: every statement about them.

A lease changes hands in one statement that is a transaction of its own: a process that is frozen over it keeps no lock.
Called by SqlStore and SqlTransaction.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from cachefleet.interfaces import Deposed, Lease
from cachefleet.model.resource import Key, Kind
from cachefleet.store.tables import leases, wakes

_KINDS = {kind.value: kind for kind in Kind}
_IS_IT = leases.c.name == sa.bindparam("lease")
# Epoch seconds. PostgreSQL is asked by several machines' services, so its own clock counts; SQLite has none, we give it ours.
_now: dict[str, sa.ColumnElement[float]] = {
    "postgresql": sa.cast(sa.extract("epoch", sa.func.clock_timestamp()), sa.Double),
    "sqlite": sa.bindparam("now", type_=sa.Double),
}
_look = {
    dialect: sa.select(leases.c.holder, leases.c.token, (leases.c.expires_at <= now).label("over")).where(_IS_IT)
    for dialect, now in _now.items()
}
_release = (
    leases.update()
    .where(_IS_IT, leases.c.holder == sa.bindparam("its_holder"), leases.c.token == sa.bindparam("its_token"))
    .values(holder="", expires_at=0.0)
)
# Shared, so that fenced transactions do not wait for each other; a change of the holder waits for them, and they for it.
_fence = sa.select(leases.c.token).where(_IS_IT).with_for_update(read=True)
_wake = wakes.insert()
_take_wakes = wakes.delete().returning(wakes.c.kind, wakes.c.account, wakes.c.region, wakes.c.name)


def _taking(dialect: str, insert: Any) -> sa.Insert:
    now = _now[dialect]
    fresh = insert(leases).values(
        name=sa.bindparam("lease"),
        holder=sa.bindparam("us"),
        token=1,
        expires_at=now + sa.bindparam("ttl_s", type_=sa.Double),
    )
    kept = leases.c.holder == fresh.excluded.holder
    statement: sa.Insert = fresh.on_conflict_do_update(
        index_elements=[leases.c.name],
        set_={
            "holder": fresh.excluded.holder,
            "token": sa.case((kept, leases.c.token), else_=leases.c.token + 1),
            "expires_at": fresh.excluded.expires_at,
        },
        where=sa.or_(kept, leases.c.holder == sa.bindparam("dead"), leases.c.expires_at <= now),
    ).returning(leases.c.holder, leases.c.token)
    return statement


_take = {"postgresql": _taking("postgresql", postgresql.insert), "sqlite": _taking("sqlite", sqlite.insert)}


async def standing(connection: AsyncConnection, name: str, now: float) -> tuple[Lease, bool]:
    """The lease, and whether anybody may take it."""
    found = (await connection.execute(_look[connection.dialect.name], _at({"lease": name}, connection, now))).one_or_none()
    return (Lease("", 0), True) if found is None else (Lease(found.holder, found.token), bool(found.over))


async def take(connection: AsyncConnection, name: str, holder: str, ttl_s: float, dead: str, now: float) -> Lease | None:
    """The lease when it is ours now. The statement looks again by itself: somebody may have been faster."""
    values = _at({"lease": name, "us": holder, "ttl_s": ttl_s, "dead": dead}, connection, now)
    found = (await connection.execute(_take[connection.dialect.name], values)).one_or_none()
    return None if found is None else Lease(found.holder, found.token)


async def release(connection: AsyncConnection, name: str, lease: Lease) -> None:
    await connection.execute(_release, {"lease": name, "its_holder": lease.holder, "its_token": lease.token})


async def fence(connection: AsyncConnection, name: str, token: int) -> None:
    """Raises Deposed."""
    found = await connection.scalar(_fence, {"lease": name})
    if found != token:
        raise Deposed(f"the lease {name} has the token {found or 0} by now, not {token}")


async def leave_wake(connection: AsyncConnection, key: Key) -> None:
    values = {"kind": key.kind.value, "account": key.account, "region": key.region, "name": key.name}
    await connection.execute(_wake, values)


async def take_wakes(connection: AsyncConnection) -> list[Key]:
    found = (await connection.execute(_take_wakes)).all()
    return sorted({Key(_KINDS[kind], account, region, name) for kind, account, region, name in found})


def _at(values: dict[str, Any], connection: AsyncConnection, now: float) -> dict[str, Any]:
    return {**values, "now": now} if connection.dialect.name == "sqlite" else values
