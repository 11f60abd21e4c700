"""A reader of everything that caches hold, for millions of keys: type, whole value and end of each, as the engine tells them to
any client, kept as a digest. Several processes read at once.

Knows nothing of how snapshots are made, and shares no code with what makes them.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any, NamedTuple

from redis.crc import key_slot

from tests.engine.wire import Wire

Where = tuple[str, int]
_AT_ONCE = 1000
_DIGEST_BYTES = 16
# Of a stream: how it lies in memory; and when a consumer was there, which each replica tells by its own clock.
_OF_THE_NODE = frozenset({b"radix-tree-keys", b"radix-tree-nodes", b"seen-time", b"active-time"})


class Item(NamedTuple):
    """One key. ends_ms: epoch, -1 never."""

    kind: bytes
    digest: bytes  # of the whole value
    ends_ms: int


Name = tuple[int, bytes]  # database, key


class Reading(NamedTuple):
    """Of all nodes; since_ms to until_ms is when."""

    items: dict[Name, Item]
    since_ms: float
    until_ms: float

    def kinds(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for item in self.items.values():
            found[item.kind.decode()] = found.get(item.kind.decode(), 0) + 1
        return found


class Node(NamedTuple):
    where: Where
    slots: tuple[tuple[int, int], ...] = ()  # that it owns; none: it need not own any


def primaries(entrance: Where) -> list[Node]:
    """Of a cluster, as that node tells it."""
    found: dict[Where, list[tuple[int, int]]] = {}
    with Wire(entrance) as wire:
        (shards,) = wire.done([(b"CLUSTER", b"SLOTS")])
    for first, last, (host, port, *_), *_ in shards:
        found.setdefault((host.decode(), port), []).append((first, last))
    return [Node(where, tuple(slots)) for where, slots in found.items()]


def read_all(pool: Executor, nodes: Sequence[Node], databases: Sequence[int] = (0,)) -> Reading:
    """AssertionError when two nodes have the same key, or one has a key that it does not own."""
    since_ms = time.time() * 1000
    items: dict[Name, Item] = {}
    jobs = [(node, database, pool.submit(read, node, database)) for node in nodes for database in databases]
    for node, database, job in jobs:
        for key, item in job.result().items():
            assert (database, key) not in items, f"{key!r} is in two places, one of them {node.where}"
            items[database, key] = item
    return Reading(items, since_ms, time.time() * 1000)


def read(node: Node, database: int) -> dict[bytes, Item]:
    """Of one database of one node."""
    found: dict[bytes, Item] = {}
    with Wire(node.where, database) as wire:
        for names in _pages(wire):
            fresh = [name for name in dict.fromkeys(names) if name not in found]
            for name in fresh:
                slot = key_slot(name)
                assert not node.slots or any(first <= slot <= last for first, last in node.slots), f"{name!r} at {node.where}"
            found.update(_items(wire, fresh))
    return found


def _pages(wire: Wire) -> Iterator[list[bytes]]:
    cursor = b"0"
    while True:
        ((cursor, names),) = wire.done([(b"SCAN", cursor, b"COUNT", b"%d" % _AT_ONCE)])
        yield names
        if cursor == b"0":
            return


def _items(wire: Wire, names: Sequence[bytes]) -> Iterator[tuple[bytes, Item]]:
    """Without those whose time has come."""
    heads = wire.done([command for name in names for command in ((b"TYPE", name), (b"PEXPIRETIME", name))])
    there = [
        (name, kind, ends_ms) for name, kind, ends_ms in zip(names, heads[::2], heads[1::2], strict=True) if kind != b"none"
    ]
    values = wire.done([_READ[kind](name) for name, kind, _ in there])
    ends = _ends_of_fields(
        wire, [(name, value[::2]) for (name, kind, _), value in zip(there, values, strict=True) if kind == b"hash"]
    )
    for (name, kind, ends_ms), value in zip(there, values, strict=True):
        if value is not None and value != []:
            yield name, Item(kind, _digest(_FORM[kind](value), ends.get(name)), ends_ms)


def _ends_of_fields(wire: Wire, hashes: Sequence[tuple[bytes, list[bytes]]]) -> dict[bytes, Any]:
    """Sorted by field, those that have an end of their own."""
    asked = [(name, fields) for name, fields in hashes if fields]
    replies = wire.ask([(b"HPEXPIRETIME", name, b"FIELDS", b"%d" % len(fields), *fields) for name, fields in asked])
    found = {}
    for (name, fields), reply in zip(asked, replies, strict=True):
        assert not isinstance(reply, Exception), reply
        found[name] = sorted((field, end) for field, end in zip(fields, reply, strict=True) if end >= 0)
    return found


def _digest(value: Any, fields: Any) -> bytes:
    return hashlib.blake2b(repr((value, fields)).encode(), digest_size=_DIGEST_BYTES).digest()


def _pairs(flat: Sequence[Any]) -> list[tuple[Any, Any]]:
    return sorted(zip(flat[::2], flat[1::2], strict=True))


def _stream(reply: Any) -> Any:
    """XINFO STREAM FULL: entries, groups, consumers, what they have not acknowledged, and since when."""
    if not isinstance(reply, list) or not reply or not isinstance(reply[0], bytes) or len(reply) % 2:
        return [_stream(each) for each in reply] if isinstance(reply, list) else reply
    return [(reply[at], _stream(reply[at + 1])) for at in range(0, len(reply), 2) if reply[at] not in _OF_THE_NODE]


_READ: Mapping[bytes, Callable[[bytes], tuple[bytes, ...]]] = {
    b"string": lambda name: (b"GET", name),
    b"list": lambda name: (b"LRANGE", name, b"0", b"-1"),
    b"set": lambda name: (b"SMEMBERS", name),
    b"hash": lambda name: (b"HGETALL", name),
    b"zset": lambda name: (b"ZRANGE", name, b"0", b"-1", b"WITHSCORES"),
    b"stream": lambda name: (b"XINFO", b"STREAM", name, b"FULL", b"COUNT", b"0"),
}
_FORM: Mapping[bytes, Callable[[Any], Any]] = {
    b"string": lambda value: value,
    b"list": lambda value: value,
    b"set": sorted,
    b"hash": _pairs,
    b"zset": lambda value: value,
    b"stream": _stream,
}


def functions(where: Where) -> dict[bytes, bytes]:
    """Code by library."""
    with Wire(where) as wire:
        (found,) = wire.done([(b"FUNCTION", b"LIST", b"WITHCODE")])
    libraries = [dict(zip(entry[::2], entry[1::2], strict=True)) for entry in found]
    return {library[b"library_name"]: library[b"library_code"] for library in libraries}


def differences(before: Reading, after: Reading, at_most: int = 5) -> list[str]:
    """What is not as it was. A key whose time was over when it was read again must be gone, one whose time was not has to be
    there, and what ended in between may be either."""
    found = []
    for name, item in before.items.items():
        other = after.items.get(name)
        if other is None and not 0 <= item.ends_ms <= after.until_ms:
            found.append(f"lost: {name}: {item}")
        elif other is not None and other != item:
            found.append(f"changed: {name}: {item} -> {other}")
        elif other is not None and 0 <= item.ends_ms < after.since_ms:
            found.append(f"lives on: {name}: {item}, read from {after.since_ms}")
        if len(found) == at_most:
            return found
    return found + [f"new: {name}: {after.items[name]}" for name in after.items.keys() - before.items.keys()][:at_most]
