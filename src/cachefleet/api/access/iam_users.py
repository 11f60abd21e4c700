"""IAM users: CreateUser, GetUser, ListUsers, DeleteUser. Their keys and policies are operations of their own."""

from __future__ import annotations

from typing import Any

from cachefleet.api.access.iam_rows import checked_name, checked_path, limit_exceeded, listed, load_user, unique_id, user_key
from cachefleet.api.context import Context
from cachefleet.api.registry import operation
from cachefleet.interfaces import NameTaken
from cachefleet.model.errors import AwsError
from cachefleet.model.iam import IamUserDesired, iam_scope, user_arn
from cachefleet.model.resource import Kind
from cachefleet.model.row import IamUserRow, Row

MAX_USERS = 5000
_ID_LENGTH = 21


@operation("CreateUser", service="iam", effective=("UserName", "Path"))
async def create_iam_user(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    name = checked_name(request["UserName"], "userName")
    path = checked_path(request.get("Path", "/"))
    if await context.store.count(Kind.IAM_USER, iam_scope(context.caller.account)) >= MAX_USERS:
        raise limit_exceeded(f"Cannot exceed quota for UsersPerAccount: {MAX_USERS}.")
    desired = IamUserDesired(name, path, unique_id(context, "AIDA", _ID_LENGTH), context.clock.now())
    try:
        async with context.store.transaction() as transaction:
            row = await transaction.insert(Row(key=user_key(context, name), desired=desired))
    except NameTaken:
        raise AwsError("EntityAlreadyExists", f"User with name {name} already exists.") from None
    context.users_changed()
    return {"User": _view(context, row)}


@operation("GetUser", service="iam", effective=("UserName",))
async def get_iam_user(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    if "UserName" not in request and context.caller.is_root:
        caller = context.caller
        return {"User": {"Path": "/", "UserName": "root", "UserId": caller.user_id, "Arn": caller.arn, "CreateDate": 0.0}}
    return {"User": _view(context, await load_user(context, request.get("UserName")))}


@operation("ListUsers", service="iam", effective=("PathPrefix", "Marker", "MaxItems"))
async def list_iam_users(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    rows: list[IamUserRow] = await context.store.rows(Kind.IAM_USER, iam_scope(context.caller.account))
    prefix = request.get("PathPrefix", "/")
    found = [row for row in rows if row.desired.path.startswith(prefix)]
    return listed(request, "iam-users", "Users", found, lambda row: row.key.name, lambda row: _view(context, row))


@operation("DeleteUser", service="iam", effective=("UserName",))
async def delete_iam_user(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    row = await load_user(context, request["UserName"])
    for held, what in ((row.desired.keys, "access keys"), (row.desired.policies, "policies")):
        if held:
            raise AwsError("DeleteConflict", f"Cannot delete entity, must delete {what} first.")
    async with context.store.transaction() as transaction:
        await transaction.delete(row)
    context.users_changed()
    return {}


def _view(context: Context, row: IamUserRow) -> dict[str, Any]:
    user = row.desired
    return {
        "Path": user.path,
        "UserName": user.name,
        "UserId": user.user_id,
        "Arn": user_arn(context.caller.account, user.path, user.name),
        "CreateDate": user.created_at,
    }
