"""Topics of SNS: made, deleted, listed, their attributes and tags. Subscriptions of a topic are in its row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from cachefleet.api.context import Context
from cachefleet.api.notifications.topic_inputs import read_topic_tags, topic_name, with_topic_attribute
from cachefleet.api.notifications.topic_rows import invalid, load_topic, present
from cachefleet.api.paging import after_of, page_from, place_of, write_marker
from cachefleet.api.registry import Refusal, operation
from cachefleet.api.rows import update_row
from cachefleet.api.tag_rules import MAX_TAGS, removed, show_tags
from cachefleet.interfaces import Conflict, NameTaken
from cachefleet.model.errors import AwsError
from cachefleet.model.resource import Kind
from cachefleet.model.row import Row, TopicRow
from cachefleet.model.topic import TopicDesired, topic_arn
from cachefleet.notices.backoff import effective, shown

T = TypeVar("T")

SERVICE = "sns"
PAGE = 100
MAX_TOPICS = 10_000  # of one account and region
_NO_PROTECTION = Refusal("there are no data protection policies; leave it out.", ("",))


@operation(
    "CreateTopic", service=SERVICE, effective=("Name", "Attributes", "Tags"), refused={"DataProtectionPolicy": _NO_PROTECTION}
)
async def create_topic(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """The same again is no error."""
    name, tags = topic_name(request["Name"]), read_topic_tags(request.get("Tags"))
    _check_count(tags)
    attributes: Mapping[str, str] = request.get("Attributes") or {}
    fresh = _with(TopicDesired(name, context.clock.now()), attributes)
    key = context.scope.key(Kind.TOPIC, name)
    reply = {"TopicArn": topic_arn(context.scope, name)}
    row: TopicRow | None = await context.store.get(key)
    if row is not None:
        if _with(row.desired, attributes) != row.desired:
            raise invalid("Attributes", "Topic already exists with different attributes; change them with SetTopicAttributes.")
        if any(row.tags.get(one) != value for one, value in tags.items()):
            raise invalid("Tags", "Topic already exists with different tags; change them with TagResource.")
        return reply
    if await context.store.count(Kind.TOPIC, context.scope) >= MAX_TOPICS:
        raise AwsError("TopicLimitExceeded", f"There are {MAX_TOPICS} topics already, which is the limit.")
    try:
        async with context.store.transaction() as transaction:
            await transaction.insert(Row(key=key, desired=fresh, tags=tags))
    except NameTaken:
        raise Conflict(f"{key} was made by somebody else just now") from None
    return reply


def _with(topic: TopicDesired, attributes: Mapping[str, str]) -> TopicDesired:
    for name, value in attributes.items():
        topic = with_topic_attribute(topic, name, value or "")
    return topic


@operation("DeleteTopic", service=SERVICE, effective=("TopicArn",))
async def delete_topic(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """With its subscriptions. One that is not there is no error. What waits for its subscribers is dropped."""
    try:
        row = await load_topic(context, request["TopicArn"])
    except AwsError as error:
        if error.code == "NotFound":
            return {}
        raise
    async with context.store.transaction() as transaction:
        await transaction.delete(row)
    return {}


@operation("ListTopics", service=SERVICE, effective=("NextToken",))
async def list_topics(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    after = after_of("topics", request.get("NextToken"), _wrong_token())
    rows: list[TopicRow] = await context.store.rows(Kind.TOPIC, context.scope, after, PAGE + 1)
    shown_ = [{"TopicArn": topic_arn(context.scope, row.desired.name)} for row in rows[:PAGE]]
    return {"Topics": shown_, "NextToken": write_marker("topics", rows[PAGE - 1].key.name) if len(rows) > PAGE else None}


@operation("GetTopicAttributes", service=SERVICE, effective=("TopicArn",))
async def get_topic_attributes(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    topic = (await load_topic(context, request["TopicArn"])).desired
    there = present(topic, context.clock.now())
    confirmed = sum(one.is_confirmed for one in there)
    policy = {"defaultHealthyRetryPolicy": shown(effective(topic.delivery_policy, ""))}
    attributes = {
        "TopicArn": topic_arn(context.scope, topic.name),
        "Owner": context.caller.account,
        "DisplayName": topic.display_name,
        "Policy": topic.policy or _default_policy(context, topic.name),
        "SubscriptionsConfirmed": str(confirmed),
        "SubscriptionsPending": str(len(there) - confirmed),
        "SubscriptionsDeleted": "0",
        "SignatureVersion": topic.signature_version,
        "EffectiveDeliveryPolicy": _json({"http": policy}),
    }
    if topic.delivery_policy:
        attributes["DeliveryPolicy"] = topic.delivery_policy
    return {"Attributes": attributes}


@operation("SetTopicAttributes", service=SERVICE, effective=("TopicArn", "AttributeName", "AttributeValue"))
async def set_topic_attributes(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    row = await load_topic(context, request["TopicArn"])
    changed = with_topic_attribute(row.desired, request["AttributeName"], request.get("AttributeValue") or "")
    await update_row(context, row, replace(row, desired=changed))
    return {}


# --- tags ----------------------------------------------------------------------------------------------------------


@operation("TagResource", service=SERVICE, effective=("ResourceArn", "Tags"))
async def tag_resource(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    more = read_topic_tags(request["Tags"])
    row = await _tagged(context, request)
    tags = {**row.tags, **more}
    _check_count(tags)
    await update_row(context, row, replace(row, tags=tags))
    return {}


@operation("UntagResource", service=SERVICE, effective=("ResourceArn", "TagKeys"))
async def untag_resource(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    row = await _tagged(context, request)
    await update_row(context, row, replace(row, tags=removed(row.tags, request["TagKeys"])))
    return {}


@operation("ListTagsForResource", service=SERVICE, effective=("ResourceArn",))
async def list_tags_for_resource(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    return {"Tags": show_tags((await _tagged(context, request)).tags)}


async def _tagged(context: Context, request: Mapping[str, Any]) -> TopicRow:
    return await load_topic(context, request["ResourceArn"], "ResourceArn", "ResourceNotFound")


def _check_count(tags: Mapping[str, str]) -> None:
    if len(tags) > MAX_TAGS:
        raise AwsError("TagLimitExceeded", f"{len(tags)} tags are too many; a topic may have {MAX_TAGS}.")


# --- pages, texts --------------------------------------------------------------------------------------------------


def page(items: Sequence[T], token: str | None, kind: str) -> tuple[Sequence[T], str | None]:
    """A page of a whole list, and the token of the next one. Raises InvalidParameter."""
    return page_from(place_of(kind, token, _wrong_token()), items, PAGE, kind)


def _wrong_token() -> AwsError:
    return invalid("NextToken", "it is not one that this operation has given; leave it out to start anew.")


def _default_policy(context: Context, name: str) -> str:
    """As SNS shows it: whoever the account's policies allow."""
    statement = {
        "Sid": "__default_statement_ID",
        "Effect": "Allow",
        "Principal": {"AWS": "*"},
        "Action": ["SNS:Publish", "SNS:Subscribe", "SNS:GetTopicAttributes", "SNS:SetTopicAttributes", "SNS:DeleteTopic"],
        "Resource": topic_arn(context.scope, name),
        "Condition": {"StringEquals": {"AWS:SourceOwner": context.caller.account}},
    }
    return _json({"Version": "2008-10-17", "Id": "__default_policy_ID", "Statement": [statement]})


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
