"""Whom engines let in: our own hidden user, nodes as each other's, and users of clients, against every installed version."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
import redis

from cachefleet.app.engine_passwords import DerivedPasswords
from cachefleet.engines.access import CONTROLLER, PEER
from cachefleet.engines.trust import Trust
from cachefleet.engines.valkey import ValkeyDriver
from cachefleet.interfaces import Deposed
from cachefleet.model.access import CLOSED, OPEN, EngineUser, digest, fingerprint
from cachefleet.model.group import Engine
from cachefleet.model.observed import Address
from tests.engine.engine_processes import (
    NODE_TIMEOUT_MS,
    Client,
    EngineProcesses,
    Node,
    build_of,
    every_version,
    free_address,
    processes,
    until,
)
from tests.engine.slot_pairs import ALL, SlotCluster, fill

PORT = 6379
PASSWORDS = DerivedPasswords(b"a key of tests")
READER = EngineUser("reader", ("~*", "+@read", "+ping"), sha256=(digest("a reader's password"),))
WRITER = EngineUser("writer", ("~*", "+@all"), sha256=(digest("old"), digest("new")))
LOWER = ((0, 1023),)
by_keys = pytest.mark.parametrize(
    ("engine", "version"),
    [(Engine.VALKEY, "9.1"), (Engine.VALKEY, "8.1"), (Engine.REDIS, "7.0"), (Engine.REDIS, "6.2")],
)


class Launched(EngineProcesses):
    """Of each address it is known which launch is there, as the control plane knows it."""

    def start(self, address: Address | None = None, **spec: Any) -> Node:
        at = msgspec.structs.replace(address or free_address(PORT), launch=f"u1.node.{len(self.nodes) + 1}")
        return super().start(at, **{"users": (OPEN,), **spec})


@asynccontextmanager
async def launched(engine: Engine, version: str, trust: Trust | None = None) -> AsyncIterator[tuple[ValkeyDriver, Launched]]:
    build = build_of(engine, version)
    driver = ValkeyDriver(NODE_TIMEOUT_MS, passwords=PASSWORDS, trust=trust)
    async with processes(driver, build) as running:
        made = Launched(driver, build, running.root)
        try:
            yield driver, made
        finally:
            await made.end()


def client_of(node: Node, *login: str) -> Client:
    client = Client(node.address.host, PORT)
    if login:
        assert client.call("AUTH", *login) == "OK"
    return client


def is_refused(client: Client, *words: str) -> bool:
    return str(client.call(*words)).startswith("-NOPERM")


async def is_closed(client: Client) -> None:
    """Within a moment; nothing can be read any more."""

    def gone() -> bool:
        try:
            client.call("PING")
        except ConnectionError:
            return True
        return False

    await until(gone)


async def primary(driver: ValkeyDriver, engines: Launched, **spec: Any) -> Node:
    node = engines.start(**spec)
    await engines.view(node)
    await driver.promote(node.address, ())
    return node


@every_version
def test_a_node_says_whom_it_lets_in_and_only_we_administer_it(engine: Engine, version: str) -> None:
    async def scenario() -> None:
        async with launched(engine, version) as (driver, engines):
            node = await primary(driver, engines)
            assert (await engines.view(node)).access == fingerprint((OPEN,))
            with client_of(node) as client:
                assert client.call("SET", "a", "1") == "OK"
                assert is_refused(client, "CONFIG", "GET", "masterauth")
                assert is_refused(client, "CLUSTER", "RESET")
                assert is_refused(client, "ACL", "SETUSER", "default", "+@all")
                for password in ("", "a", PASSWORDS.controller("u1.node.2"), PASSWORDS.peer("u1.node.1")):
                    assert client.call("AUTH", CONTROLLER, password).startswith("-WRONGPASS")
                assert client.call("AUTH", PEER, PASSWORDS.controller("u1.node.1")).startswith("-WRONGPASS")
                assert client.call("AUTH", PEER, PASSWORDS.peer("u1.node.9")) == "OK", "one for all nodes of a group"
                assert is_refused(client, "CONFIG", "GET", "masterauth")
                assert is_refused(client, "ACL", "SETUSER", "default", "+@all")

    asyncio.run(scenario())


@every_version
def test_an_engine_of_an_older_control_plane_is_taken_over(engine: Engine, version: str) -> None:
    """It knows neither us nor nodes, and clients may do everything there. Their connections, data and replicas stay."""

    async def scenario() -> None:
        async with launched(engine, version) as (driver, engines):
            engines.driver = older = ValkeyDriver(NODE_TIMEOUT_MS)
            node, replica = engines.start(), engines.start()
            for one in (node, replica):
                await engines.view(one)
            await older.promote(node.address, ())
            await older.follow(replica.address, node.address, ())
            await engines.view(replica, lambda view: view.link_up)
            await older.close()
            engines.driver = driver
            with client_of(node) as client:
                assert client.call("SET", "kept", "1") == "OK"
                assert client.call("CONFIG", "GET", "save") == ["save", ""]
                for one in (replica, node):
                    assert (await engines.view(one)).access == ""
                    await driver.admit(one.address, (OPEN,))
                    assert (await engines.view(one)).access == fingerprint((OPEN,))
                assert client.call("GET", "kept") == "1"
                assert is_refused(client, "CONFIG", "GET", "save"), "on connections that are open, too"
                await engines.view(replica, lambda view: view.link_up and not view.syncing)
                assert client.call("SET", "new", "1") == "OK"
                assert client.call("WAIT", "1", "5000") == 1
                assert "sync_full:1\r\n" in client.call("INFO", "stats"), "nothing was sent twice"
                await driver.admit(node.address, (CLOSED, WRITER))
            await driver.follow(replica.address, node.address, ())
            await engines.view(replica, lambda view: view.link_up and not view.syncing)
            replica.kill()
            again = engines.start(replica.address, follow=node.address)
            await engines.view(again, lambda view: view.link_up and not view.syncing)

    asyncio.run(scenario())


@every_version
def test_users_come_and_go_and_their_connections_with_them(engine: Engine, version: str) -> None:
    async def scenario() -> None:
        async with launched(engine, version) as (driver, engines):
            node = await primary(driver, engines)
            at, users = node.address, (OPEN, READER, WRITER)
            await driver.admit(at, users)
            assert (await engines.view(node)).access == fingerprint(users)
            with (
                client_of(node) as anybody,
                client_of(node, "reader", "a reader's password") as reader,
                client_of(node, "writer", "old") as old,
                client_of(node, "writer", "new") as new,
            ):
                assert anybody.call("AUTH", "reader", "another").startswith("-WRONGPASS")
                assert old.call("SET", "a", "1") == "OK"
                assert reader.call("GET", "a") == "1"
                assert is_refused(reader, "SET", "a", "2")
                assert is_refused(new, "CONFIG", "GET", "save"), "whatever its access string says"

                await driver.admit(at, (OPEN, msgspec.structs.replace(WRITER, sha256=(digest("new"),))))
                await is_closed(reader)
                assert old.call("PING") == "PONG", "a password that is taken away closes nothing"
                assert anybody.call("AUTH", "reader", "a reader's password").startswith("-WRONGPASS")
                assert anybody.call("AUTH", "writer", "old").startswith("-WRONGPASS")

                await driver.admit(at, (OPEN, msgspec.structs.replace(WRITER, enabled=False)))
                await is_closed(old)
                await is_closed(new)
                assert anybody.call("AUTH", "writer", "new").startswith("-WRONGPASS")
                assert anybody.call("PING") == "PONG"

    asyncio.run(scenario())


@every_version
def test_a_default_user_that_is_closed_loses_its_connections(engine: Engine, version: str) -> None:
    async def scenario() -> None:
        async with launched(engine, version) as (driver, engines):
            node = await primary(driver, engines)
            with client_of(node) as anybody:
                await driver.admit(node.address, (CLOSED, WRITER))
                await is_closed(anybody)
            with client_of(node) as anybody, client_of(node, "writer", "new") as writer:
                assert anybody.call("GET", "a").startswith("-NOAUTH")
                assert anybody.call("AUTH", "any").startswith("-WRONGPASS")
                await driver.admit(node.address, (CLOSED, WRITER))
                assert writer.call("SET", "a", "1") == "OK", "who stays is left alone"
                await driver.admit(node.address, (OPEN,))
            with client_of(node) as anybody:
                assert anybody.call("GET", "a") == "1"

    asyncio.run(scenario())


@every_version
def test_an_admission_that_was_cut_short_is_seen_and_done_again(engine: Engine, version: str) -> None:
    """After each number of steps; a connection that was open to anybody never outlives the whole of it."""

    async def scenario() -> None:
        async with launched(engine, version) as (driver, engines):
            node = await primary(driver, engines)
            left = [1000]

            def permit() -> None:
                if left[0] <= 0:
                    raise Deposed("another's turn")
                left[0] -= 1

            cut = ValkeyDriver(NODE_TIMEOUT_MS, permit, PASSWORDS)
            await cut.probe(node.address, clustered=False)
            steps, done = 0, False
            while not done:
                await driver.admit(node.address, (OPEN,))
                with client_of(node) as anybody:
                    steps, left[0] = steps + 1, steps
                    try:
                        await cut.admit(node.address, (CLOSED, WRITER))
                        done = True
                    except Deposed:
                        assert (await engines.view(node)).access != fingerprint((CLOSED, WRITER))
                        await driver.admit(node.address, (CLOSED, WRITER))
                    assert (await engines.view(node)).access == fingerprint((CLOSED, WRITER))
                    await is_closed(anybody)
            await cut.close()
            assert steps > 3

    asyncio.run(scenario())


@every_version
def test_nodes_replicate_as_each_others_whoever_else_is_let_in(engine: Engine, version: str) -> None:
    async def scenario() -> None:
        async with launched(engine, version) as (driver, engines):
            node = await primary(driver, engines, users=(CLOSED, WRITER))
            replica = engines.start(follow=node.address, users=(CLOSED, WRITER))
            await engines.view(replica, lambda view: view.link_up and not view.syncing)
            with client_of(node, "writer", "new") as writer:
                assert writer.call("SET", "a", "1") == "OK"
                assert writer.call("WAIT", "1", "5000") == 1
            await driver.switch(node.address, replica.address, to_bind=(), from_bind=(), others=())
            await engines.view(node, lambda view: not view.primary and view.link_up)
            with client_of(replica, "writer", "new") as writer:
                assert writer.call("SET", "b", "2") == "OK"
                assert writer.call("WAIT", "1", "5000") == 1

    asyncio.run(scenario())


@every_version
def test_nodes_of_a_cluster_replicate_as_each_others(engine: Engine, version: str) -> None:
    async def scenario() -> None:
        async with launched(engine, version) as (driver, engines):
            cluster = SlotCluster(driver, engines)
            await cluster.start(ALL, users=(CLOSED, WRITER))
            replica = await cluster.replicate(0)
            await driver.admit(replica.address, (CLOSED, WRITER))
            with client_of(cluster.nodes[0], "writer", "new") as writer:
                assert writer.call("SET", "a", "1") == "OK"
                assert writer.call("WAIT", "1", "5000") == 1

    asyncio.run(scenario())


@by_keys
def test_keys_of_slots_move_where_no_client_gets_in_unasked_and_no_client_sees_how(engine: Engine, version: str) -> None:
    async def scenario() -> None:
        async with launched(engine, version) as (driver, engines):
            cluster = SlotCluster(driver, engines)
            await cluster.start(ALL, (), users=(CLOSED, WRITER))
            source, target = cluster.nodes
            with (
                client_of(source, "writer", "new") as writer,
                client_of(source, "writer", "new") as watcher,
                client_of(target, "writer", "new") as receiver,
                client_of(target, "writer", "new") as second,
            ):
                for node in cluster.nodes:
                    await driver.set_parameters(node.address, {"slowlog-log-slower-than": "0", "slowlog-max-len": "5000"})
                fill(writer, [(f"{{06S}}{number}", "x" * 500) for number in range(500)])
                for watching in (watcher, second):
                    assert watching.call("MONITOR") == "OK"
                await cluster.move(0, 1, LOWER)
                assert receiver.call("DBSIZE") == 500
                assert receiver.call("GET", "{06S}7") == "x" * 500
                seen = [slow(node) for node in cluster.nodes]
                for watching, one in ((watcher, writer), (second, receiver)):
                    assert one.call("PING", "the end") == "the end"
                    seen.append(until_the_end(watching))
            assert "MIGRATE" in seen[0] + seen[2]
            for text in seen:
                for kept in (PASSWORDS.peer("u1.node.1"), *(PASSWORDS.controller(each.incarnation) for each in cluster.nodes)):
                    assert kept not in text

    asyncio.run(scenario())


def slow(node: Node) -> str:
    """What a client can see of commands that took long; values may be no text."""
    with redis.Redis(node.address.host, PORT, username="writer", password="new") as client:
        client.response_callbacks.clear()
        return str(client.execute_command("SLOWLOG", "GET", 5000))


def until_the_end(watcher: Client) -> str:
    lines: list[str] = []
    while not lines or '"the end"' not in lines[-1]:
        lines.append(str(watcher.reply()))
    return "\n".join(lines)


def test_slots_move_at_once_where_no_client_gets_in_unasked() -> None:
    async def scenario() -> None:
        async with launched(Engine.VALKEY, "9.1") as (driver, engines):
            cluster = SlotCluster(driver, engines)
            await cluster.start(ALL, (), users=(CLOSED, WRITER))
            source, target = cluster.nodes
            with client_of(source, "writer", "new") as writer, client_of(target, "writer", "new") as receiver:
                fill(writer, [(f"{{06S}}{number}", "x" * 500) for number in range(500)])
                await driver.migrate_slots(source.address, LOWER, cluster.ids[1])
                await engines.view(target, lambda view: cluster.owns(view, 1) == LOWER, clustered=True)
                assert receiver.call("DBSIZE") == 500
                assert is_refused(writer, "CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", "0", "1", "NODE", cluster.ids[0])

    asyncio.run(scenario())


@every_version
def test_what_the_engines_are_told_when_they_are_taken_over_is_not_shown_to_clients(engine: Engine, version: str) -> None:
    async def scenario() -> None:
        async with launched(engine, version) as (driver, engines):
            engines.driver = older = ValkeyDriver(NODE_TIMEOUT_MS)
            node = engines.start()
            await engines.view(node)
            await older.promote(node.address, ())
            await older.set_parameters(node.address, {"slowlog-log-slower-than": "0"})
            await older.close()
            with client_of(node) as watcher, client_of(node) as client:
                assert watcher.call("MONITOR") == "OK"
                await driver.admit(node.address, (OPEN, READER))
                told = str(client.call("SLOWLOG", "GET", "100"))
                assert client.call("PING", "the end") == "the end"
                told += until_the_end(watcher)
                listed = str(client.call("ACL", "LIST"))
            for kept in (PASSWORDS.peer(node.incarnation), PASSWORDS.controller(node.incarnation)):
                assert kept not in told + listed
            assert READER.sha256[0] not in told

    asyncio.run(scenario())


def test_who_took_it_for_an_earlier_launch_keeps_nobody_from_logging_in() -> None:
    """Its password was wrong: what it may do is a client's, and so was all that came later on the same connection."""

    async def scenario() -> None:
        async with launched(Engine.VALKEY, "9.1") as (_, engines):
            node = engines.start()
            late = ValkeyDriver(NODE_TIMEOUT_MS, passwords=PASSWORDS)
            try:
                await engines.view(node)
                await late.probe(msgspec.structs.replace(node.address, launch="u1.node.0"), False)
                await late.bind(node.address, ())
                assert (await late.probe(node.address, False)).access == fingerprint((OPEN,))
            finally:
                await late.close()

    asyncio.run(scenario())
