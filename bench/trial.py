"""One round: a cache, a client that writes to it, a fault; how long nothing was acknowledged, and what is gone afterwards.

The gap is looked for from the fault until the struck node is back as a replica and all is in sync again.
"""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack, closing

import msgspec
import redis

from bench.caches import Cache, role, uptime_s
from bench.clients import Where, plain
from bench.faults import Aim
from tests.fixtures.service import wait_for
from tests.traffic.history import Losses
from tests.traffic.writer import Connect, Writer

WRITES = 500
HEALING_S = 60.0
STEADY_S = 3  # a node that ends sooner after its start is taken for one that crashes in a loop, and is started again later


class Outcome(msgspec.Struct, frozen=True):
    gap_s: float
    losses: Losses
    resumed: int  # writes that the struck node acknowledged afterwards
    serving_s: float = 0.0  # from the fault until the replica took writes; only when asked for


def trial(cache: Cache, connect: Connect, aim: Aim, *, watched: bool = False, rest_s: float = 0.0) -> Outcome:
    """watched: a second client finds out when the replica takes writes."""
    cache.prepare()
    primary, replicas = cache.whole()
    wait_for("a primary that has run for a while", lambda: uptime_s(primary) >= STEADY_S)
    with ExitStack() as stack:
        writer = stack.enter_context(Writer(connect, cache.keys, rest_s))
        writer.await_writes(WRITES)
        fault = stack.enter_context(closing(aim(cache, primary)))
        successor = stack.enter_context(Successor(replicas[0], cache.held_key)) if watched else None
        struck_at = time.perf_counter()
        fault.strike()
        writer.await_writes(WRITES, HEALING_S)
        resumed = fault.end()
        if cache.heals:
            wait_for("the struck node is a replica", lambda: role(primary) == "slave", HEALING_S)
            cache.whole()
        writer.await_writes(WRITES)
    history = writer.history()
    return Outcome(
        gap_s=history.longest_gap_s(struck_at),
        losses=history.losses(cache.kept(), struck_at),
        resumed=resumed,
        serving_s=successor.serves_at - struck_at if successor else 0.0,
    )


class Successor:
    """Tries to write at one node until it may."""

    def __init__(self, where: Where, key: str) -> None:
        self._client, self._key = plain(where), key
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.serves_at = 0.0

    def __enter__(self) -> Successor:
        self._thread.start()
        return self

    def __exit__(self, *ended: object) -> None:
        try:
            wait_for("the successor serves", lambda: self.serves_at or not self._thread.is_alive())
        finally:
            self._stop.set()
            self._thread.join(10)
            self._client.close()

    def _run(self) -> None:
        while not self._stop.wait(0.001):
            try:
                self._client.rpush(self._key, "probe")
            except redis.exceptions.RedisError:
                continue
            self.serves_at = time.perf_counter()
            return
