"""What subscribers get: the JSON document of SNS and the text that is signed, mails, and what incoming webhooks take.

Pure. The canonical text is that of "Verifying the signatures of Amazon SNS messages" in the SNS guide. Called by the courier.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from urllib.parse import quote

import msgspec

from cachefleet.model.notice import Notice, NoticeKind
from cachefleet.model.topic import DeliveryProtocol, Subscription

API_VERSION = "2010-03-31"
USER_AGENT = "Amazon Simple Notification Service Agent"  # what endpoints of SNS look for
_SIGNED = {
    NoticeKind.NOTIFICATION: ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    NoticeKind.CONFIRMATION: ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}
_LONGEST_TEXT = 30_000  # of a webhook's text; Slack cuts at 40,000

Sign = Callable[[bytes, str], str]  # text, SignatureVersion -> signature in Base64


class Links(msgspec.Struct, frozen=True):
    """base: of the API as subscribers reach it, without a slash at the end. certificate: URL of the signer's certificate."""

    base: str
    certificate: str

    def confirm(self, notice: Notice) -> str:
        return self._call("ConfirmSubscription", {"TopicArn": notice.topic_arn, "Token": notice.token})

    def unsubscribe(self, subscription: str) -> str:
        return self._call("Unsubscribe", {"SubscriptionArn": subscription})

    def _call(self, operation: str, parameters: Mapping[str, str]) -> str:
        words = "".join(f"&{name}={quote(value, safe=':')}" for name, value in parameters.items())
        return f"{self.base}/?Action={operation}{words}&Version={API_VERSION}"


def timestamp(at: float) -> str:
    """at: epoch seconds."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def text_for(notice: Notice, protocol: DeliveryProtocol) -> str:
    return notice.by_protocol.get(protocol.value, notice.message)


def document(notice: Notice, subscription: str, protocol: DeliveryProtocol, links: Links, version: str, sign: Sign) -> bytes:
    """The JSON body. subscription: its ARN. version: SignatureVersion, "1" (SHA-1) or "2" (SHA-256)."""
    fields: dict[str, object] = {"Type": notice.kind.value, "MessageId": notice.notice_id}
    if notice.kind is NoticeKind.CONFIRMATION:
        fields |= {"Token": notice.token}
    fields |= {"TopicArn": notice.topic_arn}
    if notice.subject:
        fields |= {"Subject": notice.subject}
    fields |= {"Message": text_for(notice, protocol)}
    if notice.kind is NoticeKind.CONFIRMATION:
        fields |= {"SubscribeURL": links.confirm(notice)}
    fields |= {"Timestamp": timestamp(notice.at), "SignatureVersion": version}
    fields |= {"Signature": sign(canonical(fields), version), "SigningCertURL": links.certificate}
    if notice.kind is NoticeKind.NOTIFICATION:
        fields |= {"UnsubscribeURL": links.unsubscribe(subscription)}
    if notice.attributes:
        fields |= {
            "MessageAttributes": {name: {"Type": one.type, "Value": one.value} for name, one in notice.attributes.items()}
        }
    return msgspec.json.encode(fields)


def canonical(fields: Mapping[str, object]) -> bytes:
    """The text that is signed: names and values of the members that count, each on a line of its own."""
    names = _SIGNED[NoticeKind(str(fields["Type"]))]
    return "".join(f"{name}\n{fields[name]}\n" for name in names if name in fields).encode()


def headers(notice: Notice, subscription: str, *, raw: bool) -> dict[str, str]:
    """Of a POST to an http or https endpoint."""
    found = {
        "x-amz-sns-message-type": notice.kind.value,
        "x-amz-sns-message-id": notice.notice_id,
        "x-amz-sns-topic-arn": notice.topic_arn,
    }
    if notice.kind is NoticeKind.NOTIFICATION:
        found["x-amz-sns-subscription-arn"] = subscription
    if raw:
        found["x-amz-sns-rawdelivery"] = "true"
    return {**found, "content-type": "text/plain; charset=UTF-8", "user-agent": USER_AGENT}


def webhook_body(notice: Notice) -> bytes:
    """What Slack's incoming webhooks take, and those of others that follow it."""
    text = _readable(text_for(notice, DeliveryProtocol.HTTPS))
    lines = ([f"*{notice.subject}*"] if notice.subject else []) + [text]
    shown = "\n".join(lines)[:_LONGEST_TEXT]
    for character, word in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        shown = shown.replace(character, word)
    return msgspec.json.encode({"text": shown})


def _readable(message: str) -> str:
    """An alarm's message is JSON for programs; people want its reason."""
    try:
        found = msgspec.json.decode(message)
    except (msgspec.DecodeError, RecursionError):
        return message
    if not isinstance(found, dict):
        return message
    reason, description = found.get("NewStateReason"), found.get("AlarmDescription")
    if not isinstance(reason, str) or "AlarmName" not in found:
        return message
    return f"{description}\n{reason}" if isinstance(description, str) and description else reason


def mail_subject(notice: Notice) -> str:
    if notice.kind is NoticeKind.CONFIRMATION:
        return "AWS Notification - Subscription Confirmation"
    return notice.subject or "AWS Notification Message"


def mail_text(notice: Notice, subscription: str, links: Links) -> str:
    """Of a mail for people."""
    if notice.kind is NoticeKind.CONFIRMATION:
        return (
            f"You have chosen to subscribe to the topic:\n{notice.topic_arn}\n\n"
            f"To confirm this subscription, visit the following link (if this was in error no action is necessary):\n"
            f"{links.confirm(notice)}\n"
        )
    return (
        f"{text_for(notice, DeliveryProtocol.EMAIL)}\n\n--\nTo stop receiving notifications from this topic, visit the "
        f"following link:\n{links.unsubscribe(subscription)}\n"
    )


def confirmation_text(topic_arn: str) -> str:
    """The Message of a SubscriptionConfirmation."""
    return (
        f"You have chosen to subscribe to the topic {topic_arn}.\n"
        "To confirm the subscription, visit the SubscribeURL included in this message."
    )


def wants(subscription: Subscription, kind: NoticeKind) -> bool:
    """Whether it gets such messages in its present state."""
    return subscription.is_confirmed is (kind is NoticeKind.NOTIFICATION)
