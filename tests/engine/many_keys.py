"""A great many keys of every type, put into caches by several processes in pipelines: small ones mostly, and some in each of
the engine's larger forms. The number of a key says all of it.

Keys end never, in the far future, or while the test runs. Needs Valkey 9, which has ends of fields.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from typing import NamedTuple

from redis.crc import key_slot

from tests.engine.every_key import Node
from tests.engine.wire import Command, Wire

FAR_MS = 4_102_444_800_123
LIBRARY = b"#!lua name=mine\nredis.register_function('f_mine', function() return 42 end)\n"
_NOISE = hashlib.shake_128(b"many").digest(1 << 16)
_BATCH = 500  # keys
_JOBS = 8


class Ends(NamedTuple):
    """Of keys that end while the test runs: evenly from first_ms on, over so many ms."""

    first_ms: int
    over_ms: int


def fill(pool: Executor, nodes: Sequence[Node], keys: int, ends: Ends, databases: Sequence[int] = (0,)) -> None:
    """keys: of all databases together; they get them in turns, and each node what it owns."""
    for node in nodes:
        with Wire(node.where) as wire:
            wire.done([(b"FUNCTION", b"LOAD", LIBRARY)])
    jobs = []
    for turn, database in enumerate(databases):
        numbers = range(turn, keys, len(databases))
        for part in range(_JOBS):
            jobs.append(pool.submit(_fill_part, nodes, database, numbers[part::_JOBS], ends))
    for job in jobs:
        job.result()


def _fill_part(nodes: Sequence[Node], database: int, numbers: Sequence[int], ends: Ends) -> None:
    wires = [(node, Wire(node.where, database)) for node in nodes]
    try:
        for first in range(0, len(numbers), _BATCH):
            waiting: list[list[Command]] = [[] for _ in wires]
            for number in numbers[first : first + _BATCH]:
                name = name_of(number)
                waiting[_owner(nodes, name)] += commands(number, name, ends)
            for (_, wire), batch in zip(wires, waiting, strict=True):
                wire.done(batch)
    finally:
        for _, wire in wires:
            wire.__exit__(None, None, None)


def _owner(nodes: Sequence[Node], name: bytes) -> int:
    if not nodes[0].slots:
        return 0
    slot = key_slot(name)
    return next(place for place, node in enumerate(nodes) if any(first <= slot <= last for first, last in node.slots))


def name_of(number: int) -> bytes:
    """Some share slots with others, and some are long or binary."""
    if number % 11 == 0:
        return b"{of-%d}:%d" % (number // 5000, number)
    if number % 1009 == 0:
        return b"%d\x00\xff\r\n" % number + _NOISE[: number % 300]
    return b"key:%d" % number


def commands(number: int, name: bytes, ends: Ends) -> Iterator[Command]:
    """What makes the key."""
    yield from _KINDS[number % len(_KINDS)](number, name)
    if number % 97 == 0:
        yield b"PEXPIREAT", name, b"%d" % (ends.first_ms + number * 7919 % ends.over_ms)
    elif number % 4 == 0:
        yield b"PEXPIREAT", name, b"%d" % (FAR_MS + number)


def _size(number: int) -> int:
    """How many elements: mostly few, seldom so many that the engine holds them in another way."""
    return 600 if number % 1013 == 0 else 2 + number % 7


def _noise(number: int, most_bytes: int) -> bytes:
    size = number * 31 % most_bytes
    start = number * 7 % (len(_NOISE) - most_bytes)
    return _NOISE[start : start + size]


def _string(number: int, name: bytes) -> Iterator[Command]:
    if number % 3 == 0:
        yield b"SET", name, b"%d" % (number * number - 1000)
    elif number % 5003 == 0:
        yield b"SET", name, _noise(number, 60_000)
    elif number % 5 == 0:
        yield b"SET", name, b"ab" * (number % 400)
    else:
        yield b"SET", name, _noise(number, 300)


def _list(number: int, name: bytes) -> Iterator[Command]:
    yield b"RPUSH", name, *(b"%d:%d" % (number, each) if each % 2 else b"%d" % each for each in range(_size(number)))
    if number % 4999 == 0:
        yield b"RPUSH", name, _noise(number, 30_000), b"last"


def _set(number: int, name: bytes) -> Iterator[Command]:
    if number % 2:
        yield b"SADD", name, *(b"%d" % (number + each * 70_000) for each in range(_size(number)))
    else:
        yield b"SADD", name, *(b"member %d %d" % (number, each) for each in range(_size(number)))


def _hash(number: int, name: bytes) -> Iterator[Command]:
    pairs = ((b"field %d" % each, _noise(number + each, 60)) for each in range(_size(number)))
    yield b"HSET", name, *(word for pair in pairs for word in pair)
    if number % 7 == 0:
        yield b"HPEXPIREAT", name, b"%d" % (FAR_MS + number), b"FIELDS", b"1", b"field 1"


def _sorted_set(number: int, name: bytes) -> Iterator[Command]:
    pairs = ((b"%r" % ((number - each) / 7), b"member %d" % each) for each in range(_size(number)))
    yield b"ZADD", name, b"inf", b"last", *(word for pair in pairs for word in pair)


def _stream(number: int, name: bytes) -> Iterator[Command]:
    for each in range(1, _size(number) + 1):
        yield b"XADD", name, b"%d-%d" % (each, number), b"n", b"%d" % each, b"more", _noise(number + each, 40)
    yield b"XDEL", name, b"2-%d" % number
    if number % 2:
        yield b"XGROUP", b"CREATE", name, b"readers", b"0"
        yield b"XREADGROUP", b"GROUP", b"readers", b"one", b"COUNT", b"2", b"STREAMS", name, b">"
        yield b"XREADGROUP", b"GROUP", b"readers", b"two", b"COUNT", b"1", b"STREAMS", name, b">"
        yield b"XACK", name, b"readers", b"1-%d" % number


_KINDS: Sequence[Callable[[int, bytes], Iterator[Command]]] = (
    _string, _list, _hash, _string, _set, _string, _sorted_set, _list, _string, _stream, _string, _hash, _string,
    _set, _list, _string, _sorted_set, _hash, _string, _stream, _string,
)  # fmt: skip
