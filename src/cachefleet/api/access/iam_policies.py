"""Inline policies of IAM users: PutUserPolicy, GetUserPolicy, ListUserPolicies, DeleteUserPolicy.

What a policy says is read when it is put, so that whatever is stored can be evaluated as it is meant.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from cachefleet.api.access.iam_rows import (
    POLICY_NAME_LENGTH,
    change_user,
    checked_name,
    limit_exceeded,
    listed,
    load_user,
    missing,
)
from cachefleet.api.context import Context
from cachefleet.api.registry import operation
from cachefleet.model.errors import AwsError
from cachefleet.model.row import IamUserRow
from cachefleet.policies.document import Malformed, read_policy

POLICY_CHARACTERS = 2048  # of all policies of a user, white space aside
_DOCUMENT_CHARACTERS = 131_072  # of one, with it


@operation("PutUserPolicy", service="iam", effective=("UserName", "PolicyName", "PolicyDocument"))
async def put_user_policy(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    name, document = _policy_name(request), request["PolicyDocument"]
    row = await load_user(context, request["UserName"])
    if len(document) > _DOCUMENT_CHARACTERS:
        raise limit_exceeded(f"A policy document has at most {_DOCUMENT_CHARACTERS} characters.")
    policies = {**row.desired.policies, name: document}
    if _characters(policies.values()) > POLICY_CHARACTERS:
        raise limit_exceeded(f"Maximum policy size of {POLICY_CHARACTERS} bytes exceeded for user {row.desired.name}")
    try:
        read_policy(document)
    except Malformed as malformed:
        raise AwsError("MalformedPolicyDocument", str(malformed)) from None
    await change_user(context, row, policies=policies)
    return {}


@operation("GetUserPolicy", service="iam", effective=("UserName", "PolicyName"))
async def get_user_policy(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    row = await load_user(context, request["UserName"])
    name = _require(row, request)
    # IAM shows documents URL-encoded, and clients decode them.
    return {"UserName": row.desired.name, "PolicyName": name, "PolicyDocument": quote(row.desired.policies[name], safe="")}


@operation("ListUserPolicies", service="iam", effective=("UserName", "Marker", "MaxItems"))
async def list_user_policies(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    row = await load_user(context, request["UserName"])
    return listed(request, "user-policies", "PolicyNames", sorted(row.desired.policies), str, str)


@operation("DeleteUserPolicy", service="iam", effective=("UserName", "PolicyName"))
async def delete_user_policy(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    row = await load_user(context, request["UserName"])
    doomed = _require(row, request)
    await change_user(context, row, policies={name: text for name, text in row.desired.policies.items() if name != doomed})
    return {}


def _policy_name(request: dict[str, Any]) -> str:
    return checked_name(request["PolicyName"], "policyName", POLICY_NAME_LENGTH)


def _require(row: IamUserRow, request: dict[str, Any]) -> str:
    name = _policy_name(request)
    if name not in row.desired.policies:
        raise missing(f"The user policy with name {name} cannot be found.")
    return name


def _characters(documents: Iterable[str]) -> int:
    return sum(len("".join(document.split())) for document in documents)
