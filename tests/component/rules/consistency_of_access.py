"""Whether what describes tell of users, user groups, AUTH tokens and encryption in transit agrees.

Through the API alone; raises AssertionError that names what differs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

Ask = Callable[..., Awaitable[Any]]
_WHO_MAY = ("AuthTokenStatus", "UserGroups")  # members of PendingModifiedValues


async def check_users(ask: Ask, users: list[dict[str, Any]], user_groups: list[dict[str, Any]], groups: dict[str, Any]) -> None:
    """groups: replication groups by id."""
    known, members = {user["UserId"]: user for user in users}, {group["UserGroupId"]: group for group in user_groups}
    for name, user in known.items():
        assert (await ask("DescribeUsers", UserId=name))["Users"] == [user], name
        in_groups = sorted(key for key, group in members.items() if name in group["UserIds"])
        assert user["UserGroupIds"] == in_groups, name
        assert user["Status"] != "deleting" or not in_groups, f"{name} is being deleted, and in {in_groups}"
        if user["Status"] == "modifying":
            _check_busy(name, [key for group in in_groups for key in members[group]["ReplicationGroups"]], groups)
    for state in ("active", "modifying", "deleting"):
        shown = (await ask("DescribeUsers", Filters=[{"Name": "status", "Values": [state]}]))["Users"]
        assert shown == [user for user in users if user["Status"] == state], state
    for name, group in members.items():
        assert (await ask("DescribeUserGroups", UserGroupId=name))["UserGroups"] == [group], name
        _check_user_group(name, group, known, groups)
    for name, group in groups.items():
        assert set(group["UserGroupIds"]) <= set(members), name
        _check_access(name, group)


def _check_user_group(name: str, group: dict[str, Any], users: dict[str, Any], groups: dict[str, Any]) -> None:
    assert set(group["UserIds"]) <= set(users), name
    names = [users[user]["UserName"] for user in group["UserIds"]]
    assert len(names) == len(set(names)), f"{name} has the names {names}"
    assert group["Engine"] == "valkey" or "default" in names, f"{name} has no user named default"
    using = sorted(key for key, one in groups.items() if name in one["UserGroupIds"])
    assert group["ReplicationGroups"] == using, name
    for key in using:
        assert group["Engine"] in ("redis", groups[key]["Engine"]), f"{name} is of {group['Engine']}, {key} is not"
    if group["Status"] == "modifying":
        _check_busy(name, using, groups)
    pending = group.get("PendingChanges")
    assert pending is None or group["Status"] != "active", f"{name} is active with pending changes"
    if pending is not None:
        assert set(pending["UserIdsToAdd"]) <= set(group["UserIds"]), name
        assert not set(pending["UserIdsToRemove"]) & set(group["UserIds"]), name


def _check_busy(name: str, using: list[str], groups: dict[str, Any]) -> None:
    """Some cache has to take a change over, and shows that."""
    states = {key: groups[key]["Status"] for key in using}
    assert set(states.values()) - {"available"}, f"{name} is modifying, and its caches are {states}"


def _check_access(name: str, group: dict[str, Any]) -> None:
    """Who may connect, and whether that can be read on its way."""
    assert not (group["AuthTokenEnabled"] and group["UserGroupIds"]), f"{name} has a token and a user group"
    if group["AuthTokenEnabled"] or group["UserGroupIds"]:
        # While it is being made nothing is settled, and the mode is what was asked for.
        assert group["TransitEncryptionEnabled"], f"{name} has secrets and no encryption in transit"
    if group["UserGroupIds"]:
        assert group["TransitEncryptionMode"] == "required", name
    assert ("TransitEncryptionMode" in group) is group["TransitEncryptionEnabled"], name
    if group["Status"] == "available":
        waits = [member for member in _WHO_MAY if member in group["PendingModifiedValues"]]
        assert waits == [], f"{name} is available, and has {waits} pending"
