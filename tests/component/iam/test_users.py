"""The IAM API's subset: users, access keys, inline policies, and what is refused as IAM refuses it."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import unquote

import pytest

from cachefleet.model.errors import AwsError
from cachefleet.model.iam import iam_scope
from cachefleet.model.resource import Kind
from tests.component.iam.stage import Stage, allow, policy
from tests.fakes.api import ACCOUNT

ANY = policy(allow("elasticache:*"))


def refused(stage: Stage, name: str, **request: Any) -> tuple[str, int, str]:
    with pytest.raises(AwsError) as error:
        stage.iam(name, **request)
    return error.value.code, error.value.http_status, error.value.message


def test_a_user_is_made_shown_listed_and_deleted() -> None:
    stage = Stage()
    made = stage.iam("CreateUser", UserName="Ann", Path="/team/")["User"]
    assert made["Arn"] == f"arn:aws:iam::{ACCOUNT}:user/team/Ann"
    assert made["UserId"].startswith("AIDA") and len(made["UserId"]) == 21
    assert stage.iam("GetUser", UserName="Ann")["User"] == made
    stage.iam("CreateUser", UserName="bob")
    assert [user["UserName"] for user in stage.iam("ListUsers")["Users"]] == ["Ann", "bob"]
    assert [user["UserName"] for user in stage.iam("ListUsers", PathPrefix="/team/")["Users"]] == ["Ann"]
    stage.iam("DeleteUser", UserName="Ann")
    assert refused(stage, "GetUser", UserName="Ann")[:2] == ("NoSuchEntity", 404)


def test_lists_come_in_pages() -> None:
    stage = Stage()
    for number in range(5):
        stage.iam("CreateUser", UserName=f"user-{number}")
    first = stage.iam("ListUsers", MaxItems=3)
    assert first["IsTruncated"] and len(first["Users"]) == 3
    rest = stage.iam("ListUsers", MaxItems=3, Marker=first["Marker"])
    assert [user["UserName"] for user in rest["Users"]] == ["user-3", "user-4"] and not rest["IsTruncated"]
    assert refused(stage, "ListUsers", Marker="x")[0] == "ValidationError"
    assert refused(stage, "ListUsers", MaxItems=0)[0] == "ValidationError"


def test_names_differ_by_more_than_case() -> None:
    stage = Stage()
    stage.iam("CreateUser", UserName="Ann")
    assert refused(stage, "CreateUser", UserName="ann")[:2] == ("EntityAlreadyExists", 409)
    assert refused(stage, "GetUser", UserName="ann")[0] == "NoSuchEntity"


@pytest.mark.parametrize("name", ["", "a b", "a/b", "../x", "a" * 65, "\u00e9", "a:b", "<x>"])
def test_names_that_cannot_be_are_refused(name: str) -> None:
    assert refused(Stage(), "CreateUser", UserName=name)[:2] == ("ValidationError", 400)


@pytest.mark.parametrize("path", ["x", "/x", "x/", "//", "/a//b/", "/\u00e9/", "/ /"])
def test_paths_that_cannot_be_are_refused(path: str) -> None:
    assert refused(Stage(), "CreateUser", UserName="ann", Path=path)[0] == "ValidationError"


def test_a_secret_is_shown_once_and_kept_sealed() -> None:
    stage = Stage()
    stage.iam("CreateUser", UserName="ann")
    made = stage.iam("CreateAccessKey", UserName="ann")["AccessKey"]
    assert made["AccessKeyId"].startswith("AKIA") and len(made["AccessKeyId"]) == 20 and len(made["SecretAccessKey"]) == 40
    shown = stage.iam("ListAccessKeys", UserName="ann")
    assert [key["AccessKeyId"] for key in shown["AccessKeyMetadata"]] == [made["AccessKeyId"]]
    row = asyncio.run(stage.root.store.owner(iam_scope(ACCOUNT), made["AccessKeyId"]))
    assert row is not None and row.key.kind is Kind.IAM_USER
    assert made["SecretAccessKey"] not in repr(shown) + repr(row)


def test_two_keys_a_user() -> None:
    stage = Stage()
    stage.iam("CreateUser", UserName="ann")
    keys = [stage.iam("CreateAccessKey", UserName="ann")["AccessKey"]["AccessKeyId"] for _ in range(2)]
    assert refused(stage, "CreateAccessKey", UserName="ann")[:2] == ("LimitExceeded", 409)
    stage.iam("DeleteAccessKey", UserName="ann", AccessKeyId=keys[0])
    stage.iam("CreateAccessKey", UserName="ann")
    assert asyncio.run(stage.root.store.owner(iam_scope(ACCOUNT), keys[0])) is None


def test_a_key_is_switched_off_and_on() -> None:
    stage = Stage()
    stage.iam("CreateUser", UserName="ann")
    key = stage.iam("CreateAccessKey", UserName="ann")["AccessKey"]["AccessKeyId"]
    for status in ("Inactive", "Active"):
        stage.iam("UpdateAccessKey", UserName="ann", AccessKeyId=key, Status=status)
        assert stage.iam("ListAccessKeys", UserName="ann")["AccessKeyMetadata"][0]["Status"] == status
    assert refused(stage, "UpdateAccessKey", UserName="ann", AccessKeyId=key, Status="off")[0] == "ValidationError"
    assert refused(stage, "UpdateAccessKey", UserName="ann", AccessKeyId="AKIANONE", Status="Active")[0] == "NoSuchEntity"


def test_a_user_with_keys_or_policies_stays() -> None:
    stage = Stage()
    stage.iam("CreateUser", UserName="ann")
    key = stage.iam("CreateAccessKey", UserName="ann")["AccessKey"]["AccessKeyId"]
    stage.iam("PutUserPolicy", UserName="ann", PolicyName="p", PolicyDocument=ANY)
    assert refused(stage, "DeleteUser", UserName="ann")[:2] == ("DeleteConflict", 409)
    stage.iam("DeleteAccessKey", UserName="ann", AccessKeyId=key)
    assert "policies" in refused(stage, "DeleteUser", UserName="ann")[2]
    stage.iam("DeleteUserPolicy", UserName="ann", PolicyName="p")
    stage.iam("DeleteUser", UserName="ann")
    assert stage.iam("ListUsers")["Users"] == []


def test_policies_are_put_shown_and_deleted() -> None:
    stage = Stage()
    stage.iam("CreateUser", UserName="ann")
    stage.iam("PutUserPolicy", UserName="ann", PolicyName="b", PolicyDocument=ANY)
    stage.iam("PutUserPolicy", UserName="ann", PolicyName="a", PolicyDocument=ANY)
    assert stage.iam("ListUserPolicies", UserName="ann")["PolicyNames"] == ["a", "b"]
    assert unquote(stage.iam("GetUserPolicy", UserName="ann", PolicyName="a")["PolicyDocument"]) == ANY
    assert refused(stage, "GetUserPolicy", UserName="ann", PolicyName="c")[:2] == ("NoSuchEntity", 404)
    assert refused(stage, "DeleteUserPolicy", UserName="ann", PolicyName="c")[0] == "NoSuchEntity"


def test_a_policy_that_cannot_be_evaluated_is_refused() -> None:
    stage = Stage()
    stage.iam("CreateUser", UserName="ann")
    odd = policy(allow("elasticache:*", StringMatches={"aws:username": "x"}))
    code, status, message = refused(stage, "PutUserPolicy", UserName="ann", PolicyName="p", PolicyDocument=odd)
    assert (code, status) == ("MalformedPolicyDocument", 400) and "StringMatches" in message
    assert stage.iam("ListUserPolicies", UserName="ann")["PolicyNames"] == []


def test_policies_have_a_size_in_all() -> None:
    stage = Stage()
    stage.iam("CreateUser", UserName="ann")
    long = policy(*(allow("elasticache:DescribeReplicationGroups") for _ in range(15)))
    stage.iam("PutUserPolicy", UserName="ann", PolicyName="a", PolicyDocument=long + " " * 5000)
    assert refused(stage, "PutUserPolicy", UserName="ann", PolicyName="b", PolicyDocument=long)[0] == "LimitExceeded"
    stage.iam("PutUserPolicy", UserName="ann", PolicyName="a", PolicyDocument=long)  # instead of itself


def test_the_root_is_no_user() -> None:
    stage = Stage()
    assert stage.iam("GetUser")["User"]["Arn"] == f"arn:aws:iam::{ACCOUNT}:root"
    assert "root" in refused(stage, "CreateAccessKey")[2]


def test_without_a_name_the_caller_is_meant() -> None:
    stage = Stage()
    stage.iam("CreateUser", UserName="ann")
    ann = stage.as_user(allow("iam:*", f"arn:aws:iam::{ACCOUNT}:user/ann"))
    assert stage.iam("GetUser", ann)["User"]["UserName"] == "ann"
    assert stage.iam("CreateAccessKey", ann)["AccessKey"]["UserName"] == "ann"


def test_what_is_not_built_is_refused() -> None:
    assert refused(Stage(), "CreateUser", UserName="ann", Tags=[{"Key": "a", "Value": "b"}])[0] == "InvalidParameterValue"
    assert refused(Stage(), "CreateUser", UserName="ann", PermissionsBoundary="arn:aws:iam::x")[0] == "InvalidParameterValue"
