"""CreateUser, ModifyUser, DeleteUser, DescribeUsers: rules, refusals, what is stored, and when a change counts as done."""

from __future__ import annotations

import json

from msgspec.structs import replace

from cachefleet.model.access import digest
from cachefleet.model.resource import Kind
from tests.component.api_groups.access_stage import ACCESS, OTHER, PASSWORD, admit, attached, create_user, user
from tests.component.api_groups.stage import GroupStage, on_groups, one


@on_groups
async def test_a_user_is_created_and_shown_without_its_passwords(stage: GroupStage) -> None:
    made = await create_user(
        stage, "Reader", UserName="the-reader", Passwords=[PASSWORD, OTHER], Tags=[{"Key": "a", "Value": "b"}]
    )
    assert made == {
        "UserId": "reader",
        "UserName": "the-reader",
        "Status": "active",
        "Engine": "redis",
        "MinimumEngineVersion": "6.0",
        "AccessString": ACCESS,
        "UserGroupIds": [],
        "Authentication": {"Type": "password", "PasswordCount": 2},
        "ARN": "arn:aws:elasticache:local-1:000000000000:user:reader",
    }
    assert await user(stage, "READER") == made
    stored = await stage.store.get(stage.key("reader", Kind.USER))
    assert stored is not None
    assert stored.desired.sha256 == (digest(PASSWORD), digest(OTHER))
    tags = await stage.call("ListTagsForResource", ResourceName=made["ARN"])
    assert tags == {"TagList": [{"Key": "a", "Value": "b"}]}
    events = (await stage.call("DescribeEvents", SourceType="user"))["Events"]
    assert [(event["SourceIdentifier"], event["Message"]) for event in events] == [("reader", "User created")]


@on_groups
async def test_ways_to_show_who_one_is(stage: GroupStage) -> None:
    mode = {"Type": "password", "Passwords": [PASSWORD]}
    assert (await create_user(stage, "a", Passwords=None, AuthenticationMode=mode))["Authentication"] == {
        "Type": "password",
        "PasswordCount": 1,
    }
    terraform = await create_user(stage, "t", Passwords=None, AuthenticationMode=mode, NoPasswordRequired=False)
    assert terraform["Authentication"] == {"Type": "password", "PasswordCount": 1}
    none = await create_user(stage, "b", Passwords=None, NoPasswordRequired=True)
    assert none["Authentication"] == {"Type": "no-password"}
    iam = await create_user(stage, "c", Passwords=None, AuthenticationMode={"Type": "iam"})
    assert (iam["Authentication"], iam["MinimumEngineVersion"]) == ({"Type": "iam"}, "7.0")


@on_groups
async def test_the_string_is_shown_as_it_was_written_until_something_is_appended(stage: GroupStage) -> None:
    assert (await create_user(stage, "a", AccessString="~objects:*"))["AccessString"] == "~objects:*"
    assert (await stage.call("ModifyUser", UserId="a", Engine="redis"))["AccessString"] == "~objects:*"
    assert (await create_user(stage, "d", AccessString="on allcommands allkeys"))["AccessString"] == "on allcommands allkeys"
    written = await stage.call("ModifyUser", UserId="d", AccessString="on +@read ~a")
    assert written["AccessString"] == (await user(stage, "d"))["AccessString"] == "on +@read ~a"
    selectors = await create_user(stage, "b", AccessString="on ~a +get (~b +set)")
    assert selectors["MinimumEngineVersion"] == "7.0"
    assert (await create_user(stage, "c", AccessString="on &c ~a +get"))["MinimumEngineVersion"] == "6.2"
    changed = await stage.call("ModifyUser", UserId="a", AppendAccessString="+get on")
    assert changed["AccessString"] == "on ~objects:* -@all +get"


@on_groups
async def test_what_a_user_cannot_be(stage: GroupStage) -> None:
    ok = {"UserId": "u", "UserName": "u", "Engine": "redis", "AccessString": ACCESS, "Passwords": [PASSWORD]}
    value, combination = "InvalidParameterValue", "InvalidParameterCombination"
    for code, rule, change in (
        (value, "^InvalidParameterValue: UserId", {"UserId": "1u"}),
        (value, "UserId", {"UserId": "a_b"}),
        (value, "UserName", {"UserName": "a b"}),
        (value, "reserved", {"UserName": "cachefleet-x"}),
        (value, "use redis or valkey", {"Engine": "memcached"}),
        (value, "one or 2 passwords", {"Passwords": [PASSWORD, OTHER, PASSWORD + "x"]}),
        (value, "16 to 128", {"Passwords": ["short"]}),
        (value, "16 to 128", {"Passwords": ["with a comma, and so"]}),
        (value, "16 to 128", {"Passwords": ["x" * 129]}),
        (value, "how the user shows", {"Passwords": []}),
        (combination, "NoPasswordRequired", {"NoPasswordRequired": True}),
        (combination, "AuthenticationMode", {"AuthenticationMode": {"Type": "iam"}}),
        (value, "Type 'sms'", {"Passwords": [], "AuthenticationMode": {"Type": "sms"}}),
        (combination, "takes no Passwords", {"Passwords": [], "AuthenticationMode": {"Type": "iam", "Passwords": [PASSWORD]}}),
        (value, "the id is u, so must", {"Passwords": [], "AuthenticationMode": {"Type": "iam"}, "UserName": "other"}),
        (combination, "valkey has a password", {"Passwords": [], "NoPasswordRequired": True, "Engine": "valkey"}),
        (value, "blank", {"AccessString": "   "}),
        (value, "passwords", {"AccessString": f"on ~* +@all >{PASSWORD}"}),
        (value, "passwords", {"AccessString": "on ~* (~a +get #" + "0" * 64 + ")"}),
        (value, "nopass is not allowed", {"AccessString": "on nopass ~* +@all"}),
        (value, "reset is not allowed", {"AccessString": "reset on ~* +@all"}),
        (value, "kept from all clients", {"AccessString": "on ~* +@all +config"}),
        (value, "kept from all clients", {"AccessString": "on ~* +cluster|meet"}),
        (value, "kept from all clients", {"AccessString": "on ~a (~* +DEBUG)"}),
        (value, "does not take it", {"AccessString": "on ~* +nosuch"}),
    ):
        await stage.refused(code, rule, "CreateUser", **{**ok, **change})
    assert [found["UserId"] for found in (await stage.call("DescribeUsers"))["Users"]] == ["default"]


@on_groups
async def test_no_refusal_tells_a_password(stage: GroupStage) -> None:
    for request in ({"Passwords": [PASSWORD + "@"]}, {"AccessString": f"on >{PASSWORD} ~*"}):
        try:
            await create_user(stage, **request)
        except Exception as error:
            assert PASSWORD not in str(error)
        else:
            raise AssertionError("was not refused")


@on_groups
async def test_the_built_in_user(stage: GroupStage) -> None:
    built_in = await user(stage, "default")
    assert (built_in["AccessString"], built_in["Authentication"]) == ("on ~* +@all", {"Type": "no-password"})
    await stage.refused("UserAlreadyExists", "default", "CreateUser", UserId="default", UserName="default", Engine="redis",
                        AccessString=ACCESS, Passwords=[PASSWORD])  # fmt: skip
    await stage.refused("InvalidUserState", "built in", "ModifyUser", UserId="default", AccessString=ACCESS)
    await stage.refused("InvalidUserState", "built in", "DeleteUser", UserId="default")
    assert (await stage.call("ListTagsForResource", ResourceName=built_in["ARN"])) == {"TagList": []}


@on_groups
async def test_users_are_listed_by_page_engine_and_filter(stage: GroupStage) -> None:
    for number in range(21):
        await create_user(stage, f"u{number:02}", Engine="valkey" if number % 2 else "redis")
    first = await stage.call("DescribeUsers", MaxRecords=20)
    rest = await stage.call("DescribeUsers", MaxRecords=20, Marker=first["Marker"])
    ids = [found["UserId"] for found in first["Users"] + rest["Users"]]
    assert ids == ["default", *(f"u{number:02}" for number in range(21))]
    assert len((await stage.call("DescribeUsers", Engine="valkey"))["Users"]) == 10
    for name in ("user-id", "UserId"):
        found = await stage.call("DescribeUsers", Filters=[{"Name": name, "Values": ["u03", "u04", "none"]}])
        assert [one["UserId"] for one in found["Users"]] == ["u03", "u04"]
    await stage.refused("InvalidParameterCombination", "filter", "DescribeUsers", Filters=[{"Name": "age", "Values": ["1"]}])
    await stage.refused("UserNotFound", "nobody", "DescribeUsers", UserId="nobody")


@on_groups
async def test_as_many_users_as_may_be(stage: GroupStage) -> None:
    settings = stage.context.settings
    stage.use(replace(settings, api=replace(settings.api, users=1)))
    await create_user(stage, "a")
    ok = {"UserId": "b", "UserName": "b", "Engine": "redis", "AccessString": ACCESS, "Passwords": [PASSWORD]}
    await stage.refused("UserQuotaExceeded", "api.users", "CreateUser", **ok)
    await stage.refused("UserAlreadyExists", "a", "CreateUser", **{**ok, "UserId": "A"})


@on_groups
async def test_a_change_is_done_when_every_cache_shows_it(stage: GroupStage) -> None:
    await create_user(stage, "app")
    await create_user(stage, "other")
    await attached(stage, "default", "app", "other")
    changed = await stage.call("ModifyUser", UserId="app", Passwords=[OTHER])
    assert (changed["Status"], (await user(stage, "other"))["Status"]) == ("modifying", "active")
    assert (await stage.group())["Status"] == "modifying"
    assert stage.woken == [stage.key("demo")]
    shown = one(await stage.call("DescribeUserGroups", UserGroupId="team"))
    assert shown["Status"] == "modifying"
    assert "PendingChanges" not in shown
    await stage.refused("InvalidUserState", "modifying", "ModifyUser", UserId="app", AccessString=ACCESS)
    await stage.refused("InvalidUserState", "modifying", "DeleteUser", UserId="app")
    await admit(stage)
    assert (await user(stage, "app"))["Status"] == "active"
    assert one(await stage.call("DescribeUserGroups", UserGroupId="team"))["Status"] == "active"


@on_groups
async def test_a_user_that_is_deleted_goes_when_no_cache_lets_it_in(stage: GroupStage) -> None:
    await create_user(stage, "app")
    await attached(stage, "default", "app")
    assert (await stage.call("DeleteUser", UserId="app"))["Status"] == "deleting"
    assert (await user(stage, "app"))["Status"] == "deleting"
    group = one(await stage.call("DescribeUserGroups", UserGroupId="team"))
    assert (group["UserIds"], group["PendingChanges"]) == (["default"], {"UserIdsToRemove": ["app"], "UserIdsToAdd": []})
    await stage.refused("InvalidUserState", "deleting", "DeleteUser", UserId="app")
    await stage.refused(
        "UserNotFound", "deleted", "CreateUserGroup", UserGroupId="new", Engine="redis", UserIds=["default", "app"]
    )
    await create_user(stage, "alone")
    assert (await stage.call("DeleteUser", UserId="alone"))["Status"] == "deleting"
    await stage.refused("UserNotFound", "alone", "DescribeUsers", UserId="alone")


@on_groups
async def test_the_default_user_of_a_group_stays(stage: GroupStage) -> None:
    await create_user(stage, "closed", UserName="default", AccessString="off -@all")
    await stage.call("CreateUserGroup", UserGroupId="team", Engine="redis", UserIds=["closed"])
    await stage.refused("DefaultUserAssociatedToUserGroup", "team", "DeleteUser", UserId="closed")


@on_groups
async def test_a_user_cannot_become_what_its_groups_and_caches_do_not_take(stage: GroupStage) -> None:
    await create_user(stage, "app")
    await attached(stage, "default", "app")
    combination = "InvalidParameterCombination"
    await stage.refused(combination, "valkey", "ModifyUser", UserId="app", Engine="valkey")
    await stage.refused(combination, "IAM", "ModifyUser", UserId="app", AuthenticationMode={"Type": "iam"})
    await stage.refused(combination, "together", "ModifyUser", UserId="app", AccessString=ACCESS, AppendAccessString="+get")
    await stage.refused("InvalidParameterValue", "blank", "ModifyUser", UserId="app", AccessString=" ")
    await stage.refused("UserNotFound", "nobody", "ModifyUser", UserId="nobody", AccessString=ACCESS)
    assert (await user(stage, "app"))["Status"] == "active"


@on_groups
async def test_nothing_that_is_stored_or_answered_has_a_password(stage: GroupStage) -> None:
    await create_user(stage, "app")
    await stage.call("ModifyUser", UserId="app", Passwords=[OTHER, PASSWORD])
    row = await stage.store.get(stage.key("app", Kind.USER))
    replies = [await stage.call("DescribeUsers"), await stage.call("DescribeEvents")]
    for text in (repr(row), json.dumps(replies)):
        assert PASSWORD not in text
        assert OTHER not in text
