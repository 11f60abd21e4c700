"""CreateUser, ModifyUser, DeleteUser and DescribeUsers (reference 1.3, 10.5).

Writes rows only; the controller tells the engines of the caches that use them. The user `default` is built in and in no store.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from cachefleet.api.access.user_group_rules import builds_of, check_members, check_users, members_of
from cachefleet.api.access.user_inputs import (
    Proof,
    asked_proof,
    identifier,
    minimum_version,
    read_access,
    reading_build,
    user_engine,
    user_name,
)
from cachefleet.api.access.user_rows import (
    ACTIVE,
    DELETING,
    Book,
    find_user,
    is_let_in,
    load_book,
    user_group_status,
    user_status,
    using,
    write_with_caches,
)
from cachefleet.api.context import Context
from cachefleet.api.names import folded, quoted
from cachefleet.api.paging import page_of, page_sequence, reply
from cachefleet.api.registry import operation
from cachefleet.api.rows import tell
from cachefleet.api.tag_rules import read_other_tags
from cachefleet.interfaces import NameTaken
from cachefleet.model.errors import AwsError, invalid_combination, invalid_value
from cachefleet.model.resource import Kind
from cachefleet.model.row import GroupRow, Row, UserGroupRow, UserRow
from cachefleet.model.user import DEFAULT_USER, Authentication, UserDesired

if TYPE_CHECKING:
    from types_boto3_elasticache.type_defs import (
        CreateUserMessageTypeDef,
        DeleteUserMessageTypeDef,
        DescribeUsersMessageTypeDef,
        ModifyUserMessageTypeDef,
    )

_SOURCE = "user"
_FILTERS: Mapping[str, Callable[[dict[str, Any]], str]] = {
    "userid": lambda view: str(view["UserId"]),
    "username": lambda view: str(view["UserName"]),
    "engine": lambda view: str(view["Engine"]),
    "status": lambda view: str(view["Status"]),
}


@operation(
    "CreateUser",
    effective=(
        "UserId",
        "UserName",
        "Engine",
        "Passwords",
        "AccessString",
        "NoPasswordRequired",
        "AuthenticationMode",
        "Tags",
    ),
)
async def create_user(context: Context, request: CreateUserMessageTypeDef) -> dict[str, Any]:
    user_id = identifier(request["UserId"], "UserId")
    engine = user_engine(request["Engine"])
    proof = asked_proof(request)
    if proof is None:
        raise invalid_value(
            "Passwords: it is missing how the user shows who it is; give Passwords, NoPasswordRequired=true or "
            "AuthenticationMode."
        )
    desired = UserDesired(
        user_name=user_name(request["UserName"]),
        engine=engine,
        access_string=request["AccessString"],
        written=request["AccessString"],
        authentication=proof.authentication,
        sha256=proof.sha256,
    )
    _check_proof(user_id, desired)
    tags = read_other_tags(request.get("Tags") or (), "a user")
    row: UserRow = Row(key=context.scope.key(Kind.USER, user_id), desired=await _with_access(context, desired, ()), tags=tags)
    if user_id == DEFAULT_USER:
        raise _already_exists(user_id)
    quota = context.settings.api.users
    try:
        async with context.store.transaction() as transaction:
            await transaction.take_turn()
            await transaction.insert(row)
            if await context.store.count(Kind.USER, context.scope) >= quota:
                raise AwsError(
                    "UserQuotaExceeded", f"There are {quota} users, as many as may be (setting api.users); delete one."
                )
            await tell(context, transaction, _SOURCE, user_id, "User created")
    except NameTaken:
        raise _already_exists(user_id) from None
    return user_view(await load_book(context), user_id)


@operation(
    "ModifyUser",
    effective=(
        "UserId",
        "AccessString",
        "AppendAccessString",
        "Passwords",
        "NoPasswordRequired",
        "AuthenticationMode",
        "Engine",
    ),
)
async def modify_user(context: Context, request: ModifyUserMessageTypeDef) -> dict[str, Any]:
    if request.get("AccessString") and request.get("AppendAccessString"):
        raise invalid_combination("AccessString and AppendAccessString cannot be given together; use one of them.")
    proof = asked_proof(request)
    book = await load_book(context)
    row = find_user(book, request["UserId"])
    user_id = row.key.name
    _require_active(book, user_id)
    groups = [book.groups[name] for name in book.groups_of(user_id)]
    caches = using(book, book.groups_of(user_id))
    desired = await _modified(context, row.desired, request, proof, caches)
    _check_proof(user_id, desired)
    for group in groups:
        members = {**members_of(group.desired, book.desired_users()), user_id: desired}
        check_members(group.desired.engine, members, context.settings.api.users_per_group)
    if desired.authentication is Authentication.IAM:
        await check_users(context, builds_of(context, caches), {user_id: desired}, "AuthenticationMode")
    if desired != row.desired:
        await _write(context, replace(row, desired=desired), groups, caches)
        book = await load_book(context)
    return user_view(book, user_id)


async def _modified(
    context: Context,
    desired: UserDesired,
    request: ModifyUserMessageTypeDef,
    proof: Proof | None,
    caches: Sequence[GroupRow],
) -> UserDesired:
    """Raises InvalidParameterValue, ServiceUnavailable."""
    if request.get("Engine"):
        desired = replace(desired, engine=user_engine(request["Engine"]))
    if proof is not None:
        desired = replace(desired, authentication=proof.authentication, sha256=proof.sha256)
    asked, more = request.get("AccessString"), request.get("AppendAccessString")
    for member in ("AccessString", "AppendAccessString"):
        if member in request and not str(request[member]).strip():
            raise invalid_value(f"{member} is blank; give a string such as 'on ~app::* -@all +@read', or leave it out.")
    if asked or (more and not _ends_with(desired.access_string, more)):
        text = asked or f"{desired.access_string} {more}"
        desired = replace(desired, access_string=text, written=asked or "")
        return await _with_access(context, desired, caches)
    version = minimum_version(desired.engine, desired.authentication, desired.access_string)
    return replace(desired, minimum_engine_version=version)


@operation("DeleteUser", effective=("UserId",))
async def delete_user(context: Context, request: DeleteUserMessageTypeDef) -> dict[str, Any]:
    book = await load_book(context)
    row = find_user(book, request["UserId"])
    user_id = row.key.name
    groups = [book.groups[name] for name in book.groups_of(user_id)]
    if groups and row.desired.user_name == DEFAULT_USER:
        raise AwsError(
            "DefaultUserAssociatedToUserGroup",
            f"User {user_id} is the default user of {', '.join(group.key.name for group in groups)}; put another one "
            f"with the name {DEFAULT_USER} in its place first.",
        )
    _require_active(book, user_id)
    for group in groups:
        _require_group_active(book, group.key.name)
    without = [replace(group, desired=_without(group, user_id)) for group in groups]
    caches = using(book, (group.key.name for group in groups))
    async with context.store.transaction() as transaction:
        if is_let_in(book, user_id):
            await transaction.update(replace(row, desired=replace(row.desired, deleting=True)))
        else:
            await transaction.delete(row)
            await tell(context, transaction, _SOURCE, user_id, "User deleted")
        await write_with_caches(context, transaction, without, caches)
    for cache in caches:
        context.wake(cache.key)
    return {**user_view(book, user_id), "Status": DELETING}


@operation("DescribeUsers", effective=("Engine", "UserId", "Filters", "MaxRecords", "Marker"))
async def describe_users(context: Context, request: DescribeUsersMessageTypeDef) -> dict[str, Any]:
    page = page_of(request, "users")
    book = await load_book(context)
    asked = request.get("UserId")
    names = [find_user(book, asked).key.name] if asked else sorted(book.users)
    engine = folded(request.get("Engine") or "")
    views = [user_view(book, name) for name in names if engine in ("", book.users[name].desired.engine)]
    for wanted in request.get("Filters") or ():
        shows = _filter(wanted["Name"])
        views = [view for view in views if shows(view) in wanted["Values"]]
    shown, marker = page_sequence(views, page, lambda view: str(view["UserId"]))
    return reply("Users", shown, marker)


def _filter(name: str) -> Callable[[dict[str, Any]], str]:
    """Raises InvalidParameterCombination."""
    found = _FILTERS.get(folded(name).replace("-", ""))
    if found is None:
        raise invalid_combination(
            f"Filters: {quoted(name)} is no property to filter by; use user-id, user-name, engine or status."
        )
    return found


# --- for other operations ------------------------------------------------------------------------------------------


def user_view(book: Book, user_id: str) -> dict[str, Any]:
    """The User structure."""
    row = book.users[user_id]
    desired = row.desired
    authentication: dict[str, Any] = {"Type": desired.authentication.value}
    if desired.authentication is Authentication.PASSWORD:
        authentication["PasswordCount"] = len(desired.sha256)
    return {
        "UserId": user_id,
        "UserName": desired.user_name,
        "Status": user_status(book, user_id),
        "Engine": desired.engine.value,
        "MinimumEngineVersion": desired.minimum_engine_version,
        "AccessString": desired.written or desired.access_string,
        "UserGroupIds": book.groups_of(user_id),
        "Authentication": authentication,
        "ARN": row.key.arn,
    }


# --- rules ---------------------------------------------------------------------------------------------------------


def _check_proof(user_id: str, desired: UserDesired) -> None:
    if desired.authentication is Authentication.IAM and desired.user_name != user_id:
        raise invalid_value(
            f"UserName: a user who authenticates with IAM has the same name and id; the id is {user_id}, so must the name be."
        )
    if desired.authentication is Authentication.NO_PASSWORD and desired.engine == "valkey":
        raise invalid_combination("Engine: a user of the engine valkey has a password or uses IAM; give one, or use redis.")


async def _with_access(context: Context, desired: UserDesired, caches: Sequence[GroupRow]) -> UserDesired:
    """With the access string as it is kept; the engines of all its caches take it. Raises InvalidParameterValue,
    ServiceUnavailable."""
    builds = [reading_build(context, desired.engine), *builds_of(context, caches)]
    shown = await read_access(context, desired.access_string, list({build.binary: build for build in builds}.values()))
    version = minimum_version(desired.engine, desired.authentication, shown)
    return replace(desired, access_string=shown, minimum_engine_version=version)


def _ends_with(access_string: str, more: str) -> bool:
    """Then the same rules once more would change nothing: a rule that comes later wins."""
    return f" {access_string}".endswith(f" {' '.join(more.split())}")


async def _write(context: Context, row: UserRow, groups: Sequence[UserGroupRow], caches: Sequence[GroupRow]) -> None:
    async with context.store.transaction() as transaction:
        await transaction.update(row)
        same = [replace(group, desired=replace(group.desired, before=group.desired.user_ids)) for group in groups]
        await write_with_caches(context, transaction, same, caches)
        await tell(context, transaction, _SOURCE, row.key.name, "User modified")
    for cache in caches:
        context.wake(cache.key)


def _without(group: UserGroupRow, user_id: str) -> Any:
    left = tuple(name for name in group.desired.user_ids if name != user_id)
    return replace(group.desired, user_ids=left, before=group.desired.user_ids)


def _require_active(book: Book, user_id: str) -> None:
    """Raises InvalidUserState."""
    if user_id == DEFAULT_USER:
        raise AwsError("InvalidUserState", f"The user {DEFAULT_USER} is built in and cannot be changed or deleted.")
    state = user_status(book, user_id)
    if state != ACTIVE:
        raise AwsError("InvalidUserState", f"User {user_id} has status {state}; wait until it is {ACTIVE}.")


def _require_group_active(book: Book, group_id: str) -> None:
    state = user_group_status(book, group_id)
    if state != ACTIVE:
        raise AwsError("InvalidUserState", f"The user's group {group_id} has status {state}; wait until it is {ACTIVE}.")


def _already_exists(user_id: str) -> AwsError:
    return AwsError("UserAlreadyExists", f"User {user_id} already exists; choose another id.")
