"""Users of a cache and its next engine: neither comes that does not take the other."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from cachefleet.engine_interfaces import Build
from cachefleet.engines.capabilities import capabilities
from cachefleet.model.group import Engine, Form, Settled
from tests.component.api_groups.access_stage import admit, create_user, secured
from tests.component.api_groups.stage import GroupStage, on_groups
from tests.fakes.access import REDIS_ONLY
from tests.fakes.catalogue import StaticCatalogue

MODIFY = "ModifyReplicationGroup"
COMBINATION, VALUE = "InvalidParameterCombination", "InvalidParameterValue"
OLD, NEW = f"on ~a +get {REDIS_ONLY}", "on ~a +get (~b +set)"  # what Valkey does not take, and what Redis 6 does not


async def modify(stage: GroupStage, **request: Any) -> None:
    await stage.call(MODIFY, ReplicationGroupId="demo", **request)


async def refused(stage: GroupStage, code: str, rule: str, **request: Any) -> None:
    """And nothing has changed."""
    before = await stage.row(stage.key("demo"))
    await stage.refused(code, rule, MODIFY, ReplicationGroupId="demo", **request)
    assert await stage.row(stage.key("demo")) == before


async def of_6_2(stage: GroupStage, *users: str) -> None:
    """A cache of Redis 6.2 that lets these in."""
    await stage.call("CreateUserGroup", UserGroupId="team", Engine="redis", UserIds=["default", *users])
    await secured(stage, EngineVersion="6.2", UserGroupIds=["team"])


@on_groups
async def test_no_engine_comes_that_does_not_take_a_users_string(stage: GroupStage) -> None:
    await create_user(stage, "first")
    await create_user(stage, "old-one", AccessString=OLD)
    await of_6_2(stage, "first", "old-one")
    asked = {"Engine": "valkey", "EngineVersion": "9.1"}
    why = r"valkey 9\.1\.2 does not take it: '.redisonly'"
    for when in ({"ApplyImmediately": True}, {}):
        rule = f"^InvalidParameterValue: EngineVersion: the access string of user old-one: {why}.*ModifyUser"
        await refused(stage, VALUE, rule, **asked, **when)
    await modify(stage, EngineVersion="6.2", ApplyImmediately=True)  # what it has
    await stage.call("ModifyUser", UserId="old-one", AccessString="on ~a +get")
    await admit(stage)
    await modify(stage, **asked, ApplyImmediately=True)
    assert (await stage.row(stage.key("demo"))).desired.engine_version == "9.1.2"


@on_groups
async def test_no_user_comes_whom_the_engine_that_waits_does_not_take(stage: GroupStage) -> None:
    await create_user(stage, "app")
    await create_user(stage, "old-one", AccessString=OLD)
    await of_6_2(stage, "app")
    await stage.call("CreateUserGroup", UserGroupId="other", Engine="redis", UserIds=["default", "old-one"])
    await modify(stage, Engine="valkey", EngineVersion="9.1")
    swap = {"UserGroupIdsToAdd": ["other"], "UserGroupIdsToRemove": ["team"]}
    why = r"valkey 9\.1\.2 does not take it: '.redisonly'"
    await refused(stage, VALUE, f"UserGroupIdsToAdd: the access string of user old-one: {why}", **swap)
    more = {"UserGroupId": "team", "UserIdsToAdd": ["old-one"]}
    await stage.refused(VALUE, f"UserIdsToAdd: the access string of user old-one: {why}", "ModifyUserGroup", **more)
    await stage.refused(VALUE, why, "ModifyUser", UserId="app", AccessString=OLD)
    await stage.refused(VALUE, r"redis 6\.2\.14", "ModifyUser", UserId="app", AccessString=NEW)
    await modify(stage, Engine="redis", EngineVersion="6.2")
    await stage.call("ModifyUserGroup", **more)


@on_groups
async def test_as_long_as_nodes_of_the_old_engine_run_or_may_again_users_must_suit_them(stage: GroupStage) -> None:
    await create_user(stage, "app")
    await of_6_2(stage, "app")
    row = await stage.row(stage.key("demo"))
    old = Form(Engine.REDIS, "6.2.14", 6379, transit="required")
    settled = Settled(old, row.desired.parameter_group, "default", row.desired.node_type)
    await stage.write(replace(row, memory=replace(row.memory, settled=settled)))
    await modify(stage, EngineVersion="7.0", ApplyImmediately=True)
    await stage.refused(VALUE, r"redis 6\.2\.14 does not take it", "ModifyUser", UserId="app", AccessString=NEW)
    row = await stage.row(stage.key("demo"))
    nodes = {name: replace(node, form=old) for name, node in row.memory.nodes.items()}
    await stage.write(replace(row, memory=replace(row.memory, settled=None, nodes=nodes)))
    await stage.refused(VALUE, r"redis 6\.2\.14 does not take it", "ModifyUser", UserId="app", AccessString=NEW)
    row = await stage.row(stage.key("demo"))
    nodes = {name: replace(node, form=replace(old, version="7.0.15")) for name, node in row.memory.nodes.items()}
    await stage.write(replace(row, memory=replace(row.memory, nodes=nodes)))
    await stage.call("ModifyUser", UserId="app", AccessString=NEW)


@on_groups
async def test_the_users_may_go_with_the_old_engine(stage: GroupStage) -> None:
    await create_user(stage, "old-one", AccessString=OLD)
    await of_6_2(stage, "old-one")
    await modify(stage, Engine="valkey", EngineVersion="9.1", RemoveUserGroups=True, ApplyImmediately=True)
    row = await stage.row(stage.key("demo"))
    assert (row.desired.engine_version, row.desired.user_group) == ("9.1.2", "")


@on_groups
async def test_a_group_of_valkey_keeps_its_cache_from_going_back_to_redis(stage: GroupStage) -> None:
    await create_user(stage, "app", Engine="valkey")
    builds = [
        Build(engine, version, f"/nowhere/{engine}", "PATH", capabilities(engine, version) | {"tls"})
        for engine, version in ((Engine.VALKEY, "7.2.4"), (Engine.REDIS, "7.1.0"))
    ]
    stage.context = replace(stage.context, catalogue=StaticCatalogue(builds))
    await stage.call("CreateUserGroup", UserGroupId="team", Engine="valkey", UserIds=["app"])
    tls = {"TransitEncryptionEnabled": True, "UserGroupIds": ["team"]}
    await stage.create_group(Engine="valkey", EngineVersion="7.2", **tls)
    await stage.settle()
    await admit(stage)
    back = {"Engine": "redis", "EngineVersion": "7.1", "ApplyImmediately": True}
    await refused(stage, COMBINATION, "EngineVersion: a user group of the engine valkey cannot be used with Redis OSS", **back)
    await modify(stage, **back, RemoveUserGroups=True)
