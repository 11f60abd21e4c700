"""Publish and PublishBatch: a message is checked, and put into the outbox; who gets it is the courier's business."""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from cachefleet.api.context import Context
from cachefleet.api.names import is_writable, quoted
from cachefleet.api.notifications.topic_rows import invalid, load_topic
from cachefleet.api.notifications.topics import SERVICE
from cachefleet.api.registry import Refusal, operation
from cachefleet.clock import new_uuid
from cachefleet.model.errors import AwsError
from cachefleet.model.notice import Notice, NoticeAttribute
from cachefleet.model.row import TopicRow
from cachefleet.model.topic import topic_arn

MAX_BYTES = 262_144  # of a message with its attributes; of all messages of a batch together
SUBJECT_LENGTH = 100
BATCH = 10
_ATTRIBUTE_NAME = re.compile(r"[A-Za-z0-9_.-]{1,256}", re.ASCII)
_BATCH_ID = re.compile(r"[A-Za-z0-9_-]{1,80}", re.ASCII)
_TYPE = re.compile(r"(String\.Array|String|Number|Binary)(\.[A-Za-z0-9_.-]{1,240})?", re.ASCII)
_FIFO = Refusal("there are no FIFO topics; leave it out.", ("",))


@operation(
    "Publish",
    service=SERVICE,
    effective=("TopicArn", "TargetArn", "Message", "Subject", "MessageStructure", "MessageAttributes"),
    refused={
        "PhoneNumber": Refusal("no text messages can be sent to phones from here; publish to a topic.", ("",)),
        "MessageDeduplicationId": _FIFO,
        "MessageGroupId": _FIFO,
    },
)
async def publish(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    arns = [request[member] for member in ("TopicArn", "TargetArn") if request.get(member)]
    if len(arns) != 1:
        raise invalid("TopicArn", "exactly one of TopicArn and TargetArn must name a topic.")
    notice, size = read_message(context, await load_topic(context, arns[0]), request)
    if size > MAX_BYTES:
        raise invalid("Message too long", f"the message with its attributes has {size} bytes; at most {MAX_BYTES} are allowed.")
    async with context.store.transaction() as transaction:
        await transaction.publish([notice])
    return {"MessageId": notice.notice_id}


@operation("PublishBatch", service=SERVICE, effective=("TopicArn", "PublishBatchRequestEntries"))
async def publish_batch(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """Messages that are wrong are told of one by one; the others are published."""
    row = await load_topic(context, request["TopicArn"])
    entries: list[dict[str, Any]] = request["PublishBatchRequestEntries"]
    _check_batch(entries)
    notices: list[Notice] = []
    done: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    total = 0
    for entry in entries:
        try:
            if entry.get("MessageGroupId") or entry.get("MessageDeduplicationId"):
                raise invalid("MessageGroupId", _FIFO.why)
            notice, size = read_message(context, row, entry)
        except AwsError as error:
            failed.append({"Id": entry["Id"], "Code": error.code, "Message": error.message, "SenderFault": True})
            continue
        total += size
        notices.append(notice)
        done.append({"Id": entry["Id"], "MessageId": notice.notice_id})
    if total > MAX_BYTES:
        raise AwsError("BatchRequestTooLong", f"The messages of the batch have {total} bytes; at most {MAX_BYTES} are allowed.")
    async with context.store.transaction() as transaction:
        await transaction.publish(notices)
    return {"Successful": done, "Failed": failed}


def _check_batch(entries: list[dict[str, Any]]) -> None:
    if not entries:
        raise AwsError("EmptyBatchRequest", "The batch has no entries; give 1 to 10.")
    if len(entries) > BATCH:
        raise AwsError("TooManyEntriesInBatchRequest", f"The batch has {len(entries)} entries; at most {BATCH} are allowed.")
    ids = [entry["Id"] for entry in entries]
    for one in ids:
        if not _BATCH_ID.fullmatch(one):
            raise AwsError(
                "InvalidBatchEntryId", f"The Id {quoted(one)} must have 1 to 80 ASCII letters, digits, hyphens and underscores."
            )
    if len(set(ids)) != len(ids):
        raise AwsError("BatchEntryIdsNotDistinct", "Two entries of the batch have the same Id.")


def read_message(context: Context, row: TopicRow, request: Mapping[str, Any]) -> tuple[Notice, int]:
    """What a request publishes, and its size in bytes. Raises InvalidParameter."""
    message: str = request["Message"]
    if not message:
        raise invalid("Message", "it must not be empty.")
    attributes = _attributes(request.get("MessageAttributes") or {})
    size = len(message.encode(errors="replace")) + sum(
        len(name.encode()) + len(one.type.encode()) + len(one.value.encode(errors="replace"))
        for name, one in attributes.items()
    )
    by_protocol = _by_protocol(message, request.get("MessageStructure") or "")
    notice = Notice(
        topic_arn=topic_arn(row.key.scope, row.key.name),
        message=by_protocol.pop("default", message),
        at=context.clock.now(),
        notice_id=new_uuid(context.entropy),
        subject=_subject(request.get("Subject")),
        attributes=attributes,
        by_protocol=by_protocol,
    )
    return notice, size


def _subject(subject: str | None) -> str:
    if subject is None:
        return ""
    if not 1 <= len(subject) <= SUBJECT_LENGTH or not subject.isprintable() or subject[0] == " ":
        raise invalid(
            "Subject", f"it has 1 to {SUBJECT_LENGTH} characters, no line breaks or control characters, and no space first."
        )
    return subject


def _by_protocol(message: str, structure: str) -> dict[str, str]:
    """The texts by protocol, "default" among them; empty for a message that is one for all."""
    if not structure:
        return {}
    if structure != "json":
        raise invalid("MessageStructure", "it is json, or left out.")
    try:
        texts = msgspec.json.decode(message)
    except (msgspec.DecodeError, RecursionError):
        raise invalid("Message Structure", "JSON message body failed to parse") from None
    if not isinstance(texts, dict) or not isinstance(texts.get("default"), str):
        raise invalid("Message Structure", "No default entry in JSON message body")
    if not all(isinstance(text, str) for text in texts.values()):
        raise invalid("Message Structure", "every entry of the JSON message body must be a text")
    return texts


def _attributes(given: Mapping[str, Mapping[str, Any]]) -> dict[str, NoticeAttribute]:
    return {name: _attribute(name, value) for name, value in given.items()}


def _attribute(name: str, value: Mapping[str, Any]) -> NoticeAttribute:
    where = f"MessageAttributes {quoted(name)}"
    lowered = name.lower()
    if (
        not _ATTRIBUTE_NAME.fullmatch(name)
        or lowered.startswith(("aws.", "amazon.", "."))
        or name.endswith(".")
        or ".." in name
    ):
        raise invalid(where, "a name has 1 to 256 letters, digits and _ - . and does not begin with AWS. or Amazon.")
    type_ = value.get("DataType") or ""
    found = _TYPE.fullmatch(type_)
    if found is None:
        raise invalid(where, "DataType is String, String.Array, Number or Binary, maybe with a label behind a dot.")
    if found[1] == "Binary":
        return NoticeAttribute(type_, _binary(where, value))
    text = value.get("StringValue") or ""
    if not text or value.get("BinaryValue"):
        raise invalid(where, f"{type_} takes a StringValue that is not empty, and no BinaryValue.")
    if not all(map(is_writable, text.replace("\r", ""))):
        raise invalid(where, "StringValue contains a control character; use printable characters only.")
    if found[1] == "Number":
        _check_number(where, text)
    if found[1] == "String.Array":
        _check_array(where, text)
    return NoticeAttribute(type_, text)


def _binary(where: str, value: Mapping[str, Any]) -> str:
    held = value.get("BinaryValue")
    if not held or value.get("StringValue"):
        raise invalid(where, "Binary takes a BinaryValue that is not empty, and no StringValue.")
    try:
        return base64.b64encode(held if isinstance(held, bytes) else base64.b64decode(held, validate=True)).decode()
    except (binascii.Error, ValueError):
        raise invalid(where, "BinaryValue is not Base64.") from None


def _check_number(where: str, text: str) -> None:
    try:
        number = float(text) if text.strip() == text and "_" not in text else math.nan
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise invalid(where, f"{quoted(text)} is not a number.")


def _check_array(where: str, text: str) -> None:
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        found = None
    if not isinstance(found, list) or any(isinstance(one, list | dict) for one in found):
        raise invalid(where, "String.Array takes a JSON list of texts, numbers, true, false and null.")
