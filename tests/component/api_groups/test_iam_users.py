"""Users of caches who show IAM tokens, as the API has them: who can be one, which caches can have them, what says why not."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from tests.component.api_groups.access_stage import PASSWORD, admit, attached, create_user, secured, user, with_tls
from tests.component.api_groups.stage import NODE_TYPE, GroupStage, on_groups

COMBINATION, VALUE = "InvalidParameterCombination", "InvalidParameterValue"
IAM: dict[str, Any] = {"Type": "iam"}
VALKEY = {"Engine": "valkey", "EngineVersion": "8.1"}
NEW = {"ReplicationGroupId": "demo", "ReplicationGroupDescription": "d", "CacheNodeType": NODE_TYPE, "NumCacheClusters": 1}


async def create_iam_user(stage: GroupStage, user_id: str = "anna", **request: Any) -> dict[str, Any]:
    return await create_user(stage, user_id, Passwords=None, AuthenticationMode=IAM, **request)


@on_groups
async def test_a_user_has_its_id_as_its_name(stage: GroupStage) -> None:
    made = await create_iam_user(stage)
    assert (made["Authentication"], made["MinimumEngineVersion"]) == ({"Type": "iam"}, "7.0")
    both = {"AuthenticationMode": IAM, "Engine": "valkey", "AccessString": "on ~* +@all"}
    await stage.refused(VALUE, "the id is bert, so must the name be", "CreateUser", UserId="bert", UserName="b", **both)
    await create_user(stage, "carl", UserName="other")
    await stage.refused(VALUE, "the id is carl", "ModifyUser", UserId="carl", AuthenticationMode=IAM)
    with_password = {"Type": "iam", "Passwords": [PASSWORD]}
    await stage.refused(COMBINATION, "Passwords", "ModifyUser", UserId="anna", AuthenticationMode=with_password)


@on_groups
async def test_a_user_shows_tokens_then_a_password_then_tokens(stage: GroupStage) -> None:
    await create_user(stage, "anna", Engine="valkey")
    await stage.call("CreateUserGroup", UserGroupId="team", Engine="valkey", UserIds=["anna"])
    await secured(stage, **VALKEY, UserGroupIds=["team"])
    for mode, shown in (
        (IAM, {"Type": "iam"}),
        ({"Type": "password", "Passwords": [PASSWORD]}, {"Type": "password", "PasswordCount": 1}),
        (IAM, {"Type": "iam"}),
    ):
        changed = await stage.call("ModifyUser", UserId="anna", AuthenticationMode=mode)
        assert (changed["Authentication"], changed["Status"]) == (shown, "modifying")
        await admit(stage)
        assert (await user(stage, "anna"))["Authentication"] == shown
        assert (await user(stage, "anna"))["Status"] == "active"


@on_groups
async def test_engines_that_cannot_check_tokens_are_refused_and_others_named(stage: GroupStage) -> None:
    with_tls(stage)
    await create_iam_user(stage, Engine="redis")
    await stage.call("CreateUserGroup", UserGroupId="team", Engine="redis", UserIds=["default", "anna"])
    for version in ("7.0", "6.2"):
        await stage.refused(
            COMBINATION,
            rf"UserGroupIds: anna authenticates with IAM, .* Redis OSS {version}\S* does not. "
            r"Installed ones that do: Valkey 9\.1\.2, Valkey 8\.1\.4\.",
            "CreateReplicationGroup",
            **NEW,
            TransitEncryptionEnabled=True,
            Engine="redis",
            EngineVersion=version,
            UserGroupIds=["team"],
        )
    await stage.call("CreateReplicationGroup", **NEW, TransitEncryptionEnabled=True, **VALKEY, UserGroupIds=["team"])


@on_groups
async def test_a_cache_that_cannot_check_tokens_gets_no_such_user(stage: GroupStage) -> None:
    await create_user(stage, "app")
    await create_iam_user(stage, Engine="redis")
    await attached(stage, "default", "app")
    await stage.refused(COMBINATION, "anna auth.* with IAM", "ModifyUserGroup", UserGroupId="team", UserIdsToAdd=["anna"])
    await stage.refused(COMBINATION, "app authenticates with IAM", "ModifyUser", UserId="app", AuthenticationMode=IAM)


@on_groups
async def test_a_machine_that_cannot_make_the_module_says_why(stage: GroupStage) -> None:
    async def why() -> str:
        return "no compiler is there"

    await create_user(stage, "app", Engine="valkey")
    await create_iam_user(stage, Engine="valkey")
    for name, users in (("team", ["app"]), ("tokens", ["anna"])):
        await stage.call("CreateUserGroup", UserGroupId=name, Engine="valkey", UserIds=users)
    await secured(stage, **VALKEY, UserGroupIds=["team"])
    stage.context = replace(stage.context, refuses_tokens=why)
    rule = "anna authenticates with IAM, which engines here cannot check: no compiler is there"
    other = {**NEW, "ReplicationGroupId": "other", "TransitEncryptionEnabled": True, **VALKEY}
    await stage.refused(COMBINATION, rule, "CreateReplicationGroup", **other, UserGroupIds=["tokens"])
    await stage.refused(COMBINATION, rule, "ModifyUserGroup", UserGroupId="team", UserIdsToAdd=["anna"])
    rule = rule.replace("anna", "app")
    await stage.refused(COMBINATION, rule, "ModifyUser", UserId="app", AuthenticationMode=IAM)
    assert (await user(stage, "app"))["Authentication"]["Type"] == "password"


@on_groups
async def test_tokens_need_encryption_in_transit(stage: GroupStage) -> None:
    with_tls(stage)
    await create_iam_user(stage, Engine="valkey")
    await stage.call("CreateUserGroup", UserGroupId="tokens", Engine="valkey", UserIds=["anna"])
    more = {**NEW, **VALKEY, "UserGroupIds": ["tokens"]}
    await stage.refused(COMBINATION, "requires encryption-in-transit", "CreateReplicationGroup", **more)
    preferred = {"TransitEncryptionEnabled": True, "TransitEncryptionMode": "preferred"}
    await stage.refused(COMBINATION, "preferred is not supported", "CreateReplicationGroup", **more, **preferred)
    await secured(stage, **VALKEY, UserGroupIds=["tokens"])
    for change in ({"TransitEncryptionEnabled": False}, {"TransitEncryptionMode": "preferred"}):
        request = {"ReplicationGroupId": "demo", "ApplyImmediately": True, **change}
        await stage.refused(COMBINATION, "access control", "ModifyReplicationGroup", **request)


@on_groups
async def test_users_of_all_kinds_are_in_one_group(stage: GroupStage) -> None:
    await create_user(stage, "app")
    await create_iam_user(stage, Engine="redis")
    await create_iam_user(stage, "bert", Engine="valkey")
    await stage.call("CreateUserGroup", UserGroupId="team", Engine="valkey", UserIds=["anna", "app", "bert"])
    await secured(stage, **VALKEY, UserGroupIds=["team"])
    assert (await stage.group())["UserGroupIds"] == ["team"]
