"""Users, user groups and the caches that use them, as the store has them; what state they are in, what is written together.

A user's row is changed together with the user groups that it is in, and those together with their caches: whoever changes one
of them at the same time has to look again. Statuses are computed from what nodes were seen to have (GroupMemory.admitted),
never written. Called by the operations on users, user groups and groups.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
from msgspec.structs import replace

from cachefleet.api.context import Context
from cachefleet.api.groups.group_state import AVAILABLE, MODIFYING
from cachefleet.api.names import folded, quoted
from cachefleet.api.rows import leave_word
from cachefleet.interfaces import AnyRow, Transaction
from cachefleet.model.access import EngineUser, admitted_users
from cachefleet.model.errors import AwsError
from cachefleet.model.resource import GROUP_KINDS, Kind
from cachefleet.model.row import GroupRow, Row, UserGroupRow, UserRow
from cachefleet.model.user import BUILT_IN, DEFAULT_USER, UserDesired
from cachefleet.planning.users import engine_user, lets_in, users_of_group

ACTIVE, DELETING = "active", "deleting"


class Book(msgspec.Struct, frozen=True):
    """Everything there is of an account and region, by id; the built-in user, too. caches: in no order."""

    users: dict[str, UserRow]
    groups: dict[str, UserGroupRow]
    caches: tuple[GroupRow, ...]

    def of_group(self, group_id: str) -> tuple[GroupRow, ...]:
        """Caches that the group's users may use, or may have been able to a moment ago."""
        return tuple(row for row in self.caches if group_id in (row.desired.user_group, _group_seen(row)))

    def groups_of(self, user_id: str) -> list[str]:
        """In the order of their ids."""
        return sorted(name for name, row in self.groups.items() if user_id in row.desired.user_ids)

    def desired_users(self) -> dict[str, UserDesired]:
        return {name: row.desired for name, row in self.users.items()}


async def load_book(context: Context) -> Book:
    users: list[UserRow] = await context.store.rows(Kind.USER, context.scope)
    groups: list[UserGroupRow] = await context.store.rows(Kind.USER_GROUP, context.scope)
    caches = [row for kind in GROUP_KINDS for row in await context.store.rows(kind, context.scope)]
    built_in: UserRow = Row(key=context.scope.key(Kind.USER, DEFAULT_USER), desired=BUILT_IN)
    return Book(
        {DEFAULT_USER: built_in, **{row.key.name: row for row in users}},
        {row.key.name: row for row in groups},
        tuple(row for row in caches if row.desired.user_group or _group_seen(row) or row.memory.admitted is not None),
    )


def find_user(book: Book, user_id: str, field: str = "UserId") -> UserRow:
    """Raises UserNotFound."""
    row = book.users.get(folded(user_id))
    if row is None:
        raise AwsError("UserNotFound", f"{field}: user {quoted(user_id)} not found.")
    return row


def find_user_group(book: Book, group_id: str, field: str = "UserGroupId") -> UserGroupRow:
    """Raises UserGroupNotFound."""
    row = book.groups.get(folded(group_id))
    if row is None:
        raise AwsError("UserGroupNotFound", f"{field}: user group {quoted(group_id)} not found.")
    return row


async def load_user_row(context: Context, kind: Kind, name: str) -> AnyRow:
    """Of a user or user group that somebody created. Raises UserNotFound, UserGroupNotFound."""
    row = await context.store.get(context.scope.key(kind, name))
    if row is None:
        code, noun = ("UserNotFound", "user") if kind is Kind.USER else ("UserGroupNotFound", "user group")
        raise AwsError(code, f"ResourceName: {noun} {quoted(name)} not found.")
    return row


def _group_seen(row: GroupRow) -> str:
    return "" if row.memory.admitted is None else row.memory.admitted.user_group


# --- states --------------------------------------------------------------------------------------------------------


def user_status(book: Book, user_id: str) -> str:
    """User.Status: modifying while some cache has another idea of the user (reference 2.1)."""
    row = book.users[user_id]
    if row.desired.deleting:
        return DELETING
    admitted = engine_user(user_id, row.desired)
    groups = book.groups_of(user_id)
    caches = [cache for cache in book.caches if cache.desired.user_group in groups and _is_alive(cache)]
    return MODIFYING if admitted is not None and any(_lags(cache, user_id, admitted) for cache in caches) else ACTIVE


def _lags(cache: GroupRow, user_id: str, user: EngineUser) -> bool:
    known = cache.memory.admitted
    if known is None or known.user_group != cache.desired.user_group:  # it does not have the group yet: that is its own change
        return False
    return known.users.get(user.name) != admitted_users((user,))[user.name]


def user_group_status(book: Book, group_id: str) -> str:
    """UserGroup.Status: modifying while some cache has not taken over who is in it, or what they may (reference 2.1)."""
    users = admitted_users(users_of_group(book.groups[group_id].desired, book.desired_users()))
    for cache in book.caches:
        known = cache.memory.admitted
        has_it = known is not None and known.user_group == cache.desired.user_group == group_id
        if has_it and _is_alive(cache) and known is not None and known.users != users:
            return MODIFYING
    return ACTIVE


def is_let_in(book: Book, user_id: str) -> bool:
    """Whether a cache may still let the user in."""
    return any(lets_in(cache, user_id) for cache in book.caches)


def _is_alive(cache: GroupRow) -> bool:
    return not cache.desired.deleting and not cache.memory.failure


# --- writing -------------------------------------------------------------------------------------------------------


async def write_with_caches(
    context: Context,
    transaction: Transaction,
    groups: Iterable[AnyRow],
    caches: Sequence[GroupRow],
) -> None:
    """User groups, and the caches that have to look at them: those show at once that they are being modified. Word is left for
    the controller; context.wake is for after the commit. Raises Conflict."""
    for group in groups:
        await transaction.update(group)
    for cache in caches:
        state = MODIFYING if cache.status.state == AVAILABLE and cache.memory.admitted is not None else cache.status.state
        await transaction.update(replace(cache, status=replace(cache.status, state=state)))
    await leave_word(context, transaction, *(cache.key for cache in caches))


def using(book: Book, group_ids: Iterable[str]) -> list[GroupRow]:
    """Caches that have one of these groups, each once."""
    wanted = set(group_ids)
    return [row for row in book.caches if row.desired.user_group in wanted and _is_alive(row)]
