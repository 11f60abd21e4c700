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


async def give_up_topics(seams: Seams, token: int) -> None:
    """Raises Deposed, StoreError."""
    rows: list[GroupRow] = await seams.store.every(GROUP_KINDS)
    for row in rows:
        if not await _has_lost_topic(seams, row):
            continue
        key = row.key
        source = "replication-group" if key.kind is Kind.REPLICATION_GROUP else "cache-cluster"
        told = f"The topic {row.desired.notification_topic} is not there any more; notifications are inactive"
        try:
            async with seams.store.transaction() as transaction:
                await transaction.fence(LEASE, token)
                await transaction.update(replace(row, desired=replace(row.desired, notification_active=False)))
                await transaction.add_events(key.scope, seams.clock.now(), [EventDraft(source, key.name, told)])
        except Conflict:  # somebody changes it: next time
            continue


async def _has_lost_topic(seams: Seams, row: GroupRow) -> bool:
    desired = row.desired
    if not desired.notification_topic or not desired.notification_active or desired.deleting:
        return False
    found = topic_key(desired.notification_topic)
    return found is None or await seams.store.get(found[0]) is None
