"""AUTH tokens and user groups of caches: what is asked for becomes desired state, what is shown meanwhile, what is refused."""

from __future__ import annotations

from typing import Any

from cachefleet.model.access import AuthTokens, digest
from cachefleet.model.resource import Kind
from tests.component.api_groups.access_stage import admit, attached, create_user, secured, with_tls
from tests.component.api_groups.stage import NODE_TYPE, GroupStage, on_groups

MODIFY = "ModifyReplicationGroup"
FIRST, SECOND, THIRD = "the-first-token-of-all", "the-second-token!&#$^<>-", "the-third-token-of-all"
COMBINATION, VALUE = "InvalidParameterCombination", "InvalidParameterValue"


async def modify(stage: GroupStage, **request: Any) -> dict[str, Any]:
    reply: dict[str, Any] = (await stage.call(MODIFY, ReplicationGroupId="demo", ApplyImmediately=True, **request))[
        "ReplicationGroup"
    ]
    return reply


async def refused(stage: GroupStage, code: str, rule: str, **request: Any) -> None:
    await stage.refused(code, rule, MODIFY, ReplicationGroupId="demo", ApplyImmediately=True, **request)


async def tokens(stage: GroupStage) -> AuthTokens | None:
    return (await stage.row(stage.key("demo"))).desired.auth


@on_groups
async def test_a_token_from_the_beginning(stage: GroupStage) -> None:
    shown = await secured(stage, AuthToken=FIRST)
    assert (shown["AuthTokenEnabled"], shown["PendingModifiedValues"]) == (True, {})
    assert shown["AuthTokenLastModifiedDate"] == stage.clock.now()
    known = await tokens(stage)
    assert known is not None
    assert (known.sha256, known.required) == ((digest(FIRST),), True)
    assert (await stage.cluster("demo-001"))["AuthTokenEnabled"]
    assert FIRST not in repr(await stage.row(stage.key("demo")))


@on_groups
async def test_what_no_token_can_be(stage: GroupStage) -> None:
    with_tls(stage)
    base = {"ReplicationGroupId": "demo", "ReplicationGroupDescription": "d", "CacheNodeType": NODE_TYPE, "NumCacheClusters": 1}
    tls = {**base, "TransitEncryptionEnabled": True}
    for token in (
        "too-short",
        "x" * 129,
        "has a blank in its midst",
        'has-a-"-in-its-midst',
        "has-a-/-in-its-midst",
        "has-ä-in-its-midst",
    ):
        await stage.refused(VALUE, "Invalid AuthToken provided", "CreateReplicationGroup", **tls, AuthToken=token)
    await stage.refused(COMBINATION, "encryption in transit", "CreateReplicationGroup", **base, AuthToken=FIRST)
    await stage.refused(COMBINATION, "together", "CreateReplicationGroup", **tls, AuthToken=FIRST, UserGroupIds=["team"])
    await stage.refused(
        COMBINATION, "Memcached", "CreateCacheCluster", CacheClusterId="m", CacheNodeType=NODE_TYPE, NumCacheNodes=1,
        Engine="memcached", TransitEncryptionEnabled=True, AuthToken=FIRST,
    )  # fmt: skip


@on_groups
async def test_rotate_and_set(stage: GroupStage) -> None:
    await secured(stage, AuthToken=FIRST)
    rotating = await modify(stage, AuthToken=SECOND)
    assert (rotating["Status"], rotating["PendingModifiedValues"]) == ("modifying", {"AuthTokenStatus": "ROTATING"})
    assert (await stage.cluster("demo-001"))["PendingModifiedValues"] == {"AuthTokenStatus": "ROTATING"}
    await admit(stage)
    assert (await stage.group())["PendingModifiedValues"] == {}
    await modify(stage, AuthToken=THIRD, AuthTokenUpdateStrategy="ROTATE")
    known = await tokens(stage)
    assert known is not None
    assert known.sha256 == (digest(SECOND), digest(THIRD))
    await admit(stage)
    await refused(stage, VALUE, "Invalid AuthToken provided", AuthToken=SECOND, AuthTokenUpdateStrategy="SET")
    setting = await modify(stage, AuthToken=THIRD, AuthTokenUpdateStrategy="SET")
    assert setting["PendingModifiedValues"] == {"AuthTokenStatus": "SETTING"}
    known = await tokens(stage)
    assert known is not None
    assert (known.sha256, known.required) == ((digest(THIRD),), True)
    await admit(stage)
    stage.woken.clear()
    assert (await modify(stage, AuthToken=THIRD, AuthTokenUpdateStrategy="SET"))["Status"] == "available"
    assert stage.woken == []


@on_groups
async def test_a_cache_without_a_token_gets_one_in_two_steps(stage: GroupStage) -> None:
    await secured(stage)
    await refused(stage, COMBINATION, "comes after ROTATE", AuthToken=FIRST, AuthTokenUpdateStrategy="SET")
    await modify(stage, AuthToken=FIRST, AuthTokenUpdateStrategy="ROTATE")
    known = await tokens(stage)
    assert known is not None
    assert (known.sha256, known.required) == ((digest(FIRST),), False)
    await admit(stage)
    await modify(stage, AuthToken=FIRST, AuthTokenUpdateStrategy="SET")
    known = await tokens(stage)
    assert known is not None
    assert known.required


@on_groups
async def test_what_no_change_of_tokens_can_be(stage: GroupStage) -> None:
    await secured(stage, AuthToken=FIRST)
    await refused(stage, COMBINATION, "needs a token", AuthTokenUpdateStrategy="ROTATE")
    await refused(stage, COMBINATION, "needs a token", AuthTokenUpdateStrategy="SET")
    await refused(stage, COMBINATION, "only for moving to a user group", AuthTokenUpdateStrategy="DELETE")
    await refused(stage, COMBINATION, "only for moving", AuthToken=SECOND, AuthTokenUpdateStrategy="DELETE")
    await refused(stage, VALUE, "use ROTATE, SET or DELETE", AuthToken=SECOND, AuthTokenUpdateStrategy="FORGET")
    await refused(stage, COMBINATION, "together", AuthToken=SECOND, TransitEncryptionMode="preferred")
    await stage.create_group("plain")
    await stage.settle("plain")
    await stage.refused(COMBINATION, "encryption in transit", MODIFY, ReplicationGroupId="plain", AuthToken=FIRST)


@on_groups
async def test_from_tokens_to_users_and_back(stage: GroupStage) -> None:
    await secured(stage, AuthToken=FIRST)
    await stage.call("CreateUserGroup", UserGroupId="team", Engine="redis", UserIds=["default"])
    await refused(stage, COMBINATION, "AuthTokenUpdateStrategy=DELETE", UserGroupIdsToAdd=["team"])
    moving = await modify(stage, UserGroupIdsToAdd=["Team"], AuthTokenUpdateStrategy="DELETE")
    assert (moving["Status"], moving["AuthTokenEnabled"], moving["UserGroupIds"]) == ("modifying", False, ["team"])
    assert moving["PendingModifiedValues"] == {"UserGroups": {"UserGroupIdsToAdd": ["team"], "UserGroupIdsToRemove": []}}
    await admit(stage)
    await refused(stage, COMBINATION, "RemoveUserGroups", AuthToken=SECOND, AuthTokenUpdateStrategy="ROTATE")
    back = await modify(stage, RemoveUserGroups=True, AuthToken=SECOND, AuthTokenUpdateStrategy="ROTATE")
    assert back["PendingModifiedValues"]["UserGroups"] == {"UserGroupIdsToAdd": [], "UserGroupIdsToRemove": ["team"]}
    known = await tokens(stage)
    assert known is not None
    assert (known.sha256, known.required) == ((digest(SECOND),), True)


@on_groups
async def test_users_of_a_group_that_is_added(stage: GroupStage) -> None:
    await create_user(stage, "app", AccessString="on ~a +get (~b +set)")
    for name, users in (("team", ["default", "app"]), ("other", ["default"])):
        await stage.call("CreateUserGroup", UserGroupId=name, Engine="redis", UserIds=users)
    await secured(stage, UserGroupIds=["other"])
    await refused(stage, COMBINATION, "has one user group", UserGroupIdsToAdd=["team"])
    await refused(stage, COMBINATION, "has one user group", UserGroupIdsToAdd=["team", "other"])
    await refused(stage, VALUE, "does not have", UserGroupIdsToAdd=["team"], UserGroupIdsToRemove=["team"])
    await refused(stage, COMBINATION, "leave UserGroupIdsToRemove out", RemoveUserGroups=True, UserGroupIdsToRemove=["other"])
    swapped = await modify(stage, UserGroupIdsToAdd=["team"], UserGroupIdsToRemove=["other"])
    assert swapped["UserGroupIds"] == ["team"]
    assert swapped["PendingModifiedValues"]["UserGroups"] == {
        "UserGroupIdsToAdd": ["team"],
        "UserGroupIdsToRemove": ["other"],
    }


@on_groups
async def test_which_caches_can_have_a_user_group(stage: GroupStage) -> None:
    with_tls(stage)
    await create_user(stage, "app", AccessString="on ~a +get (~b +set)")
    for name, engine, users in (("team", "redis", ["default", "app"]), ("vk", "valkey", ["app"])):
        await stage.call("CreateUserGroup", UserGroupId=name, Engine=engine, UserIds=users)
    base = {"ReplicationGroupId": "demo", "ReplicationGroupDescription": "d", "CacheNodeType": NODE_TYPE, "NumCacheClusters": 1}
    tls = {"TransitEncryptionEnabled": True}
    redis = {"Engine": "redis", "EngineVersion": "7.0"}
    for code, rule, request in (
        (COMBINATION, "^InvalidParameterCombination: User group based access control requires", {"UserGroupIds": ["team"]}),
        (COMBINATION, "preferred is not supported", {**tls, "TransitEncryptionMode": "preferred", "UserGroupIds": ["team"]}),
        ("UserGroupNotFound", "none", {**tls, "UserGroupIds": ["none"]}),
        (VALUE, "at most one", {**tls, "UserGroupIds": ["team", "vk"]}),
        (COMBINATION, "Redis OSS", {**tls, **redis, "UserGroupIds": ["vk"]}),
        (VALUE, "access string of user app", {**tls, "Engine": "redis", "EngineVersion": "6.2", "UserGroupIds": ["team"]}),
    ):
        await stage.refused(code, rule, "CreateReplicationGroup", **base, **request)
    await stage.call("CreateReplicationGroup", **base, **tls, UserGroupIds=["vk"])


@on_groups
async def test_a_cluster_of_its_own_has_no_user_group(stage: GroupStage) -> None:
    await attached(stage, "default")
    request = {"ReplicationGroupId": "demo", "RetainPrimaryCluster": True}
    await stage.refused(COMBINATION, "user group team", "DeleteReplicationGroup", **request)


@on_groups
async def test_encryption_stays_as_it_is_while_users_are_checked(stage: GroupStage) -> None:
    await attached(stage, "default")
    await refused(stage, COMBINATION, "access control enabled clusters", TransitEncryptionEnabled=True)


@on_groups
async def test_a_lone_cluster_has_a_token(stage: GroupStage) -> None:
    with_tls(stage)
    await stage.create_cluster(Engine="redis", EngineVersion="7.0", TransitEncryptionEnabled=True, AuthToken=FIRST)
    await stage.settle("alone", Kind.CACHE_CLUSTER)
    changed = await stage.call("ModifyCacheCluster", CacheClusterId="alone", AuthToken=SECOND, ApplyImmediately=True)
    assert (changed["CacheCluster"]["AuthTokenEnabled"], changed["CacheCluster"]["CacheClusterStatus"]) == (True, "modifying")
    row = await stage.row(stage.key("alone", Kind.CACHE_CLUSTER))
    assert row.desired.auth is not None
    assert row.desired.auth.sha256 == (digest(FIRST), digest(SECOND))
    await secured(stage)
    await stage.refused(COMBINATION, "member of", "ModifyCacheCluster", CacheClusterId="demo-001", AuthToken=FIRST)
