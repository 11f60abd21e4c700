"""TransitEncryptionEnabled and TransitEncryptionMode: what is desired, what is refused, what is shown."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from cachefleet.model.group import Engine
from tests.component.api_groups.access_stage import with_tls
from tests.component.api_groups.stage import GroupStage, on_groups
from tests.fakes.catalogue import BUILDS, StaticCatalogue

ON, MODE = "TransitEncryptionEnabled", "TransitEncryptionMode"
REDIS = {"Engine": "redis", "EngineVersion": "7.0"}
COMBINATION = "InvalidParameterCombination"


def only(stage: GroupStage, *versions: str) -> None:
    """Builds of these versions can do TLS."""
    builds = [
        replace(build, capabilities=build.capabilities | {"tls"}) if build.version in versions else build for build in BUILDS
    ]
    stage.context = replace(stage.context, catalogue=StaticCatalogue(builds))


async def modify(stage: GroupStage, **request: Any) -> dict[str, Any]:
    request = {"ApplyImmediately": True, **request}
    reply = await stage.call("ModifyReplicationGroup", ReplicationGroupId="demo", **request)
    return dict(reply["ReplicationGroup"])


async def refuse(stage: GroupStage, rule: str, code: str = COMBINATION, /, **request: Any) -> None:
    request = {"ApplyImmediately": True, **request}
    await stage.refused(code, rule, "ModifyReplicationGroup", ReplicationGroupId="demo", **request)


async def wants(stage: GroupStage) -> str:
    return (await stage.row(stage.key("demo"))).desired.transit


async def refuse_creation(stage: GroupStage, rule: str, **request: Any) -> None:
    request = {"ReplicationGroupDescription": "a demo", "CacheNodeType": "cache.t4g.micro", "NumCacheClusters": 2, **request}
    await stage.refused(COMBINATION, rule, "CreateReplicationGroup", ReplicationGroupId="demo", **request)


@on_groups
async def test_at_creation(stage: GroupStage) -> None:
    with_tls(stage)
    for name, asked, expected in (
        ("a", {ON: True}, "required"),
        ("b", {ON: True, MODE: "preferred"}, "preferred"),
        ("c", {ON: False}, ""),
    ):
        view = await stage.create_group(name, **REDIS, **asked)
        assert (view[ON], view.get(MODE, "")) == (bool(expected), expected)
        assert not view["PendingModifiedValues"]
    member = await stage.cluster("a-001")
    assert (member[ON], member[MODE]) == (True, "required")


@on_groups
async def test_the_newest_version_with_tls_is_taken_when_none_is_named(stage: GroupStage) -> None:
    only(stage, "8.1.4", "7.0.15")
    await stage.create_group(**{ON: True})
    row = await stage.row(stage.key("demo"))
    assert (row.desired.engine, row.desired.engine_version) == (Engine.VALKEY, "8.1.4")


@on_groups
async def test_a_creation_is_refused(stage: GroupStage) -> None:
    only(stage, "7.0.15")
    await refuse_creation(stage, "set encryption-in-transit as enabled", **{MODE: "required"})
    await refuse_creation(stage, "engines build valkey 9.1", Engine="valkey", EngineVersion="9.1", **{ON: True})
    await refuse_creation(stage, "Installed builds with TLS: Redis OSS 7.0.15", Engine="valkey", **{ON: True})
    with_tls(stage)
    await refuse_creation(stage, "Redis OSS 7.0", Engine="redis", EngineVersion="6.2", **{ON: True, MODE: "preferred"})
    await refuse_creation(stage, "next port", **REDIS, Port=65535, **{ON: True, MODE: "preferred"})


@on_groups
async def test_one_step_at_a_time(stage: GroupStage) -> None:
    with_tls(stage)
    await stage.create_group(**REDIS)
    await stage.settle()
    await refuse(stage, "set encryption-in-transit as enabled", **{MODE: "preferred"})
    await refuse(stage, "preferred first", **{ON: True})
    await refuse(stage, "preferred first", **{ON: True, MODE: "required"})
    await refuse(stage, "preferred or required", "InvalidParameterValue", **{ON: True, MODE: "both"})
    view = await modify(stage, **{ON: True, MODE: "preferred"})
    assert view["Status"] == "modifying"
    assert await wants(stage) == "preferred"
    await refuse(stage, "demo", "InvalidReplicationGroupState", **{MODE: "required"})
    await stage.settle()
    await refuse(stage, "set encryption-in-transit as enabled", **{ON: False, MODE: "required"})
    await modify(stage, **{MODE: "required"})
    assert await wants(stage) == "required"
    await stage.settle()
    await refuse(stage, "preferred first", **{ON: False})
    await modify(stage, **{MODE: "preferred"})
    await stage.settle()
    await modify(stage, **{ON: False})
    assert await wants(stage) == ""


@on_groups
async def test_what_is_there_already_changes_nothing(stage: GroupStage) -> None:
    with_tls(stage)
    await stage.create_group(**REDIS, **{ON: True})
    await stage.settle()
    for same in ({ON: True}, {ON: True, MODE: "required"}, {MODE: "required"}):
        assert (await modify(stage, **same))["Status"] == "available"


@on_groups
async def test_it_waits_for_the_window_and_can_be_taken_back(stage: GroupStage) -> None:
    with_tls(stage)
    await stage.create_group(**REDIS)
    await stage.settle()
    view = await modify(stage, ApplyImmediately=False, **{ON: True, MODE: "preferred"})
    assert view["Status"] == "available"
    assert view["PendingModifiedValues"] == {ON: True, MODE: "preferred"}
    assert not view[ON]
    view = await modify(stage, ApplyImmediately=False, **{ON: False})
    assert not view["PendingModifiedValues"]
    assert (await stage.row(stage.key("demo"))).desired.pending is None


@on_groups
async def test_no_secret_comes_before_encryption_that_waits_or_goes_when_it_does(stage: GroupStage) -> None:
    """ApplyImmediately begins what waits: nodes know a token at once, and have other ports later."""
    with_tls(stage)
    await stage.create_group(**REDIS)
    await stage.settle()
    token = {"AuthToken": "a-token-of-16-chars", "AuthTokenUpdateStrategy": "ROTATE"}
    await modify(stage, ApplyImmediately=False, **{ON: True, MODE: "preferred"})
    await refuse(stage, "encryption in transit is to be turned on, and is not yet", **token)
    await refuse(stage, "needs encryption in transit", ApplyImmediately=False, **token)
    await modify(stage, **{ON: True, MODE: "preferred"})
    await stage.settle()
    await modify(stage, ApplyImmediately=False, **{ON: False})
    await refuse(stage, "encryption in transit is to be turned off", ApplyImmediately=False, **token)
    await modify(stage, ApplyImmediately=False, **{ON: True, MODE: "required"})
    await stage.call("CreateUserGroup", UserGroupId="team", Engine="redis", UserIds=["default"])
    for now in (True, False):
        await refuse(stage, "a change of encryption in transit is pending", ApplyImmediately=now, UserGroupIdsToAdd=["team"])
    view = await modify(stage, ApplyImmediately=False, **token)
    assert (view["AuthTokenEnabled"], view["PendingModifiedValues"].get(MODE)) == (True, "required")


@on_groups
async def test_an_engine_without_tls_is_no_way_on(stage: GroupStage) -> None:
    only(stage, "7.0.15")
    await stage.create_group(**REDIS, **{ON: True})
    await stage.settle()
    await refuse(stage, "EngineVersion: encryption in transit needs", Engine="valkey", EngineVersion="9.1")
    assert (await stage.row(stage.key("demo"))).desired.engine is Engine.REDIS
