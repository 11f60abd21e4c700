"""Items of real Memcached nodes, read and written into another one: values, flags, keys and times to live stay."""

from __future__ import annotations

import asyncio
import base64
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager

import pytest
from pymemcache.client.base import Client

from cachefleet.clock import SystemClock
from cachefleet.engines.memcached import MemcachedDriver
from cachefleet.engines.memcached_items import Encoder, Item, decoded
from cachefleet.engines.memcached_keys import keys_of
from cachefleet.engines.memcached_stream import Refused, open_items, write_items
from cachefleet.engines.replica_stream import StreamBroken
from cachefleet.model.group import Engine
from cachefleet.model.observed import Address
from tests.engine.engine_processes import EngineProcesses, build_of, free_address, processes
from tests.fixtures.service import wait_for

_CLOCK = SystemClock()
ANY_BYTES = bytes(range(256))


@asynccontextmanager
async def engines() -> AsyncIterator[EngineProcesses]:
    async with processes(MemcachedDriver(), build_of(Engine.MEMCACHED, "1.6")) as running:
        yield running


async def started(running: EngineProcesses) -> Address:
    node = running.start()
    await running.view(node)
    return node.address


def nothing() -> None:
    pass


def taken(at: Address) -> list[Item]:
    with open_items(at, timeout_s=10, clock=_CLOCK, alive=nothing) as contents:
        return list(contents.items)


def talk(at: Address, request: bytes) -> list[bytes]:
    """Lines that are answered; the last command is answered with MN."""
    with socket.create_connection((at.host, at.port), 5) as connection:
        connection.sendall(request + b"mn\r\n")
        answer = b""
        while not answer.endswith(b"MN\r\n"):
            piece = connection.recv(65536)
            assert piece, answer
            answer += piece
    return answer.split(b"\r\n")[:-2]


@contextmanager
def client_of(at: Address) -> Iterator[Client]:
    with closing(Client((at.host, at.port), timeout=5)) as client:
        yield client


def test_everything_that_a_client_sees_stays_what_it_was() -> None:
    long_key = "k" * 250
    odd_key = base64.b64encode(b"two words\r\n\x00\xff")
    named = base64.b64encode(b"named")

    async def scenario() -> None:
        async with engines() as running:
            source, target = await started(running), await started(running)
            with client_of(source) as client:
                for key, value, flags, expire in (
                    ("any", ANY_BYTES * 40, 0, 0),
                    ("empty", b"", 4294967295, 100),
                    (long_key, b"END\r\nSTORED\r\n", 77, 40 * 86_400 + int(_CLOCK.now())),
                    ("p%20c=%41&", b"percent", 1, 3600),
                    ("large", b"x" * 900_000, 2, 0),
                    ("gone", b"soon", 0, 1),
                ):
                    assert client.set(key, value, expire=expire, noreply=False, flags=flags)
            talk(source, b"ms %s 3 b F9 T200\r\nodd\r\nms %s 3 b F8\r\nbin\r\n" % (odd_key, named))
            file = list(Encoder().chunks(taken(source)))
            count, stored = write_items(target, decoded(file), timeout_s=10, now=_CLOCK.now() + 1.5)
            assert count in (7, 8) and stored == 7
            with client_of(target) as client:
                assert client.get("any") == ANY_BYTES * 40
                assert client.get("large") == b"x" * 900_000
                assert client.get("gone") is None
            questions = b"".join(
                b"mg %s f s t k v%s\r\n" % (key, b" b" if key == odd_key else b"")
                for key in (b"empty", long_key.encode(), b"p%20c=%41&", odd_key, b"named")
            )
            assert [without_time(line) for line in talk(target, questions)] == [
                without_time(line) for line in talk(source, questions)
            ]
            for before, after in zip(times(talk(source, questions)), times(talk(target, questions)), strict=True):
                assert abs(before - after) <= 1

    asyncio.run(scenario())


def without_time(line: bytes) -> bytes:
    return b" ".join(word for word in line.split(b" ") if not word.startswith(b"t"))


def times(lines: list[bytes]) -> list[int]:
    return [int(word[1:]) for line in lines if line.startswith(b"VA") for word in line.split(b" ") if word.startswith(b"t")]


def test_a_hundred_thousand_items_while_clients_write() -> None:
    """All that nobody touches are there; one that is written has a value that it had at some time."""
    count, hot = 100_000, 2_000

    async def scenario() -> None:
        async with engines() as running:
            source, target = await started(running), await started(running)
            write_items(source, (Item(b"key:%d" % n, b"%d:0" % n, n) for n in range(count)), timeout_s=10, now=0)
            ended = threading.Event()

            def write() -> None:
                with client_of(source) as client:
                    turn = 0
                    while not ended.is_set():
                        turn += 1
                        for n in range(0, hot, 7):
                            client.set(f"key:{n}", f"{n}:{turn}", flags=n, noreply=False)
                        client.delete(f"key:{turn % hot}", noreply=False)
                        client.set(f"new:{turn}", "new", noreply=False)

            writer = threading.Thread(target=write)
            writer.start()
            try:
                found = await asyncio.to_thread(taken, source)
            finally:
                ended.set()
                writer.join(20)
            old = {item.key: item for item in found if item.key.startswith(b"key:")}
            assert {b"key:%d" % n for n in range(hot, count)} <= old.keys()
            for key, item in old.items():
                number = int(key[4:])
                assert item.flags in (number, 0) and item.value.startswith(b"%d:" % number)
                assert number < hot or item.value == b"%d:0" % number
            assert write_items(target, decoded(Encoder().chunks(found)), timeout_s=10, now=0) == (len(found), len(found))
            assert len({item.key for item in found}) == len(found)
            assert sorted(taken(target), key=by_key) == sorted(found, key=by_key)

    asyncio.run(scenario())


def by_key(item: Item) -> bytes:
    return item.key


def test_keys_that_would_be_too_much_to_hold_are_walked_to() -> None:
    async def scenario() -> None:
        async with engines() as running:
            source = await started(running)
            write_items(source, (Item(b"%d" % n, b"v" * (n % 700)) for n in range(20_000)), timeout_s=10, now=0)
            for held_bytes in (1000, 100 << 20):
                found = keys_of(source, timeout_s=10, alive=nothing, held_bytes=held_bytes)
                assert sorted(int(one.key) for one in found) == list(range(20_000))

    asyncio.run(scenario())


def test_a_crawler_that_is_off_is_so_afterwards() -> None:
    async def scenario() -> None:
        async with engines() as running:
            source = await started(running)
            assert talk(source, b"lru_crawler disable\r\nset a 0 0 1\r\n1\r\n") == [b"OK", b"STORED"]
            assert [item.key for item in taken(source)] == [b"a"]
            disabled = [b"CLIENT_ERROR lru crawler disabled"]  # after another error while its thread is about to end
            wait_for("it is off", lambda: talk(source, b"lru_crawler metadump all\r\n") == disabled, 10)

    asyncio.run(scenario())


def test_clients_write_while_nobody_takes_what_is_read() -> None:
    async def scenario() -> None:
        async with engines() as running:
            source = await started(running)
            write_items(source, (Item(b"key:%d" % n, b"v") for n in range(150_000)), timeout_s=10, now=0)
            for held_bytes in (1000, 100 << 20):
                found = keys_of(source, timeout_s=10, alive=nothing, held_bytes=held_bytes)
                next(found)
                more = (Item(b"more:%d:%d" % (held_bytes, n), b"v") for n in range(50_000))
                assert write_items(source, more, timeout_s=5, now=0)[0] == 50_000
                assert len({one.key for one in found} | {b""}) > 140_000

    asyncio.run(scenario())


def test_items_that_are_stale_or_being_made_anew_are_left_out() -> None:
    async def scenario() -> None:
        async with engines() as running:
            source = await started(running)
            talk(source, b"ms stale 1 T100\r\na\r\nmd stale I T50\r\nmg vivified N30 v\r\nms sound 1\r\nb\r\n")
            assert [item.key for item in taken(source)] == [b"sound"]

    asyncio.run(scenario())


def test_a_node_that_ends_breaks_the_stream() -> None:
    async def scenario() -> None:
        async with engines() as running:
            node = running.start()
            await running.view(node)
            write_items(node.address, (Item(b"%d" % n, b"v" * 1000) for n in range(50_000)), timeout_s=10, now=0)
            with open_items(node.address, timeout_s=10, clock=_CLOCK, alive=nothing) as contents:
                next(contents.items)
                node.kill()
                with pytest.raises(StreamBroken):
                    list(contents.items)

    asyncio.run(scenario())


def test_one_that_is_silent_is_not_waited_for() -> None:
    async def scenario() -> None:
        async with engines() as running:
            node = running.start()
            await running.view(node)
            node.freeze()
            with (
                pytest.raises(StreamBroken, match="said nothing for 1 s"),
                open_items(node.address, timeout_s=1, clock=_CLOCK, alive=nothing),
            ):
                pass
            node.thaw()

    asyncio.run(scenario())


def test_nobody_there() -> None:
    with (
        pytest.raises(StreamBroken, match=r"the connection to .* broke"),
        open_items(free_address(11211), timeout_s=1, clock=_CLOCK, alive=nothing),
    ):
        pass


def test_an_item_that_the_node_does_not_take_is_told() -> None:
    async def scenario() -> None:
        async with engines() as running:
            target = await started(running)
            with pytest.raises(Refused, match="object too large for cache"):
                write_items(target, [Item(b"a", b"1"), Item(b"b", b"x" * 3_000_000)], timeout_s=10, now=0)

    asyncio.run(scenario())
