"""An attacker's view of who may use a cache: nothing shown, something wrong shown, what was stolen from the database shown;
very many connections; and tokens that change under clients that come and go."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from cachefleet.engines.access import CONTROLLER, PEER
from cachefleet.model.access import digest
from tests.engine.engine_processes import Client
from tests.engine.groups import await_available, await_healthy, describe, replication_group
from tests.engine.test_access_control import FIRST, SECOND, WRONG, client, modify, nodes, primary, secured
from tests.engine.test_attacks_commands import REFUSED, TRAPS, Table, is_refused, table_of
from tests.fixtures.limits import open_files
from tests.fixtures.operator import as_operator
from tests.fixtures.service import Service, wait_for

ENGINES = pytest.mark.parametrize("engine", [("redis", "7.0"), ("valkey", "8.0")], ids="-".join)
OPEN_TO_ALL = frozenset({"auth", "hello", "quit", "reset"})  # by which one says who one is, or leaves
NOT_FOR_CLIENTS = (
    "cachefleet.close",
    "-ERR it is not to be called",
)  # what writes to replicas become
NOBODY = ("-NOAUTH", "-EXECABORT Transaction discarded because of: NOAUTH")
CROWD = 10_000


class TlsClient(Client):
    """Whose certificate it is is no matter here."""

    def __init__(self, host: str, port: int) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self._socket = context.wrap_socket(socket.create_connection((host, port), timeout=10))
        self._file = self._socket.makefile("rb")


@contextlib.contextmanager
def closed(elasticache: Any, name: str, engine: tuple[str, str]) -> Iterator[tuple[tuple[str, int], Table]]:
    """Where a cache listens that wants a token, and the commands of its engine."""
    with secured(elasticache, name, engine, NumCacheClusters=1, AuthToken=FIRST) as group:
        (where,) = nodes(group)
        with TlsClient(*where) as known:
            assert known.call("AUTH", FIRST) == "OK"
            yield where, table_of(known)


@ENGINES
def test_who_shows_nothing_gets_nothing(elasticache: Any, engine: tuple[str, str]) -> None:
    """By any command that the engine knows."""
    with closed(elasticache, f"shut-{engine[0]}", engine) as (where, table), TlsClient(*where) as stranger:
        assert len(table) > 230
        for name, each in sorted(table.items()):
            if name in OPEN_TO_ALL | TRAPS:
                continue
            said = str(stranger.call(*each.words))
            refused = name in REFUSED and is_refused(said)
            assert said.startswith(NOBODY) or refused or (name, said) == NOT_FOR_CLIENTS, (name, said)
        assert str(stranger.call("NOSUCH")).startswith(("-NOAUTH", "-ERR unknown command"))
        assert str(stranger.call("HELLO", "3")).startswith("-NOAUTH")
        assert stranger.call("RESET") == "RESET"
        assert str(stranger.call("GET", "key")).startswith("-NOAUTH")


@ENGINES
def test_who_shows_nothing_cannot_fill_memory(elasticache: Any, engine: tuple[str, str]) -> None:
    with closed(elasticache, f"full-{engine[0]}", engine) as (where, _):
        for said, why in ((b"*1000\r\n", "multibulk"), (b"*2\r\n$4\r\nAUTH\r\n$100000\r\n", "bulk")):
            with TlsClient(*where) as stranger:
                stranger._socket.sendall(said)
                assert f"unauthenticated {why} length" in stranger.reply()
                with pytest.raises(ConnectionError):
                    stranger.reply()


@ENGINES
def test_what_was_stolen_opens_nothing(elasticache: Any, engine: tuple[str, str]) -> None:
    """Digests are all that the database and engines have; our own names are known to everybody."""
    with closed(elasticache, f"theft-{engine[0]}", engine) as (where, _), TlsClient(*where) as thief:
        stolen = [digest(FIRST), f"#{digest(FIRST)}", f">{FIRST}", FIRST[:-1], f"{FIRST} ", FIRST.upper(), WRONG, "", "\0", "*"]
        for word in stolen:
            for login in (("AUTH", word), ("AUTH", "default", word), ("HELLO", "3", "AUTH", "default", word)):
                assert str(thief.call(*login)).startswith(("-WRONGPASS", "-NOAUTH", "-ERR")), login
        for name in (CONTROLLER, PEER, "Default", "default ", "nobody", f"{CONTROLLER}-has-x"):
            for word in ("", FIRST, digest(FIRST), name):
                assert str(thief.call("AUTH", name, word)).startswith("-WRONGPASS"), (name, word)
        assert str(thief.call("GET", "key")).startswith("-NOAUTH")
        assert thief.call("AUTH", FIRST) == "OK"
        marks = [name for name in thief.call("ACL", "USERS") if name not in ("default", CONTROLLER, PEER)]
        assert marks
        for name in marks:
            assert str(thief.call("AUTH", name, "")).startswith("-WRONGPASS")
        assert thief.call("ACL", "WHOAMI") == "default"


# --- many ----------------------------------------------------------------------------------------------------------


def test_ten_thousand_connections_to_a_cache_keep_nobody_out(service: Service, elasticache: Any) -> None:
    """Nor us: the node is looked at, and is not taken for dead. Other caches notice nothing."""
    shape = {"NumCacheClusters": 2, "AutomaticFailoverEnabled": True}
    with (
        replication_group(elasticache, "crowded", **shape) as group,
        replication_group(elasticache, "beside", **shape) as other,
    ):
        pids = service.engine_pids()
        where = primary(group)
        with open_files(CROWD + 2000), contextlib.ExitStack() as stack, redis.Redis(*where) as known:
            known.set("kept", "1")
            for _ in range(CROWD):
                stack.enter_context(socket.create_connection(where, timeout=10))
            with redis.Redis(*where, **as_operator(where)) as ours:
                assert int(ours.info("clients")["connected_clients"]) > CROWD
            assert known.get("kept") == b"1"
            for place in (where, primary(other), *nodes(group)):
                with redis.Redis(*place, single_connection_client=True) as late:
                    assert late.ping()
            elasticache.test_failover(ReplicationGroupId="crowded", NodeGroupId="0001")
            wait_for("the role has moved", lambda: _primary_of(elasticache) == "crowded-002")
            with redis.Redis(*where) as late:
                assert late.get("kept") == b"1"
        await_healthy(elasticache, "crowded")
        assert service.engine_pids() == pids


def _primary_of(elasticache: Any) -> str:
    group = describe(elasticache, "crowded")
    assert group is not None
    members = group["NodeGroups"][0]["NodeGroupMembers"]
    return next((member["CacheClusterId"] for member in members if member["CurrentRole"] == "primary"), "")


# --- rotation ------------------------------------------------------------------------------------------------------


class Visitor(threading.Thread):
    """Comes anew all the time, to each of the places in turn, with the token that it has at that moment."""

    def __init__(self, places: list[tuple[str, int]], token: str) -> None:
        super().__init__()
        self.token = token
        self.visits: dict[str, int] = {}
        self.refused: list[str] = []
        self._places = places
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.is_set():
            for where in self._places:
                token = self.token
                try:
                    with client(where, token) as found:
                        found.set("visited", token) if where == self._places[0] else found.ping()
                except redis.exceptions.RedisError as error:
                    self.refused.append(f"{token} at {where}: {error}")
                else:
                    self.visits[token] = self.visits.get(token, 0) + 1

    def __enter__(self) -> Visitor:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join(30)
        assert not self.is_alive()


def come_again(*visitors: Visitor) -> None:
    """Each has come again to every place with the token that it has now."""
    for visitor in visitors:
        before = visitor.visits.get(visitor.token, 0)
        wait_for(
            "the visitor has come again",
            lambda visitor=visitor, before=before: visitor.refused or visitor.visits.get(visitor.token, 0) >= before + 4,  # type: ignore[misc]
        )


@ENGINES
def test_no_client_that_changes_its_token_in_between_is_ever_refused(elasticache: Any, engine: tuple[str, str]) -> None:
    """ROTATE, then clients change one after the other, then SET; again and again. What is under way is shown as pending."""
    name = f"turn-{engine[0]}"
    with secured(elasticache, name, engine, AuthToken=FIRST) as group:
        places = [primary(group), *nodes(group)]
        with Visitor(places, FIRST) as early, Visitor(places, FIRST) as late:
            old, new = FIRST, SECOND
            for turn in range(2):
                change = {"ReplicationGroupId": name, "AuthToken": new, "ApplyImmediately": True}
                shown = elasticache.modify_replication_group(**change, AuthTokenUpdateStrategy="ROTATE")["ReplicationGroup"]
                assert shown["PendingModifiedValues"] == {"AuthTokenStatus": "ROTATING"}
                assert await_available(elasticache, name)["PendingModifiedValues"] == {}
                come_again(early, late)
                early.token = new
                come_again(early, late)  # one shows the new one, the other the old one
                late.token = new
                come_again(late)
                shown = elasticache.modify_replication_group(**change, AuthTokenUpdateStrategy="SET")["ReplicationGroup"]
                assert shown["PendingModifiedValues"] == {"AuthTokenStatus": "SETTING"}
                assert await_available(elasticache, name)["PendingModifiedValues"] == {}
                come_again(early, late)
                for where in places:
                    with pytest.raises(redis.exceptions.AuthenticationError), client(where, old) as behind:
                        behind.ping()
                old, new = new, f"the-token-of-turn-{turn}"
        assert (early.refused, late.refused) == ([], [])
        modify(elasticache, name, AuthToken=new)
