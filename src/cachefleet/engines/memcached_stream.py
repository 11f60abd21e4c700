"""The items of a Memcached node read, all of them, and written into a new one. Blocks, so it runs in a process of its own.

The node's crawler names the keys (`lru_crawler metadump`), and each is got with its flags and its time to live (`mg`). The node
serves its clients meanwhile: an item is as it is at the moment it is read, and nothing beyond a batch is held. Called by the
transfer worker.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import msgspec

from cachefleet.clock import Clock
from cachefleet.engines.memcached_items import Item
from cachefleet.engines.memcached_keys import Found, keys_of
from cachefleet.engines.memcached_wire import Refused, Wire, connected
from cachefleet.engines.replica_stream import StreamBroken
from cachefleet.model.observed import Address

BATCH_KEYS = 200  # with keys of 250 bytes their requests fit into the buffers of a connection
BATCH_BYTES = 4 << 20  # of items in a batch; a larger item is one of its own
_BASE64_BYTES = 187  # the longest key that Memcached takes in base64: 250 characters of it
_SAME_S = 2  # times to live are told in whole seconds

__all__ = ["Contents", "Refused", "StreamBroken", "open_items", "write_items"]


class Contents(msgspec.Struct, frozen=True):
    """Of a node. used_bytes: memory that its items took when it was asked. items: each as it is when it is read."""

    used_bytes: int
    items: Iterator[Item]


@contextmanager
def open_items(
    at: Address, *, timeout_s: float, clock: Clock, alive: Callable[[], None], authorities: str = ""
) -> Iterator[Contents]:
    """The items that the node has. Which these are is known first; one that is stored or goes afterwards may be there or
    not. Items that clients have marked as stale, or that somebody is just making anew, are left out. timeout_s: so long
    may the node say nothing. alive: called often until the first item comes. Raises StreamBroken, Refused."""
    with connected(at, timeout_s, authorities) as wire:
        stats = wire.stats()
        ahead_s = clock.now() - int(stats.get("time", "0"))
        reader = _Reader(wire, clock, ahead_s if abs(ahead_s) > _SAME_S else 0.0)
        yield Contents(
            int(stats.get("bytes", "0")),
            reader.items(_batches(keys_of(at, timeout_s=timeout_s, alive=alive, authorities=authorities))),
        )


def write_items(at: Address, items: Iterable[Item], *, timeout_s: float, now: float, authorities: str = "") -> tuple[int, int]:
    """Store all items that have not expired by `now`. Returns (how many there were, how many of them were stored). Raises
    StreamBroken, Refused when the node does not take one."""
    count = stored = 0
    with connected(at, timeout_s, authorities) as wire:
        held, in_batch = bytearray(), 0
        for item in items:
            count += 1
            if item.has_expired(now):
                continue
            stored += 1
            in_batch += 1
            held += _set(item)
            if in_batch == BATCH_KEYS or len(held) >= BATCH_BYTES:
                wire.store(held)
                held, in_batch = bytearray(), 0
        wire.store(held)
    return count, stored


def _set(item: Item) -> bytes:
    """Quiet: answered only when it fails. A time to live beyond 30 days is a point in time to Memcached."""
    word, mark = _key_words(item.key, item.binary)
    head = b"ms %s %d%s q F%d T%d\r\n" % (word, len(item.value), mark, item.flags, item.expires_at)
    return head + item.value + b"\r\n"


def _key_words(key: bytes, binary: bool) -> tuple[bytes, bytes]:
    """How a key is written, and the flag that says so."""
    plain = all(0x20 < byte != 0x7F for byte in key)
    if (binary or not plain) and len(key) <= _BASE64_BYTES:
        return base64.b64encode(key), b" b"
    return key, b""


def _batches(found: Iterator[Found]) -> Iterator[list[Found]]:
    batch: list[Found] = []
    size_bytes = 0
    for one in found:
        if batch and (len(batch) == BATCH_KEYS or size_bytes + one.size_bytes > BATCH_BYTES):
            yield batch
            batch, size_bytes = [], 0
        batch.append(one)
        size_bytes += one.size_bytes
    if batch:
        yield batch


class _Reader:
    """ahead_s: by how much our clock is ahead of the node's."""

    def __init__(self, wire: Wire, clock: Clock, ahead_s: float) -> None:
        self._wire = wire
        self._clock = clock
        self._ahead_s = ahead_s

    def items(self, batches: Iterator[list[Found]]) -> Iterator[Item]:
        for batch in batches:
            self._wire.send(b"".join(_get(one.key) for one in batch))
            for one in batch:
                item = self._answer(one)
                if item is not None:
                    yield item

    def _answer(self, found: Found) -> Item | None:
        """None for one that is gone, or is not to be relied upon."""
        line = self._wire.line()
        kind, _, rest = line.partition(b" ")
        if kind == b"EN":
            return None
        size, *flags = rest.split(b" ")
        if kind != b"VA" or not size.isdigit():
            raise StreamBroken(f"{self._wire.at} answered {line[:60].decode(errors='replace')} instead of an item")
        value = self._wire.value(int(size))
        if any(flag in (b"W", b"X", b"Z") for flag in flags):
            return None
        told = {flag[:1]: flag[1:] for flag in flags}
        self._check_key(found.key, told)
        return Item(found.key, value, int(told[b"f"]), self._expires_at(found, int(told[b"t"])), b"b" in told)

    def _check_key(self, key: bytes, told: dict[bytes, bytes]) -> None:
        """Answers come in the order of the questions; this proves it."""
        try:
            same = (base64.b64decode(told[b"k"], validate=True) if b"b" in told else told[b"k"]) == key
        except (KeyError, binascii.Error):
            same = False
        if not same:
            raise StreamBroken(f"{self._wire.at} answered with another item than it was asked for")

    def _expires_at(self, found: Found, left_s: int) -> int:
        """The crawler tells it to the second, unless it was changed since; what is left may be a second too little."""
        if left_s < 0:
            return 0
        now = self._clock.now()
        told = found.expires_at + self._ahead_s
        return round(told if found.expires_at and abs(told - now - left_s) <= _SAME_S else now + left_s)


def _get(key: bytes) -> bytes:
    word, mark = _key_words(key, binary=False)
    return b"mg %s%s k f t v\r\n" % (word, mark)
