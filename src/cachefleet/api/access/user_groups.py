"""CreateUserGroup, ModifyUserGroup, DeleteUserGroup and DescribeUserGroups (reference 1.3, 10.5).

Writes rows only; the controller tells the engines of the caches that use the group.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from cachefleet.api.access.user_group_rules import builds_of, check_engines, check_members, check_users, members_of, versions_of
from cachefleet.api.access.user_inputs import identifier, user_engine
from cachefleet.api.access.user_rows import (
    ACTIVE,
    DELETING,
    Book,
    find_user,
    find_user_group,
    load_book,
    user_group_status,
    using,
    write_with_caches,
)
from cachefleet.api.context import Context
from cachefleet.api.paging import page_of, page_sequence, reply
from cachefleet.api.registry import operation
from cachefleet.api.rows import tell
from cachefleet.api.tag_rules import read_other_tags
from cachefleet.interfaces import NameTaken, Transaction
from cachefleet.model.errors import AwsError, invalid_combination, invalid_value
from cachefleet.model.resource import Kind
from cachefleet.model.row import Row, UserGroupRow
from cachefleet.model.user import DEFAULT_USER, UserEngine, UserGroupDesired

if TYPE_CHECKING:
    from types_boto3_elasticache.type_defs import (
        CreateUserGroupMessageTypeDef,
        DeleteUserGroupMessageTypeDef,
        DescribeUserGroupsMessageTypeDef,
        ModifyUserGroupMessageTypeDef,
    )

_SOURCE = "user-group"


@operation("CreateUserGroup", effective=("UserGroupId", "Engine", "UserIds", "Tags"))
async def create_user_group(context: Context, request: CreateUserGroupMessageTypeDef) -> dict[str, Any]:
    group_id = identifier(request["UserGroupId"], "UserGroupId")
    engine = user_engine(request["Engine"])
    tags = read_other_tags(request.get("Tags") or (), "a user group")
    book = await load_book(context)
    members = _asked_users(book, request.get("UserIds") or (), "UserIds")
    desired = UserGroupDesired(engine=engine, user_ids=members, before=members)
    check_members(engine, members_of(desired, book.desired_users()), context.settings.api.users_per_group)
    row: UserGroupRow = Row(key=context.scope.key(Kind.USER_GROUP, group_id), desired=desired, tags=tags)
    quota = context.settings.api.user_groups
    try:
        async with context.store.transaction() as transaction:
            await transaction.take_turn()
            await transaction.insert(row)
            if await context.store.count(Kind.USER_GROUP, context.scope) >= quota:
                raise AwsError(
                    "UserGroupQuotaExceeded",
                    f"There are {quota} user groups, as many as may be (setting api.user_groups); delete one.",
                )
            await _hold_users(transaction, book, members)
            await tell(context, transaction, _SOURCE, group_id, "User group created")
    except NameTaken:
        raise AwsError("UserGroupAlreadyExists", f"User group {group_id} already exists; choose another id.") from None
    return {**user_group_view(await load_book(context), group_id), "Status": "creating"}


@operation("ModifyUserGroup", effective=("UserGroupId", "UserIdsToAdd", "UserIdsToRemove", "Engine"))
async def modify_user_group(context: Context, request: ModifyUserGroupMessageTypeDef) -> dict[str, Any]:
    book = await load_book(context)
    row = find_user_group(book, request["UserGroupId"])
    group_id = row.key.name
    require_active(book, group_id)
    more = _asked_users(book, request.get("UserIdsToAdd") or (), "UserIdsToAdd")
    fewer = tuple(dict.fromkeys(name.lower() for name in request.get("UserIdsToRemove") or ()))
    _check_change(row, more, fewer, request)
    engine = user_engine(request["Engine"]) if request.get("Engine") else row.desired.engine
    user_ids = tuple(sorted({*row.desired.user_ids, *more} - set(fewer)))
    desired = UserGroupDesired(engine=engine, user_ids=user_ids, before=row.desired.user_ids)
    users = members_of(desired, book.desired_users())
    check_members(engine, users, context.settings.api.users_per_group)
    if (desired.engine, desired.user_ids) == (row.desired.engine, row.desired.user_ids):
        return user_group_view(book, group_id)
    caches = using(book, [group_id])
    for cache in caches:
        check_engines(engine, versions_of(cache), "Engine")
    await check_users(context, builds_of(context, caches), {name: users[name] for name in more}, "UserIdsToAdd")
    async with context.store.transaction() as transaction:
        await write_with_caches(context, transaction, [replace(row, desired=desired)], caches)
        await _hold_users(transaction, book, more)
        await tell(context, transaction, _SOURCE, group_id, "User group modified")
    for cache in caches:
        context.wake(cache.key)
    return user_group_view(await load_book(context), group_id)


def _check_change(row: UserGroupRow, more: Sequence[str], fewer: Sequence[str], request: Mapping[str, Any]) -> None:
    """Raises InvalidParameterValue, InvalidParameterCombination, UserNotFound."""
    if not (more or fewer or request.get("Engine")):
        raise invalid_combination("UserIdsToAdd, UserIdsToRemove: neither names a user; name at least one.")
    present = row.desired.user_ids
    for name in more:
        if name in fewer:
            raise invalid_combination(f"UserIdsToAdd and UserIdsToRemove both name {name}; name it in one of them.")
        if name in present:
            raise invalid_value(f"UserIdsToAdd: {name} is in user group {row.key.name} already; leave it out.")
    for name in fewer:
        if name not in present:
            raise invalid_value(f"UserIdsToRemove: {name!r:.130} is not a member of user group {row.key.name}; leave it out.")


@operation("DeleteUserGroup", effective=("UserGroupId",))
async def delete_user_group(context: Context, request: DeleteUserGroupMessageTypeDef) -> dict[str, Any]:
    book = await load_book(context)
    row = find_user_group(book, request["UserGroupId"])
    group_id = row.key.name
    caches = [cache.key.name for cache in book.of_group(group_id)]
    if caches:
        raise AwsError(
            "InvalidUserGroupState",
            f"User group {group_id} is used by {', '.join(sorted(caches)[:5])}; take it from there first (UserGroupIdsToRemove "
            "or RemoveUserGroups in ModifyReplicationGroup), and wait until that is done.",
        )
    async with context.store.transaction() as transaction:
        await transaction.delete(row)
        await tell(context, transaction, _SOURCE, group_id, "User group deleted")
    return {**user_group_view(book, group_id), "Status": DELETING}


@operation("DescribeUserGroups", effective=("UserGroupId", "MaxRecords", "Marker"))
async def describe_user_groups(context: Context, request: DescribeUserGroupsMessageTypeDef) -> dict[str, Any]:
    page = page_of(request, "user-groups")
    book = await load_book(context)
    asked = request.get("UserGroupId")
    names = [find_user_group(book, asked).key.name] if asked else sorted(book.groups)
    shown, marker = page_sequence(names, page, lambda name: name)
    return reply("UserGroups", [user_group_view(book, name) for name in shown], marker)


# --- for other operations ------------------------------------------------------------------------------------------


def user_group_view(book: Book, group_id: str) -> dict[str, Any]:
    """The UserGroup structure."""
    row = book.groups[group_id]
    desired, status = row.desired, user_group_status(book, group_id)
    users = members_of(desired, book.desired_users())
    versions = [user.minimum_engine_version for user in users.values()]
    view: dict[str, Any] = {
        "UserGroupId": group_id,
        "Status": status,
        "Engine": desired.engine.value,
        "UserIds": list(desired.user_ids),
        "MinimumEngineVersion": max(versions, default="7.2" if desired.engine is UserEngine.VALKEY else "6.0"),
        "ReplicationGroups": sorted(
            cache.key.name
            for cache in book.caches
            if cache.desired.user_group == group_id and cache.key.kind is Kind.REPLICATION_GROUP
        ),
        "ServerlessCaches": [],
        "ARN": row.key.arn,
    }
    if status != ACTIVE and desired.before != desired.user_ids:
        view["PendingChanges"] = {
            "UserIdsToRemove": [name for name in desired.before if name not in desired.user_ids],
            "UserIdsToAdd": [name for name in desired.user_ids if name not in desired.before],
        }
    return view


def require_active(book: Book, group_id: str) -> None:
    """Raises InvalidUserGroupState."""
    state = user_group_status(book, group_id)
    if state != ACTIVE:
        raise AwsError("InvalidUserGroupState", f"User group {group_id} has status {state}; wait until it is {ACTIVE}.")


def _asked_users(book: Book, asked: Sequence[str], field: str) -> tuple[str, ...]:
    """Ids in their order. Raises UserNotFound, InvalidParameterValue."""
    rows = [find_user(book, name, field) for name in asked]
    for row in rows:
        if row.desired.deleting:
            raise AwsError("UserNotFound", f"{field}: user {row.key.name} is being deleted.")
    names = [row.key.name for row in rows]
    if len(set(names)) != len(names):
        raise invalid_value(f"{field} names a user twice; name each once.")
    return tuple(sorted(names))


async def _hold_users(transaction: Transaction, book: Book, user_ids: Sequence[str]) -> None:
    """Their rows get new versions, so that whoever changes or deletes one at the same time looks again. Raises Conflict."""
    for name in user_ids:
        if name != DEFAULT_USER:
            await transaction.update(book.users[name])
