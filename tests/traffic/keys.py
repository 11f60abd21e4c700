"""Many keys, evenly over all slots, put into a cluster in a few seconds; and where they are in the end.

Every slot has as many as any other, so that shards that own as many slots have as many keys.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import redis
from redis.crc import key_slot

from cachefleet.engines.replies import parse_cluster, parse_fields
from cachefleet.model.group import SLOTS, SlotRanges
from cachefleet.model.observed import ClusterView
from tests.traffic.clients import Where

VALUE_BYTES = 200
_AT_ONCE = 2000
_OK = b"+OK\r\n"


def view_of(where: Where) -> ClusterView:
    """The cluster as that node tells it."""
    with redis.Redis(*where, socket_timeout=10, decode_responses=True) as client:
        client.response_callbacks.clear()
        return parse_cluster(client.execute_command("CLUSTER NODES"), parse_fields(client.execute_command("CLUSTER INFO")))


def owners(where: Where) -> dict[Where, SlotRanges]:
    """Primaries that own slots, as that node tells it."""
    view = view_of(where)
    return {(node.host, where[1]): node.slots for node in view.nodes.values() if node.primary and node.slots}


def fill(where: Where, keys: int, *, clustered: bool = True) -> int:
    """About so many, by way of any node, or of the primary; returns how many there are."""
    if not clustered:
        return _fill_one(where, ((0, SLOTS - 1),), _a_slot(keys))
    with ThreadPoolExecutor(8) as pool:
        running = [pool.submit(_fill_one, owner, slots, _a_slot(keys)) for owner, slots in owners(where).items()]
        return sum(one.result() for one in running)


def counts(primaries: Sequence[Where]) -> list[int]:
    """How many keys each holds."""
    found = []
    for where in primaries:
        with redis.Redis(*where, socket_timeout=10) as client:
            found.append(int(client.dbsize()))
    return found


def names(keys: int) -> Iterator[str]:
    """Of all that fill() puts there."""
    for slot in range(SLOTS):
        for number in range(_a_slot(keys)):
            yield _name(slot, number)


def there(where: Where) -> Iterator[str]:
    """Every key that this node holds, whether or not it owns the key's slot."""
    with redis.Redis(*where, socket_timeout=10, decode_responses=True) as client:
        yield from set(client.scan_iter(count=10_000))


@cache
def tags() -> Sequence[str]:
    """A hash tag of every slot, by slot."""
    found: dict[int, str] = {}
    number = 0
    while len(found) < SLOTS:
        found.setdefault(key_slot(str(number).encode()), str(number))
        number += 1
    return [found[slot] for slot in range(SLOTS)]


def _a_slot(keys: int) -> int:
    return max(1, round(keys / SLOTS))


def _name(slot: int, number: int) -> str:
    return f"{{{tags()[slot]}}}{number}"


def _fill_one(where: Where, slots: SlotRanges, a_slot: int) -> int:
    total = 0
    with socket.create_connection(where, timeout=60) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for count, commands in _batches(slots, a_slot):
            connection.sendall(commands)
            _await_acknowledgements(connection, count)
            total += count
    return total


def _batches(slots: SlotRanges, a_slot: int) -> Iterator[tuple[int, bytes]]:
    """(how many, what to send)"""
    batch: list[bytes] = []
    for first, last in slots:
        for slot in range(first, last + 1):
            for number in range(a_slot):
                key = _name(slot, number).encode()
                batch.append(
                    b"*3\r\n$3\r\nSET\r\n$%d\r\n%b\r\n$%d\r\n%0*d\r\n" % (len(key), key, VALUE_BYTES, VALUE_BYTES, number)
                )
            if len(batch) >= _AT_ONCE:
                yield len(batch), b"".join(batch)
                batch.clear()
    if batch:
        yield len(batch), b"".join(batch)


def value_of(name: str) -> str:
    """What fill() wrote there."""
    return name.partition("}")[2].zfill(VALUE_BYTES)


def _await_acknowledgements(connection: socket.socket, count: int) -> None:
    wanted, received = count * len(_OK), bytearray()
    while len(received) < wanted:
        part = connection.recv(1 << 16)
        if not part:
            raise AssertionError("the connection was closed")
        received += part
    if received != _OK * count:
        refused = next(reply for reply in bytes(received).split(b"\r\n") if reply != b"+OK")
        raise AssertionError(f"a write was refused: {refused!r}")
