"""The clients that write while something fails: each reconnects at once. None of this is our code but for a few lines around
redis-py and valkey-glide.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import redis
from redis.backoff import ConstantBackoff, NoBackoff
from redis.cluster import RedisCluster
from redis.retry import Retry
from redis.sentinel import Sentinel

from tests.traffic.writer import Write, reconnecting

Where = tuple[str, int]
GLIDE_TIMEOUT_MS = 100
PATIENT = Retry(ConstantBackoff(0.01), 500)
EAGER = Retry(NoBackoff(), 100)
IMPATIENT = Retry(NoBackoff(), 0)


def plain(where: Where, retry: Retry = IMPATIENT) -> redis.Redis:
    return redis.Redis(*where, socket_timeout=1, retry=retry)


def clustered(where: Where, retry: Retry = PATIENT) -> RedisCluster:
    return RedisCluster(*where, socket_timeout=1, retry=retry)


def watched(sentinels: Sequence[Where], name: str, retry: Retry = PATIENT) -> redis.Redis:
    """Of the primary that Sentinels know."""
    asked = Sentinel(list(sentinels), socket_timeout=1)  # type: ignore[no-untyped-call]
    client: redis.Redis = asked.master_for(name, socket_timeout=1, retry=retry)  # type: ignore[no-untyped-call]
    return client


@contextmanager
def redis_py(where: Where) -> Iterator[Write]:
    with plain(where) as client:
        yield reconnecting(client)


@contextmanager
def redis_py_anew(where: Where) -> Iterator[Write]:
    """A connection for every write: sees whether the endpoint takes connections at every moment."""

    def write(key: str, value: int) -> None:
        with plain(where) as client:
            client.rpush(key, value)

    yield write


@contextmanager
def redis_py_sentinel(sentinels: Sequence[Where], name: str) -> Iterator[Write]:
    """Asks the Sentinels for the primary whenever it connects."""
    with watched(sentinels, name, IMPATIENT) as client:
        yield reconnecting(client)


@contextmanager
def redis_py_cluster(where: Where) -> Iterator[Write]:
    """Short time limits, and retries that come at once: what someone would set who cares for gaps."""
    with RedisCluster(*where, socket_timeout=0.5, socket_connect_timeout=0.25, retry=EAGER) as client:
        yield client.rpush


@contextmanager
def glide_cluster(where: Where) -> Iterator[Write]:
    """A request that meets a dead node is over only when its time is up, so this limit is the gap; the default is 250 ms."""
    from glide import GlideClusterClient, GlideClusterClientConfiguration, Logger, LogLevel, NodeAddress

    Logger.set_logger_config(LogLevel.OFF)
    loop = asyncio.new_event_loop()
    configuration = GlideClusterClientConfiguration([NodeAddress(*where)], request_timeout=GLIDE_TIMEOUT_MS)
    client = loop.run_until_complete(GlideClusterClient.create(configuration))
    try:
        yield lambda key, value: loop.run_until_complete(client.rpush(key, [str(value)]))
    finally:
        loop.run_until_complete(client.close())
        loop.close()
