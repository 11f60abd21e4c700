"""The kernel really spreads connections, and what others do to its rules is noticed."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from cachefleet.clock import SystemClock
from cachefleet.hosts import LocalHost
from cachefleet.interfaces import HostRefused
from cachefleet.settings import HostSettings
from tests.fakes.clock import ManualClock
from tests.fixtures.machine import data_folder, seen

PORT = 21_379
Scenario = Callable[[LocalHost], Coroutine[Any, Any, None]]


@pytest.fixture
def data_dir() -> Iterator[Path]:
    with data_folder() as folder:
        yield folder


def play(data_dir: Path, scenario: Scenario, clock: ManualClock | None = None) -> None:
    async def life() -> None:
        host = LocalHost(data_dir, HostSettings(), clock or SystemClock())
        await host.adopt()
        try:
            if not host.can_spread:
                expected = os.environ.get("CI") == "true" and os.geteuid() == 0 and shutil.which("nft")
                assert not expected, "nftables is here and may not be used"
                pytest.skip("nftables may not be used here")
            await scenario(host)
        finally:
            await host.close()

    asyncio.run(life())


async def listen(address: str) -> asyncio.Server:
    """Answers with its own address and the one that it sees the client at."""

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"{address} {writer.get_extra_info('peername')[0]}".encode())
        writer.close()

    return await asyncio.start_server(answer, address, PORT)


async def ask(address: str) -> list[str]:
    reader, writer = await asyncio.open_connection(address, PORT)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer.decode().split()


def test_connections_reach_every_target_and_answers_come_back(data_dir: Path) -> None:
    async def scenario(host: LocalHost) -> None:
        endpoint = host.offer("u", {"": 1})[""][0]
        nodes = host.offer("u", {"a": 2})["a"]
        servers = [await listen(node) for node in nodes]
        try:
            await host.spread(endpoint, PORT, nodes)
            answers = [await ask(endpoint) for _ in range(60)]
            assert {answer[0] for answer in answers} == set(nodes)  # all on one side: once in 2 ** 59
            assert {answer[1] for answer in answers} == {"127.0.0.1"}
            await host.spread(endpoint, PORT, nodes[:1])
            assert {(await ask(endpoint))[0] for _ in range(10)} == {nodes[0]}
            await host.spread(endpoint, PORT, [])
            with pytest.raises(ConnectionRefusedError):
                await ask(endpoint)
        finally:
            for server in servers:
                server.close()
                await server.wait_closed()

    play(data_dir, scenario)


def test_connections_under_way_stay_where_they_are_when_rules_come_and_go(data_dir: Path) -> None:
    async def scenario(host: LocalHost) -> None:
        endpoint = host.offer("u", {"": 1})[""][0]
        node = host.offer("u", {"a": 1})["a"][0]
        holder = await asyncio.start_server(_echo, endpoint, PORT)
        other = await asyncio.start_server(_echo, node, PORT)
        try:
            await host.spread(endpoint, PORT, [node])
            await host.spread(endpoint, PORT, [])
            await _converse(endpoint, host, [node])
            await _converse(endpoint, host, [])
        finally:
            for server in (holder, other):
                server.close()
                await server.wait_closed()

    play(data_dir, scenario)


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while line := await reader.readline():
        writer.write(line)
    writer.close()


async def _converse(endpoint: str, host: LocalHost, targets: list[str]) -> None:
    """Say something before and after the rule changes."""
    reader, writer = await asyncio.open_connection(endpoint, PORT)
    try:
        for word in (b"before\n", b"after\n"):
            writer.write(word)
            async with asyncio.timeout(5):
                assert await reader.readline() == word
            await host.spread(endpoint, PORT, targets)
    finally:
        writer.close()
        await writer.wait_closed()


def test_rules_that_someone_dropped_are_missed_and_put_back_by_the_next_change(data_dir: Path) -> None:
    clock = ManualClock()

    async def scenario(host: LocalHost) -> None:
        await host.spread("127.9.0.1", PORT, ["127.9.64.1", "127.9.64.2"])
        await host.spread("127.9.0.2", PORT, ["127.9.64.3"])
        table = ["table", "ip", f"cachefleet_{host.network}"]
        await asyncio.to_thread(subprocess.run, ["nft", "delete", *table], check=True)
        await clock.advance(20)
        await seen(lambda: host.spreads() == {})
        await host.spread("127.9.0.2", PORT, ["127.9.64.3"])
        assert host.spreads() == {("127.9.0.1", PORT): ("127.9.64.1", "127.9.64.2"), ("127.9.0.2", PORT): ("127.9.64.3",)}
        await host.remove_rules()
        gone = await asyncio.to_thread(subprocess.run, ["nft", "list", *table], capture_output=True, check=False)
        assert gone.returncode != 0

    play(data_dir, scenario, clock)


def test_a_cancelled_change_is_not_half_known(data_dir: Path) -> None:
    async def scenario(host: LocalHost) -> None:
        task = asyncio.create_task(host.spread("127.9.0.1", PORT, ["127.9.64.1"]))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
        await seen(lambda: host.spreads() == {("127.9.0.1", PORT): ("127.9.64.1",)})

    play(data_dir, scenario)


@pytest.mark.parametrize(("address", "target"), [("nonsense", "127.9.64.1"), ("127.9.0.1", "127.9.64.1; flush ruleset")])
def test_only_addresses_reach_the_kernel(data_dir: Path, address: str, target: str) -> None:
    async def scenario(host: LocalHost) -> None:
        with pytest.raises(ValueError, match=r"IPv4|octet|Only decimal|Expected 4"):
            await host.spread(address, PORT, [target])
        assert host.spreads() == {}

    play(data_dir, scenario)


def test_never_means_never_also_for_rules_of_an_earlier_run(data_dir: Path) -> None:
    async def before(host: LocalHost) -> None:
        await host.spread("127.9.0.1", PORT, ["127.9.64.1"])

    async def life() -> None:
        host = LocalHost(data_dir, HostSettings(spread="never"), SystemClock())
        await host.adopt()
        assert not host.can_spread
        assert host.spreads() == {}
        tables = await asyncio.to_thread(subprocess.run, ["nft", "list", "tables"], capture_output=True, text=True, check=True)
        assert f"cachefleet_{host.network}" not in tables.stdout
        with pytest.raises(HostRefused, match=r"host\.spread is never"):
            await host.spread("127.9.0.1", PORT, ["127.9.64.1"])
        await host.close()

    play(data_dir, before)
    asyncio.run(life())
