"""What users wish for of users, user groups, AUTH tokens and encryption in transit, and what engines have to let in after it.

Secrets are in no reply: what was taken of them is remembered here, and beside what describes tell it is all that is reckoned
with. Rows and the planner's memory are not looked at.
"""

from __future__ import annotations

from typing import Any

from cachefleet.model.access import digest
from tests.simulation.access import Doors
from tests.simulation.api_wishes import Draw, Weighed, Wish
from tests.simulation.rolls import named
from tests.simulation.world import World

USER_GROUPS = ("team", "crew")
_USER_NAMES = {"ann": "ann", "bob": "bob", "twin": "ann", "guest": "default"}  # by id
_STRINGS = ("on ~* +@all", "on ~app::* -@all +@read", "off ~* +@all", "on ~* &news -@all +get +publish")
_PASSWORDS = tuple(f"a-password-of-{number}-users" for number in range(3))
_TOKENS = tuple(f"a-token-of-{number}-clients" for number in range(3))
_CLOSED = {"UserName": "default", "AccessString": "off -@all"}  # where a user group has no user of that name


def access_wishes(draw: Draw) -> Weighed:
    pick = draw.pick
    user_id, others = pick(*_USER_NAMES), [user for user in (*_USER_NAMES, "default") if draw.chance.random() < 0.4]
    user, group, engine = {"UserId": user_id}, {"UserGroupId": pick(*USER_GROUPS)}, {"Engine": pick("valkey", "redis")}
    made = {**user, "UserName": _USER_NAMES[user_id], **engine, "AccessString": pick(*_STRINGS), **_proof(draw)}
    attached, token = {"UserGroupIdsToAdd": [group["UserGroupId"]]}, {"AuthToken": pick(*_TOKENS)}
    return [
        (5, ("CreateUser", made)),
        (2, ("ModifyUser", {**user, "AccessString": pick(*_STRINGS)})),
        (1, ("ModifyUser", {**user, "AppendAccessString": pick("+@hash", "-@write")})),
        (2, ("ModifyUser", {**user, **_proof(draw)})),
        (0.5, ("ModifyUser", {**user, **engine})),
        (2, ("DeleteUser", user)),
        (3, ("CreateUserGroup", {**group, **engine, "UserIds": others})),
        (7, ("ModifyUserGroup", {**group, pick("UserIdsToAdd", "UserIdsToRemove"): [pick(*_USER_NAMES, "default")]})),
        (0.5, ("ModifyUserGroup", {**group, **engine, "UserIdsToAdd": ["guest"], "UserIdsToRemove": ["default"]})),
        (0.7, ("DeleteUserGroup", group)),
        (5, ("ModifyReplicationGroup", {**draw.modified, **attached})),
        (1, ("ModifyReplicationGroup", {**draw.modified, **attached, "AuthTokenUpdateStrategy": "DELETE"})),
        (1.5, ("ModifyReplicationGroup", {**draw.modified, "UserGroupIdsToRemove": [group["UserGroupId"]]})),
        (1, ("ModifyReplicationGroup", {**draw.modified, **attached, "RemoveUserGroups": True})),
        (3, ("ModifyReplicationGroup", {**draw.modified, **token, "AuthTokenUpdateStrategy": "ROTATE"})),
        (2, ("ModifyReplicationGroup", {**draw.modified, **token, "AuthTokenUpdateStrategy": "SET"})),
        (1, ("ModifyReplicationGroup",
             {**draw.modified, **token, "AuthTokenUpdateStrategy": "ROTATE", "RemoveUserGroups": True})),
    ]  # fmt: skip


def first_access(draw: Draw) -> list[Wish]:
    """What is there from the beginning: users, and a group of them."""
    engine, password = draw.pick("valkey", "redis"), {"Passwords": [_PASSWORDS[0]]}
    users = ("ann", "guest") if engine == "redis" else draw.pick(("ann",), ("ann", "guest"), ("bob",))
    made = [
        (
            "CreateUser",
            {"UserId": user, "UserName": _USER_NAMES[user], "Engine": engine, "AccessString": draw.pick(*_STRINGS), **password},
        )
        for user in users
    ]
    return [*made, ("CreateUserGroup", {"UserGroupId": USER_GROUPS[0], "Engine": engine, "UserIds": list(users)})]


def transit_wishes(draw: Draw) -> Weighed:
    on = {**draw.modified, "TransitEncryptionEnabled": True}
    return [
        (4, ("ModifyReplicationGroup", {**on, "TransitEncryptionMode": "preferred"})),
        (4, ("ModifyReplicationGroup", {**on, "TransitEncryptionMode": "required"})),
        (2, ("ModifyReplicationGroup", {**draw.modified, "TransitEncryptionEnabled": False})),
    ]


def created_with(draw: Draw) -> dict[str, Any]:
    """Of a creation."""
    on, required = {"TransitEncryptionEnabled": True}, {"TransitEncryptionEnabled": True, "TransitEncryptionMode": "required"}
    return draw.pick(  # type: ignore[no-any-return]
        {},
        {},
        {**on, "TransitEncryptionMode": "preferred"},
        required,
        {**on, "AuthToken": draw.pick(*_TOKENS)},
        {**required, "UserGroupIds": [USER_GROUPS[0]]},
    )


def _proof(draw: Draw) -> dict[str, Any]:
    passwords = draw.chance.sample(_PASSWORDS, draw.pick(1, 2))
    return draw.pick(  # type: ignore[no-any-return]
        {"Passwords": passwords},
        {"AuthenticationMode": {"Type": "password", "Passwords": passwords}},
        {"NoPasswordRequired": True},
    )


class Known:
    """passwords: digests by user id; tokens: digests by replication group, oldest first; open: where who shows none is let in,
    too."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._passwords: dict[str, frozenset[str]] = {}
        self._tokens: dict[str, list[str]] = {}
        self._open: set[str] = set()

    def taken(self, name: str, request: dict[str, Any], before: dict[str, Any]) -> None:
        """A request was done. before: the replication group that it names, as it was described, if it was there."""
        if name in ("CreateUser", "ModifyUser"):
            given = request.get("Passwords") or request.get("AuthenticationMode", {}).get("Passwords")
            if given:
                self._passwords[request["UserId"]] = frozenset(map(digest, given))
        if name in ("CreateReplicationGroup", "ModifyReplicationGroup"):
            self._note_tokens(request["ReplicationGroupId"], request, before)

    def _note_tokens(self, group: str, request: dict[str, Any], before: dict[str, Any]) -> None:
        strategy = request.get("AuthTokenUpdateStrategy", "")
        known = self._tokens.get(group, []) if before.get("AuthTokenEnabled") else []
        if "AuthToken" not in request:
            self._tokens[group] = [] if strategy == "DELETE" else known
            return
        token = digest(request["AuthToken"])
        if strategy == "ROTATE":
            if not known and not before.get("UserGroupIds"):
                self._open.add(group)
            elif not known:
                self._open.discard(group)
            self._tokens[group] = [*(one for one in known if one != token), token][-2:]
        else:
            self._tokens[group] = [token]
            self._open.discard(group)

    def check(self, found: dict[str, list[dict[str, Any]]]) -> None:
        """found: what all describes tell, by the name of the list. Every engine of a group that is available, and whose users
        are active, lets in those and nobody else."""
        users = {user["UserId"]: user for user in found["Users"]}
        user_groups = {group["UserGroupId"]: group for group in found["UserGroups"]}
        for group in found["ReplicationGroups"]:
            chosen = [user_groups[name] for name in group["UserGroupIds"]]
            members = [users[user] for one in chosen for user in one["UserIds"]]
            if group["Status"] == "available" and all(one["Status"] == "active" for one in (*chosen, *members)):
                self._check_group(group["ReplicationGroupId"], group, members)
        for cluster in found["CacheClusters"]:
            name = cluster["CacheClusterId"]
            if cluster["CacheClusterStatus"] == "available" and "ReplicationGroupId" not in cluster:
                self._check_group(name, cluster, [])

    def _check_group(self, name: str, group: dict[str, Any], members: list[dict[str, Any]]) -> None:
        wanted = {user["UserName"]: (user, self._shown(user)) for user in members}
        if not group.get("UserGroupIds"):
            tokens = set(self._tokens[name]) if group.get("AuthTokenEnabled") else {""}
            tokens |= {""} if name in self._open and group.get("AuthTokenEnabled") else set()
            wanted = {"default": ({"UserName": "default", "AccessString": "on ~* &* +@all"}, tokens)}
        wanted.setdefault("default", (_CLOSED, set()))
        for doors in self._doors(name):
            clients = doors.clients()
            assert set(clients) == set(wanted), f"{name} lets in {sorted(clients)} and not {sorted(wanted)}"
            for user, (told, shown) in wanted.items():
                _check_user(f"{user} in {name}", clients[user], told, shown)

    def _shown(self, user: dict[str, Any]) -> set[str]:
        """With what the user gets in; "" with anything."""
        if user["Authentication"]["Type"] == "no-password":
            return {""}
        passwords = set(self._passwords[user["UserId"]])
        assert user["Authentication"]["PasswordCount"] == len(passwords), user
        return passwords

    def _doors(self, name: str) -> list[Doors]:
        uids = {uid for uid, key in self._world.groups.items() if key.name == name}
        running = [process.incarnation for process in self._world.machine.running() if named(process.incarnation)[0] in uids]
        engines = [self._world.engines[incarnation] for incarnation in running if incarnation in self._world.engines]
        return [engine.doors for engine in engines if engine.doors is not None]


def _check_user(who: str, user: Any, told: dict[str, Any], shown: set[str]) -> None:
    switch, *rules = told["AccessString"].split()
    assert user.enabled is (switch == "on"), who
    accepted = {""} if user.no_password else user.sha256
    # One who may show no token is let in with any.
    assert accepted == ({""} if "" in shown else shown), f"{who} gets in with {len(accepted)} secrets, {len(shown)} are right"
    written = [rule for rule in user.rules if rule != "resetchannels" and (rule != "&*" or rule in rules)][: len(rules)]
    assert written == rules, f"{who} has the rules {written}, not {rules}"
