"""Signs of life of every engine: while it answers, while it is frozen, busy, or gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path

import pytest
from msgspec.structs import replace

from cachefleet.engines.discovery import NODES_FILE, DiscoveryDriver, node_list_file
from cachefleet.engines.memcached import MemcachedDriver
from cachefleet.model.group import Engine
from cachefleet.model.observed import Address, NodeView
from tests.engine.engine_processes import (
    RESP_VERSIONS,
    Client,
    EngineProcesses,
    Node,
    build_of,
    every_version,
    free_address,
    processes,
    resp_processes,
    until,
)

PORT = 6379
Stand = Callable[[], AbstractAsyncContextManager[EngineProcesses]]


def _resp(engine: Engine, version: str) -> Stand:
    @asynccontextmanager
    async def stand() -> AsyncIterator[EngineProcesses]:
        async with resp_processes(engine, version) as (_, running):
            yield running

    return stand


def _memcached() -> AbstractAsyncContextManager[EngineProcesses]:
    return processes(MemcachedDriver(), build_of(Engine.MEMCACHED, "1.6"))


def _discovery() -> AbstractAsyncContextManager[EngineProcesses]:
    return processes(DiscoveryDriver(), build_of(Engine.MEMCACHED, "1.6"))


every_engine = pytest.mark.parametrize(
    "stand",
    [*(_resp(engine, version) for engine, version in RESP_VERSIONS), _memcached, _discovery],
    ids=[*(f"{engine}-{version}" for engine, version in RESP_VERSIONS), "memcached", "discovery"],
)


def _start(engines: EngineProcesses) -> Node:
    """Of the configuration endpoint one with a list: without one it closes each connection after saying so."""
    node = engines.start()
    if isinstance(engines.driver, DiscoveryDriver):
        (node.folder / NODES_FILE).write_bytes(node_list_file(node.address, 1, [("127.0.0.9", 11211)]))
    return node


def lasting(view: NodeView) -> NodeView:
    """What two looks at an idle node have in common."""
    return replace(view, used_bytes=0)


async def _frozen(node: Node) -> None:
    """Returns when the kernel has stopped every thread of it."""
    node.freeze()
    tasks = Path(f"/proc/{node.process.pid}/task")
    await until(lambda: all((task / "stat").read_text().rpartition(")")[2].split()[0] == "T" for task in tasks.iterdir()))


async def _unanswered_probe(engines: EngineProcesses, node: Node) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await engines.driver.probe(node.address, False)


def _sockets(node: Node) -> set[str]:
    """Of the process, by the kernel's numbers."""
    found = set()
    for descriptor in Path(f"/proc/{node.process.pid}/fd").iterdir():
        with suppress(OSError):
            found.add(str(descriptor.readlink()))
    return {name for name in found if name.startswith("socket:")}


@every_engine
def test_signs_of_life_until_the_end(stand: Stand) -> None:
    async def scenario() -> None:
        async with stand() as engines:
            node = _start(engines)
            assert engines.driver.pulse(node.address) is None  # nothing was ever asked: there is no connection
            view = await engines.view(node)
            driver, at = engines.driver, node.address
            sockets = _sockets(node)
            for _ in range(5):
                assert driver.pulse(at) is True
                assert driver.pulse(at) is False  # its answer cannot be here yet
                await until(lambda: driver.pulse(at) is True)
                # A view is read from its own answer, whatever else is under way on the connection.
                assert lasting(await driver.probe(at, False)) == lasting(view)
            await _frozen(node)
            driver.pulse(at)  # an answer from before may still be on its way
            for number in range(200):
                await asyncio.sleep(0.001)
                assert driver.pulse(at) is False
                if number % 50 == 0:
                    await _unanswered_probe(engines, node)
            node.thaw()
            await until(lambda: driver.pulse(at) is True)
            assert lasting(await driver.probe(at, False)) == lasting(view)
            assert _sockets(node) == sockets  # all of it on one connection
            node.kill()
            await until(lambda: driver.pulse(at) is None)

    asyncio.run(scenario())


@every_engine
def test_a_probe_without_an_answer_is_silence_too(stand: Stand) -> None:
    async def scenario() -> None:
        async with stand() as engines:
            node = _start(engines)
            await engines.view(node)
            await _frozen(node)
            await _unanswered_probe(engines, node)
            assert engines.driver.pulse(node.address) is False
            node.thaw()
            await until(lambda: engines.driver.pulse(node.address) is True)

    asyncio.run(scenario())


@every_engine
def test_a_long_freeze_gathers_no_questions(stand: Stand) -> None:
    """A node that stays silent is asked over new connections, of which few are open at once; it is back at once."""

    async def scenario() -> None:
        async with stand() as engines:
            node = _start(engines)
            view = await engines.view(node)
            before = len(_sockets(node))
            await _frozen(node)
            for _ in range(100):
                engines.driver.pulse(node.address)
                await _unanswered_probe(engines, node)
            node.thaw()
            assert lasting(await engines.view(node)) == lasting(view)
            await until(lambda: engines.driver.pulse(node.address) is True)
            await until(lambda: len(_sockets(node)) <= before)

    asyncio.run(scenario())


@every_version
def test_only_answered_signs_of_life_are_asked_for_again(engine: Engine, version: str) -> None:
    """As many PINGs arrive as were said to be sent."""

    async def scenario() -> None:
        async with resp_processes(engine, version) as (driver, engines):
            node = engines.start()
            await engines.view(node)
            await driver.promote(node.address, ())
            sent = [driver.pulse(node.address)]
            while sent.count(True) < 20:
                await asyncio.sleep(0.001)
                sent.append(driver.pulse(node.address))
                assert len(sent) < 5000
            await driver.probe(node.address, False)
            with Client(node.address.host, PORT) as client:
                assert "cmdstat_ping:calls=20," in client.call("INFO", "commandstats")

    asyncio.run(scenario())


@every_version
def test_a_busy_engine_is_silent_until_it_says_that_it_is_busy(engine: Engine, version: str) -> None:
    async def scenario() -> None:
        async with resp_processes(engine, version) as (driver, engines):
            node = engines.start(parameters={"lua-time-limit": "300"})
            await engines.view(node)
            await driver.promote(node.address, ())
            with Client(node.address.host, PORT) as client, Client(node.address.host, PORT) as other:
                client.send("EVAL", "while true do end", "0")
                await until(lambda: not driver.pulse(node.address))
                await until(lambda: driver.pulse(node.address) is True)
                assert other.call("SCRIPT", "KILL") == "OK"
                assert client.reply().startswith("-")

    asyncio.run(scenario())


@pytest.mark.parametrize("driver_class", [MemcachedDriver, DiscoveryDriver])
@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\xff\xfe\xfd\n", b"\r\n\r\n", b"END\r\nEND\r\n" * 50, b"x" * 3_000_000, b""],
    ids=["http", "bytes", "empty lines", "too many", "endless", "nothing"],
)
def test_something_else_that_speaks_in_lines(
    driver_class: type[MemcachedDriver] | type[DiscoveryDriver], answer: bytes
) -> None:
    """Never an exception; a view that says so. What it sends unasked ends the connection."""
    sides: set[asyncio.StreamWriter] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sides.add(writer)
        with suppress(OSError):
            await reader.read(10)
            writer.write(answer)
            if answer:
                await reader.read()  # it keeps the connection: ending it is up to us
        writer.close()

    async def scenario() -> None:
        at = free_address(11211)
        server = await asyncio.start_server(talk, at.host, at.port)
        driver = driver_class()
        async with server, asyncio.timeout(10):
            for _ in range(3):
                view = await driver.probe(at, False)
                await until(lambda: driver.pulse(at) is None)
                assert view.why or (driver_class is MemcachedDriver and answer.startswith(b"END"))
            await driver.close()
            await until(lambda: all(side.is_closing() for side in sides))

    asyncio.run(scenario())


def test_no_sign_of_life_is_asked_of_a_stranger() -> None:
    async def scenario() -> None:
        async with resp_processes(Engine.VALKEY, "9.1") as (driver, _):
            assert driver.pulse(Address("127.39.250.1", PORT)) is None

    asyncio.run(scenario())
