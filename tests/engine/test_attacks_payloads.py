"""Broken payloads of RESTORE, with right checksums, from a client that may do what all clients may: no engine ends of them."""

from __future__ import annotations

import asyncio
import random
from functools import cache
from typing import Any

import msgspec
import redis

from cachefleet.app.engine_passwords import DerivedPasswords
from cachefleet.engines.valkey import ValkeyDriver
from cachefleet.model.access import OPEN
from cachefleet.model.group import Engine
from tests.engine.engine_processes import NODE_TIMEOUT_MS, build_of, every_version, free_address, processes

ROUNDS = 100  # for each key
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
        client.xadd("stream", {"a": number, "b": "x"})
    client.xgroup_create("stream", "group", "0")
    client.xreadgroup("group", "one", {"stream": ">"}, count=5)
    client.set("text", "some text that is longer than a number")
    return sorted(key.decode() for key in client.scan_iter())


@every_version
def test_no_engine_ends_of_a_broken_payload(engine: Engine, version: str) -> None:
    async def scenario() -> None:
        driver = ValkeyDriver(NODE_TIMEOUT_MS, passwords=DerivedPasswords(b"a key of tests"))
        async with processes(driver, build_of(engine, version)) as engines:
            at = msgspec.structs.replace(free_address(6379), launch="u1.node.1")
            node = engines.start(at, users=(OPEN,))
            await engines.view(node)
            await driver.promote(at, ())
            assert attacked(at.host) > ROUNDS
            assert node.process.poll() is None

    asyncio.run(scenario())


def attacked(host: str) -> int:
    """How many payloads were refused."""
    chance, refused = random.Random(7), 0
    with redis.Redis(host, 6379, socket_timeout=20) as client:
        for key in fill(client):
            dump = client.dump(key)
            assert isinstance(dump, bytes)
            assert sealed(dump[:-8]) == dump
            assert client.restore("whole", 0, dump, replace=True)
            refused += sum(tried(client, sealed(altered(dump[:-8], chance))) for _ in range(ROUNDS))
    return refused


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
