"""Caches whose topic is not there any more: their notifications become inactive, and an event says so (reference 8.3).

Somebody who makes the topic anew switches them on again with NotificationTopicStatus. Called by the controller now and then.
"""

from __future__ import annotations

from msgspec.structs import replace

from cachefleet.control.leadership import LEASE
from cachefleet.control.seams import Seams
from cachefleet.interfaces import Conflict
from cachefleet.model.plan import EventDraft
from cachefleet.model.resource import GROUP_KINDS, Kind
from cachefleet.model.row import GroupRow
from cachefleet.model.topic import topic_key


async def give_up_topics(seams: Seams, token: int) -> int:
    """How many caches were changed. Raises Deposed, StoreError."""
    changed = 0
    for key in await seams.store.keys(GROUP_KINDS):
        row: GroupRow | None = await seams.store.get(key)
        if row is None or not await _has_lost_topic(seams, row):
            continue
        source = "replication-group" if key.kind is Kind.REPLICATION_GROUP else "cache-cluster"
        told = f"The topic {row.desired.notification_topic} is not there any more; notifications are inactive"
        try:
            async with seams.store.transaction() as transaction:
                await transaction.fence(LEASE, token)
                await transaction.update(replace(row, desired=replace(row.desired, notification_active=False)))
                await transaction.add_events(key.scope, seams.clock.now(), [EventDraft(source, key.name, told)])
        except Conflict:  # somebody changes it: next time
            continue
        changed += 1
    return changed


async def _has_lost_topic(seams: Seams, row: GroupRow) -> bool:
    desired = row.desired
    if not desired.notification_topic or not desired.notification_active or desired.deleting:
        return False
    found = topic_key(desired.notification_topic)
    return found is None or await seams.store.get(found[0]) is None
