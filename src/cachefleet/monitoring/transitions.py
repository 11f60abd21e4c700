"""Brings an alarm into a state: the state, what its history says of it and what topics are told are one transaction.

So a transition is told exactly once, whoever dies in between and however many decide on it: the row's version lets one of them
win, and what it publishes has an id that follows from that version. Called by SetAlarmState and by telemetry.alarm_watch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from msgspec.structs import replace

from cachefleet.interfaces import Store
from cachefleet.metrics.alarm_messages import message, subject
from cachefleet.metrics.alarms import acted, state_change
from cachefleet.model.alarm import AlarmDesired, AlarmState
from cachefleet.model.notice import Notice, uuid_of
from cachefleet.model.row import AlarmRow
from cachefleet.model.topic import topic_key


async def change_state(store: Store, row: AlarmRow, state: AlarmState, now: float) -> AlarmRow:
    """The stored row. Only another value than before is told to topics, where actions are enabled. Raises Conflict,
    StoreError."""
    before = row.desired.state
    alarm = state_change(row.desired, state, now)
    topics: Sequence[str] = ()
    if state.value is not before.value and alarm.actions_enabled:
        topics = [arn for arn in alarm.actions(state.value) if topic_key(arn) is not None]
    notices = [_notice(row, alarm, before, topic) for topic in topics if await _is_there(store, topic)]
    told = {notice.topic_arn for notice in notices}
    for topic in topics:
        alarm = acted(alarm, topic, "" if topic in told else f"Resource: {topic} does not exist", now)
    async with store.transaction() as transaction:
        stored = await transaction.update(replace(row, desired=alarm))
        await transaction.publish(notices)
    return stored


async def _is_there(store: Store, topic: str) -> bool:
    found = topic_key(topic)
    return found is not None and await store.get(found[0]) is not None


def _notice(row: AlarmRow, alarm: AlarmDesired, before: AlarmState, topic: str) -> Notice:
    scope = row.key.scope
    return Notice(
        topic_arn=topic,
        subject=subject(scope, alarm),
        message=message(scope, alarm, before),
        at=alarm.state.transitioned_at,
        notice_id=uuid_of(hashlib.sha256(f"{row.key} {row.version} {topic}".encode()).hexdigest()[:32]),
    )
