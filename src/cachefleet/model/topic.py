"""A topic with its subscriptions: one row, named as the topic."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from cachefleet.model.resource import Key, Kind, Scope


class DeliveryProtocol(StrEnum):
    """How a subscriber is reached. FILE is ours: a line for each message in a file on this machine."""

    HTTP = "http"
    HTTPS = "https"
    EMAIL = "email"
    EMAIL_JSON = "email-json"
    FILE = "file"


class Subscription(msgspec.Struct, frozen=True):
    """uid: the end of its ARN. confirmed_at: 0 not yet; only the holder of the token can bring it about. Policies are JSON as
    they were given, "" none. webhook: whose form of a body an incoming webhook gets, "" that of SNS."""

    uid: str
    protocol: DeliveryProtocol
    endpoint: str
    asked_at: float
    confirmed_at: float = 0.0
    token: str = ""
    raw: bool = False
    filter_policy: str = ""
    filter_scope: str = "MessageAttributes"
    delivery_policy: str = ""
    signed_unsubscribe: bool = False  # AuthenticateOnUnsubscribe at its confirmation
    webhook: str = ""

    @property
    def is_confirmed(self) -> bool:
        return self.confirmed_at > 0


class TopicDesired(msgspec.Struct, frozen=True):
    """policy: JSON, recorded; delivery_policy: JSON. "" none."""

    name: str
    created_at: float
    display_name: str = ""
    policy: str = ""
    delivery_policy: str = ""
    signature_version: str = "1"
    subscriptions: tuple[Subscription, ...] = ()


def topic_arn(scope: Scope, name: str) -> str:
    return f"arn:aws:sns:{scope.region}:{scope.account}:{name}"


def subscription_arn(topic: Key, uid: str) -> str:
    return f"{topic_arn(topic.scope, topic.name)}:{uid}"


def topic_key(arn: str) -> tuple[Key, str] | None:
    """The topic's row and, of a subscription's ARN, its uid, else "". None for no ARN of SNS."""
    parts = arn.split(":")
    if len(parts) not in (6, 7) or parts[:3] != ["arn", "aws", "sns"] or not all(parts[3:]):
        return None
    return Scope(parts[4], parts[3]).key(Kind.TOPIC, parts[5]), parts[6] if len(parts) == 7 else ""
