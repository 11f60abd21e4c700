"""Events of a cache as they are written: into the log of events, and to the cache's topic (reference 8.3).

The one place where notifications of caches come from. Decides nothing: which event has one is said by whoever makes the event.
Called inside the transaction that makes true what the events tell, so each is told once, also when this process dies.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from cachefleet.clock import Entropy, new_uuid
from cachefleet.interfaces import Transaction
from cachefleet.model.group import GroupDesired
from cachefleet.model.notice import Notice
from cachefleet.model.plan import EventDraft
from cachefleet.model.resource import Scope

PREFIX = "ElastiCache:"


async def announce(
    transaction: Transaction,
    scope: Scope,
    cache: GroupDesired | None,
    events: Sequence[EventDraft],
    at: float,
    entropy: Entropy,
) -> None:
    """Write them down and tell the topic of those that have a notice. cache: as it is with this transaction, None when it is no
    more. at: epoch seconds."""
    await transaction.add_events(scope, at, events)
    if cache is not None and cache.notification_topic and cache.notification_active:
        await transaction.publish(_notices(cache.notification_topic, events, at, entropy))


def _notices(topic_arn: str, events: Sequence[EventDraft], at: float, entropy: Entropy) -> list[Notice]:
    """Without a subject, as those of ElastiCache are."""
    return [
        Notice(
            topic_arn=topic_arn,
            message=msgspec.json.encode({PREFIX + event.notice: event.source_id}).decode(),
            at=at,
            notice_id=new_uuid(entropy),
        )
        for event in events
        if event.notice is not None
    ]
