"""Which log events are too old or too many, and that they go: some thousands at a time. Called by SqlLogStore."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from cachefleet.store.log_tables import events_table, groups_table

AT_ONCE = 2000
_DAY_MS = 86_400_000


async def trim(connection: AsyncConnection, now_ms: int, most_bytes: int) -> int:
    """See log_interfaces.LogStore."""
    groups = (await connection.execute(sa.select(groups_table))).all()
    columns = events_table.c
    chosen = sa.select(columns.id, columns.log_group, columns.size_bytes).limit(AT_ONCE)
    for group in groups:
        if group.retention_days:
            old = (columns.log_group == group.id, columns.at_ms < now_ms - group.retention_days * _DAY_MS)
            deleted = await _delete(connection, chosen.where(*old).order_by(columns.at_ms))
            if deleted:
                return deleted
    if sum(group.stored_bytes for group in groups) <= most_bytes:
        return 0
    return await _delete(connection, chosen.order_by(columns.id))


async def _delete(connection: AsyncConnection, chosen: sa.Select[Any]) -> int:
    rows = (await connection.execute(chosen)).all()
    if not rows:
        return 0
    gone: dict[int, int] = {}
    for _, group, size in rows:
        gone[group] = gone.get(group, 0) + size
    numbers = [row[0] for row in rows]
    for first in range(0, len(numbers), 500):
        await connection.execute(events_table.delete().where(events_table.c.id.in_(numbers[first : first + 500])))
    for group, size in sorted(gone.items()):
        left = groups_table.c.stored_bytes - size
        await connection.execute(groups_table.update().where(groups_table.c.id == group).values(stored_bytes=left))
    return len(rows)
