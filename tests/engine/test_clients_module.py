"""The module for clients in real engines: renamed commands, and connections that write to replicas."""

from __future__ import annotations

import asyncio
import random
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from msgspec.structs import replace

from cachefleet.engine_interfaces import Build
from cachefleet.engines.access import CONTROLLER
from cachefleet.engines.clients_module import CLIENTS_SOURCE
from cachefleet.engines.module_compiling import compiled_module
from cachefleet.engines.valkey import ValkeyDriver
from cachefleet.model.access import OPEN, EngineUser, digest
from cachefleet.model.group import Engine
from tests.engine.engine_processes import RESP_VERSIONS, Client, Node, build_of, free_address, until
from tests.engine.slot_pairs import ALL, SlotCluster
from tests.engine.test_drivers_access import LOWER, PASSWORDS, Launched, client_of, is_refused, launched, primary
from tests.fixtures.iam_tokens import require_compiler
from tests.fixtures.machine import data_folder
from tests.fixtures.service import wait_for

CAPABLE = [(engine, version) for engine, version in RESP_VERSIONS if engine is Engine.VALKEY]
capable = pytest.mark.parametrize(("engine", "version"), CAPABLE, ids=[f"{engine}-{version}" for engine, version in CAPABLE])
RENAMES, CLOSES = "cachefleet-clients.rename-commands", "cachefleet-clients.close-on-replica-write"
READER = EngineUser("reader", ("~*", "+@read", "+ping", "+@transaction"), sha256=(digest("a reader's password"),))


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> str:
    require_compiler()
    return str(compiled_module(CLIENTS_SOURCE, tmp_path_factory.mktemp("modules")))


@asynccontextmanager
async def pair(
    engine: Engine, version: str, module: str, renames: str = "", closes: str = "yes", users: tuple[EngineUser, ...] = (OPEN,)
) -> AsyncIterator[tuple[ValkeyDriver, Launched, Node, Node]]:
    """A primary and its replica, launched with these parameters."""
    async with launched(engine, version) as (driver, engines):
        parameters = {"rename-commands": renames, "close-on-replica-write": closes}
        given: dict[str, Any] = {"clients_module": module, "parameters": parameters, "users": users}
        first = await primary(driver, engines, **given)
        second = engines.start(follow=first.address, **given)
        await engines.view(second, lambda view: view.link_up and not view.syncing)
        yield driver, engines, first, second


def is_unknown(client: Client, *words: str) -> bool:
    return str(client.call(*words)).startswith("-ERR unknown command")


def closed_by(node: Node, *commands: tuple[str, ...]) -> bool:
    """Whether it closes the connection of a new client that sends these at once, and answers none of them."""
    with client_of(node) as client:
        try:
            client.send_at_once(*commands)
            client.reply()
        except ConnectionError:
            return True
    return False


@contextmanager
def our_own(node: Node) -> Iterator[Any]:
    password = PASSWORDS.controller(node.address.launch)
    with redis.Redis(node.address.host, node.address.port, username=CONTROLLER, password=password) as client:
        yield client


def full_syncs(node: Node) -> int:
    with our_own(node) as ours:
        return int(ours.info("stats")["sync_full"])


@capable
def test_clients_have_new_names_and_everybody_else_the_old_ones(engine: Engine, version: str, module: str) -> None:
    async def scenario() -> None:
        async with pair(engine, version, module, "SET put  get Fetch INFO tell SELECT choose", users=(OPEN, READER)) as nodes:
            driver, engines, first, second = nodes
            with client_of(first) as client, client_of(second) as reading:
                assert client.call("PUT", "a", "1") == "OK"
                assert is_unknown(client, "SET", "a", "2") and is_unknown(client, "set") and is_unknown(client, "INFO")
                assert client.call("fetch", "a") == "1" and "redis_version" in client.call("tell", "server")
                assert [client.call(*words) for words in (("MULTI",), ("put", "a", "3"), ("fetch", "a"), ("EXEC",))] == [
                    "OK",
                    "QUEUED",
                    "QUEUED",
                    ["OK", "3"],
                ]
                assert client.call("EVAL", "return redis.call('SET', KEYS[1], '4')", "1", "b") == "OK", "in scripts as before"
                assert client.call("WAIT", "1", "5000") == 1
                assert [reading.call("fetch", key) for key in "ab"] == ["3", "4"]
                assert reading.call("AUTH", "reader", "a reader's password") == "OK"
                assert reading.call("fetch", "a") == "3"
                assert client.call("AUTH", "reader", "a reader's password") == "OK"
                assert is_refused(client, "put", "a", "5"), "rules of users are about the old name"
            view = await engines.view(second, lambda view: view.link_up)
            assert view.offset > 0 and full_syncs(first) == 1, "what a primary sends is left as it is"

            await driver.promote(second.address, ())
            await driver.follow(first.address, second.address, ())
            await engines.view(first, lambda view: view.link_up and not view.syncing)
            with client_of(second) as client, client_of(first) as reading:
                assert client.call("put", "a", "6") == "OK" and is_unknown(client, "SET", "a", "7")
                assert client.call("WAIT", "1", "5000") == 1
                assert reading.call("fetch", "a") == "6"

                await driver.set_parameters(second.address, {RENAMES: "GET fetch"})
                assert client.call("SET", "a", "8") == "OK" and is_unknown(client, "put", "a", "9")
                assert client.call("fetch", "a") == "8" and is_unknown(client, "GET", "a")
                await driver.set_parameters(second.address, {RENAMES: ""})
                assert client.call("GET", "a") == "8"
                with our_own(second) as ours, pytest.raises(redis.ResponseError, match="no new name"):
                    ours.config_set(RENAMES, "GET")
                with our_own(second) as ours:
                    assert ours.config_get("cachefleet-clients.*") == {RENAMES: "", CLOSES: "yes"}

    asyncio.run(scenario())


@capable
def test_a_renamed_command_that_waits_goes_on(engine: Engine, version: str, module: str) -> None:
    """Whatever it waits for: it is not looked at again under its old name."""

    async def scenario() -> None:
        async with pair(engine, version, module, "BLPOP await SET put XREAD hear") as (_, _, first, _):
            with client_of(first) as waiting, client_of(first) as hearing, client_of(first) as client, our_own(first) as ours:
                waiting.send("await", "queue", "0")
                hearing.send("hear", "BLOCK", "0", "STREAMS", "stream", "$")
                await until(lambda: int(ours.info("clients")["blocked_clients"]) == 2)
                assert client.call("RPUSH", "queue", "x") == 1 and waiting.reply() == ["queue", "x"]
                client.call("XADD", "stream", "1-1", "a", "1")
                assert hearing.reply() == [["stream", [["1-1", ["a", "1"]]]]]
                ours.execute_command("CLIENT", "PAUSE", "60000", "WRITE")
                client.send("put", "a", "1")
                await until(lambda: int(ours.info("clients")["blocked_clients"]) == 1)
                ours.execute_command("CLIENT", "UNPAUSE")
                assert client.reply() == "OK"

    asyncio.run(scenario())


@capable
def test_who_writes_to_a_replica_is_closed_without_an_answer(engine: Engine, version: str, module: str) -> None:
    async def scenario() -> None:
        async with pair(engine, version, module, "INCRBY add") as (driver, engines, first, second):
            with client_of(first) as client:
                assert client.call("SET", "a", "1") == "OK"
                assert client.call("XADD", "stream", "1-1", "a", "1") == "1-1"
                assert client.call("WAIT", "1", "5000") == 1
            writes = [
                ("SET", "a", "2"),
                ("del", "a"),
                ("add", "a", "1"),
                ("FLUSHALL",),
                ("XGROUP", "CREATE", "stream", "g", "0"),
            ]
            for words in (*writes, ("SET",), ("SET", "x" * 100_000, "y" * 100_000)):
                assert closed_by(second, words), words
                assert closed_by(second, words, ("GET", "a"), ("PING",)), "nor is anything behind it answered"
            with client_of(second) as client:
                assert client.call("GET", "a") == "1" and client.call("XGROUP", "HELP")
                assert is_unknown(client, "INCRBY", "a", "1") and is_unknown(client, "NONE")
                script = "return redis.call('SET', KEYS[1], '2')"
                assert "read" in client.call("EVAL", script, "1", "a").lower(), "a script is told, and its client stays"
                assert client.call("PUBLISH", "channel", "x") == 0
                assert client.call("MULTI") == "OK"
                client.send("SET", "a", "2")
                with pytest.raises(ConnectionError):
                    assert client.reply().startswith("-READONLY"), "inside of MULTI it may be answered before"
                    client.reply()
            with our_own(second) as ours, pytest.raises(redis.exceptions.ReadOnlyError):
                ours.set("a", "2")
            with client_of(second) as client, client_of(first) as writing:
                for renames in ("", "INCRBY add"):
                    await driver.set_parameters(second.address, {CLOSES: "no", RENAMES: renames})
                    assert client.call("SET", "a", "2").startswith("-READONLY") and client.call("GET", "a") == "1"
                await driver.set_parameters(second.address, {CLOSES: "yes"})
                assert full_syncs(first) == 1, "the primary's stream goes on"

                await driver.promote(second.address, ())
                assert client.call("SET", "a", "3") == "OK"
                await driver.follow(first.address, second.address, ())
                await engines.view(first, lambda view: view.link_up and not view.syncing)
                writing.send("SET", "a", "4")
                with pytest.raises(ConnectionError):
                    writing.reply()
                assert client.call("GET", "a") == "3"

    asyncio.run(scenario())


def test_who_writes_to_a_replica_is_closed_a_moment_later_where_filters_know_no_clients(module: str) -> None:
    async def scenario() -> None:
        async with pair(Engine.REDIS, "7.0", module) as (driver, engines, first, second):
            with (
                client_of(first) as primarys,
                client_of(second) as reading,
                client_of(second, "default", "any") as writing,
                client_of(second) as grouping,
                our_own(second) as ours,
            ):
                assert primarys.call("XADD", "stream", "1-1", "a", "1") == "1-1" and primarys.call("WAIT", "1", "5000") == 1
                with pytest.raises(redis.exceptions.ReadOnlyError):
                    ours.set("a", "1")
                assert reading.call("GET", "a") is None
                assert writing.call("SET", "a", "2").startswith("-READONLY")
                with pytest.raises(ConnectionError):
                    writing.reply()
                assert grouping.call("XGROUP", "CREATE", "stream", "g", "0").startswith("-READONLY")
                with pytest.raises(ConnectionError):
                    grouping.reply()
                assert reading.call("GET", "a") is None and ours.ping() and full_syncs(first) == 1
                assert primarys.call("SET", "a", "3") == "OK" and primarys.call("WAIT", "1", "5000") == 1
                assert ours.config_get("cachefleet-clients.*") == {CLOSES: "yes"}

                await driver.promote(second.address, ())
                assert reading.call("SET", "a", "4") == "OK"
                await driver.follow(first.address, second.address, ())
                await engines.view(first, lambda view: view.link_up and not view.syncing)
                assert primarys.call("SET", "a", "5").startswith("-READONLY")
                with pytest.raises(ConnectionError):
                    primarys.reply()

    asyncio.run(scenario())


@capable
def test_clients_of_a_cluster_are_sent_to_the_primary(engine: Engine, version: str, module: str) -> None:
    async def scenario() -> None:
        async with launched(engine, version) as (driver, engines):
            parameters = {"rename-commands": "SET put", "close-on-replica-write": "yes"}
            cluster = SlotCluster(driver, engines)
            await cluster.start(ALL, clients_module=module, parameters=parameters)
            replica = await cluster.replicate(0, clients_module=module, parameters=parameters)
            with client_of(replica) as client:
                for words in (("put", "a", "1"), ("DEL", "a"), ("MULTI",), ("put", "a", "1")):
                    assert client.call(*words).startswith(("-MOVED", "OK")), words
                assert is_unknown(client, "SET", "a", "1")

    asyncio.run(scenario())


@pytest.mark.parametrize(("engine", "version"), [CAPABLE[0], CAPABLE[1]], ids=["at-once", "by-keys"])
def test_slots_move_whatever_commands_are_called(engine: Engine, version: str, module: str) -> None:
    renames = "SELECT choose RESTORE bring SET put TYPE blocked DEL blocked GET fetch SCAN blocked DUMP blocked"

    async def scenario() -> None:
        async with launched(engine, version) as (driver, engines):
            given: dict[str, Any] = {"parameters": {"rename-commands": renames}, "users": (replace(OPEN, renames=renames),)}
            cluster = SlotCluster(driver, engines)
            await cluster.start(ALL, (), clients_module=module, **given)
            source, target = cluster.nodes
            with client_of(source) as client, client_of(target) as receiver:
                for number in range(100):
                    assert client.call("put", f"{{06S}}{number}", str(number)) == "OK"
                await cluster.move(0, 1, LOWER)
                assert receiver.call("fetch", "{06S}7") == "7" and receiver.call("DBSIZE") == 100
                assert is_unknown(receiver, "GET", "{06S}7") and is_refused(receiver, "DEL", "{06S}7")

    asyncio.run(scenario())


@capable
def test_users_without_rights_are_closed_too_and_strangers_are_not_served(engine: Engine, version: str, module: str) -> None:
    closed = EngineUser("default", ("-@all",), enabled=False)

    async def scenario() -> None:
        async with pair(engine, version, module, users=(closed, READER)) as (_, _, _, second):
            with client_of(second, "reader", "a reader's password") as client:
                assert client.call("GET", "a") is None and is_refused(client, "PUBLISH", "a", "b")
                client.send("SET", "a", "1")
                with pytest.raises(ConnectionError):
                    client.reply()
            with client_of(second) as client:
                assert client.call("GET", "a").startswith("-NOAUTH")

    asyncio.run(scenario())


@capable
def test_its_command_makes_nobody_the_default_user(engine: Engine, version: str, module: str) -> None:
    """Who is closed is the default user until then: a transaction must not go on as that."""
    users = (replace(OPEN, no_password=False, sha256=(digest("a password of the default user"),)), READER)

    async def scenario() -> None:
        async with pair(engine, version, module, users=users) as (_, _, first, second):
            for node in (first, second):
                with client_of(node, "reader", "a reader's password") as client:
                    assert client.call("CACHEFLEET.CLOSE").startswith("-ERR it is not to be called")
                    assert client.call("MULTI") == "OK" and client.call("CACHEFLEET.CLOSE") == "QUEUED"
                    assert is_refused(client, "PUBLISH", "a", "b")
                    client.call("DISCARD")
                    assert client.call("MULTI") == "OK" and client.call("CACHEFLEET.CLOSE") == "QUEUED"
                    assert client.call("GET", "a") == "QUEUED"
                    assert [str(one)[:4] for one in client.call("EXEC")] == ["-ERR", "None"]
                    assert is_refused(client, "PUBLISH", "a", "b")

    asyncio.run(scenario())


@contextmanager
def watched(build: Build, module: Path, report: Path) -> Iterator[tuple[str, int]]:
    """A replica of nobody, under valgrind; with one thread, since Valkey itself reads what it never wrote beside several."""
    at = free_address(6379)
    with data_folder() as folder:
        lines = [
            f"port {at.port}",
            f"bind {at.host}",
            'save ""',
            "io-threads 1",
            f"replicaof {at.host} 1",
            f"loadmodule {module}",
        ]
        (folder / "node.conf").write_text("\n".join(lines) + "\n")
        log = folder / "output"
        command = ["valgrind", "--leak-check=full", "--num-callers=30", f"--log-file={report}"]
        with log.open("wb") as output:
            command += [build.binary, str(folder / "node.conf")]
            process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=output)
        try:
            wait_for("it listens", lambda: b"Ready to accept" in log.read_bytes() or process.poll() is not None, 60)
            assert process.poll() is None, log.read_text()
            yield at.host, at.port
        finally:
            process.kill()
            process.wait(10)


@pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind is not installed")
@pytest.mark.parametrize(("engine", "version"), [(Engine.VALKEY, "9.1"), (Engine.REDIS, "7.0")], ids=["filter", "timer"])
def test_no_byte_is_read_or_written_where_there_is_none(engine: Engine, version: str, module: str, tmp_path: Path) -> None:
    """Every access of the module in its engine is watched, and nothing is left behind."""
    report, chance = tmp_path / "valgrind", random.Random(1)
    with watched(build_of(engine, version), Path(module), report) as where, Client(*where) as client:
        for value in ("", "GET fetch SET put", "GET", "keys " + "x" * 30, "FLUSHALL blocked get fetch PING pong"):
            client.call("CONFIG", "SET", RENAMES, value)
            client.call("CONFIG", "SET", CLOSES, chance.choice(["yes", "no"]))
            client.call("CONFIG", "GET", "cachefleet-clients.*")
            client.call("CONFIG", "SET", CLOSES, "no")
            for _ in range(50):
                words = [chance.choice(["get", "fetch", "SET", "put", "\0", "x" * 70, "xgroup", ""]) for _ in range(3)]
                client.call(*words)
        assert client.call("CONFIG", "SET", CLOSES, "yes") == "OK"
        client.send("SET", "a", "1")
        with pytest.raises(ConnectionError):
            while client.reply():
                pass
        lines = report.read_text().splitlines()
        assert [line for line in lines if "Invalid" in line or "ninitialised" in line] == [], report.read_text()[-4000:]
        with Client(*where) as last:
            last.send("SHUTDOWN", "NOSAVE")
        wait_for("valgrind has told what was left", lambda: "ERROR SUMMARY" in report.read_text(), 60)
        lost = [part for part in re.split(r"==\d+== \n", report.read_text()) if "definitely lost in loss record" in part]
        assert not [part for part in lost if f"{Path(module).name})" in part], lost
