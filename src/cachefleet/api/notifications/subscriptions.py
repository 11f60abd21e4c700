"""Subscriptions of topics: asked for, confirmed, changed, listed, ended.

Whoever is to get messages has to confirm it first, but where that makes no sense: webhooks that answer nobody, and files."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from cachefleet.api.context import Context
from cachefleet.api.notifications.endpoints import check_endpoint, is_slack, read_protocol, shown_endpoint
from cachefleet.api.notifications.topic_inputs import WEBHOOK, with_subscription_attribute, with_subscription_attributes
from cachefleet.api.notifications.topic_rows import invalid, load_subscription, load_topic, present, with_subscription
from cachefleet.api.notifications.topics import SERVICE, page
from cachefleet.api.registry import operation
from cachefleet.api.rows import update_row
from cachefleet.clock import new_uuid
from cachefleet.model.errors import AwsError
from cachefleet.model.notice import Notice, NoticeKind
from cachefleet.model.resource import Kind
from cachefleet.model.row import TopicRow
from cachefleet.model.topic import DeliveryProtocol, Subscription, subscription_arn, topic_arn
from cachefleet.notices.backoff import effective, shown
from cachefleet.notices.messages import confirmation_text

MAX_SUBSCRIPTIONS = 1000  # of one topic
_PENDING = "pending confirmation"
_PENDING_LISTED = "PendingConfirmation"
_TOKEN_BYTES = 128


@operation("Subscribe", service=SERVICE, effective=("TopicArn", "Protocol", "Endpoint", "Attributes", "ReturnSubscriptionArn"))
async def subscribe(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """The same again is no error; to one that is not confirmed yet it sends the confirmation anew."""
    row = await load_topic(context, request["TopicArn"])
    protocol, endpoint = read_protocol(request["Protocol"]), request.get("Endpoint") or ""
    check_endpoint(protocol, endpoint, context.settings.notifications)
    now = context.clock.now()
    asked = Subscription("", protocol, endpoint, now)
    attributes = dict(request.get("Attributes") or {})
    if protocol is DeliveryProtocol.HTTPS and is_slack(endpoint):
        attributes.setdefault(WEBHOOK, "slack")
    asked = with_subscription_attributes(asked, attributes)
    there = next((one for one in present(row.desired, now) if (one.protocol, one.endpoint) == (protocol, endpoint)), None)
    if there is not None and there.is_confirmed:
        if with_subscription_attributes(there, attributes) != there:
            raise invalid(
                "Attributes", "Subscription already exists with different attributes; SetSubscriptionAttributes changes them."
            )
        return {"SubscriptionArn": subscription_arn(row.key, there.uid)}
    if there is None and len(present(row.desired, now)) >= MAX_SUBSCRIPTIONS:
        raise AwsError("SubscriptionLimitExceeded", f"The topic has {MAX_SUBSCRIPTIONS} subscriptions, which is the limit.")
    uid = there.uid if there is not None else new_uuid(context.entropy)
    silent = bool(asked.webhook) or protocol is DeliveryProtocol.FILE
    asked = replace(
        asked, uid=uid, confirmed_at=now if silent else 0.0, token="" if silent else context.entropy.hex(_TOKEN_BYTES)
    )
    arn = subscription_arn(row.key, uid)
    async with context.store.transaction() as transaction:
        await transaction.update(with_subscription(row, asked, now))
        if not silent:
            await transaction.publish([_confirmation(context, row, asked)])
    return {"SubscriptionArn": arn if silent or request.get("ReturnSubscriptionArn") else _PENDING}


def _confirmation(context: Context, row: TopicRow, asked: Subscription) -> Notice:
    arn = topic_arn(row.key.scope, row.key.name)
    return Notice(
        topic_arn=arn,
        message=confirmation_text(arn),
        at=context.clock.now(),
        notice_id=new_uuid(context.entropy),
        kind=NoticeKind.CONFIRMATION,
        subscription=subscription_arn(row.key, asked.uid),
        token=asked.token,
    )


@operation("ConfirmSubscription", service=SERVICE, effective=("TopicArn", "Token", "AuthenticateOnUnsubscribe"))
async def confirm_subscription(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """Once more is no error. Only whoever signs the request can ask that to unsubscribe be signed, too."""
    row = await load_topic(context, request["TopicArn"])
    now = context.clock.now()
    token = request["Token"].encode()
    found = [one for one in present(row.desired, now) if one.token and hmac.compare_digest(one.token.encode(), token)]
    if not found:
        raise invalid("Token", "it is none of this topic, or too old; subscribe anew.")
    signed = (request.get("AuthenticateOnUnsubscribe") or "").lower() == "true" and bool(context.caller.access_key_id)
    if not found[0].is_confirmed:
        confirmed = replace(found[0], confirmed_at=now, signed_unsubscribe=signed)
        await update_row(context, row, with_subscription(row, confirmed, now))
    return {"SubscriptionArn": subscription_arn(row.key, found[0].uid)}


@operation("Unsubscribe", service=SERVICE, effective=("SubscriptionArn",))
async def unsubscribe(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """One that is not there is no error. What waits for it is dropped."""
    try:
        row, gone = await load_subscription(context, request["SubscriptionArn"])
    except AwsError as error:
        if error.code == "NotFound":
            return {}
        raise
    if gone.signed_unsubscribe and not context.caller.access_key_id:
        raise AwsError("AuthorizationError", "To end this subscription the request must be signed (AuthenticateOnUnsubscribe).")
    kept = tuple(one for one in row.desired.subscriptions if one.uid != gone.uid)
    await update_row(context, row, replace(row, desired=replace(row.desired, subscriptions=kept)))
    return {}


@operation("ListSubscriptions", service=SERVICE, effective=("NextToken",))
async def list_subscriptions(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    rows: list[TopicRow] = await context.store.rows(Kind.TOPIC, context.scope)
    found = [_listed(context, row, one) for row in rows for one in present(row.desired, context.clock.now())]
    items, token = page(found, request.get("NextToken"), "subscriptions")
    return {"Subscriptions": items, "NextToken": token}


@operation("ListSubscriptionsByTopic", service=SERVICE, effective=("TopicArn", "NextToken"))
async def list_subscriptions_by_topic(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    row = await load_topic(context, request["TopicArn"])
    found = [_listed(context, row, one) for one in present(row.desired, context.clock.now())]
    items, token = page(found, request.get("NextToken"), "topic-subscriptions")
    return {"Subscriptions": items, "NextToken": token}


def _listed(context: Context, row: TopicRow, one: Subscription) -> Mapping[str, str]:
    return {
        "SubscriptionArn": subscription_arn(row.key, one.uid) if one.is_confirmed else _PENDING_LISTED,
        "Owner": context.caller.account,
        "Protocol": one.protocol.value,
        "Endpoint": shown_endpoint(one, listed=True),
        "TopicArn": topic_arn(context.scope, row.key.name),
    }


@operation("GetSubscriptionAttributes", service=SERVICE, effective=("SubscriptionArn",))
async def get_subscription_attributes(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    row, one = await load_subscription(context, request["SubscriptionArn"])
    attributes = {
        "SubscriptionArn": subscription_arn(row.key, one.uid),
        "TopicArn": topic_arn(context.scope, row.key.name),
        "Owner": context.caller.account,
        "Protocol": one.protocol.value,
        "Endpoint": shown_endpoint(one, listed=False),
        "PendingConfirmation": _flag(not one.is_confirmed),
        "ConfirmationWasAuthenticated": _flag(one.signed_unsubscribe),
        "RawMessageDelivery": _flag(one.raw),
    }
    if one.filter_policy:
        attributes |= {"FilterPolicy": one.filter_policy, "FilterPolicyScope": one.filter_scope}
    if one.delivery_policy:
        attributes["DeliveryPolicy"] = one.delivery_policy
    if one.protocol in (DeliveryProtocol.HTTP, DeliveryProtocol.HTTPS):
        policy = shown(effective(row.desired.delivery_policy, one.delivery_policy))
        attributes["EffectiveDeliveryPolicy"] = msgspec.json.encode({"healthyRetryPolicy": policy}).decode()
    if one.webhook:
        attributes[WEBHOOK] = one.webhook
    return {"Attributes": attributes}


@operation("SetSubscriptionAttributes", service=SERVICE, effective=("SubscriptionArn", "AttributeName", "AttributeValue"))
async def set_subscription_attributes(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    row, one = await load_subscription(context, request["SubscriptionArn"])
    changed = with_subscription_attribute(one, request["AttributeName"], request.get("AttributeValue") or "")
    if changed != one:
        await update_row(context, row, with_subscription(row, changed, context.clock.now()))
    return {}


def _flag(value: bool) -> str:
    return "true" if value else "false"
