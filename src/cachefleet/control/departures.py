"""Takes away the rows of users that are being deleted, once no cache lets them in any more. Called by the controller: after a
pass in which a group's nodes have agreed on other users, after the end of a group, and now and then.
"""

from __future__ import annotations

from cachefleet.control.leadership import LEASE
from cachefleet.control.seams import Seams
from cachefleet.interfaces import Conflict
from cachefleet.model.plan import EventDraft
from cachefleet.model.resource import GROUP_KINDS, Kind, Scope
from cachefleet.model.row import UserRow
from cachefleet.planning.users import lets_in


async def forget_users(seams: Seams, scope: Scope, token: int) -> int:
    """How many rows went. Raises Deposed, StoreError."""
    leaving: list[UserRow] = [row for row in await seams.store.rows(Kind.USER, scope) if row.desired.deleting]
    if not leaving:
        return 0
    caches = [row for kind in GROUP_KINDS for row in await seams.store.rows(kind, scope)]
    gone = [row for row in leaving if not any(lets_in(cache, row.key.name) for cache in caches)]
    if not gone:
        return 0
    try:
        async with seams.store.transaction() as transaction:
            await transaction.fence(LEASE, token)
            for row in gone:
                await transaction.delete(row)
            told = [EventDraft("user", row.key.name, "User deleted") for row in gone]
            await transaction.add_events(scope, seams.clock.now(), told)
    except Conflict:  # somebody changes one of them: next time
        return 0
    return len(gone)
