"""CreateUserGroup, ModifyUserGroup, DeleteUserGroup, DescribeUserGroups: who goes together, what is under way, refusals."""

from __future__ import annotations

from msgspec.structs import replace

from tests.component.api_groups.access_stage import ACCESS, admit, attached, create_user, user
from tests.component.api_groups.stage import BusyStore, GroupStage, on_groups, one

MODIFY = "ModifyUserGroup"


@on_groups
async def test_a_group_is_created_and_shown(stage: GroupStage) -> None:
    await create_user(stage, "app", AccessString="on ~a +get (~b +set)")
    made = await stage.call("CreateUserGroup", UserGroupId="Team", Engine="REDIS", UserIds=["app", "DEFAULT"])
    assert made == {
        "UserGroupId": "team",
        "Status": "creating",
        "Engine": "redis",
        "UserIds": ["app", "default"],
        "MinimumEngineVersion": "7.0",
        "ReplicationGroups": [],
        "ServerlessCaches": [],
        "ARN": "arn:aws:elasticache:local-1:000000000000:usergroup:team",
    }
    shown = one(await stage.call("DescribeUserGroups", UserGroupId="TEAM"))
    assert shown == {**made, "Status": "active"}
    assert ((await user(stage, "app"))["UserGroupIds"], (await user(stage, "default"))["UserGroupIds"]) == (["team"], ["team"])


@on_groups
async def test_which_users_go_together(stage: GroupStage) -> None:
    for user_id, request in (
        ("app", {}),
        ("twin", {"UserName": "app"}),
        ("open", {"Passwords": None, "NoPasswordRequired": True}),
        ("vk", {"Engine": "valkey"}),
        ("iam", {"Passwords": None, "AuthenticationMode": {"Type": "iam"}}),
    ):
        await create_user(stage, user_id, **request)
    for code, rule, engine, users in (
        ("DefaultUserRequired", "name default", "redis", ["app"]),
        ("DefaultUserRequired", "name default", "redis", []),
        ("DuplicateUserName", "app and twin", "redis", ["app", "twin", "default"]),
        ("InvalidParameterCombination", "engine valkey", "redis", ["vk", "default"]),
        ("InvalidParameterCombination", "no password", "valkey", ["open"]),
        ("InvalidParameterCombination", "no password", "valkey", ["default"]),
        ("UserNotFound", "nobody", "redis", ["nobody", "default"]),
        ("InvalidParameterValue", "twice", "redis", ["default", "default"]),
        ("InvalidParameterValue", "use redis or valkey", "memcached", ["default"]),
    ):
        await stage.refused(code, rule, "CreateUserGroup", UserGroupId="team", Engine=engine, UserIds=users)
    await stage.call("CreateUserGroup", UserGroupId="team", Engine="valkey", UserIds=["app", "vk", "iam"])
    await stage.refused(
        "UserGroupAlreadyExists", "team", "CreateUserGroup", UserGroupId="team", Engine="valkey", UserIds=["vk"]
    )


@on_groups
async def test_as_many_as_may_be(stage: GroupStage) -> None:
    settings = stage.context.settings
    stage.use(replace(settings, api=replace(settings.api, user_groups=1, users_per_group=1)))
    await create_user(stage, "app")
    request = {"Engine": "redis", "UserIds": ["default"]}
    await stage.refused(
        "InvalidParameterValue", "at most 1", "CreateUserGroup", UserGroupId="a", Engine="redis", UserIds=["app", "default"]
    )
    await stage.call("CreateUserGroup", UserGroupId="a", **request)
    await stage.refused("UserGroupQuotaExceeded", "api.user_groups", "CreateUserGroup", UserGroupId="b", **request)


@on_groups
async def test_a_change_is_pending_until_the_caches_show_it(stage: GroupStage) -> None:
    for name in ("app", "new"):
        await create_user(stage, name)
    await attached(stage, "default", "app")
    assert one(await stage.call("DescribeUserGroups"))["ReplicationGroups"] == ["demo"]
    changed = await stage.call(MODIFY, UserGroupId="team", UserIdsToAdd=["new"], UserIdsToRemove=["app"])
    assert (changed["Status"], changed["UserIds"]) == ("modifying", ["default", "new"])
    assert changed["PendingChanges"] == {"UserIdsToAdd": ["new"], "UserIdsToRemove": ["app"]}
    assert (await stage.group())["Status"] == "modifying"
    assert stage.woken == [stage.key("demo")]
    await stage.refused("InvalidUserGroupState", "modifying", MODIFY, UserGroupId="team", UserIdsToAdd=["app"])
    await admit(stage)
    shown = one(await stage.call("DescribeUserGroups"))
    assert shown["Status"] == "active"
    assert "PendingChanges" not in shown


@on_groups
async def test_changes_that_are_none_or_cannot_be(stage: GroupStage) -> None:
    await create_user(stage, "app")
    await create_user(stage, "iam", Passwords=None, AuthenticationMode={"Type": "iam"})
    await create_user(stage, "vk", Engine="valkey")
    await attached(stage, "default", "app")
    for code, rule, request in (
        ("InvalidParameterCombination", "neither", {}),
        ("InvalidParameterValue", "already", {"UserIdsToAdd": ["app"]}),
        ("InvalidParameterValue", "not a member", {"UserIdsToRemove": ["vk"]}),
        ("UserNotFound", "nobody", {"UserIdsToAdd": ["nobody"]}),
        ("InvalidParameterCombination", "both name", {"UserIdsToAdd": ["vk"], "UserIdsToRemove": ["vk"]}),
        ("DefaultUserRequired", "default", {"UserIdsToRemove": ["default"]}),
        ("InvalidParameterCombination", "IAM", {"UserIdsToAdd": ["iam"]}),
        ("InvalidParameterCombination", "engine valkey", {"UserIdsToAdd": ["vk"]}),
        ("InvalidParameterCombination", "Redis OSS", {"Engine": "valkey", "UserIdsToRemove": ["default"]}),
    ):
        await stage.refused(code, rule, MODIFY, UserGroupId="team", **request)
    await stage.refused("UserGroupNotFound", "none", MODIFY, UserGroupId="none", UserIdsToAdd=["app"])
    assert one(await stage.call("DescribeUserGroups"))["UserIds"] == ["app", "default"]


@on_groups
async def test_a_group_that_is_used_cannot_be_deleted(stage: GroupStage) -> None:
    await attached(stage, "default")
    await stage.refused("InvalidUserGroupState", "demo", "DeleteUserGroup", UserGroupId="team")
    await stage.call("ModifyReplicationGroup", ReplicationGroupId="demo", RemoveUserGroups=True)
    await stage.refused("InvalidUserGroupState", "demo", "DeleteUserGroup", UserGroupId="team")
    await admit(stage)
    assert (await stage.call("DeleteUserGroup", UserGroupId="team"))["Status"] == "deleting"
    await stage.refused("UserGroupNotFound", "team", "DescribeUserGroups", UserGroupId="team")


@on_groups
async def test_tags_of_users_and_groups(stage: GroupStage) -> None:
    await create_user(stage, "app")
    group = await stage.call("CreateUserGroup", UserGroupId="team", Engine="redis", UserIds=["default"])
    for arn in (group["ARN"], (await user(stage, "app"))["ARN"]):
        await stage.call("AddTagsToResource", ResourceName=arn, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
        await stage.call("RemoveTagsFromResource", ResourceName=arn, TagKeys=["a"])
        assert (await stage.call("ListTagsForResource", ResourceName=arn))["TagList"] == [{"Key": "b", "Value": "2"}]
        for code in ("UserGroupNotFound" if ":usergroup:" in arn else "UserNotFound",):
            await stage.refused(code, "none", "ListTagsForResource", ResourceName=arn.rpartition(":")[0] + ":none")


@on_groups
async def test_whoever_changes_the_same_rows_at_once_looks_again(stage: GroupStage) -> None:
    await create_user(stage, "app")
    await attached(stage, "default", "app")
    stage.context = replace(stage.context, store=BusyRows(stage.store, 5))
    changed = await stage.call("ModifyUser", UserId="app", AccessString=ACCESS + " +set")
    assert changed["AccessString"] == ACCESS + " +set"


class BusyRows(BusyStore):
    """Group rows are written right after each of the first `turns` listings."""

    async def rows(self, *args: object, **more: object) -> object:
        found = await self._store.rows(*args, **more)  # type: ignore[arg-type]
        for row in found if found and hasattr(found[0].desired, "shards") else ():
            await self._and_write(row)
        return found
