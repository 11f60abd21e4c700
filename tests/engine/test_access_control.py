"""AUTH tokens and users, by who really gets in: logins, rights, connections, and what is left where nobody may look."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis
from botocore.exceptions import ClientError
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.engine.access_strings import independent_reading, random_string
from tests.engine.groups import address, await_available, await_healthy, describe, replication_group
from tests.fixtures.operator import operator_login
from tests.fixtures.service import Service, wait_for

FIRST, SECOND = "the-first-token-of-all", "the-second-token-of-all"
PASSWORD, OTHER, WRONG = "a-password-of-16", "another-password", "a-wrong-password"
REFUSED = redis.exceptions.AuthenticationError
ENGINES = [("redis", "7.0"), ("valkey", "8.0")]


def client(where: tuple[str, int], password: str | None = None, user: str | None = None, **more: Any) -> Any:
    """One connection from now on, no second try. TLS; whose certificate it is is no matter here."""
    return redis.Redis(
        *where, username=user, password=password, ssl=True, ssl_cert_reqs="none", socket_timeout=5,
        retry=Retry(NoBackoff(), 0), **{"single_connection_client": True, **more},
    )  # fmt: skip


def gets_in(where: tuple[str, int], password: str | None = None, user: str | None = None) -> bool:
    try:
        with client(where, password, user, single_connection_client=False) as found:
            return bool(found.ping())
    except (redis.exceptions.AuthenticationError, redis.exceptions.NoPermissionError):
        return False


def operator(where: tuple[str, int], service: Service) -> Any:
    user, password = operator_login(*where, service.data)
    return client(where, password, user)


def nodes(group: dict[str, Any]) -> list[tuple[str, int]]:
    return [address(member["ReadEndpoint"]) for member in group["NodeGroups"][0]["NodeGroupMembers"]]


def primary(group: dict[str, Any]) -> tuple[str, int]:
    return address(group["NodeGroups"][0]["PrimaryEndpoint"])


@contextmanager
def secured(elasticache: Any, name: str, engine: tuple[str, str], **more: Any) -> Iterator[dict[str, Any]]:
    request = {"Engine": engine[0], "EngineVersion": engine[1], "TransitEncryptionEnabled": True, "NumCacheClusters": 2, **more}
    with replication_group(elasticache, name, **request) as group:
        yield group


def modify(elasticache: Any, name: str, **change: Any) -> dict[str, Any]:
    """Done when this returns."""
    elasticache.modify_replication_group(ReplicationGroupId=name, ApplyImmediately=True, **change)
    done = await_available(elasticache, name)
    assert done["PendingModifiedValues"] == {}
    return done


def create_user(elasticache: Any, user_id: str, name: str = "", access: str = "on ~* +@all", **more: Any) -> None:
    more = more or {"Passwords": [PASSWORD]}
    elasticache.create_user(UserId=user_id, UserName=name or user_id, Engine="redis", AccessString=access, **more)


def await_user(elasticache: Any, user_id: str) -> None:
    def active() -> bool:
        (found,) = elasticache.describe_users(UserId=user_id)["Users"]
        return bool(found["Status"] == "active")

    wait_for(f"user {user_id} is active", active)


def await_group(elasticache: Any, group_id: str) -> None:
    def active() -> bool:
        (found,) = elasticache.describe_user_groups(UserGroupId=group_id)["UserGroups"]
        return bool(found["Status"] == "active")

    wait_for(f"user group {group_id} is active", active)


@contextmanager
def team(elasticache: Any, group_id: str, users: Sequence[str], engine: str = "redis") -> Iterator[None]:
    """A user group; it and its users are gone after the block."""
    elasticache.create_user_group(UserGroupId=group_id, Engine=engine, UserIds=list(users))
    try:
        yield
    finally:
        elasticache.delete_user_group(UserGroupId=group_id)
        for user in users:
            if user != "default":
                with suppress(ClientError):
                    elasticache.delete_user(UserId=user)


@pytest.mark.parametrize("engine", ENGINES, ids="-".join)
def test_a_token_and_its_rotation(elasticache: Any, service: Service, engine: tuple[str, str]) -> None:
    name = f"auth-{engine[0]}"
    with secured(elasticache, name, engine, AuthToken=FIRST) as group:
        places = [primary(group), *nodes(group)]
        for where in places:
            assert [gets_in(where, token) for token in (FIRST, SECOND, None)] == [True, False, False]
        with client(primary(group), FIRST) as old:
            old.set("kept", "1")
            modify(elasticache, name, AuthToken=SECOND, AuthTokenUpdateStrategy="ROTATE")
            for where in places:
                assert [gets_in(where, token) for token in (FIRST, SECOND, WRONG, None)] == [True, True, False, False]
            modify(elasticache, name, AuthToken=SECOND, AuthTokenUpdateStrategy="SET")
            for where in places:
                assert [gets_in(where, token) for token in (FIRST, SECOND, None)] == [False, True, False]
            assert old.get("kept") == b"1"  # a connection that is in stays
        for where in nodes(group):
            assert operator(where, service).info("replication")["connected_slaves" if where == nodes(group)[0] else "role"]


@pytest.mark.parametrize("engine", ENGINES, ids="-".join)
def test_a_cache_without_a_token_gets_one_and_then_users(elasticache: Any, engine: tuple[str, str]) -> None:
    name = f"moves-{engine[0]}"
    create_user(elasticache, f"{name}-app", "app", "on ~app:* +@all")
    create_user(elasticache, f"{name}-closed", "default", "off -@all")
    with team(elasticache, f"{name}-team", [f"{name}-app", f"{name}-closed"]), secured(elasticache, name, engine) as group:
        places = [primary(group), *nodes(group)]
        modify(elasticache, name, AuthToken=FIRST, AuthTokenUpdateStrategy="ROTATE")
        assert all(gets_in(where, token) for where in places for token in (FIRST, None))
        with client(primary(group)) as unasked:
            assert unasked.ping()
            modify(elasticache, name, AuthToken=FIRST, AuthTokenUpdateStrategy="SET")
            with pytest.raises(redis.exceptions.ConnectionError):
                unasked.ping()
        assert not any(gets_in(where) for where in places)
        with client(primary(group), FIRST) as with_token:
            assert with_token.ping()
            modify(elasticache, name, UserGroupIdsToAdd=[f"{name}-team"], AuthTokenUpdateStrategy="DELETE")
            with pytest.raises(redis.exceptions.ConnectionError):
                with_token.ping()
        for where in places:
            assert not any(gets_in(where, token) for token in (FIRST, None))
            assert [gets_in(where, word, "app") for word in (PASSWORD, FIRST)] == [True, False]
        modify(elasticache, name, RemoveUserGroups=True)
        assert all(gets_in(where) for where in places)


@pytest.mark.parametrize("engine", ENGINES, ids="-".join)
def test_users_may_do_what_their_strings_say(elasticache: Any, service: Service, engine: tuple[str, str]) -> None:
    name = f"rights-{engine[0]}"
    create_user(elasticache, f"{name}-app", "app", "on ~app:* &news -@all +@read +@write +@pubsub (~other:* +get)")
    create_user(elasticache, f"{name}-all", "all", "on ~* &* +@all (~* +@all)")
    with (
        team(elasticache, f"{name}-team", [f"{name}-app", f"{name}-all", "default"]),
        secured(elasticache, name, engine, UserGroupIds=[f"{name}-team"]) as group,
    ):
        with client(primary(group), PASSWORD, "app") as app:
            app.set("app:1", "x")
            assert app.get("other:1") is None
            app.publish("news", "x")
            for refused in (
                ("SET", "other:1", "x"),
                ("GET", "third"),
                ("PUBLISH", "secret", "x"),
                ("CLIENT", "LIST"),
                ("ACL", "LIST"),
            ):
                with pytest.raises(redis.exceptions.NoPermissionError):
                    app.execute_command(*refused)
        withheld = (
            ("CONFIG", "GET", "*"),
            ("BGSAVE",),
            ("ACL", "SETUSER", "x"),
            ("ACL", "DELUSER", "app"),
            ("REPLICAOF", "NO", "ONE"),
            ("SHUTDOWN", "NOSAVE"),
            ("MODULE", "LIST"),
            ("CLUSTER", "MEET", "127.0.0.1", "1"),
            ("SAVE",),
            ("SYNC",),
            ("MIGRATE", "127.0.0.1", "1", "", "0", "1"),
        )
        for who in ((None, None), (PASSWORD, "all")):
            for command in withheld:
                with client(primary(group), *who) as mighty, pytest.raises(redis.exceptions.NoPermissionError):
                    mighty.execute_command(*command)
        for where in nodes(group):
            listed = operator(where, service).execute_command("ACL", "LIST")
            text = b"\n".join(listed).decode()
            assert " app on #" in text.replace("user app", " app").replace("sanitize-payload ", "")
            assert PASSWORD not in text


def test_changes_of_users_reach_all_nodes_while_clients_go_on(elasticache: Any) -> None:
    for user in ("quick-app", "quick-new", "quick-free"):
        create_user(elasticache, user, user.partition("-")[2])
    with (
        team(elasticache, "quick-team", ["quick-app", "quick-new", "quick-free", "default"]),
        secured(elasticache, "quick", ENGINES[0], NumCacheClusters=3, UserGroupIds=["quick-team"]) as group,
    ):
        places = [primary(group), *nodes(group)]
        with client(primary(group), PASSWORD, "app") as app, client(primary(group), PASSWORD, "free") as free:
            assert app.ping()
            assert free.ping()

            elasticache.modify_user(UserId="quick-app", Passwords=[OTHER])
            wait_for("the new password holds", lambda: all(gets_in(at, OTHER, "app") for at in places), every_s=0.01)
            assert not any(gets_in(where, PASSWORD, "app") for where in places)
            await_user(elasticache, "quick-app")
            assert app.ping()  # who is in stays in

            elasticache.modify_user(UserId="quick-app", AccessString="on ~only:* +get +ping")
            wait_for("the new rights hold", lambda: _denied(app, "SET", "x", "y"), every_s=0.01)
            await_user(elasticache, "quick-app")

            elasticache.modify_user_group(UserGroupId="quick-team", UserIdsToRemove=["quick-free"])
            await_group(elasticache, "quick-team")
            with pytest.raises(redis.exceptions.ConnectionError):
                free.ping()
            assert not any(gets_in(where, PASSWORD, "free") for where in places)

            elasticache.modify_user(UserId="quick-new", AccessString="off ~* +@all")
            await_user(elasticache, "quick-new")
            assert not any(gets_in(where, PASSWORD, "new") for where in places)
            assert elasticache.delete_user(UserId="quick-new")["Status"] == "deleting"
            wait_for("the user is gone", lambda: _is_gone(elasticache, "quick-new"))
            assert app.ping()
            assert describe(elasticache, "quick")["UserGroupIds"] == ["quick-team"]  # type: ignore[index]


def _denied(found: Any, *command: str) -> bool:
    try:
        found.execute_command(*command)
    except redis.exceptions.NoPermissionError:
        return True
    return False


def _is_gone(elasticache: Any, user_id: str) -> bool:
    try:
        elasticache.describe_users(UserId=user_id)
    except ClientError as error:
        return bool(error.response["Error"]["Code"] == "UserNotFound")
    return False


def test_a_group_of_valkey_lets_nobody_in_without_a_name(elasticache: Any) -> None:
    create_user(elasticache, "named")
    with (
        team(elasticache, "named-team", ["named"], engine="valkey"),
        secured(elasticache, "named-only", ENGINES[1], UserGroupIds=["named-team"]) as group,
    ):
        for where in nodes(group):
            assert not gets_in(where)
            assert gets_in(where, PASSWORD, "named")


def test_another_default_user_cuts_those_who_are_in_without_a_name(elasticache: Any) -> None:
    create_user(elasticache, "swap-default", "default", "on ~* +@all", Passwords=[PASSWORD])
    with (
        team(elasticache, "swap-team", ["default"]),
        secured(elasticache, "swap", ENGINES[0], UserGroupIds=["swap-team"]) as group,
    ):
        with client(primary(group)) as unnamed:
            assert unnamed.ping()
            elasticache.modify_user_group(UserGroupId="swap-team", UserIdsToAdd=["swap-default"], UserIdsToRemove=["default"])
            await_group(elasticache, "swap-team")
            with pytest.raises(redis.exceptions.ConnectionError):
                unnamed.ping()
        assert [gets_in(primary(group), word) for word in (PASSWORD, None)] == [True, False]
    elasticache.delete_user(UserId="swap-default")


@pytest.mark.parametrize("clustered", [False, True], ids=["disabled", "enabled"])
def test_nodes_that_are_launched_anew_and_promoted_know_their_users(
    elasticache: Any, service: Service, clustered: bool
) -> None:
    name = f"again-{clustered:d}"
    create_user(elasticache, f"{name}-app", "app")
    create_user(elasticache, f"{name}-default", "default", "off -@all")
    shape: dict[str, Any] = {"NumCacheClusters": 2, "AutomaticFailoverEnabled": True}
    if clustered:
        shape = {"NumNodeGroups": 2, "ReplicasPerNodeGroup": 1, "NumCacheClusters": None}
    shape = {member: value for member, value in shape.items() if value is not None}
    with team(elasticache, f"{name}-team", [f"{name}-app", f"{name}-default"]):
        request = {"Engine": "redis", "EngineVersion": "7.0", "TransitEncryptionEnabled": True, **shape}
        with replication_group(elasticache, name, UserGroupIds=[f"{name}-team"], **request) as group:
            members = group["MemberClusters"]
            for member in members:
                os.kill(service.pid_of(member), signal.SIGKILL)
                wait_for(f"{member} is down", partial(_is_away, elasticache, member))
                await_healthy(elasticache, name)
            for member in members:
                (found,) = elasticache.describe_cache_clusters(CacheClusterId=member, ShowCacheNodeInfo=True)["CacheClusters"]
                where = address(found["CacheNodes"][0]["Endpoint"])
                assert not gets_in(where)
                assert [gets_in(where, word, "app") for word in (PASSWORD, WRONG)] == [True, False]


def _is_away(elasticache: Any, member: str) -> bool:
    (found,) = elasticache.describe_cache_clusters(CacheClusterId=member)["CacheClusters"]
    return bool(found["CacheClusterStatus"] != "available")


def test_a_new_replica_has_the_users_and_no_file_has_a_password(elasticache: Any, service: Service) -> None:
    create_user(elasticache, "hidden", Passwords=[PASSWORD, OTHER])
    with (
        team(elasticache, "hidden-team", ["hidden", "default"]),
        secured(elasticache, "hides", ENGINES[0], UserGroupIds=["hidden-team"]),
    ):
        elasticache.increase_replica_count(ReplicationGroupId="hides", NewReplicaCount=2, ApplyImmediately=True)
        group = await_healthy(elasticache, "hides")
        assert len(nodes(group)) == 3
        for where in nodes(group):
            assert all(gets_in(where, word, "hidden") for word in (PASSWORD, OTHER))
        for where in nodes(group):
            listed = b" ".join(operator(where, service).execute_command("ACL", "LIST"))
            assert listed.count(b"#") >= 4  # two of the user, and ours
            assert not any(word.encode() in listed for word in (PASSWORD, OTHER))
        found = [path for path in service.data.rglob("*") if path.is_file() and _has(path, PASSWORD, OTHER)]
        assert found == []
        replies = (elasticache.describe_users(), elasticache.describe_events(), elasticache.describe_user_groups())
        assert not any(word in repr(replies) for word in (PASSWORD, OTHER))


def _has(path: Path, *words: str) -> bool:
    content = path.read_bytes()
    return any(word.encode() in content for word in words)


@pytest.mark.parametrize("engine", ENGINES, ids="-".join)
def test_a_hundred_strings_give_what_they_say(elasticache: Any, service: Service, engine: tuple[str, str]) -> None:
    """Each string is read by rules of its own (tests.engine.access_strings) and, as it was set up, by ACL DRYRUN."""
    name, chance, seed = f"dry-{engine[0]}", random.Random(20261123), 20261123
    strings = [random_string(chance) for _ in range(100)]
    allowed = [expected for text in strings for expected in independent_reading(text).values()]
    assert len(allowed) / 4 < sum(allowed) < len(allowed) / 2  # they say yes and no, both often enough
    user = f"{name}-app"
    create_user(elasticache, user, "app", "off -@all")
    with (
        team(elasticache, f"{name}-team", [user, "default"]),
        secured(elasticache, name, engine, NumCacheClusters=1, UserGroupIds=[f"{name}-team"]) as group,
    ):
        (where,) = nodes(group)
        with operator(where, service) as ours:
            for number, text in enumerate(strings):
                elasticache.modify_user(UserId=user, AccessString=text)
                await_user(elasticache, user)
                for command, expected in independent_reading(text).items():
                    said = ours.execute_command("ACL", "DRYRUN", "app", *command)
                    assert (said == b"OK") == expected, (seed, number, text, command, said)
