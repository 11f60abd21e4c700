"""Brings an alarm into a state: the state, what its history says of it and what topics are told are one transaction.

So a transition is told exactly once, whoever dies in between and however many decide on it: the row's version lets one of them
win, and what it publishes has an id that follows from that version. Called by SetAlarmState and by telemetry.alarm_watch.
"""

from __future__ import annotations

import hashlib
from uuid import UUID

from msgspec.structs import replace

from cachefleet.interfaces import Store
from cachefleet.metrics.alarm_messages import message, subject
from cachefleet.metrics.alarms import acted, state_change
from cachefleet.model.alarm import AlarmDesired, AlarmState
from cachefleet.model.notice import Notice
from cachefleet.model.row import AlarmRow, ScalableTargetRow
from cachefleet.model.scaling import policy_arn, target_keys
from cachefleet.model.topic import topic_key


async def change_state(store: Store, row: AlarmRow, state: AlarmState, now: float) -> AlarmRow:
    """The stored row. Only another value than before is told to topics, where actions are enabled. Raises Conflict,
    StoreError."""
    before = row.desired.state
    alarm = state_change(row.desired, state, now)
    actions = alarm.actions(state.value) if state.value is not before.value and alarm.actions_enabled else ()
    there = [arn for arn in actions if await _is_there(store, arn)]
    notices = [_notice(row, alarm, before, arn) for arn in there if topic_key(arn) is not None]
    for arn in actions:
        alarm = acted(alarm, arn, "" if arn in there else f"Resource: {arn} does not exist", now)
    async with store.transaction() as transaction:
        stored = await transaction.update(replace(row, desired=alarm))
        await transaction.publish(notices)
    return stored


async def _is_there(store: Store, arn: str) -> bool:
    """A policy is not told: it follows the states of alarms that name it (telemetry.scaler)."""
    topic = topic_key(arn)
    if topic is not None:
        return await store.get(topic[0]) is not None
    for key in target_keys(arn):
        target: ScalableTargetRow | None = await store.get(key)
        if target is not None and any(policy_arn(key.scope, target.desired, one) == arn for one in target.desired.policies):
            return True
    return False


def _notice(row: AlarmRow, alarm: AlarmDesired, before: AlarmState, topic: str) -> Notice:
    scope = row.key.scope
    return Notice(
        topic_arn=topic,
        subject=subject(scope, alarm),
        message=message(scope, alarm, before),
        at=alarm.state.transitioned_at,
        notice_id=str(UUID(hex=hashlib.sha256(f"{row.key} {row.version} {topic}".encode()).hexdigest()[:32], version=4)),
    )
