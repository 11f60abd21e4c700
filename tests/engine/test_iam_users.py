"""Users of caches who show IAM tokens: whom policies let into real engines, and how soon they are refused who may no longer."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from botocore.credentials import Credentials

from tests.component.iam.stage import allow, arn, deny
from tests.engine.groups import replication_group
from tests.engine.iam_caches import (
    ENGINE,
    LIMIT_S,
    People,
    await_in,
    await_out,
    connecting,
    create_iam_user,
    let_in,
    measured,
    nodes_of,
    shown,
)
from tests.engine.test_access_control import PASSWORD, await_group, await_user, client, gets_in, primary, team
from tests.fixtures.iam_tokens import require_compiler
from tests.fixtures.service import Service, wait_for

SHAPES = {
    "shop": {"NumCacheClusters": 2, "AutomaticFailoverEnabled": True},
    "halls": {"NumNodeGroups": 2, "ReplicasPerNodeGroup": 1},
}
both = pytest.mark.parametrize("cache", SHAPES)


@pytest.fixture(scope="module")
def groups(service: Service) -> Iterator[dict[str, dict[str, Any]]]:
    """A group of each shape, for users of all kinds."""
    require_compiler()
    elasticache = service.client()
    create_iam_user(elasticache, "anna", Tags=[{"Key": "team", "Value": "blue"}])
    create_iam_user(elasticache, "bert", "on ~bert:* -@all +@read +@write +ping")
    elasticache.create_user(UserId="carl", UserName="carl", Engine="valkey", AccessString="on ~* +@all", Passwords=[PASSWORD])
    tags = {"Tags": [{"Key": "stage", "Value": "test"}]}
    with (
        team(elasticache, "iam-team", ["anna", "bert", "carl"], engine="valkey"),
        replication_group(elasticache, "shop", UserGroupIds=["iam-team"], **ENGINE, **SHAPES["shop"], **tags) as shop,
        replication_group(elasticache, "halls", UserGroupIds=["iam-team"], **ENGINE, **SHAPES["halls"], **tags) as halls,
    ):
        yield {"shop": shop, "halls": halls}


@pytest.fixture
def people(service: Service) -> Iterator[People]:
    made = People(service)
    yield made
    made.end()


@both
def test_who_may_connect_gets_in_everywhere(
    elasticache: Any, service: Service, groups: dict[str, Any], people: People, cache: str
) -> None:
    places = nodes_of(elasticache, groups[cache])
    assert len(places) == (2 if cache == "shop" else 4)
    app = people.add("app", connecting(cache, "anna", "bert"))
    took_s = await_in(places, cache, "anna", app)
    print(f"a new policy let somebody in after {took_s:.1f} s")
    assert all(let_in(places, cache, "bert", app)), "at the same instant"
    other = "halls" if cache == "shop" else "shop"
    assert not any(let_in(nodes_of(elasticache, groups[other]), other, "anna", app)), "of which its policy says nothing"
    root = service.client()._request_signer._credentials
    assert all(let_in(places, cache, "anna", Credentials(root.access_key, root.secret_key))), "no policy binds the root"
    for where in places:
        with client(where, shown(cache, "anna", app), "anna") as found:
            assert found.acl_whoami() in (b"anna", "anna")
        assert gets_in(where, PASSWORD, "carl") and not gets_in(where), "passwords go on beside tokens"


@both
def test_what_is_no_token_for_here_and_now_is_refused(
    elasticache: Any, groups: dict[str, Any], people: People, cache: str
) -> None:
    app = people.add("app", connecting("*", "*"))
    places = nodes_of(elasticache, groups[cache])
    await_in(places, cache, "anna", app)
    stranger, guesser = Credentials("AKIA0123456789ABCDEF", app.secret_key), Credentials(app.access_key, "guessed")
    other = "halls" if cache == "shop" else "shop"
    wrong = {
        "another cache's": shown(other, "anna", app),
        "another region's": shown(cache, "anna", app, region="eu-west-1"),
        "another user's": shown(cache, "bert", app),
        "another service's": shown(cache, "anna", app, service="iam"),
        "an unknown key's": shown(cache, "anna", stranger),
        "of a guessed secret": shown(cache, "anna", guesser),
        "expired": shown(cache, "anna", app, later_s=-901),
        "of the future": shown(cache, "anna", app, later_s=330),
        "with a longer life": shown(cache, "anna", app, expires_s=3600),
        "for something else": shown(cache, "anna", app, action="delete"),
        "a password": PASSWORD,
        "nothing": "",
    }
    for where in places:
        assert [what for what, password in wrong.items() if gets_in(where, password, "anna")] == []
        assert not gets_in(where, shown(cache, "carl", app), "carl"), "who has a password needs it"
        assert not gets_in(where, shown(cache, "anna", app)), "nor without a name"
        assert gets_in(where, shown(cache, "anna", app, later_s=-880), "anna"), "until it has ended"
        assert gets_in(where, shown(cache, "anna", app, later_s=240), "anna"), "a clock may be a little ahead"


def test_policies_decide_who_connects_as_whom(elasticache: Any, groups: dict[str, Any], people: People) -> None:
    places = nodes_of(elasticache, groups["shop"])
    shop, anna, mine = arn("replicationgroup", "shop"), arn("user", "anna"), arn("user", "${aws:username}")
    everything = allow("elasticache:*")

    def tagged(key: str, value: str) -> dict[str, Any]:
        return {"StringEquals": {f"aws:ResourceTag/{key}": value}}

    near = {"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}}
    refused = {
        "no policy": [],
        "the cache alone": [allow("elasticache:Connect", shop)],
        "the user alone": [allow("elasticache:Connect", anna)],
        "other actions": [allow("elasticache:Describe*")],
        "denied the cache": [everything, deny("elasticache:Connect", shop)],
        "denied the user": [everything, deny("elasticache:Connect", anna)],
        "denied by the cache's tag": [everything, deny("elasticache:Connect", "*", **tagged("stage", "test"))],
        "denied by the user's tag": [everything, deny("elasticache:Connect", "*", **tagged("team", "blue"))],
        "a tag that it has not": [allow("elasticache:Connect", "*", **tagged("stage", "live"))],
        "as another name": [allow("elasticache:Connect", [shop, mine])],
        "from near only, which nobody can tell": [allow("elasticache:Connect", "*", **near)],
        "not from near, which nobody can tell": [everything, deny("elasticache:Connect", "*", **near)],
        "until a time that is over": [
            allow("elasticache:Connect", "*", DateLessThan={"aws:CurrentTime": "2026-01-01T00:00:00Z"})
        ],
    }
    allowed = {
        "anna": [allow("elasticache:Connect", [shop, mine])],
        "by-tags": [
            allow("elasticache:Connect", shop, **tagged("stage", "test")),
            allow("elasticache:Connect", arn("user", "*"), **tagged("team", "blue")),
        ],
        "encrypted": [everything, deny("elasticache:Connect", "*", Bool={"aws:SecureTransport": "false"})],
        "last": [everything],
    }
    those = {what: people.add(f"refused-{number}", *said) for number, (what, said) in enumerate(refused.items())}
    these = {name: people.add(name, *said) for name, said in allowed.items()}
    await_in(places, "shop", "anna", these["last"])  # by then, all is known that was said before
    assert [name for name, who in these.items() if not all(let_in(places, "shop", "anna", who))] == []
    assert [what for what, who in those.items() if any(let_in(places, "shop", "anna", who))] == []
    assert not any(let_in(places, "shop", "bert", these["by-tags"])), "bert has no such tag"


@both
def test_whoever_may_no_longer_is_refused_by_all_nodes_soon(
    elasticache: Any, groups: dict[str, Any], people: People, cache: str
) -> None:
    places = nodes_of(elasticache, groups[cache])
    names = ("switched-off", "key-taken", "removed", "silenced", "denied")
    those = {name: people.add(name, connecting(cache, "anna")) for name in names}
    stays = people.add("stays", connecting(cache, "anna"))
    await_in(places, cache, "anna", stays)
    assert all(all(let_in(places, cache, "anna", who)) for who in those.values())
    tokens = {name: shown(cache, "anna", who) for name, who in those.items()}
    with client(places[0], tokens["removed"], "anna") as inside:
        assert inside.ping()
        began = time.monotonic()
        people.switch("switched-off", "Inactive")
        people.take_key("key-taken")
        people.remove("removed")
        people.keep_silent("silenced")
        people.say("denied", connecting(cache, "anna"), deny("elasticache:Connect"))

        def left() -> list[str]:
            return [name for name, password in tokens.items() if any(gets_in(where, password, "anna") for where in places)]

        took_s = measured("all are refused", lambda: not left())
        print(f"five changes held on {len(places)} nodes after {took_s:.1f} s")
        assert time.monotonic() - began < LIMIT_S
        assert all(let_in(places, cache, "anna", stays))
        assert inside.ping(), "who is in stays in, as at AWS, until its time is over"
    people.switch("switched-off", "Active")
    await_in(places, cache, "anna", those["switched-off"])


def test_tags_of_cache_and_user_count_as_they_are_now(elasticache: Any, groups: dict[str, Any], people: People) -> None:
    places = nodes_of(elasticache, groups["shop"])
    shop, anna = groups["shop"]["ARN"], elasticache.describe_users(UserId="anna")["Users"][0]["ARN"]
    live = {"StringEquals": {"aws:ResourceTag/stage": "live"}}
    red = {"StringEquals": {"aws:ResourceTag/team": "red"}}
    app = people.add("app", allow("elasticache:Connect", shop, **live), allow("elasticache:Connect", anna, **red))
    known = people.add("known", connecting("shop", "anna"))
    await_in(places, "shop", "anna", known)
    try:
        assert not any(let_in(places, "shop", "anna", app))
        elasticache.add_tags_to_resource(ResourceName=shop, Tags=[{"Key": "stage", "Value": "live"}])
        elasticache.add_tags_to_resource(ResourceName=anna, Tags=[{"Key": "team", "Value": "red"}])
        await_in(places, "shop", "anna", app)
        elasticache.add_tags_to_resource(ResourceName=anna, Tags=[{"Key": "team", "Value": "blue"}])
        await_out(places, "shop", "anna", app)
        elasticache.add_tags_to_resource(ResourceName=anna, Tags=[{"Key": "team", "Value": "red"}])
        await_in(places, "shop", "anna", app)
        elasticache.remove_tags_from_resource(ResourceName=shop, TagKeys=["stage"])
        await_out(places, "shop", "anna", app)
    finally:
        elasticache.add_tags_to_resource(ResourceName=shop, Tags=[{"Key": "stage", "Value": "test"}])
        elasticache.add_tags_to_resource(ResourceName=anna, Tags=[{"Key": "team", "Value": "blue"}])


@both
def test_a_user_leaves_a_group_and_comes_back(elasticache: Any, groups: dict[str, Any], people: People, cache: str) -> None:
    places = nodes_of(elasticache, groups[cache])
    app = people.add("app", connecting(cache, "anna", "bert"))
    await_in(places, cache, "bert", app)
    with client(places[0], shown(cache, "bert", app), "bert") as inside:
        assert inside.ping()
        elasticache.modify_user_group(UserGroupId="iam-team", UserIdsToRemove=["bert"])
        await_group(elasticache, "iam-team")
        assert not any(let_in(places, cache, "bert", app))
        with pytest.raises(redis.exceptions.ConnectionError):
            inside.ping()
    assert all(let_in(places, cache, "anna", app))
    elasticache.modify_user_group(UserGroupId="iam-team", UserIdsToAdd=["bert"])
    await_group(elasticache, "iam-team")
    assert all(let_in(places, cache, "bert", app)), "the group is active when it is let in"


def test_a_user_that_is_deleted_is_out(elasticache: Any, groups: dict[str, Any], people: People) -> None:
    places = nodes_of(elasticache, groups["shop"])
    create_iam_user(elasticache, "dora")
    elasticache.modify_user_group(UserGroupId="iam-team", UserIdsToAdd=["dora"])
    await_group(elasticache, "iam-team")
    app = people.add("app", connecting("shop", "dora"))
    await_in(places, "shop", "dora", app)
    with client(places[0], shown("shop", "dora", app), "dora") as inside:
        assert inside.ping()
        elasticache.delete_user(UserId="dora")
        await_group(elasticache, "iam-team")
        assert not any(let_in(places, "shop", "dora", app))
        with pytest.raises(redis.exceptions.ConnectionError):
            inside.ping()
    create_iam_user(elasticache, "dora")  # somebody else with that name
    assert not any(let_in(places, "shop", "dora", app)), "who is in no user group of this cache"
    elasticache.delete_user(UserId="dora")


def test_a_user_shows_tokens_then_a_password_then_tokens(elasticache: Any, groups: dict[str, Any], people: People) -> None:
    """Whenever it is active again, one of both is right, and never the other."""
    places = nodes_of(elasticache, groups["shop"])
    app = people.add("app", connecting("shop", "bert"))
    await_in(places, "shop", "bert", app)

    def ways() -> set[tuple[bool, bool]]:
        password = shown("shop", "bert", app)
        return {(gets_in(where, password, "bert"), gets_in(where, PASSWORD, "bert")) for where in places}

    for _ in range(2):
        assert ways() == {(True, False)}
        elasticache.modify_user(UserId="bert", AuthenticationMode={"Type": "password", "Passwords": [PASSWORD]})
        await_user(elasticache, "bert")
        assert ways() == {(False, True)}
        elasticache.modify_user(UserId="bert", AuthenticationMode={"Type": "iam"})
        await_user(elasticache, "bert")
    assert ways() == {(True, False)}
    (told,) = elasticache.describe_users(UserId="bert")["Users"]
    assert told["Authentication"] == {"Type": "iam"}


def test_an_iam_user_may_do_what_its_string_says(elasticache: Any, groups: dict[str, Any], people: People) -> None:
    app = people.add("app", connecting("shop", "anna", "bert"))
    await_in([primary(groups["shop"])], "shop", "bert", app)
    with client(primary(groups["shop"]), shown("shop", "bert", app), "bert") as bert:
        bert.set("bert:1", "x")
        for command in (("SET", "anna:1", "x"), ("ACL", "LIST"), ("CONFIG", "GET", "*"), ("CACHEFLEET.IAM", "STATE")):
            with pytest.raises(redis.exceptions.NoPermissionError):
                bert.execute_command(*command)
        elasticache.modify_user(UserId="bert", AccessString="on ~bert:* -@all +@read")
        await_user(elasticache, "bert")
        with pytest.raises(redis.exceptions.NoPermissionError):
            bert.set("bert:1", "y")
        elasticache.modify_user(UserId="bert", AccessString="off -@all")
        await_user(elasticache, "bert")
        with pytest.raises(redis.exceptions.ConnectionError):
            bert.ping()
        assert not any(let_in([primary(groups["shop"])], "shop", "bert", app))
    elasticache.modify_user(UserId="bert", AccessString="on ~bert:* -@all +@read +@write +ping")
    await_user(elasticache, "bert")
    with client(primary(groups["shop"]), shown("shop", "anna", app), "anna") as anna:
        for command in (("CACHEFLEET.IAM", "STATE"), ("CACHEFLEET.IAM", "RULES", ""), ("MODULE", "LIST")):
            with pytest.raises(redis.exceptions.ResponseError):
                anna.execute_command(*command)


def test_not_inside_a_transaction(groups: dict[str, Any], people: People) -> None:
    where = primary(groups["shop"])
    app = people.add("app", connecting("shop", "anna", "bert"))
    await_in([where], "shop", "anna", app)
    with client(where, shown("shop", "anna", app), "anna") as anna:
        connection = anna.connection
        said = []
        for words in (("MULTI",), ("AUTH", "bert", shown("shop", "bert", app)), ("ACL", "WHOAMI"), ("EXEC",)):
            connection.send_command(*words)
            try:
                said.append(connection.read_response())
            except redis.exceptions.RedisError as error:
                said.append(type(error).__name__)
        wait_for("the connection is still anna's", lambda: anna.acl_whoami() in (b"anna", "anna"))
        assert b"bert" not in str(said).encode()
