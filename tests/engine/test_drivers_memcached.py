"""The drivers of Memcached and of its configuration endpoint, with real processes and real clients."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from django_elastipymemcache.client import AWSElastiCacheClient
from pymemcache.client.base import Client as PymemcacheClient

from cachefleet.engines.discovery import NODES_FILE, DiscoveryDriver, node_list_file
from cachefleet.engines.memcached import MemcachedDriver
from cachefleet.model.group import Engine
from cachefleet.model.observed import Address
from cachefleet.reference import parameters
from tests.engine.engine_processes import EngineProcesses, Node, build_of, free_address, processes

PORT = 11211


def defaults() -> dict[str, str]:
    """What a default group of memcached1.6 says, as far as it does not depend on the node type."""
    return {name: known.default for name, known in parameters.FAMILIES["memcached1.6"].parameters.items() if known.default}


@asynccontextmanager
async def memcached() -> AsyncIterator[EngineProcesses]:
    async with processes(MemcachedDriver(), build_of(Engine.MEMCACHED, "1.6")) as running:
        yield running


def settings_of(node: Node) -> dict[str, str]:
    with socket.create_connection((node.address.host, PORT), timeout=5) as client:
        client.sendall(b"stats settings\r\n")
        text = b""
        while not text.endswith(b"END\r\n"):
            text += client.recv(65536)
    return {
        line.split()[1]: line.split()[2]
        for line in text.decode().splitlines()
        if line.startswith("STAT") and len(line.split()) > 2
    }


def test_items_lie_in_slabs_of_about_their_size() -> None:
    async def scenario() -> None:
        async with memcached() as engines:
            node = engines.start(parameters=defaults(), threads=2)
            await engines.view(node)
            client = PymemcacheClient((node.address.host, PORT))
            client.set("a", "x" * 100)
            sizes = [size for name, size in client.stats("slabs").items() if name.endswith(b":chunk_size")]
            client.close()
            assert sizes and max(map(int, sizes)) < 400

    asyncio.run(scenario())


def test_a_node_answers_and_ends() -> None:
    async def scenario() -> None:
        async with memcached() as engines:
            node = engines.start(parameters=defaults(), threads=2)
            view = await engines.view(node)
            assert (view.version, view.pid) == (engines.build.version, node.process.pid)
            assert (view.incarnation, view.primary, view.bound) == ("", False, (node.address.host,))
            client = PymemcacheClient((node.address.host, PORT))
            assert client.set("a", "1") and client.get("a") == b"1"
            client.close()
            node.kill()
            view = await engines.driver.probe(node.address, False)
            assert not view.reachable and view.why

    asyncio.run(scenario())


def test_parameters_arrive() -> None:
    async def scenario() -> None:
        async with memcached() as engines:
            wanted = defaults() | {
                "max_item_size": "3000000",
                "max_simultaneous_connections": "500",
                "chunk_size": "64",
                "chunk_size_growth_factor": "1.5",
                "backlog_queue_limit": "900",
                "binding_protocol": "ascii",
                "cas_disabled": "1",
                "error_on_memory_exhausted": "1",
                "idle_timeout": "77",
                "slab_automove": "2",
                "lru_maintainer": "1",
                "requests_per_event": "20",
            }
            node = engines.start(parameters=wanted, threads=3, maxmemory_bytes=100 << 20)
            await engines.view(node)
            settings = settings_of(node)
            expected = {
                "maxbytes": str(100 << 20),
                "maxconns": "500",
                "item_size_max": str(6 * 524_288),
                "slab_chunk_max": "524288",
                "chunk_size": "64",
                "growth_factor": "1.50",
                "tcp_backlog": "900",
                "binding_protocol": "ascii",
                "cas_enabled": "no",
                "evictions": "off",
                "idle_timeout": "77",
                "slab_automove": "2",
                "lru_maintainer_thread": "yes",
                "hash_algorithm": "jenkins",
                "num_threads": "3",
                "udpport": "0",
                "inter": node.address.host,
            }
            assert {name: settings.get(name) for name in expected} == expected

    asyncio.run(scenario())


@pytest.mark.parametrize("memory_mb", [1, 2, 3, 64])
@pytest.mark.parametrize("item", ["1024", "2000", "524288", "524289", "1048576", "1500000", "1073741824"])
def test_every_item_size_starts(item: str, memory_mb: int) -> None:
    async def scenario() -> None:
        async with memcached() as engines:
            node = engines.start(parameters=defaults() | {"max_item_size": item}, maxmemory_bytes=memory_mb << 20)
            await engines.view(node)

    asyncio.run(scenario())


# --- configuration endpoint ---


class Endpoint:
    """A running configuration endpoint and how to publish to it."""

    def __init__(self, engines: EngineProcesses, node: Node) -> None:
        self.engines = engines
        self.node = node

    @property
    def where(self) -> tuple[str, int]:
        return self.node.address.host, PORT

    def publish(self, version: int, nodes: list[Node] | list[Address]) -> None:
        hosts = [node.address if isinstance(node, Node) else node for node in nodes]
        content = node_list_file(self.node.address, version, [(at.host, at.port) for at in hosts])
        new = self.node.folder / "new"
        new.write_bytes(content)
        new.replace(self.node.folder / NODES_FILE)

    def say(self, text: bytes, *, end: bool = True) -> bytes:
        """Everything that comes back for it until the end of the connection."""
        with socket.create_connection(self.where, timeout=5) as client:
            client.sendall(text)
            if end:
                client.shutdown(socket.SHUT_WR)
            answer = b""
            while piece := client.recv(65536):
                answer += piece
            return answer

    def resident_kb(self) -> int:
        status = Path(f"/proc/{self.node.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0])


@asynccontextmanager
async def endpoint() -> AsyncIterator[tuple[Endpoint, EngineProcesses]]:
    """The endpoint, and Memcached nodes to start."""
    build = build_of(Engine.MEMCACHED, "1.6")
    async with processes(MemcachedDriver(), build) as nodes, processes(DiscoveryDriver(), build) as engines:
        node = engines.start()
        await engines.view(node)
        yield Endpoint(engines, node), nodes


def test_before_the_first_list_it_says_so() -> None:
    async def scenario() -> None:
        async with endpoint() as (point, _):
            assert (await point.engines.view(point.node)).version == "0"
            assert point.say(b"config get cluster\r\n", end=False).startswith(b"SERVER_ERROR ")
            assert point.say(b"version\r\n") == b"SERVER_ERROR no cache node answers\r\n"

    asyncio.run(scenario())


def test_the_node_list_in_both_forms() -> None:
    async def scenario() -> None:
        async with endpoint() as (point, _):
            point.publish(12, [Address("127.0.0.9", 11211), Address("127.0.0.10", 11211)])
            payload = b"12\n127.0.0.10|127.0.0.10|11211 127.0.0.9|127.0.0.9|11211\n"
            expected = b"CONFIG cluster 0 %d\r\n%s\r\nEND\r\n" % (len(payload), payload)
            assert point.say(b"config get cluster\r\n") == expected
            assert point.say(b"config get cluster\n") == expected
            legacy = expected.replace(b"CONFIG cluster", b"VALUE AmazonElastiCache:cluster")
            assert point.say(b"get AmazonElastiCache:cluster\r\n") == legacy
            assert (await point.engines.view(point.node)).version == "12"
            point.publish(13, [])
            assert point.say(b"config get cluster\r\n") == b"CONFIG cluster 0 4\r\n13\n\n\r\nEND\r\n"

    asyncio.run(scenario())


def test_everything_else_reaches_a_node_in_order() -> None:
    async def scenario() -> None:
        async with endpoint() as (point, nodes):
            node = nodes.start()
            await nodes.view(node)
            point.publish(1, [node])
            config = point.say(b"config get cluster\r\n")
            answer = point.say(
                b"set a 0 0 20\r\nconfig get cluster\r\n\r\nget a\r\nconfig get cluster\r\nmn\r\nms b 2\r\nhi\r\n"
                b"mg b v\r\nget AmazonElastiCache:cluster\r\nset q 0 0 4 noreply\r\nMN\r\n\r\nget q\r\n"
                b"config get cluster\r\nnonsense\r\n"
            )
            legacy = config.replace(b"CONFIG cluster", b"VALUE AmazonElastiCache:cluster")
            assert answer == (
                b"STORED\r\nVALUE a 0 20\r\nconfig get cluster\r\n\r\nEND\r\n"
                + config
                + b"MN\r\nHD\r\nVA 2\r\nhi\r\n"
                + legacy
                + b"VALUE q 0 4\r\nMN\r\n\r\nEND\r\n"
                + config
                + b"ERROR\r\n"
            )

    asyncio.run(scenario())


def test_clients_are_spread_and_a_dead_node_is_passed_over() -> None:
    async def scenario() -> None:
        async with endpoint() as (point, nodes):
            started = [nodes.start() for _ in range(2)]
            for node in started:
                await nodes.view(node)
            point.publish(1, [*started])
            pids = {point.say(b"stats\r\n").split(b"STAT pid ")[1].split()[0] for _ in range(4)}
            assert pids == {b"%d" % node.process.pid for node in started}
            started[0].kill()
            pids = {point.say(b"stats\r\n").split(b"STAT pid ")[1].split()[0] for _ in range(4)}
            assert pids == {b"%d" % started[1].process.pid}
            started[1].kill()
            assert point.say(b"version\r\n") == b"SERVER_ERROR no cache node answers\r\n"

    asyncio.run(scenario())


def test_a_client_library_works_through_it_text_and_binary() -> None:
    async def scenario() -> None:
        async with endpoint() as (point, nodes):
            node = nodes.start(parameters={"max_item_size": "4194304"}, maxmemory_bytes=64 << 20)
            await nodes.view(node)
            point.publish(1, [node])
            client = PymemcacheClient(point.where, timeout=10)
            big = os.urandom(3_000_000)
            assert client.set("big", big)
            assert client.get("big") == big
            assert client.get_many(["big", "none"]) == {"big": big}
            assert client.delete("big")
            client.close()
            noop = b"\x80\x0a" + bytes(22)
            with socket.create_connection(point.where, timeout=5) as binary:
                binary.sendall(noop * 3)
                answer = b""
                while len(answer) < 72:
                    answer += binary.recv(100)
            assert answer[:2] == b"\x81\x0a" and len(answer) == 72

    asyncio.run(scenario())


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the client drops its discovery connections without closing them
def test_an_auto_discovery_client_follows_the_list() -> None:
    async def scenario() -> None:
        async with endpoint() as (point, nodes):
            started = [nodes.start() for _ in range(2)]
            for node in started:
                await nodes.view(node)
            point.publish(1, [started[0]])
            client = AWSElastiCacheClient(f"{point.where[0]}:{PORT}", discovery_interval=0.001, timeout=10)
            assert client.set("a", "1") and client.get("a") == b"1"
            assert set(client.clients) == {f"{started[0].address}"}
            point.publish(2, [*started])
            for number in range(20):
                assert client.set(f"k{number}", "1")
            assert set(client.clients) == {f"{node.address}" for node in started}
            client.close()
            del client
            gc.collect()

    asyncio.run(scenario())


def test_bad_input_is_survived_within_bounds() -> None:
    async def scenario() -> None:
        async with endpoint() as (point, nodes):
            node = nodes.start()
            await nodes.view(node)
            point.publish(1, [node])
            assert point.say(b"x" * 5000, end=False) == b"CLIENT_ERROR line too long\r\n"
            assert point.say(b"get " + b"k" * 100 + (b" " + b"k" * 100) * 50 + b"\r\n").endswith(b"END\r\n")
            for garbage in (
                b"\r\n" * 100,
                b"set a b c d\r\n",
                b"set a 0 0 99999999999999999999\r\n",
                b"\x00\xff" * 500 + b"\n",
            ):
                point.say(garbage)
            before = point.resident_kb()
            with socket.create_connection(point.where, timeout=5) as greedy:  # asks and never listens
                greedy.setblocking(False)
                sent = 0
                for _ in range(20_000):
                    try:
                        sent += greedy.send(b"config get cluster\r\n" * 500)
                    except BlockingIOError:
                        point.say(b"config get cluster\r\n")
                        if sent > 1 << 20:
                            break
                assert point.say(b"version\r\n").startswith(b"VERSION")
            assert point.resident_kb() - before < 8_000
            assert (await point.engines.view(point.node)).version == "1"

    asyncio.run(scenario())


def test_a_thousand_clients() -> None:
    async def scenario() -> None:
        async with endpoint() as (point, nodes):
            node = nodes.start()
            await nodes.view(node)
            point.publish(1, [node])
            clients = [socket.create_connection(point.where, timeout=10) for _ in range(1000)]
            try:
                for client in clients:
                    client.sendall(b"config get cluster\r\n")
                for client in clients:
                    assert client.recv(1000).endswith(b"END\r\n")
                assert point.resident_kb() < 40_000
            finally:
                for client in clients:
                    client.close()
            assert point.say(b"version\r\n").startswith(b"VERSION")

    asyncio.run(scenario())


def test_a_broken_file_changes_nothing() -> None:
    async def scenario() -> None:
        async with endpoint() as (point, _):
            point.publish(3, [])
            assert (await point.engines.view(point.node)).version == "3"
            (point.node.folder / NODES_FILE).write_bytes(b'{"listen": [')
            assert (await point.engines.view(point.node)).version == "3"
            point.publish(4, [])
            assert (await point.engines.view(point.node)).version == "4"

    asyncio.run(scenario())


def test_an_address_in_use_ends_it_with_a_reason() -> None:
    async def scenario() -> None:
        build = build_of(Engine.MEMCACHED, "1.6")
        at = free_address(PORT)
        with socket.socket() as holder:
            holder.bind((at.host, PORT))
            holder.listen()
            async with processes(DiscoveryDriver(), build) as engines:
                node = engines.start(at)
                assert node.process.wait(10) == 1
                assert "cannot listen" in (node.folder / "output").read_text()

    asyncio.run(scenario())
