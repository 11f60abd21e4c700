"""Users, user groups and caches that use them, with the controller's part played by hand; engines that all can do TLS."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from cachefleet.model.access import Admitted, AuthTokens, admitted_users
from cachefleet.model.group import Engine
from cachefleet.model.resource import Kind
from cachefleet.model.row import GroupRow
from cachefleet.planning.users import users_of_group, users_without_group
from tests.component.api_groups.stage import GroupStage, one
from tests.fakes.catalogue import BUILDS, StaticCatalogue

_CALLBACKS = {Engine.VALKEY: ("auth-callback",)}
PASSWORD, OTHER = "a-password-of-16", "another-password"
ACCESS = "on ~app::* -@all +@read"


async def create_user(stage: GroupStage, user_id: str = "reader", **request: Any) -> dict[str, Any]:
    request = {"UserName": user_id, "Engine": "redis", "AccessString": ACCESS, "Passwords": [PASSWORD], **request}
    return await stage.call(
        "CreateUser", UserId=user_id, **{name: value for name, value in request.items() if value is not None}
    )


async def user(stage: GroupStage, user_id: str) -> dict[str, Any]:
    return one(await stage.call("DescribeUsers", UserId=user_id))


def with_tls(stage: GroupStage) -> None:
    """Every engine that is installed can do TLS, and lets modules check tokens where it is Valkey."""
    able = [replace(build, capabilities=build.capabilities | {"tls", *_CALLBACKS.get(build.engine, ())}) for build in BUILDS]
    stage.context = replace(stage.context, catalogue=StaticCatalogue(able))


async def secured(stage: GroupStage, **request: Any) -> dict[str, Any]:
    """A cache with encryption in transit, which the controller has built and told whom to let in."""
    with_tls(stage)
    request = {"TransitEncryptionEnabled": True, "Engine": "redis", "EngineVersion": "7.0", **request}
    await stage.create_group(**request)
    await stage.settle()
    await admit(stage)
    stage.woken.clear()
    return await stage.group()


async def attached(stage: GroupStage, *users: str, engine: str = "redis") -> None:
    """A cache that lets these users in, all of it done."""
    await stage.call("CreateUserGroup", UserGroupId="team", Engine=engine, UserIds=list(users))
    await secured(stage, UserGroupIds=["team"])


async def admit(stage: GroupStage, name: str = "demo") -> GroupRow:
    """The controller has told all nodes whom to let in."""
    row = await stage.row(stage.key(name))
    users = users_without_group(row.desired)
    if row.desired.user_group:
        group = await stage.store.get(stage.key(row.desired.user_group, Kind.USER_GROUP))
        assert group is not None
        known = {found.key.name: found.desired for found in await stage.store.rows(Kind.USER, stage.context.scope)}
        users = users_of_group(group.desired, known)
    auth = row.desired.auth or AuthTokens((), False, 0.0)
    admitted = Admitted("as wanted", admitted_users(users), row.desired.user_group, auth.sha256, auth.required)
    memory = replace(row.memory, admitted=admitted)
    return await stage.write(replace(row, memory=memory, status=replace(row.status, state="available")))
