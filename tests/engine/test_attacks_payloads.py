"""Broken payloads of RESTORE, with right checksums, from a client that may do what all clients may: no engine ends of them.

An engine may be busy with one without an end (Redis 6.2 with a stream): it has not ended, and another one is tried with the
rest. Every run tries the same payloads.
"""

from __future__ import annotations

import asyncio
import random
import struct
import time
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any

import msgspec
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from cachefleet.app.engine_passwords import DerivedPasswords
from cachefleet.engines.valkey import ValkeyDriver
from cachefleet.model.access import OPEN
from cachefleet.model.group import Engine
from tests.engine.engine_processes import NODE_TIMEOUT_MS, Node, build_of, every_version, free_address, processes

ROUNDS = 100  # for each key
BUSY_S = 10  # for so long an answer is waited for
A_TIME_MS = 1_700_000_000_000  # instead of those at which a stream was read
_SET, _HASH = 2, 4  # types that are in the order of the engine's table, which it draws by lot
_POLYNOMIAL = 0x95AC9329AC4BC9B5  # of the engines' CRC-64, reflected


@cache
def _table() -> tuple[int, ...]:
    def of(byte: int) -> int:
        for _ in range(8):
            byte = byte >> 1 ^ (_POLYNOMIAL if byte & 1 else 0)
        return byte

    return tuple(map(of, range(256)))


def sealed(body: bytes) -> bytes:
    """With the checksum that an engine expects after it."""
    crc, table = 0, _table()
    for byte in body:
        crc = crc >> 8 ^ table[(crc ^ byte) & 255]
    return body + crc.to_bytes(8, "little")


def fill(client: Any) -> list[str]:
    """A key in every form that engines keep values in."""
    client.rpush("list", *range(20), "x" * 70)
    client.rpush("long list", *("x" * 90 for _ in range(300)))
    client.sadd("numbers", *range(20))
    client.sadd("set", "a", "b", 3)
    client.sadd("large set", *(f"member {number}" for number in range(300)))
    client.hset("hash", mapping={"a": "1", "b": "2" * 40})
    client.hset("large hash", mapping={f"field {number}": number for number in range(300)})
    client.zadd("sorted", {"a": 1, "b": 2.5})
    client.zadd("large sorted", {f"member {number}": number for number in range(300)})
    for number in range(30):
        client.xadd("stream", {"a": number, "b": "x"}, id=f"{number + 1}-1")
    client.xgroup_create("stream", "group", "0")
    client.xreadgroup("group", "one", {"stream": ">"}, count=5)
    client.set("text", "some text that is longer than a number")
    return sorted(key.decode() for key in client.scan_iter())


@every_version
def test_no_engine_ends_of_a_broken_payload(engine: Engine, version: str) -> None:
    async def scenario() -> None:
        driver = ValkeyDriver(NODE_TIMEOUT_MS, passwords=DerivedPasswords(b"a key of tests"))
        async with processes(driver, build_of(engine, version)) as engines:

            async def fresh() -> Node:
                launch = f"u1.node.{len(engines.nodes) + 1}"
                node = engines.start(msgspec.structs.replace(free_address(6379), launch=launch), users=(OPEN,))
                await engines.view(node)
                await driver.promote(node.address, ())
                return node

            assert await attacked(fresh) > ROUNDS

    asyncio.run(scenario())


async def attacked(fresh: Callable[[], Awaitable[Node]]) -> int:
    """How many payloads were refused."""
    node, chance, refused = await fresh(), random.Random(7), 0
    begun_ms = time.time() * 1000 - 1000
    with client_of(node) as client:
        dumps = {key: client.dump(key) for key in fill(client)}
        assert all(sealed(dump[:-8]) == dump for dump in dumps.values())
        bodies = [unchanging(dump[:-8], begun_ms) for dump in dumps.values()]
        assert all(client.restore("whole", 0, sealed(body), replace=True) for body in bodies)
    for broken in (sealed(altered(body, chance)) for body in bodies for _ in range(ROUNDS)):
        try:
            with client_of(node) as client:
                refused += tried(client, broken)
        except redis.exceptions.TimeoutError:
            assert node.process.poll() is None, f"the engine ended of {broken.hex()}"
            node.kill()
            node = await fresh()
        except redis.exceptions.ConnectionError:
            raise AssertionError(f"the engine ended ({node.process.poll()}) of {broken.hex()}") from None
    assert node.process.poll() is None
    return refused


def client_of(node: Node) -> Any:
    """It asks once only: an engine that is busy would be given the same again."""
    return redis.Redis(node.address.host, 6379, socket_timeout=BUSY_S, retry=Retry(NoBackoff(), 0))


def unchanging(body: bytes, begun_ms: float) -> bytes:
    """The same value, without what differs from run to run: the order of tables, and times since then (milliseconds)."""
    fixed = bytearray(body)
    for at in range(1, len(fixed) - 10):
        if begun_ms <= int.from_bytes(fixed[at : at + 8], "little") <= time.time() * 1000 + 1000:
            fixed[at : at + 8] = A_TIME_MS.to_bytes(8, "little")
    if fixed[0] not in (_SET, _HASH):
        return bytes(fixed)
    count, at = _length(fixed, 1)
    begin, items = at, []
    for _ in range(count):
        item_at = at
        for _ in range(2 if fixed[0] == _HASH else 1):
            at = _after_string(fixed, at)
        items.append(bytes(fixed[item_at:at]))
    assert at == len(fixed) - 2, "what is left is the version of the format"
    fixed[begin:at] = b"".join(sorted(items))
    return bytes(fixed)


def _length(body: bytearray, at: int) -> tuple[int, int]:
    """And where it ends; of fewer than 16384."""
    if body[at] < 0x40:
        return body[at], at + 1
    assert body[at] < 0x80
    return struct.unpack(">H", body[at : at + 2])[0] & 0x3FFF, at + 2


def _after_string(body: bytearray, at: int) -> int:
    """Where it ends: a short text, or an integer of 8, 16 or 32 bits."""
    if body[at] >= 0xC0:
        return at + 1 + (1, 2, 4)[body[at] & 0x3F]
    size, begin = _length(body, at)
    return begin + size


def altered(body: bytes, chance: random.Random) -> bytes:
    """In up to four places; the version of the format, at the end, stays."""
    changed = bytearray(body)
    for _ in range(chance.randint(1, 4)):
        changed[chance.randrange(len(changed) - 2)] = chance.choice((0, 1, 127, 128, 254, 255, chance.randrange(256)))
    return bytes(changed)


def tried(client: Any, dump: bytes) -> bool:
    """Whether it was refused; one that was taken is used."""
    try:
        client.restore("broken", 0, dump, replace=True)
    except redis.exceptions.ResponseError:
        return True
    use(client, client.type("broken"))
    return False


def use(client: Any, kind: bytes) -> None:
    calls = {
        b"list": (("LRANGE", "broken", 0, -1), ("RPOP", "broken"), ("LINSERT", "broken", "BEFORE", "1", "y")),
        b"set": (("SMEMBERS", "broken"), ("SADD", "broken", "z", 5), ("SREM", "broken", "a"), ("SRANDMEMBER", "broken", 5)),
        b"hash": (("HGETALL", "broken"), ("HSET", "broken", "z", 5), ("HDEL", "broken", "a"), ("HRANDFIELD", "broken", 5)),
        b"zset": (("ZRANGE", "broken", 0, -1), ("ZADD", "broken", 3, "z"), ("ZREM", "broken", "a"), ("ZPOPMIN", "broken")),
        b"stream": (("XRANGE", "broken", "-", "+"), ("XADD", "broken", "*", "a", 1), ("XINFO", "STREAM", "broken", "FULL")),
    }
    for words in (
        *calls.get(kind, ()),
        ("OBJECT", "ENCODING", "broken"),
        ("COPY", "broken", "copy", "REPLACE"),
        ("DEL", "broken"),
    ):
        try:
            client.execute_command(*words)
        except redis.exceptions.ResponseError:
            continue
