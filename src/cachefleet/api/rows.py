"""Read, decide, write: one row changed by compare-and-swap, decided again when someone else was faster.

Knows no kind of resource. Called by operations that change a row.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from cachefleet.api.context import Context
from cachefleet.interfaces import AnyRow, Conflict
from cachefleet.model.errors import AwsError
from cachefleet.model.plan import EventDraft

_ATTEMPTS = 20  # a busy group's controller writes a few times a second; each lost race costs one more read


async def change_row(
    context: Context,
    find: Callable[[], Awaitable[AnyRow]],
    change: Callable[[AnyRow], AnyRow],
    event: EventDraft | None = None,
) -> AnyRow:
    """The row as stored. find reads it anew (and refuses when it is not there); change returns the new row, or refuses; it
    may be called several times. A row that stays equal is not written. Raises AwsError."""
    for _ in range(_ATTEMPTS):
        row = await find()
        changed = change(row)
        if (changed.desired, changed.tags) == (row.desired, row.tags):
            return row
        try:
            async with context.store.transaction() as transaction:
                stored = await transaction.update(changed)
                if event is not None:
                    await transaction.add_events(context.scope, context.clock.now(), [event])
        except Conflict:
            continue
        return stored
    raise _too_busy()


async def delete_row(
    context: Context,
    find: Callable[[], Awaitable[AnyRow]],
    check: Callable[[], Awaitable[None]],
    event: EventDraft | None = None,
) -> None:
    """find as above; check refuses (AwsError) when the row must stay, and is asked inside the transaction. Raises AwsError."""
    for _ in range(_ATTEMPTS):
        row = await find()
        try:
            async with context.store.transaction() as transaction:
                await check()
                await transaction.delete(row)
                if event is not None:
                    await transaction.add_events(context.scope, context.clock.now(), [event])
        except Conflict:
            continue
        return
    raise _too_busy()


def _too_busy() -> AwsError:
    return AwsError("ServiceUnavailable", "The resource is being changed by others without a pause; try again in a moment.")
