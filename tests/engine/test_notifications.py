"""Notifications through boto3 and a real service: confirmed by a link, signed, tried again, not lost when it is killed."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature

from tests.engine.subscribers import listening, subscribed, verified
from tests.fixtures.service import Service, running_service, wait_for

AT_ONCE = json.dumps(
    {"healthyRetryPolicy": {"numRetries": 100, "numNoDelayRetries": 2, "minDelayTarget": 1, "maxDelayTarget": 1}}
)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running_service(tmp_path_factory.mktemp("notifications") / "data") as running:
        yield running


def test_a_message_arrives_signed_whichever_version(service: Service) -> None:
    sns = service.client("sns")
    with listening() as subscriber:
        topic = sns.create_topic(Name="signed")["TopicArn"]
        arn = subscribed(sns, topic, subscriber)
        for version in ("1", "2"):
            sns.set_topic_attributes(TopicArn=topic, AttributeName="SignatureVersion", AttributeValue=version)
            sent = sns.publish(
                TopicArn=topic,
                Subject="a subject" if version == "1" else "größer",
                Message="größer\nthan 1",
                MessageAttributes={"n": {"DataType": "Number", "StringValue": "1"}},
            )
            headers, body = subscriber.next()
            message = verified(body)
            assert (message["SignatureVersion"], message["Message"]) == (version, "größer\nthan 1")
            assert message["MessageAttributes"] == {"n": {"Type": "Number", "Value": "1"}}
            assert {name: headers[name] for name in headers if name.startswith("x-amz-sns")} == {
                "x-amz-sns-message-type": "Notification",
                "x-amz-sns-message-id": sent["MessageId"],
                "x-amz-sns-topic-arn": topic,
                "x-amz-sns-subscription-arn": arn,
            }
            assert headers["user-agent"] == "Amazon Simple Notification Service Agent"
        with pytest.raises(InvalidSignature):
            verified(body.replace(b"than 1", b"than 2"))
        with urllib.request.urlopen(message["UnsubscribeURL"]) as reply:
            assert reply.status == 200
        assert sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"] == []
    key = service.data / "sns" / "signing.key"
    assert key.stat().st_mode & 0o777 == 0o600


def test_what_fails_twice_arrives_though_the_service_is_killed_in_between(service: Service) -> None:
    sns = service.client("sns")
    with listening() as subscriber:
        topic = sns.create_topic(Name="killed")["TopicArn"]
        subscribed(sns, topic, subscriber, DeliveryPolicy=AT_ONCE, RawMessageDelivery="true")
        subscriber.fails = True
        sns.publish(TopicArn=topic, Message="first")
        sns.publish(TopicArn=topic, Message="second")
        for _ in range(2):
            subscriber.next(500)
        service.kill()
        subscriber.fails = False
        service.start()
        headers, body = subscriber.next()
        assert (body, headers["x-amz-sns-rawdelivery"]) == (b"first", "true")
        while body == b"first":  # twice when it died between the arrival and its note of it
            _, body = subscriber.next()
        assert body == b"second"


def test_a_dead_endpoint_holds_up_nobody(service: Service) -> None:
    sns = service.client("sns")
    topic = sns.create_topic(Name="held-up")["TopicArn"]
    with listening() as dead:
        subscribed(sns, topic, dead)
    with listening() as subscriber:
        subscribed(sns, topic, subscriber)
        sns.subscribe(TopicArn=topic, Protocol="file", Endpoint="alarms.jsonl")
        sns.subscribe(
            TopicArn=topic, Protocol="http", Endpoint=f"{subscriber.url}&slack", Attributes={"cachefleet:webhook": "slack"}
        )
        for number in range(3):
            sns.publish(TopicArn=topic, Message=str(number), Subject="count")
        bodies = [json.loads(subscriber.next()[1]) for _ in range(6)]
    assert [body["Message"] for body in bodies if "Message" in body] == ["0", "1", "2"]
    assert [body["text"] for body in bodies if "text" in body] == ["*count*\n0", "*count*\n1", "*count*\n2"]
    file = service.data / "notifications" / "alarms.jsonl"
    lines = wait_for("the file", lambda: _lines(file, 3))
    assert [verified(line)["Message"] for line in lines] == ["0", "1", "2"]
    assert file.stat().st_mode & 0o777 == 0o600


def _lines(file: Path, count: int) -> list[bytes]:
    found = file.read_bytes().splitlines() if file.exists() else []
    return found if len(found) >= count else []
