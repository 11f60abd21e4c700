"""What SNS's operations take: names and attributes of topics, attributes of subscriptions.

Pure; every check raises InvalidParameter with the member, the rule and what to do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

import msgspec
from msgspec.structs import replace

from cachefleet.api.names import quoted
from cachefleet.api.notifications.topic_rows import invalid
from cachefleet.api.tag_rules import read_plain_tags
from cachefleet.model.topic import DeliveryProtocol, Subscription, TopicDesired
from cachefleet.notices.backoff import PolicyRefused, check_subscription_policy, check_topic_policy
from cachefleet.notices.filters import SCOPES, FilterRefused, read_filter

NAME_LENGTH = 256
DISPLAY_NAME_LENGTH = 100
POLICY_BYTES = 30_720
WEBHOOK = "cachefleet:webhook"
WEBHOOKS = ("slack",)
_NAME = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_FLAGS = {"true": True, "false": False}


def topic_name(value: str) -> str:
    if value.endswith(".fifo"):
        raise invalid(
            "Name", "there are no FIFO topics here; leave .fifo out. Each subscriber gets messages in their order anyway."
        )
    if not 1 <= len(value) <= NAME_LENGTH or not _NAME.fullmatch(value):
        raise invalid(
            "Topic Name",
            f"a name has 1 to {NAME_LENGTH} ASCII letters, digits, hyphens and underscores; {quoted(value)} has not.",
        )
    return value


# --- topics --------------------------------------------------------------------------------------------------------


def with_topic_attribute(topic: TopicDesired, name: str, value: str) -> TopicDesired:
    """The topic with that attribute. "" takes it away."""
    if name == "DisplayName":
        return replace(topic, display_name=_display_name(value))
    if name == "Policy":
        return replace(topic, policy=_recorded_policy(value))
    if name == "DeliveryPolicy":
        _delivery_policy(value, check_topic_policy)
        return replace(topic, delivery_policy=value)
    if name == "SignatureVersion":
        if value not in ("1", "2"):
            raise invalid("SignatureVersion", "it is 1 (SHA-1) or 2 (SHA-256).")
        return replace(topic, signature_version=value)
    refusal = _REFUSED_OF_TOPICS.get(name)
    if refusal is None:
        known = "DisplayName, Policy, DeliveryPolicy, SignatureVersion"
        raise invalid("AttributeName", f"{quoted(name)} has no meaning here; attributes of topics are {known}.")
    why, harmless = refusal
    if value not in harmless:
        raise invalid(name, why)
    return topic


_FIFO = ("there are no FIFO topics here; each subscriber gets messages in their order anyway.", ("", "false"))
_FEEDBACK = "deliveries are not logged to CloudWatch Logs; the service's log tells of those that fail."
_OF_PROTOCOLS = ("HTTP", "Firehose", "Lambda", "Application", "SQS")  # Terraform sets all of these
_REFUSED_OF_TOPICS = {
    **{f"{protocol}SuccessFeedbackSampleRate": (_FEEDBACK, ("", "0")) for protocol in _OF_PROTOCOLS},
    **{f"{protocol}{end}FeedbackRoleArn": (_FEEDBACK, ("",)) for protocol in _OF_PROTOCOLS for end in ("Success", "Failure")},
    "FifoTopic": _FIFO,
    "ContentBasedDeduplication": _FIFO,
    "FifoThroughputScope": _FIFO,
    "ArchivePolicy": ("messages are not archived; leave it out.", ("", "{}")),
    "KmsMasterKeyId": ("messages that wait are not encrypted at rest here; leave it out.", ("",)),
    "TracingConfig": ("there is no tracing here; it is PassThrough.", ("", "PassThrough")),
}


def _display_name(value: str) -> str:
    if len(value) > DISPLAY_NAME_LENGTH or not value.isprintable():
        raise invalid("DisplayName", f"it has at most {DISPLAY_NAME_LENGTH} characters, and no control characters.")
    return value


def _recorded_policy(value: str) -> str:
    """Who may publish is said by the policies of users; a topic's own grants nothing more, so it must not deny anything."""
    if not value:
        return ""
    try:
        policy = msgspec.json.decode(value) if len(value) <= POLICY_BYTES else None
    except (msgspec.DecodeError, RecursionError):
        policy = None
    statements = policy.get("Statement") if isinstance(policy, dict) else None
    listed = statements if isinstance(statements, list) else [statements]
    effects = [one.get("Effect") if isinstance(one, dict) else None for one in listed]
    if None in effects:
        raise invalid("Policy", f"it is a JSON policy with statements, of at most {POLICY_BYTES} characters.")
    if any(effect != "Allow" for effect in effects):
        raise invalid("Policy", "a topic's policy is recorded only, so it may only allow; deny by the policies of users (IAM).")
    return value


def _delivery_policy(value: str, check: Any) -> None:
    if not value:
        return
    try:
        check(value)
    except PolicyRefused as error:
        raise invalid("DeliveryPolicy", f"{error}.") from None


# --- subscriptions -------------------------------------------------------------------------------------------------


def with_subscription_attributes(subscription: Subscription, attributes: Mapping[str, str]) -> Subscription:
    """The scope of a filter first: it says what the policy may hold."""
    for name in sorted(attributes, key=lambda one: one != "FilterPolicyScope"):
        subscription = with_subscription_attribute(subscription, name, attributes[name] or "")
    return subscription


def with_subscription_attribute(subscription: Subscription, name: str, value: str) -> Subscription:
    """The subscription with that attribute. "" takes it away."""
    if name == "RawMessageDelivery":
        return replace(subscription, raw=_raw(subscription, value))
    if name == "FilterPolicy":
        policy = "" if value in ("", "{}") else value
        _check_filter(policy, subscription.filter_scope)
        return replace(subscription, filter_policy=policy)
    if name == "FilterPolicyScope":
        if value not in SCOPES:
            raise invalid("FilterPolicyScope", f"it is {' or '.join(SCOPES)}.")
        _check_filter(subscription.filter_policy, value)
        return replace(subscription, filter_scope=value)
    if name == "DeliveryPolicy":
        if value and subscription.protocol not in (DeliveryProtocol.HTTP, DeliveryProtocol.HTTPS):
            raise invalid("DeliveryPolicy", "it is for http and https; other protocols are retried as SNS does.")
        _delivery_policy(value, check_subscription_policy)
        return replace(subscription, delivery_policy=value)
    if name == WEBHOOK:
        return replace(subscription, webhook=_webhook(subscription, value))
    why = {
        "RedrivePolicy": "there are no dead-letter queues here; what expires is told in the service's log.",
        "SubscriptionRoleArn": "there is no Firehose here; leave it out.",
        "ReplayPolicy": "messages are not archived; leave it out.",
    }.get(name)
    if why is None:
        known = f"RawMessageDelivery, FilterPolicy, FilterPolicyScope, DeliveryPolicy and {WEBHOOK}"
        raise invalid("AttributeName", f"{quoted(name)} has no meaning here; attributes of subscriptions are {known}.")
    if value:
        raise invalid(name, why)
    return subscription


def _raw(subscription: Subscription, value: str) -> bool:
    raw = _FLAGS.get(value.lower())
    if raw is None:
        raise invalid("RawMessageDelivery", "it is true or false.")
    if raw and (subscription.protocol in (DeliveryProtocol.EMAIL, DeliveryProtocol.EMAIL_JSON) or subscription.webhook):
        raise invalid("RawMessageDelivery", "it is for http, https and file, and not for webhooks.")
    return raw


def _check_filter(policy: str, scope: str) -> None:
    if not policy:
        return
    try:
        read_filter(policy, scope)
    except FilterRefused as error:
        raise invalid("FilterPolicy", f"{error}.") from None


def _webhook(subscription: Subscription, value: str) -> str:
    if value not in ("", *WEBHOOKS):
        raise invalid(WEBHOOK, f"it is {' or '.join(WEBHOOKS)}.")
    if value and (subscription.protocol not in (DeliveryProtocol.HTTP, DeliveryProtocol.HTTPS) or subscription.raw):
        raise invalid(WEBHOOK, "it is for http and https, without RawMessageDelivery.")
    if subscription.uid and value != subscription.webhook:
        raise invalid(WEBHOOK, "it can be given when subscribing only; unsubscribe, and subscribe anew.")
    return value


# --- tags ----------------------------------------------------------------------------------------------------------


def read_topic_tags(tags: Any) -> dict[str, str]:
    """Raises InvalidParameter."""
    return read_plain_tags(((tag.get("Key") or "", tag.get("Value") or "") for tag in tags or ()), partial(invalid, "Tags"))
