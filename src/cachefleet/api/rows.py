"""A changed row into the store, with the event that tells of it. Knows no kind of resource."""

from __future__ import annotations

from cachefleet.api.context import Context
from cachefleet.interfaces import AnyRow
from cachefleet.model.plan import EventDraft


async def update_row(context: Context, row: AnyRow, changed: AnyRow, event: EventDraft | None = None) -> AnyRow:
    """The row as stored. row: as it was read; when `changed` says the same, nothing is written. Raises Conflict."""
    if (changed.desired, changed.tags) == (row.desired, row.tags):
        return row
    async with context.store.transaction() as transaction:
        stored = await transaction.update(changed)
        if event is not None:
            await transaction.add_events(context.scope, context.clock.now(), [event])
    return stored
