"""What a topic is told: a message on its way to subscribers. Made by whoever publishes, kept in the outbox until it arrived."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class NoticeKind(StrEnum):
    """The values are what SNS calls them in Type."""

    NOTIFICATION = "Notification"
    CONFIRMATION = "SubscriptionConfirmation"


class NoticeAttribute(msgspec.Struct, frozen=True):
    """type: String, Number, Binary, String.Array, or one with a label behind a dot. value: as text; of Binary in base64."""

    type: str
    value: str


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """at: epoch seconds. notice_id: a UUID, which subscribers see as MessageId and by which they tell repetitions. subject: ""
    none. by_protocol: other texts than `message` for subscriptions of these protocols (MessageStructure json). What is not for
    all subscribers names the one subscription (its ARN); token: which confirms that one."""

    topic_arn: str
    message: str
    at: float
    notice_id: str
    subject: str = ""
    attributes: dict[str, NoticeAttribute] = {}
    by_protocol: dict[str, str] = {}
    kind: NoticeKind = NoticeKind.NOTIFICATION
    subscription: str = ""
    token: str = ""


class Posted(msgspec.Struct, frozen=True):
    """A notice that nobody has handed out to the subscriptions of its topic yet. id: rises with time."""

    id: int
    notice: Notice


class Delivery(msgspec.Struct, frozen=True):
    """A notice for one subscription (its ARN). attempts: that have failed. due_at: epoch seconds, of the next one."""

    id: int
    subscription: str
    notice: Notice
    attempts: int = 0
    due_at: float = 0.0
