"""Who may use a cache: AUTH tokens and user groups of the create and modify operations (reference 3.3, 10.4, 10.5).

A group in, the group as it shall be out; starts nothing. Such changes hold from the write on, ApplyImmediately or not: no node
has to be launched anew for them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from cachefleet.api.access.user_group_rules import check_engines, check_users, installed, members_of, versions_of
from cachefleet.api.access.user_groups import require_active
from cachefleet.api.access.user_inputs import asked_token
from cachefleet.api.access.user_rows import Book, find_user_group, load_book
from cachefleet.api.context import Context
from cachefleet.api.names import folded, quoted
from cachefleet.api.transit import OFF_LATER
from cachefleet.api.updates.engine_upgrades import Version
from cachefleet.model.access import AuthTokens
from cachefleet.model.errors import invalid_combination, invalid_value
from cachefleet.model.group import Engine, GroupDesired, Shape
from cachefleet.model.row import GroupRow, UserGroupRow
from cachefleet.reference.engines import version_numbers

TOKEN, STRATEGY = "AuthToken", "AuthTokenUpdateStrategy"
ADD, REMOVE, REMOVE_ALL = "UserGroupIdsToAdd", "UserGroupIdsToRemove", "RemoveUserGroups"
PREFERRED = "preferred"  # GroupDesired.transit: with TLS or without
ROTATE, SET, DELETE = "ROTATE", "SET", "DELETE"
MEMBERS = (TOKEN, STRATEGY, ADD, REMOVE, REMOVE_ALL)
_FIRST_REDIS = (5, 0, 6)  # whose tokens can be changed
_NO_TLS = "User group based access control requires encryption-in-transit to be enabled on the replication group."


class Access(msgspec.Struct, frozen=True):
    """desired: as it shall be. group: the user group that it has from now on, whose row must stay as it is until that is
    written."""

    desired: GroupDesired
    group: UserGroupRow | None = None


async def created_access(context: Context, desired: GroupDesired, request: Mapping[str, Any]) -> Access:
    """Of a new cache. Raises InvalidParameterValue, InvalidParameterCombination, UserGroupNotFound, InvalidUserGroupState."""
    token, groups = request.get(TOKEN), request.get("UserGroupIds")
    if token and groups:
        raise invalid_combination(f"{TOKEN} and UserGroupIds cannot be given together; use one of them.")
    if token:
        _check_token_possible(desired)
        return Access(replace(desired, auth=AuthTokens((asked_token(token),), True, context.clock.now())))
    versions = [(desired.engine, desired.engine_version)]
    return await _with_group(context, desired, versions, groups, "UserGroupIds") if groups else Access(desired)


async def changed_access(context: Context, before: GroupRow, row: GroupRow, request: Mapping[str, Any]) -> Access:
    """Of a cache that there is. before: as it is stored; row: with what else changes, or begins, with this request. Raises as
    created_access."""
    desired = row.desired
    if not any(request.get(member) for member in MEMBERS):
        return Access(desired)
    if request.get("TransitEncryptionMode") or request.get("TransitEncryptionEnabled") not in (None, bool(desired.transit)):
        raise invalid_combination(
            "TransitEncryptionEnabled, TransitEncryptionMode: encryption in transit and who may connect cannot be changed "
            "together; send one request after the other."
        )
    _refuse_other_transit(before.desired, desired, request)
    more, strategy = list(request.get(ADD) or ()), request.get(STRATEGY) or ""
    if strategy not in ("", ROTATE, SET, DELETE):
        raise invalid_value(f"{STRATEGY}: {quoted(strategy)} is not valid; use {ROTATE}, {SET} or {DELETE}.")
    if more and request.get(TOKEN):
        raise invalid_combination(f"{TOKEN} and {ADD} cannot be given together; use one of them.")
    left = _without_groups(desired, request)
    if more:
        return await _moved_in(context, left, versions_of(row), more, strategy)
    if strategy == DELETE:
        raise invalid_combination(
            f"{STRATEGY}: {DELETE} is only for moving to a user group; name it in {ADD}. To let everybody in, remove the user "
            "group afterwards."
        )
    if not (request.get(TOKEN) or strategy):
        return Access(left)
    return Access(_with_token(left, desired, request.get(TOKEN) or "", strategy or ROTATE, context.clock.now()))


def _refuse_other_transit(before: GroupDesired, desired: GroupDesired, request: Mapping[str, Any]) -> None:
    """Of what waits, and begins with this request or later. Nodes know secrets in a moment, and have other ports later: they
    would be shown in the clear until then, or from then on. Raises InvalidParameterCombination."""
    pending = desired.pending.transit if desired.pending is not None else ""
    begins = before.transit != desired.transit
    if request.get(TOKEN) and ((begins and not before.transit) or pending == OFF_LATER):
        turned = "off" if pending == OFF_LATER else "on, and is not yet"
        raise invalid_combination(
            f"{TOKEN}: encryption in transit is to be turned {turned}; let that be applied first, or take it back."
        )
    if request.get(ADD) and (begins or pending):
        raise invalid_combination(f"{ADD}: a change of encryption in transit is pending; let it be applied, or take it back.")


# --- user groups ---------------------------------------------------------------------------------------------------


def _without_groups(desired: GroupDesired, request: Mapping[str, Any]) -> GroupDesired:
    """Raises InvalidParameterValue, InvalidParameterCombination."""
    fewer = [folded(name) for name in request.get(REMOVE) or ()]
    if fewer and request.get(REMOVE_ALL):
        raise invalid_combination(f"{REMOVE_ALL} removes all user groups; leave {REMOVE} out.")
    for name in fewer:
        if name != desired.user_group:
            raise invalid_value(f"{REMOVE}: the cache does not have the user group {quoted(name)}; leave it out.")
    return replace(desired, user_group="") if fewer or request.get(REMOVE_ALL) else desired


async def _moved_in(
    context: Context, left: GroupDesired, versions: Sequence[Version], more: Sequence[str], strategy: str
) -> Access:
    if left.user_group and [folded(name) for name in more] != [left.user_group]:
        raise invalid_combination(
            f"{ADD}: a cache has one user group, and this one has {left.user_group}; name that in {REMOVE}, too."
        )
    if left.auth is not None and strategy != DELETE:
        raise invalid_combination(
            f"{ADD}: the cache has an AUTH token; give {STRATEGY}={DELETE} as well, with which it moves to the user group."
        )
    if left.auth is None and strategy:
        raise invalid_combination(f"{STRATEGY}: the cache has no AUTH token; leave it out.")
    return await _with_group(context, replace(left, auth=None), versions, more, ADD)


async def _with_group(
    context: Context, desired: GroupDesired, versions: Sequence[Version], asked: Sequence[str], field: str
) -> Access:
    """versions: of which nodes are or become."""
    if len(asked) != 1:
        raise invalid_value(f"{field} names {len(asked)} user groups; a cache has at most one.")
    if desired.shape is Shape.MEMCACHED:
        raise invalid_combination(f"{field}: Memcached has no users; leave it out.")
    if not desired.transit:
        raise invalid_combination(_NO_TLS)
    if desired.transit == PREFERRED:
        raise invalid_combination("Transit encryption preferred is not supported with redis access control.")
    book = await load_book(context)
    group = find_user_group(book, asked[0], field)
    require_active(book, group.key.name)
    await _check_group(context, book, group, versions, field)
    return Access(replace(desired, user_group=group.key.name), group)


async def check_upgrade(context: Context, before: GroupRow, after: GroupRow) -> None:
    """Whether engines that the cache did not have before let in the users that it has. Whoever changes these users meanwhile
    writes the cache's row, too. Raises InvalidParameterCombination, InvalidParameterValue, ServiceUnavailable."""
    fresh = [version for version in versions_of(after) if version not in versions_of(before)]
    if not (fresh and before.desired.user_group and before.desired.user_group == after.desired.user_group):
        return  # nothing new, or nobody; of a group that is new to it, all versions were asked
    book = await load_book(context)
    group = find_user_group(book, after.desired.user_group)
    await _check_group(context, book, group, fresh, "EngineVersion")


async def _check_group(context: Context, book: Book, group: UserGroupRow, versions: Sequence[Version], field: str) -> None:
    check_engines(group.desired.engine, versions, field)
    await check_users(context, installed(context, versions), members_of(group.desired, book.desired_users()), field)


# --- AUTH tokens ---------------------------------------------------------------------------------------------------


def _check_token_possible(desired: GroupDesired) -> None:
    if desired.shape is Shape.MEMCACHED:
        raise invalid_combination(f"{TOKEN}: Memcached has no AUTH; leave it out.")
    if not desired.transit:
        raise invalid_combination(
            f"{TOKEN}: an AUTH token needs encryption in transit, or it could be read on its way; set TransitEncryptionEnabled "
            "to true."
        )


def _with_token(left: GroupDesired, before: GroupDesired, token: str, strategy: str, now: float) -> GroupDesired:
    """left: without the user groups that go. before: with them. Raises InvalidParameterValue, InvalidParameterCombination."""
    if not token:
        raise invalid_combination(f"{STRATEGY}: {strategy} needs a token; give {TOKEN}.")
    _check_token_possible(left)
    if left.engine is Engine.REDIS and version_numbers(left.engine_version) < _FIRST_REDIS:
        raise invalid_combination(f"{TOKEN}: tokens can be changed from Redis OSS 5.0.6 on.")
    if left.user_group:
        raise invalid_combination(
            f"{TOKEN}: the cache has the user group {left.user_group}; give {REMOVE_ALL}=true as well, and {STRATEGY}={ROTATE}."
        )
    digest, known = asked_token(token), left.auth
    if strategy == SET:
        if known is None:
            raise invalid_combination(f"{STRATEGY}: {SET} comes after {ROTATE}; rotate to this token first.")
        if digest != known.sha256[-1]:
            raise invalid_value(f"Invalid AuthToken provided. {SET} takes the token that was last given with {ROTATE}.")
        kept = AuthTokens((digest,), True, known.changed_at)
    else:
        tokens = () if known is None else tuple(one for one in known.sha256 if one != digest)
        # Who came from a user group had to show something, and has to go on; who came from nothing is let in until SET.
        required = bool(before.user_group) if known is None else known.required
        kept = AuthTokens((*tokens, digest)[-2:], required, now if known is None else known.changed_at)
    return left if kept == known else replace(left, auth=replace(kept, changed_at=now))


# --- what is shown -------------------------------------------------------------------------------------------------


def token_view(row: GroupRow) -> dict[str, Any]:
    """Members of ReplicationGroup and CacheCluster."""
    auth = row.desired.auth
    return (
        {"AuthTokenEnabled": False}
        if auth is None
        else {
            "AuthTokenEnabled": True,
            "AuthTokenLastModifiedDate": auth.changed_at,
        }
    )


def pending_token(row: GroupRow) -> dict[str, Any]:
    """Member of PendingModifiedValues while some node has other tokens."""
    known, auth = row.memory.admitted, row.desired.auth
    if known is None or auth is None or (known.tokens, known.required) == (auth.sha256, auth.required):
        return {}
    return {"AuthTokenStatus": "SETTING" if auth.required and len(auth.sha256) == 1 else "ROTATING"}


def pending_groups(row: GroupRow) -> dict[str, Any]:
    """Member of PendingModifiedValues while some node has the users of another group."""
    known, asked = row.memory.admitted, row.desired.user_group
    if known is None or known.user_group == asked:
        return {}
    return {
        "UserGroups": {
            "UserGroupIdsToAdd": [asked] if asked else [],
            "UserGroupIdsToRemove": [known.user_group] if known.user_group else [],
        }
    }


def refuse_retained(row: GroupRow) -> None:
    """A cluster of its own cannot have a user group. Raises InvalidParameterCombination."""
    if row.desired.user_group:
        raise invalid_combination(
            f"RetainPrimaryCluster: {row.key.name} has the user group {row.desired.user_group}, which a cluster of its own "
            f"cannot have; remove it first ({REMOVE_ALL} in ModifyReplicationGroup)."
        )
