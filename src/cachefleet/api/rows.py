"""A changed row into the store, with the event that tells of it and word for the controller. Knows no kind of resource."""

from __future__ import annotations

from cachefleet.api.context import Context
from cachefleet.interfaces import AnyRow, Transaction
from cachefleet.model.plan import EventDraft
from cachefleet.model.resource import Key


async def leave_word(context: Context, transaction: Transaction, *keys: Key) -> None:
    """That these groups have to be looked at, for a controller that runs in another service. Ours is told by context.wake."""
    if context.shared:
        for key in keys:
            await transaction.wake(key)


async def tell(context: Context, transaction: Transaction, source: str, name: str, what: str) -> None:
    """An event of what no topic hears of. source: its type."""
    await transaction.add_events(context.scope, context.clock.now(), [EventDraft(source, name, what)])


async def update_row(
    context: Context, row: AnyRow, changed: AnyRow, event: EventDraft | None = None, *, wake: bool = False
) -> AnyRow:
    """The row as stored. row: as it was read; when `changed` says the same, nothing is written. wake: the controller has
    something to do then. Raises Conflict."""
    if (changed.desired, changed.tags) == (row.desired, row.tags):
        return row
    async with context.store.transaction() as transaction:
        stored = await transaction.update(changed)
        if event is not None:
            await transaction.add_events(context.scope, context.clock.now(), [event])
        if wake:
            await leave_word(context, transaction, stored.key)
    if wake:
        context.wake(stored.key)
    return stored
