"""Publish and PublishBatch: what is taken, what is refused, and what subscribers see of it."""

from __future__ import annotations

from typing import Any

import pytest

from cachefleet.model.notice import NoticeAttribute
from tests.component.notifications.stage import TOPIC, Stage, on_stage

A = "http://a/"


def text(value: str, type_: str = "String") -> dict[str, str]:
    return {"DataType": type_, "StringValue": value}


@on_stage
async def test_everything_of_a_message_arrives(stage: Stage) -> None:
    await stage.topic()
    await stage.subscribed(A)
    attributes: dict[str, Any] = {
        "s": text("größer"),
        "n": text("-1.5e3", "Number"),
        "labelled": text("1", "Number.int"),
        "list": text('["a",1,null]', "String.Array"),
        "blob": {"DataType": "Binary", "BinaryValue": b"\0\xff"},
    }
    message_id = await stage.publish("größer 😀\r\n\tthan", Subject="größer", MessageAttributes=attributes)
    notice = stage.recipients.got[-1][1]
    assert (notice.notice_id, notice.message, notice.subject) == (message_id, "größer 😀\r\n\tthan", "größer")
    assert notice.attributes["blob"] == NoticeAttribute("Binary", "AP8=")
    assert notice.attributes["labelled"] == NoticeAttribute("Number.int", "1")
    assert list(notice.attributes) == list(attributes)
    await stage.call("Publish", TargetArn=TOPIC, Message="by TargetArn")
    structured = '{"default":"all","http":"web","sqs":"queue"}'
    await stage.publish(structured, MessageStructure="json")
    notice = stage.recipients.got[-1][1]
    assert (notice.message, notice.by_protocol) == ("all", {"http": "web", "sqs": "queue"})


@pytest.mark.parametrize(
    ("code", "rule", "request_"),
    [
        ("InvalidParameter", "must not be empty", {"Message": ""}),
        ("InvalidParameter", "262145 bytes", {"Message": "x" * 262_145}),
        ("InvalidParameter", "262145 bytes", {"Message": "x" * 262_135, "MessageAttributes": {"abc": text("1")}}),
        ("InvalidParameter", "Subject", {"Subject": ""}),
        ("InvalidParameter", "Subject", {"Subject": "x" * 101}),
        ("InvalidParameter", "Subject", {"Subject": "a\nb"}),
        ("InvalidParameter", "Subject", {"Subject": " a"}),
        ("InvalidParameter", "it is json", {"MessageStructure": "xml"}),
        ("InvalidParameter", "failed to parse", {"MessageStructure": "json"}),
        ("InvalidParameter", "No default", {"MessageStructure": "json", "Message": '{"http":"x"}'}),
        ("InvalidParameter", "No default", {"MessageStructure": "json", "Message": '["default"]'}),
        ("InvalidParameter", "must be a text", {"MessageStructure": "json", "Message": '{"default":"x","http":1}'}),
        ("InvalidParameter", "exactly one", {"TargetArn": TOPIC}),
        ("InvalidParameterValue", "no text messages", {"PhoneNumber": "+491"}),
        ("InvalidParameterValue", "no FIFO", {"MessageGroupId": "g"}),
        ("InvalidParameter", "a name has", {"MessageAttributes": {"AWS.x": text("1")}}),
        ("InvalidParameter", "a name has", {"MessageAttributes": {"a..b": text("1")}}),
        ("InvalidParameter", "a name has", {"MessageAttributes": {"a b": text("1")}}),
        ("InvalidParameter", "DataType is", {"MessageAttributes": {"a": text("1", "Text")}}),
        ("InvalidParameter", "not a number", {"MessageAttributes": {"a": text("nan", "Number")}}),
        ("InvalidParameter", "not a number", {"MessageAttributes": {"a": text("1_0", "Number")}}),
        ("InvalidParameter", "JSON list", {"MessageAttributes": {"a": text("{}", "String.Array")}}),
        ("InvalidParameter", "StringValue", {"MessageAttributes": {"a": text("")}}),
        ("InvalidParameter", "BinaryValue", {"MessageAttributes": {"a": text("x", "Binary")}}),
    ],
)
def test_what_no_message_can_be_is_refused(code: str, rule: str, request_: dict[str, Any]) -> None:
    @on_stage
    async def run(stage: Stage) -> None:
        await stage.topic()
        await stage.refused(code, rule, "Publish", **{"TopicArn": TOPIC, "Message": "m", **request_})
        assert await stage.store.outbox.posted(9) == []

    run()


@on_stage
async def test_the_largest_message_is_taken(stage: Stage) -> None:
    await stage.topic()
    await stage.subscribed(A)
    await stage.publish("x" * 262_144)
    assert stage.recipients.texts(A) == ["x" * 262_144]


@on_stage
async def test_to_publish_where_no_topic_is_is_refused(stage: Stage) -> None:
    await stage.refused("NotFound", "Topic does not exist", "Publish", TopicArn=TOPIC, Message="m")
    await stage.refused("InvalidParameter", "not an ARN", "Publish", TopicArn="x", Message="m")


@on_stage
async def test_of_a_batch_what_is_right_is_published(stage: Stage) -> None:
    await stage.topic()
    await stage.subscribed(A)
    entries = [
        {"Id": "a", "Message": "one"},
        {"Id": "b", "Message": "two", "Subject": "x" * 101},
        {"Id": "c", "Message": "three"},
        {"Id": "d", "Message": "four", "MessageGroupId": "g"},
    ]
    reply = await stage.call("PublishBatch", TopicArn=TOPIC, PublishBatchRequestEntries=entries)
    await stage.clock.settle()
    assert stage.recipients.texts(A) == ["one", "three"]
    assert [one["Id"] for one in reply["Successful"]] == ["a", "c"]
    assert [(one["Id"], one["Code"], one["SenderFault"]) for one in reply["Failed"]] == [
        ("b", "InvalidParameter", True),
        ("d", "InvalidParameter", True),
    ]


@pytest.mark.parametrize(
    ("code", "entries"),
    [
        ("TooManyEntriesInBatchRequest", [{"Id": str(number), "Message": "m"} for number in range(11)]),
        ("BatchEntryIdsNotDistinct", [{"Id": "a", "Message": "m"}, {"Id": "a", "Message": "m"}]),
        ("InvalidBatchEntryId", [{"Id": "a b", "Message": "m"}]),
        ("BatchRequestTooLong", [{"Id": str(number), "Message": "x" * 90_000} for number in range(3)]),
    ],
)
def test_a_batch_that_is_wrong_as_a_whole_is_refused(code: str, entries: list[dict[str, str]]) -> None:
    @on_stage
    async def run(stage: Stage) -> None:
        await stage.topic()
        await stage.refused(code, "batch|Id", "PublishBatch", TopicArn=TOPIC, PublishBatchRequestEntries=entries)
        assert await stage.store.outbox.posted(9) == []

    run()
