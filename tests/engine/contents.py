"""Everything that nodes hold, as any client sees it: by the commands of each type, never in a form that depends on a version.

Knows nothing of how snapshots are made. Nodes are asked one by one, so that a key which is at two of them is found.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import redis

from tests.traffic.keys import owners

Where = tuple[str, int]
Name = tuple[int, bytes]  # database, key
Client = Any  # redis.Redis
ROUNDING_MS = 100.0  # of how long a key still lives, on engines that do not tell when it ends


class Item(msgspec.Struct, frozen=True):
    kind: str
    value: Any
    ends_ms: float | None  # epoch; None: it lives for ever
    fields_end_ms: Any = None  # of a hash: by field, those that have an end of their own


def contents(nodes: Iterable[Where]) -> dict[Name, Item]:
    """Of primaries; AssertionError when two of them have the same key."""
    found: dict[Name, Item] = {}
    for where in nodes:
        for database in _databases(where):
            with redis.Redis(*where, db=database, protocol=2, socket_timeout=30) as client:
                for name in set(client.scan_iter(count=1000)):
                    assert (database, name) not in found, f"{name!r} is in two places"
                    found[database, name] = _item(client, name)
    return found


def clustered_contents(entrance: Where) -> dict[Name, Item]:
    """By way of any node of a cluster."""
    return contents(owners(entrance))


def differences(before: Mapping[Name, Item], after: Mapping[Name, Item], at_most: int = 5) -> list[str]:
    """What is not as it was."""
    found = [f"lost: {name}" for name in before.keys() - after.keys()]
    found += [f"new: {name}" for name in after.keys() - before.keys()]
    for name in before.keys() & after.keys():
        own, other = before[name], after[name]
        if (own.kind, own.value, own.fields_end_ms) != (other.kind, other.value, other.fields_end_ms):
            found.append(f"changed: {name}: {str(own)[:200]} -> {str(other)[:200]}")
        elif (own.ends_ms is None) != (other.ends_ms is None) or abs((own.ends_ms or 0) - (other.ends_ms or 0)) > ROUNDING_MS:
            found.append(f"lives otherwise: {name}: {own.ends_ms} -> {other.ends_ms}")
    return found[:at_most]


def functions(where: Where) -> dict[bytes, bytes]:
    """Code by library; none on engines that have no functions."""
    client: Client
    with redis.Redis(*where, protocol=2, socket_timeout=10) as client:
        try:
            found = client.execute_command("FUNCTION", "LIST", "WITHCODE")
        except redis.ResponseError:
            return {}
    libraries = [dict(zip(entry[::2], entry[1::2], strict=True)) for entry in found]
    return {library[b"library_name"]: library[b"library_code"] for library in libraries}


def _databases(where: Where) -> list[int]:
    with redis.Redis(*where, socket_timeout=10) as client:
        return [int(name[2:]) for name in client.info("keyspace")]


def _item(client: Client, name: bytes) -> Item:
    kind = client.type(name).decode()
    fields = _fields_ends(client, name) if kind == "hash" else None
    return Item(kind, _READERS[kind](client, name), _ends_ms(client, name), fields)


def _ends_ms(client: Client, name: bytes) -> float | None:
    try:
        end = float(client.execute_command("PEXPIRETIME", name))
    except redis.ResponseError:  # before Redis 7.0
        with client.pipeline() as both:
            left, (seconds, microseconds) = both.pttl(name).time().execute()
        end = left if left < 0 else 1000.0 * seconds + microseconds / 1000 + left
    return end if end >= 0 else None


def _fields_ends(client: Client, name: bytes) -> Any:
    names = client.hkeys(name)
    try:
        ends = client.execute_command("HPEXPIRETIME", name, "FIELDS", len(names), *names)
    except redis.ResponseError:  # before Valkey 9.0
        return {}
    return {field: end for field, end in zip(names, ends, strict=True) if end >= 0}


def _stream(client: Client, name: bytes) -> Any:
    """Entries, and what consumer groups have read and not acknowledged."""
    groups = {}
    for group in client.xinfo_groups(name):
        pending = client.xpending_range(name, group["name"], "-", "+", 10_000)
        taken = sorted((entry["message_id"], entry["consumer"], entry["times_delivered"]) for entry in pending)
        consumers = sorted(each["name"] for each in client.xinfo_consumers(name, group["name"]))
        groups[group["name"]] = (group["last-delivered-id"], consumers, taken)
    info = client.xinfo_stream(name)
    return client.xrange(name), info["last-generated-id"], groups


_READERS: dict[str, Any] = {
    "string": lambda client, name: client.get(name),
    "list": lambda client, name: client.lrange(name, 0, -1),
    "set": lambda client, name: client.smembers(name),
    "hash": lambda client, name: client.hgetall(name),
    "zset": lambda client, name: client.zrange(name, 0, -1, withscores=True),
    "stream": _stream,
}
