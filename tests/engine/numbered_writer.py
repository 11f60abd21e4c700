"""A client that writes while a snapshot is made, and what the snapshot must then have of it.

It writes one number after the other, each once and in turn to one of a few keys, of every type. A snapshot of one node is one
instant: so it has all numbers up to some one, and none beyond. Which one that may be, acknowledgements tell.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Self

from redis.crc import key_slot

from tests.engine.every_key import Node
from tests.engine.wire import Command, Wire
from tests.fixtures.service import wait_for

PREFIX = b"written:"
REST_S = 0.0005


class Kind(NamedTuple):
    """How a number gets into a key, how a key is read, and which numbers that shows; in the order in which they came, where
    the key knows it."""

    write: Callable[[bytes, int], Command]
    read: Callable[[bytes], Command]
    numbers: Callable[[Any], list[int]]
    last_only: bool = False


KINDS: Mapping[bytes, Kind] = {
    b"string": Kind(
        lambda key, number: (b"SET", key, b"%d" % number),
        lambda key: (b"GET", key),
        lambda value: [] if value is None else [int(value)],
        last_only=True,
    ),
    b"list": Kind(
        lambda key, number: (b"RPUSH", key, b"%d" % number),
        lambda key: (b"LRANGE", key, b"0", b"-1"),
        lambda value: [int(each) for each in value],
    ),
    b"set": Kind(
        lambda key, number: (b"SADD", key, b"%d" % number),
        lambda key: (b"SMEMBERS", key),
        lambda value: sorted(int(each) for each in value),
    ),
    b"hash": Kind(
        lambda key, number: (b"HSET", key, b"%d" % number, b"x"),
        lambda key: (b"HKEYS", key),
        lambda value: sorted(int(each) for each in value),
    ),
    b"zset": Kind(
        lambda key, number: (b"ZADD", key, b"%d" % number, b"%d" % number),
        lambda key: (b"ZRANGE", key, b"0", b"-1"),
        lambda value: [int(each) for each in value],
    ),
    b"stream": Kind(
        lambda key, number: (b"XADD", key, b"%d-1" % (number + 1), b"n", b"%d" % number),
        lambda key: (b"XRANGE", key, b"-", b"+"),
        lambda value: [int(fields[1]) for _, fields in value],
    ),
}


class NumberedWriter:
    """Writes to one node from `with` on until its end."""

    def __init__(self, node: Node, database: int = 0) -> None:
        self.node, self.database = node, database
        tag = _tag_at(node)
        self._keys = {kind: PREFIX + tag + kind for kind in KINDS}
        self._sent: list[float] = []  # by number, when; of time.perf_counter
        self._acknowledged: list[float] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        wait_for("writes are acknowledged", lambda: len(self._acknowledged) > 100)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join(30)

    def _run(self) -> None:
        turns = itertools.cycle(KINDS)
        with Wire(self.node.where, self.database) as wire:
            while not self._stop.wait(REST_S):
                kind = next(turns)
                command = KINDS[kind].write(self._keys[kind], len(self._sent))
                self._sent.append(time.perf_counter())
                wire.done([command])
                self._acknowledged.append(time.perf_counter())

    def __len__(self) -> int:
        return len(self._acknowledged)

    def faults(self, nodes: Sequence[Node], begun_at: float, ended_at: float) -> list[str]:
        """Of what these nodes have of it, by a snapshot that was asked for at begun_at and there at ended_at."""
        kept = {kind: self._kept(nodes, kind) for kind in KINDS}
        count = 1 + max((numbers[-1] for numbers in kept.values() if numbers), default=-1)
        found = []
        for turn, kind in enumerate(KINDS):
            wanted = list(range(turn, count, len(KINDS)))
            wanted = wanted[-1:] if KINDS[kind].last_only else wanted
            if kept[kind] != wanted:
                found.append(f"{kind.decode()} of {self.node.where}: {len(kept[kind])} of {len(wanted)} numbers below {count}")
        least = sum(at < begun_at for at in self._acknowledged)
        most = sum(at < ended_at for at in self._sent)
        if not least <= count <= most:
            found.append(
                f"{count} writes to {self.node.where} are kept; {least} were acknowledged before, {most} sent until the end"
            )
        return found

    def _kept(self, nodes: Sequence[Node], kind: bytes) -> list[int]:
        key = self._keys[kind]
        slot = key_slot(key)
        (owner,) = [node for node in nodes if not node.slots or any(first <= slot <= last for first, last in node.slots)]
        with Wire(owner.where, self.database) as wire:
            (value,) = wire.done([KINDS[kind].read(key)])
        return KINDS[kind].numbers(value)


def _tag_at(node: Node) -> bytes:
    """A hash tag of a slot that it owns; nothing where there are no slots."""
    if not node.slots:
        return b""
    tags = (b"{%d}" % number for number in itertools.count())
    return next(tag for tag in tags if any(first <= key_slot(tag) <= last for first, last in node.slots))
