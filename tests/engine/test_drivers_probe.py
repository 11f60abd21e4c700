"""What a probe says of engines that are busy, loading, frozen, replaced, gone, or no engines at all."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from cachefleet.model.group import Engine
from tests.engine.engine_processes import Client, every_version, free_address, resp_processes

PORT = 6379


@every_version
def test_an_engine_that_runs_a_long_script_is_alive_and_keeps_its_role(engine: Engine, version: str) -> None:
    async def scenario() -> None:
        async with resp_processes(engine, version) as (driver, engines):
            node = engines.start(parameters={"lua-time-limit": "20"})
            await engines.view(node)
            await driver.promote(node.address, ())
            seen = await engines.view(node)
            with Client(node.address.host, PORT) as client, Client(node.address.host, PORT) as other:
                client.send("EVAL", "while true do end", "0")
                view = await engines.view(node, lambda view: view.why.startswith("BUSY"))
                assert (view.primary, view.incarnation, view.loading) == (True, seen.incarnation, False)
                assert view.busy_reply and not seen.busy_reply
                fresh = type(driver)(1000)
                view = await fresh.probe(node.address, False)  # it has never seen it before
                assert view.reachable and view.busy_reply and view.why.startswith("BUSY")
                assert other.call("SCRIPT", "KILL") == "OK"
                assert client.reply().startswith("-")
                view = await fresh.probe(node.address, False)
                await fresh.close()
                assert (view.primary, view.why, view.incarnation, view.busy_reply) == (True, "", node.incarnation, False)

    asyncio.run(scenario())


@every_version
def test_an_engine_that_loads_its_data_is_alive_and_not_ready(engine: Engine, version: str) -> None:
    async def scenario() -> None:
        async with resp_processes(engine, version) as (driver, engines):
            primary, replica = engines.start(), engines.start()
            for node in (primary, replica):
                await engines.view(node)
            await driver.promote(primary.address, ())
            # Engines look up from loading every 2 MB, so there must be several of them.
            await driver.set_parameters(primary.address, {"rdbcompression": "no"})
            with Client(primary.address.host, PORT) as client:
                client.call("EVAL", "for i = 1, 3000 do redis.call('SET', i, string.rep('x', 4096)) end", "0")
            await driver.set_parameters(replica.address, {"key-load-delay": "100"})
            await driver.follow(replica.address, primary.address, ())
            view = await engines.view(replica, lambda view: view.loading)
            assert (view.link_up, view.primary, view.why, view.busy_reply) == (False, False, "loading data", False)
            view = await engines.view(replica, lambda view: view.link_up)
            assert (view.loading, view.syncing, view.why) == (False, False, "")
            with Client(replica.address.host, PORT) as client:
                assert len(client.call("GET", "3000")) == 4096

    asyncio.run(scenario())


@every_version
def test_a_frozen_engine_answers_again_on_the_same_connection(engine: Engine, version: str) -> None:
    async def scenario() -> None:
        async with resp_processes(engine, version) as (driver, engines):
            node = engines.start()
            await engines.view(node)
            await driver.promote(node.address, ())
            with Client(node.address.host, PORT) as client:
                before = client.call("CLIENT", "ID")
            node.freeze()
            try:
                for _ in range(20):  # more than a connection bears
                    with pytest.raises(TimeoutError):
                        async with asyncio.timeout(0.01):
                            await driver.probe(node.address, False)
            finally:
                node.thaw()
            view = await engines.view(node)
            assert view.primary
            with Client(node.address.host, PORT) as client:
                assert client.call("CLIENT", "ID") - before < 20

    asyncio.run(scenario())


@every_version
def test_a_new_launch_at_the_same_address_is_told_from_the_old(engine: Engine, version: str) -> None:
    async def scenario() -> None:
        async with resp_processes(engine, version) as (driver, engines):
            old = engines.start()
            assert (await engines.view(old)).incarnation == old.incarnation
            old.kill()
            view = await driver.probe(old.address, False)
            assert not view.reachable and view.why
            new = engines.start(old.address)
            view = await engines.view(new)
            assert (view.incarnation, view.pid) == (new.incarnation, new.process.pid)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\xff\xfe\xfd", b"*-7\r\n", b"$3\r\nab", b"+OK\r\n" * 50, b""]
)
def test_something_else_at_the_address(answer: bytes) -> None:
    """Never an exception; a view that says so, or silence until the caller's deadline."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            await reader.read(10)
            writer.write(answer)
            await writer.drain()
            writer.close()
            await writer.wait_closed()

    async def scenario() -> None:
        at = free_address(PORT)
        server = await asyncio.start_server(talk, at.host, at.port)
        async with server, resp_processes(Engine.VALKEY, "9.1") as (driver, _):
            async with asyncio.timeout(5):
                for _ in range(3):
                    view = await driver.probe(at, False)
                    assert not view.reachable and view.why

    asyncio.run(scenario())


def test_probes_leave_no_connection_behind() -> None:
    """Many probes, one connection, and it has a name that an operator understands."""

    async def scenario() -> None:
        async with resp_processes(Engine.VALKEY, "9.1") as (driver, engines):
            node = engines.start()
            await engines.view(node)
            await asyncio.gather(*(driver.probe(node.address, False) for _ in range(50)))
            with Client(node.address.host, PORT) as client:
                lines = client.call("CLIENT", "LIST").splitlines()
            assert [line.split("name=")[1].split(" ")[0] for line in lines if "cmd=client" not in line] == ["cachefleet"]

    asyncio.run(scenario())
