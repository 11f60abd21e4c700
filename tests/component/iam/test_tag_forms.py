"""What policies say of tags in a request holds in every form in which the services take tags: lists of pairs, maps, names."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from cachefleet.api.access.authorization import authorize
from cachefleet.api.context import Context
from cachefleet.model.errors import AwsError
from tests.component.iam.stage import Stage, allow, deny, user
from tests.component.logs.stage import LogStage, on_logs

PAIRS = [{"Key": "stage", "Value": "live"}]
MAP = {"stage": "live"}
TARGET = {"ResourceARN": "arn:aws:application-autoscaling:local-1:000000000000:scalable-target/0"}
MANY = {"ResourceARNList": ["arn:aws:elasticache:local-1:000000000000:replicationgroup:shop"]}
WITH_TAGS: list[tuple[str, str, dict[str, Any]]] = [
    ("elasticache", "CreateReplicationGroup", {"ReplicationGroupId": "shop", "Tags": PAIRS}),
    ("ec2", "CreateVpc", {"CidrBlock": "10.0.0.0/16", "TagSpecifications": [{"ResourceType": "vpc", "Tags": PAIRS}]}),
    ("sns", "CreateTopic", {"Name": "news", "Tags": PAIRS}),
    ("monitoring", "PutMetricAlarm", {"AlarmName": "hot", "Tags": PAIRS}),
    ("logs", "CreateLogGroup", {"logGroupName": "slow", "tags": MAP}),
    ("logs", "TagLogGroup", {"logGroupName": "slow", "tags": MAP}),
    ("logs", "TagResource", {"resourceArn": "arn:aws:logs:local-1:000000000000:log-group:slow", "tags": MAP}),
    ("application-autoscaling", "RegisterScalableTarget", {"Tags": MAP}),
    ("application-autoscaling", "TagResource", {**TARGET, "Tags": MAP}),
    ("tagging", "TagResources", {**MANY, "Tags": MAP}),
]
WITH_KEYS: list[tuple[str, str, dict[str, Any]]] = [
    ("elasticache", "RemoveTagsFromResource", {"ResourceName": "arn:aws:x", "TagKeys": ["stage"]}),
    ("logs", "UntagLogGroup", {"logGroupName": "slow", "tags": ["stage"]}),
    ("logs", "UntagResource", {"resourceArn": "arn:aws:logs:local-1:000000000000:log-group:slow", "tagKeys": ["stage"]}),
    ("application-autoscaling", "UntagResource", {**TARGET, "TagKeys": ["stage"]}),
    ("tagging", "UntagResources", {**MANY, "TagKeys": ["stage"]}),
]


def passes(service: str, operation: str, request: dict[str, Any], *statements: dict[str, Any]) -> bool:
    return asyncio.run(is_let(Stage().as_user(*statements), service, operation, request))


async def is_let(context: Context, service: str, operation: str, request: dict[str, Any]) -> bool:
    try:
        await authorize(context, service, operation, request)
    except AwsError as error:
        assert error.code in ("AccessDenied", "UnauthorizedOperation", "AuthorizationError"), error
        return False
    return True


@pytest.mark.parametrize(("service", "operation", "request_"), WITH_TAGS)
def test_tags_of_a_request_count(service: str, operation: str, request_: dict[str, Any]) -> None:
    asked = service, operation, request_
    assert passes(*asked, allow("*"))
    assert not passes(*asked, allow("*"), deny("*", StringEquals={"aws:RequestTag/stage": "live"}))
    assert passes(*asked, allow("*"), deny("*", StringEquals={"aws:RequestTag/stage": "test"}))
    assert passes(*asked, allow("*", StringEquals={"aws:RequestTag/stage": "live"}))
    assert not passes(*asked, allow("*"), deny("*", **{"ForAnyValue:StringEquals": {"aws:TagKeys": "stage"}}))


@pytest.mark.parametrize(("service", "operation", "request_"), WITH_KEYS)
def test_names_of_tags_that_are_to_go_count(service: str, operation: str, request_: dict[str, Any]) -> None:
    asked = service, operation, request_
    assert passes(*asked, allow("*"))
    assert not passes(*asked, allow("*"), deny("*", **{"ForAnyValue:StringEquals": {"aws:TagKeys": "stage"}}))


@pytest.mark.parametrize(
    ("service", "operation", "request_", "tagging"),
    [
        (*WITH_TAGS[0], "elasticache:AddTagsToResource"),
        (*WITH_TAGS[1], "ec2:CreateTags"),
        (*WITH_TAGS[2], "sns:TagResource"),
        (*WITH_TAGS[3], "cloudwatch:TagResource"),
        (*WITH_TAGS[4], "logs:TagResource"),
        (*WITH_TAGS[7], "application-autoscaling:TagResource"),
    ],
)
def test_tags_at_a_creation_are_an_action_of_their_own(
    service: str, operation: str, request_: dict[str, Any], tagging: str
) -> None:
    assert not passes(service, operation, request_, allow("*"), deny(tagging))
    untagged = {name: value for name, value in request_.items() if name.lower() not in ("tags", "tagspecifications")}
    assert passes(service, operation, untagged, allow("*"), deny(tagging))


def test_to_tag_a_log_group_in_the_old_way_takes_that_permission_alone() -> None:
    for service, operation, request in (WITH_TAGS[5], WITH_KEYS[1]):
        assert passes(service, operation, request, allow(f"logs:{operation}"))


@on_logs
async def test_tags_of_a_log_group_count_for_it_and_its_streams(stage: LogStage) -> None:
    await stage.logs("CreateLogGroup", logGroupName="slow", tags=MAP)
    await stage.logs("CreateLogGroup", logGroupName="other")
    live = {"aws:ResourceTag/stage": "live"}
    group = "arn:aws:logs:local-1:000000000000:log-group:slow"
    requests: dict[str, dict[str, Any]] = {
        "DeleteLogGroup": {"logGroupName": "slow"},
        "GetLogEvents": {"logGroupName": "slow", "logStreamName": "s"},
        "FilterLogEvents": {"logGroupIdentifier": f"{group}:*"},
        "UntagResource": {"resourceArn": group, "tagKeys": ["stage"]},
    }
    for operation, request in requests.items():
        for statements, passed in (
            ((allow("*"),), True),
            ((allow("*"), deny("*", StringEquals=live)), False),
            ((allow("*", StringEquals=live),), True),
            ((allow("*", StringNotEquals=live),), False),
        ):
            context = replace(stage.context, caller=user("ann", *statements))
            assert await is_let(context, "logs", operation, request) is passed, (operation, statements)
    ann = replace(stage.context, caller=user("ann", allow("*"), deny("*", StringEquals=live)))
    assert await is_let(ann, "logs", "DeleteLogGroup", {"logGroupName": "other"})
