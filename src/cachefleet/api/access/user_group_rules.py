"""Which users go together in a user group, and which user groups with which caches (reference 3.3, 10.5).

Pure but for access strings, which the engine of a cache has to take. Called by the operations on users, user groups and groups.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from cachefleet.api.access.user_inputs import readings
from cachefleet.api.context import Context
from cachefleet.api.updates.engine_upgrades import Version
from cachefleet.engine_interfaces import Build
from cachefleet.model.errors import AwsError, invalid_combination, invalid_value
from cachefleet.model.group import Engine
from cachefleet.model.row import GroupRow
from cachefleet.model.user import DEFAULT_USER, Authentication, UserDesired, UserEngine, UserGroupDesired
from cachefleet.reference.engines import DESCRIPTIONS, version_numbers


def check_members(engine: UserEngine, users: Mapping[str, UserDesired], at_most: int) -> None:
    """users: of the group as it shall be, by id. Raises InvalidParameterValue, InvalidParameterCombination, DuplicateUserName,
    DefaultUserRequired."""
    if len(users) > at_most:
        raise invalid_value(f"UserIds: a user group has at most {at_most} users; these would be {len(users)}.")
    names: dict[str, str] = {}
    for user_id, user in users.items():
        if user.user_name in names:
            raise AwsError(
                "DuplicateUserName",
                f"UserIds: {names[user.user_name]} and {user_id} both have the user name {user.user_name}; a user group has "
                "each name once.",
            )
        names[user.user_name] = user_id
        _check_member(engine, user_id, user)
    if engine is UserEngine.REDIS and DEFAULT_USER not in names:
        raise AwsError(
            "DefaultUserRequired",
            f"UserIds: a user group of the engine redis needs a user with the name {DEFAULT_USER}; add the built-in user "
            f"{DEFAULT_USER} or one of your own with that name.",
        )


def _check_member(engine: UserEngine, user_id: str, user: UserDesired) -> None:
    if engine is UserEngine.REDIS and user.engine is UserEngine.VALKEY:
        raise invalid_combination(f"UserIds: {user_id} is a user of the engine valkey, who cannot be in a group of redis.")
    if engine is UserEngine.VALKEY and user.authentication is Authentication.NO_PASSWORD:
        raise invalid_combination(
            f"UserIds: {user_id} needs no password; users of a group of the engine valkey have a password or use IAM."
        )


def check_engines(engine: UserEngine, versions: Iterable[Version], field: str) -> None:
    """Whether a cache of these, now or later, can have a group of this engine. Raises InvalidParameterCombination."""
    for cache, version in versions:
        _check_engine(engine, cache, version, field)


def _check_engine(engine: UserEngine, cache: Engine, version: str, field: str) -> None:
    if cache is Engine.REDIS and engine is UserEngine.VALKEY:
        raise invalid_combination(
            f"{field}: a user group of the engine valkey cannot be used with Redis OSS; use one of redis."
        )
    if cache is Engine.REDIS and version_numbers(version) < (6,):
        raise invalid_combination(f"{field}: user groups need Redis OSS 6.0 or newer; this is {version}.")


async def check_users(
    context: Context, builds: Sequence[Build], users: Mapping[str, UserDesired], field: str = "UserGroupIds"
) -> None:
    """Whether caches with these engines can let these users in. Raises InvalidParameterCombination, InvalidParameterValue,
    ServiceUnavailable."""
    if not (builds and users):
        return
    for user_id, user in users.items():
        if user.authentication is Authentication.IAM:
            await _check_tokens(context, builds, user_id, field)
    found = await readings(context, [user.access_string for user in users.values()], builds, field)
    for user_id, reading in zip(users, found, strict=True):
        if reading.refusal:
            raise invalid_value(
                f"{field}: the access string of user {user_id}: {reading.refusal}. Change it (ModifyUser), or take "
                "the user out of the user group."
            )


async def _check_tokens(context: Context, builds: Sequence[Build], user_id: str, field: str) -> None:
    """Whether these engines can check IAM tokens (reference 10.3)."""
    for build in builds:
        if "auth-callback" not in build.capabilities:
            able = ", ".join(_spoken(one) for one in context.catalogue.builds() if "auth-callback" in one.capabilities)
            raise invalid_combination(
                f"{field}: {user_id} authenticates with IAM, which needs an engine whose modules may let users in (Valkey, "
                f"Redis OSS from 7.2); {_spoken(build)} does not. Installed ones that do: {able or 'none'}."
            )
    why = await context.refuses_tokens()
    if why:
        raise invalid_combination(f"{field}: {user_id} authenticates with IAM, which engines here cannot check: {why}.")


def _spoken(build: Build) -> str:
    return f"{DESCRIPTIONS[build.engine.value]} {build.version}"


def versions_of(row: GroupRow) -> tuple[Version, ...]:
    """Of which the cache's nodes are, or become without anybody's asking again, each once: as asked for, as is pending, as they
    run, and as they all did before a change that may be taken back."""
    desired, memory, pending = row.desired, row.memory, row.desired.pending
    found = [(desired.engine, desired.engine_version)]
    if pending is not None and pending.engine_version:
        found.append((Engine(pending.engine or desired.engine), pending.engine_version))
    forms = [node.form for node in memory.nodes.values()]
    forms += [memory.settled.form] if memory.settled is not None else []
    found += [(form.engine, form.version) for form in forms if form is not None]
    return tuple(dict.fromkeys(found))


def installed(context: Context, versions: Iterable[Version]) -> list[Build]:
    """The builds of these, each once."""
    found = (context.catalogue.exact(*version) for version in versions)
    return list({build.binary: build for build in found if build is not None}.values())


def builds_of(context: Context, caches: Iterable[GroupRow]) -> list[Build]:
    """Of what these caches are made, or may come to be, each once."""
    return installed(context, dict.fromkeys(version for row in caches for version in versions_of(row)))


def members_of(group: UserGroupDesired, users: Mapping[str, UserDesired]) -> dict[str, UserDesired]:
    return {user_id: users[user_id] for user_id in group.user_ids if user_id in users}
