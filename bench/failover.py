"""How long a client cannot write after kill -9 of a primary: the longest gap between two acknowledged writes of one client that
writes without a pause and connects anew at once, from before the kill until the killed node is back as a replica; and how
many acknowledged writes are gone afterwards. A client with a connection for every write sees, too, whether the endpoint takes
connections at every moment.

Replication is asynchronous in the engine: a write that a primary acknowledged and had not yet sent when it was killed is lost
whoever manages it. Writes that a replica had must all be there. In cluster mode a second client shows when the shard's new
primary itself takes writes; the rest of the gap is the time in which the cluster client learns of it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import redis
from redis.backoff import ConstantBackoff, NoBackoff
from redis.cluster import RedisCluster
from redis.crc import key_slot
from redis.retry import Retry

from bench.creation import CLUSTER, KEYS_OF_THREE_SHARDS, PAIR
from bench.row import Row
from bench.writer import Write, Writer
from tests.engine.groups import address, await_healthy, primary_member, replication_group
from tests.fixtures.service import Service, running_service, wait_for

NOTE = __doc__
ROUNDS = 10
WRITES = 500
GLIDE_TIMEOUT_MS = 100
GLIDE = f"of it {GLIDE_TIMEOUT_MS} ms: the client's request timeout, which it waits out"
PATIENT = Retry(ConstantBackoff(0.01), 500)
EAGER = Retry(NoBackoff(), 100)
IMPATIENT = Retry(NoBackoff(), 0)


def measure(data: Path) -> Iterator[Row]:
    with running_service(data) as service:
        client = service.client()
        with replication_group(client, "pair", **PAIR) as group:
            where = address(group["NodeGroups"][0]["PrimaryEndpoint"])
            yield from _of_pair(service, client, "redis-py", partial(_redis, *where), where)
            yield from _of_pair(service, client, "a connection a write", partial(_redis_anew, *where), where)
        with replication_group(client, "cluster", **CLUSTER) as group:
            where = address(group["ConfigurationEndpoint"])
            yield from _of_cluster(service, client, where, "redis-py", partial(_redis_cluster, *where), "")
            yield from _of_cluster(service, client, where, "valkey-glide", partial(_glide_cluster, *where), GLIDE)


# --- cluster mode disabled ---


def _of_pair(
    service: Service, client: Any, name: str, connect: Callable[[], AbstractContextManager[Write]], where: tuple[str, int]
) -> Iterator[Row]:
    gaps_ms, lost, broken = [], [], []
    for _ in range(ROUNDS):
        healed = await_healthy(client, "pair")
        with _client(*where, PATIENT) as reader:
            reader.delete("log")
        with Writer(connect, ["log"]) as writer:
            writer.await_writes(WRITES)
            os.kill(service.pid_of(primary_member(healed)), signal.SIGKILL)
            writer.await_writes(WRITES)
            await_healthy(client, "pair")
        with _client(*where, PATIENT) as reader:
            gone, wrong = writer.lost({"log": [int(value) for value in reader.lrange("log", 0, -1)]})
        gaps_ms.append(1000 * writer.longest_gap_s())
        lost.append(float(gone))
        broken.append(float(wrong))
    yield Row(figure=f"1+1, {name}: gap in writes", unit="ms", values=gaps_ms, target=100)
    yield from _losses(f"1+1, {name}", lost, broken)


def _losses(what: str, lost: list[float], broken: list[float]) -> Iterator[Row]:
    yield Row(figure=f"{what}: acknowledged writes lost, not yet at a replica", unit="", values=lost)
    yield Row(figure=f"{what}: acknowledged writes lost though replicated", unit="", values=broken, target=0)


def _client(host: str, port: int, retry: Retry = IMPATIENT) -> redis.Redis:
    return redis.Redis(host, port, socket_timeout=1, retry=retry)


@contextmanager
def _redis(host: str, port: int) -> Iterator[Write]:
    client = _client(host, port)

    def write(key: str, value: int) -> None:
        try:
            client.rpush(key, value)
        except redis.exceptions.RedisError:
            client.connection_pool.disconnect()
            raise

    with client:
        yield write


@contextmanager
def _redis_anew(host: str, port: int) -> Iterator[Write]:
    def write(key: str, value: int) -> None:
        with _client(host, port) as client:
            client.rpush(key, value)

    yield write


# --- cluster mode enabled ---


def _of_cluster(
    service: Service,
    client: Any,
    where: tuple[str, int],
    name: str,
    connect: Callable[[], AbstractContextManager[Write]],
    remark: str,
) -> Iterator[Row]:
    gaps_ms, serving_ms, lost, broken = [], [], [], []
    for _ in range(ROUNDS):
        await_healthy(client, "cluster")
        with RedisCluster(*where, socket_timeout=1, retry=PATIENT) as reader:
            for key in KEYS_OF_THREE_SHARDS:
                reader.delete(key)
        old, new = wait_for("a replica that all know", lambda: _roles(where))
        with Writer(connect, KEYS_OF_THREE_SHARDS) as writer:
            writer.await_writes(WRITES)
            pid = _pid_at(service, old)
            with Successor(*new) as successor:
                killed = time.perf_counter()
                os.kill(pid, signal.SIGKILL)
                writer.await_writes(WRITES)
        gaps_ms.append(1000 * writer.longest_gap_s())
        serving_ms.append(1000 * (successor.serves_at - killed))
        with RedisCluster(*where, socket_timeout=1, retry=PATIENT) as reader:
            kept = {key: [int(value) for value in reader.lrange(key, 0, -1)] for key in KEYS_OF_THREE_SHARDS}
        gone, wrong = writer.lost(kept)
        lost.append(float(gone))
        broken.append(float(wrong))
    yield Row(figure=f"3x2, {name}: gap in writes", unit="ms", values=gaps_ms, target=250, reference=remark)
    yield Row(figure=f"3x2, {name}: of it, until the new primary takes writes", unit="ms", values=serving_ms)
    yield from _losses(f"3x2, {name}", lost, broken)


def _roles(where: tuple[str, int]) -> tuple[tuple[str, int], tuple[str, int]] | None:
    """The addresses of the primary and the replica of the first key's shard; None while there is no replica."""
    with RedisCluster(*where, socket_timeout=1, retry=PATIENT) as reader:
        nodes = reader.nodes_manager.slots_cache[key_slot(KEYS_OF_THREE_SHARDS[0].encode())]
        return ((nodes[0].host, nodes[0].port), (nodes[1].host, nodes[1].port)) if len(nodes) == 2 else None


def _pid_at(service: Service, where: tuple[str, int]) -> int:
    with _client(*where) as client:
        pid = int(client.info("server")["process_id"])
    assert pid in service.engine_pids()
    return pid


class Successor:
    """Tries to write at one node until it may."""

    def __init__(self, host: str, port: int) -> None:
        self._client = _client(host, port)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.serves_at = 0.0

    def __enter__(self) -> Successor:
        self._thread.start()
        return self

    def __exit__(self, *ended: object) -> None:
        wait_for("the successor serves", lambda: self.serves_at or not self._thread.is_alive())
        self._stop.set()
        self._thread.join(10)
        self._client.close()

    def _run(self) -> None:
        while not self._stop.wait(0.001):
            try:
                self._client.set(f"{{{KEYS_OF_THREE_SHARDS[0]}}}probe", "1")
            except redis.exceptions.RedisError:
                continue
            self.serves_at = time.perf_counter()
            return


@contextmanager
def _redis_cluster(host: str, port: int) -> Iterator[Write]:
    """Short time limits, and retries that come at once: what someone would set who cares for gaps."""
    with RedisCluster(host, port, socket_timeout=0.5, socket_connect_timeout=0.25, retry=EAGER) as client:
        yield client.rpush


@contextmanager
def _glide_cluster(host: str, port: int) -> Iterator[Write]:
    """A request that meets a dead node is over only when its time is up, so this limit is the gap; the default is 250 ms."""
    from glide import GlideClusterClient, GlideClusterClientConfiguration, Logger, LogLevel, NodeAddress

    Logger.set_logger_config(LogLevel.OFF)
    loop = asyncio.new_event_loop()
    configuration = GlideClusterClientConfiguration([NodeAddress(host, port)], request_timeout=GLIDE_TIMEOUT_MS)
    client = loop.run_until_complete(GlideClusterClient.create(configuration))
    try:
        yield lambda key, value: loop.run_until_complete(client.rpush(key, [str(value)]))
    finally:
        loop.run_until_complete(client.close())
        loop.close()
