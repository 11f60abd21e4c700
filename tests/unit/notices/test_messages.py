"""The forms of messages: the document and its canonical text, headers, mails, webhooks."""

from __future__ import annotations

import json

import pytest

from cachefleet.courier.mail import letter
from cachefleet.model.notice import Notice, NoticeAttribute, NoticeKind
from cachefleet.model.topic import DeliveryProtocol
from cachefleet.notices.messages import Links, canonical, document, headers, mail_subject, mail_text, webhook_body

ARN = "arn:aws:sns:us-west-2:123456789012:MyTopic"
LINKS = Links("http://127.0.0.1:8300", "http://127.0.0.1:8300/cert.pem")
# The example of the guide, "Amazon SNS notification format" with its canonical text.
GUIDE = Notice(
    topic_arn=ARN,
    message="My Test Message",
    at=1328159710.655,
    notice_id="4d4dc071-ddbf-465d-bba8-08f81c89da64",
    subject="My subject",
)
GUIDES_TEXT = f"""Message
My Test Message
MessageId
4d4dc071-ddbf-465d-bba8-08f81c89da64
Subject
My subject
Timestamp
2012-02-02T05:15:10.655Z
TopicArn
{ARN}
Type
Notification
"""
ASKED = Notice(
    topic_arn=ARN, message="You ...", at=0.0, notice_id="1", kind=NoticeKind.CONFIRMATION, subscription=f"{ARN}:u", token="ff"
)


def made(notice: Notice, protocol: DeliveryProtocol = DeliveryProtocol.HTTP) -> tuple[dict[str, object], list[str]]:
    signed: list[str] = []

    def sign(text: bytes, version: str) -> str:
        signed.append(text.decode())
        return f"signature {version}"

    found: dict[str, object] = json.loads(document(notice, f"{ARN}:u", protocol, LINKS, "2", sign))
    return found, signed


def test_the_guides_example_is_signed_as_the_guide_says() -> None:
    found, signed = made(GUIDE)
    assert signed == [GUIDES_TEXT]
    assert found == {
        "Type": "Notification",
        "MessageId": GUIDE.notice_id,
        "TopicArn": ARN,
        "Subject": "My subject",
        "Message": "My Test Message",
        "Timestamp": "2012-02-02T05:15:10.655Z",
        "SignatureVersion": "2",
        "Signature": "signature 2",
        "SigningCertURL": LINKS.certificate,
        "UnsubscribeURL": f"{LINKS.base}/?Action=Unsubscribe&SubscriptionArn={ARN}:u&Version=2010-03-31",
    }
    assert canonical(found).decode() == GUIDES_TEXT


def test_without_a_subject_there_is_none_to_be_signed() -> None:
    found, signed = made(Notice(topic_arn=ARN, message="m", at=0.0, notice_id="1"))
    assert "Subject" not in found and "Subject" not in signed[0]


def test_a_confirmation_has_its_link_and_token() -> None:
    found, signed = made(ASKED)
    url = f"{LINKS.base}/?Action=ConfirmSubscription&TopicArn={ARN}&Token=ff&Version=2010-03-31"
    assert (found["SubscribeURL"], found["Token"], "UnsubscribeURL" in found) == (url, "ff", False)
    lines = f"Message\nYou ...\nMessageId\n1\nSubscribeURL\n{url}\nTimestamp\n1970-01-01T00:00:00.000Z\nToken\nff\n"
    assert signed == [f"{lines}TopicArn\n{ARN}\nType\nSubscriptionConfirmation\n"]


def test_each_protocol_gets_its_own_text() -> None:
    notice = Notice(topic_arn=ARN, message="all", at=0.0, notice_id="1", by_protocol={"http": "web", "email": "mail"})
    assert made(notice)[0]["Message"] == "web"
    assert made(notice, DeliveryProtocol.HTTPS)[0]["Message"] == "all"
    assert mail_text(notice, f"{ARN}:u", LINKS).startswith("mail\n\n--\n")


def test_headers_tell_what_it_is() -> None:
    assert headers(GUIDE, f"{ARN}:u", raw=True)["x-amz-sns-rawdelivery"] == "true"
    assert headers(GUIDE, f"{ARN}:u", raw=False)["x-amz-sns-subscription-arn"] == f"{ARN}:u"
    assert "x-amz-sns-subscription-arn" not in headers(ASKED, f"{ARN}:u", raw=False)


def test_attributes_are_shown() -> None:
    notice = Notice(topic_arn=ARN, message="m", at=0.0, notice_id="1", attributes={"a": NoticeAttribute("Binary", "eHk=")})
    assert made(notice)[0]["MessageAttributes"] == {"a": {"Type": "Binary", "Value": "eHk="}}


@pytest.mark.parametrize(
    ("message", "subject", "expected"),
    [
        ("plain", "", "plain"),
        ("a < b & c > d", "S", "*S*\na &lt; b &amp; c &gt; d"),
        ('{"AlarmName":"x","NewStateReason":"too hot"}', "ALARM", "*ALARM*\ntoo hot"),
        ('{"AlarmName":"x","NewStateReason":"too hot","AlarmDescription":"Cache"}', "", "Cache\ntoo hot"),
        ('{"NewStateReason":1}', "", '{"NewStateReason":1}'),
        ('["a"]', "", '["a"]'),
    ],
)
def test_a_webhook_gets_what_people_read(message: str, subject: str, expected: str) -> None:
    notice = Notice(topic_arn=ARN, message=message, at=0.0, notice_id="1", subject=subject)
    assert json.loads(webhook_body(notice)) == {"text": expected}


def test_a_webhooks_text_is_not_too_long_for_it() -> None:
    assert len(json.loads(webhook_body(Notice(topic_arn=ARN, message="x" * 262_144, at=0.0, notice_id="1")))["text"]) == 30_000


def test_no_text_of_others_becomes_a_header_of_a_mail() -> None:
    mail = letter("me@here", "you@there", "A\r\nBcc: x@y", "S\r\nBcc: x@y\0\u2028", "text\r\n.\r\nBcc: x@y", "1\n2", 0.0)
    parsed = mail.as_bytes()
    head, _, body = parsed.partition(b"\r\n\r\n")
    assert [line for line in head.split(b"\r\n") if line.lower().startswith(b"bcc")] == []
    assert (mail["To"], mail["Bcc"], mail["Subject"]) == ("you@there", None, "S Bcc: x@y")
    assert b"Bcc: x@y" in body


def test_subjects_of_mails() -> None:
    assert mail_subject(ASKED) == "AWS Notification - Subscription Confirmation"
    assert mail_subject(GUIDE) == "My subject"
    assert "Action=ConfirmSubscription" in mail_text(ASKED, f"{ARN}:u", LINKS)
