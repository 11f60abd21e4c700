"""The topics that caches tell of their events: one that a request names must be there (reference 8.3).

One that is deleted later is noted by the controller (control.lost_topics). Called by the writers of group rows.
"""

from __future__ import annotations

from cachefleet.api.context import Context
from cachefleet.api.names import quoted
from cachefleet.model.errors import invalid_value
from cachefleet.model.group import GroupDesired
from cachefleet.model.topic import topic_key


async def require_topic(context: Context, before: GroupDesired | None, desired: GroupDesired) -> None:
    """Of a cache that gets another topic, or is to tell its topic again. Raises InvalidParameterValue."""
    arn = desired.notification_topic
    known = before is not None and before.notification_active and before.notification_topic == arn
    if not arn or known or not desired.notification_active:
        return
    found = topic_key(arn)
    if found is None or await context.store.get(found[0]) is None:
        raise invalid_value(
            f"NotificationTopicArn: there is no topic {quoted(arn)}; make it with CreateTopic of Amazon SNS's API first."
        )
