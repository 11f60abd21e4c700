"""Keys of every type, in every form in which engines keep and save them; and how a client sees them."""

from __future__ import annotations

import hashlib
from typing import Any

from cachefleet.engine_interfaces import Build
from tests.engine.bare_engines import Client

NOISE = hashlib.shake_128(b"noise").digest(400_000)
FAR_MS = 4_102_444_800_123
LIBRARY = "#!lua name=%s\nredis.register_function('f_%s', function() return %d end)\n"
ODD_KEYS: list[str | bytes] = [
    "", "7", "-129", "40000", "2147483648", "x" * 64, "x" * 300, "user:session:" * 20, "{tag}a", "{tag}b", "a{tag}c{other}",
    "{}x", "{open", "closed}", "{{tag}}", b"\x00\xff\r\n", NOISE[:17_000], NOISE[:70_000],
]  # fmt: skip
Seen = dict[tuple[int, bytes], Any]


def has_functions(build: Build) -> bool:
    return "functions" in build.capabilities


def has_field_ttls(build: Build) -> bool:
    return "atomic-slot-migration" in build.capabilities


def fill(client: Client, build: Build) -> None:
    """Every type. The engine's own limits between small and large forms stay as they are."""
    for number, key in enumerate(ODD_KEYS):
        client.set(key, number)
    _strings(client)
    _lists_and_sets(client)
    _hashes_and_sorted_sets(client, build)
    _streams(client)
    for number in range(500):
        client.set(f"plain:{number}", f"value {number}", pxat=FAR_MS + number if number % 3 == 0 and not _old(build) else None)
    if _old(build):
        for number in range(0, 500, 3):
            client.pexpireat(f"plain:{number}", FAR_MS + number)


def load_function(client: Client, name: str, answer: int = 1) -> None:
    client.execute_command("FUNCTION", "LOAD", LIBRARY % (name, name, answer))


def seen(client: Client, build: Build, database: int = 0) -> Seen:
    """(database, key) -> type, when it ends (ms; within 10 s on engines that do not tell), value and fields' ends."""
    found: Seen = {}
    for key in client.scan_iter(count=1000):
        kind = client.type(key).decode()
        end = round(client.pttl(key) / 1e5) if _old(build) else client.execute_command("PEXPIRETIME", key)
        fields = None
        if kind == "hash" and has_field_ttls(build):
            names = client.hkeys(key)
            fields = dict(zip(names, client.execute_command("HPEXPIRETIME", key, "FIELDS", len(names), *names), strict=True))
        found[database, key] = (kind, end if not _old(build) or end < 0 else "far", _value(client, key, kind), fields)
    return found


def _value(client: Client, key: bytes, kind: str) -> Any:
    """What has an order in the engine as the engine itself serialises it."""
    if kind in ("string", "stream"):
        return client.dump(key)
    if kind == "list":
        return client.lrange(key, 0, -1)
    if kind == "set":
        return client.smembers(key)
    if kind == "hash":
        return client.hgetall(key)
    return client.zrange(key, 0, -1, withscores=True)


def _old(build: Build) -> bool:
    return not has_functions(build)


def _strings(client: Client) -> None:
    for number in (0, -1, 127, 128, -32768, 32768, 2147483647, -2147483648, 1 << 40):
        client.set(f"integer:{number}", number)
    for size in (0, 1, 63, 64, 16_383, 16_384, 70_000, 400_000):
        client.set(f"noise:{size}", NOISE[:size])
        client.set(f"packed:{size}", b"ab" * (size // 2))


def _lists_and_sets(client: Client) -> None:
    client.rpush("list:small", "a", "b", 3, "x" * 50)
    client.rpush("list:long", *(f"element {number} {NOISE[number : number + 40].hex()}" for number in range(3000)))
    client.rpush("list:large", "small", NOISE[:100_000], "small", b"y" * 100_000, 5)
    client.sadd("set:integers", *range(0, 100_000, 333))
    client.sadd("set:wide", 1 << 40, -(1 << 40))
    client.sadd("set:small", "a", "b", "c")
    client.sadd("set:long", *(f"member {number}" for number in range(3000)))


def _hashes_and_sorted_sets(client: Client, build: Build) -> None:
    client.hset("hash:small", mapping={"a": "1", "b": "x" * 30})
    client.hset("hash:long", mapping={f"field {number}": NOISE[number : number + 50] for number in range(3000)})
    client.hset("hash:large", mapping={"a": NOISE[:200_000]})
    if has_field_ttls(build):
        for name, size in (("hash:ttl-small", 5), ("hash:ttl-long", 2000)):
            client.hset(name, mapping={f"field {number}": number for number in range(size)})
            client.execute_command("HPEXPIREAT", name, FAR_MS, "FIELDS", 2, "field 1", "field 3")
    client.zadd("sorted:small", {"a": 1, "b": -2.5, "c": float("inf"), "d": float("-inf")})
    client.zadd("sorted:long", {f"member {number}": number / 7 for number in range(3000)})


def _streams(client: Client) -> None:
    for number in range(400):
        client.xadd("stream:long", {"n": number, f"f{number % 5}": "x" * 60}, id=f"{number + 1}-1")
    client.xdel("stream:long", "5-1", "400-1")
    for group in ("first", "second"):
        client.xgroup_create("stream:long", group, id="0")
        for consumer in ("one", "two"):
            client.xreadgroup(group, consumer, {"stream:long": ">"}, count=90)
    client.xack("stream:long", "first", *(f"{number}-1" for number in range(1, 50)))
    client.xgroup_create("stream:empty", "group", mkstream=True)
    client.xadd("stream:small", {"a": "b"}, id="1-1")
