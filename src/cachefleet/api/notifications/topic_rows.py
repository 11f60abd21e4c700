"""Rows of topics: found by ARN, changed, and what SNS calls it when something is wrong. Called by the operations of SNS."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from cachefleet.api.context import Context
from cachefleet.api.names import quoted
from cachefleet.model.errors import AwsError
from cachefleet.model.row import TopicRow
from cachefleet.model.topic import Subscription, TopicDesired, topic_key

TOKEN_DAYS = 2
_TOKEN_S = TOKEN_DAYS * 86_400.0


def invalid(member: str, why: str) -> AwsError:
    return AwsError("InvalidParameter", f"Invalid parameter: {member} Reason: {why}")


async def load_topic(context: Context, arn: str, member: str = "TopicArn", missing: str = "NotFound") -> TopicRow:
    """Raises InvalidParameter for what is no ARN of a topic of this account and region; `missing` when there is none."""
    key, uid = _key_and_uid(context, arn, member)
    if uid:
        raise invalid(member, f"{quoted(arn)} is the ARN of a subscription; give that of a topic.")
    row: TopicRow | None = await context.store.get(key)
    if row is None:
        raise AwsError(missing, f"Topic does not exist: there is no topic {quoted(key.name)}.")
    return row


async def load_subscription(context: Context, arn: str) -> tuple[TopicRow, Subscription]:
    """Raises InvalidParameter, NotFound."""
    key, uid = _key_and_uid(context, arn, "SubscriptionArn")
    if not uid:
        raise invalid("SubscriptionArn", f"{quoted(arn)} is not the ARN of a subscription, which Subscribe returns.")
    row: TopicRow | None = await context.store.get(key)
    for one in present(row.desired, context.clock.now()) if row is not None else ():
        if one.uid == uid and row is not None:
            return row, one
    raise AwsError("NotFound", f"Subscription does not exist: there is no subscription {quoted(arn)}.")


def _key_and_uid(context: Context, arn: str, member: str) -> Any:
    found = topic_key(arn)
    if found is None:
        raise invalid(member, f"{quoted(arn)} is not an ARN of SNS, such as arn:aws:sns:{context.caller.region}:ACCOUNT:NAME.")
    if found[0].scope != context.scope:
        raise invalid(member, f"{quoted(arn)} is not of region {context.caller.region} and account {context.caller.account}.")
    return found


def present(topic: TopicDesired, now: float) -> tuple[Subscription, ...]:
    """Without those that nobody has confirmed in time."""
    return tuple(one for one in topic.subscriptions if one.is_confirmed or one.asked_at > now - _TOKEN_S)


def with_subscription(row: TopicRow, changed: Subscription, now: float) -> TopicRow:
    """In the place of the one with its uid, else as the last. Those that nobody has confirmed in time are gone."""
    there = present(row.desired, now)
    if any(one.uid == changed.uid for one in there):
        kept = tuple(changed if one.uid == changed.uid else one for one in there)
    else:
        kept = (*there, changed)
    return replace(row, desired=replace(row.desired, subscriptions=kept))
