"""A client in a thread that writes without a pause, one write at a time, and remembers what was acknowledged, and when.

The values rise; they are appended to lists, which show later what was lost. For clients that nothing of the test's own may
disturb see traffic.py.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from functools import partial
from types import TracebackType
from typing import Any, Self

import redis
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.retry import Retry

from tests.fixtures.service import wait_for
from tests.traffic.clients import Where
from tests.traffic.history import Acknowledgement, History

Write = Callable[[str, int], object]  # append the value to the list at the key; any Exception: not acknowledged
Connect = Callable[[], AbstractContextManager[Write]]
PAUSE_S = 0.001


class Writer:
    """connect is called in the writer's thread; it gives what writes. Keys take turns, and the next one's comes only after an
    acknowledgement, so that one shard's outage is not hidden by the others. rest_s: a pause after every write, which leaves the
    processors to others."""

    def __init__(self, connect: Connect, keys: Sequence[str], rest_s: float = 0.0) -> None:
        self._connect, self.keys, self._rest_s = connect, keys, rest_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._done: list[Acknowledgement] = []
        self.errors: list[str] = []  # names of their types

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join(20)

    def _run(self) -> None:
        with self._connect() as write:
            self._append(write)

    def _append(self, write: Write) -> None:
        for value in itertools.count():
            if self._stop.is_set():
                return
            key = self.keys[len(self._done) % len(self.keys)]
            try:
                write(key, value)
            except Exception as error:
                self.errors.append(type(error).__name__)
                self._stop.wait(max(PAUSE_S, self._rest_s))
                continue
            self._done.append(Acknowledgement(time.perf_counter(), key, value))
            if self._rest_s:
                self._stop.wait(self._rest_s)

    def await_writes(self, more: int, timeout_s: float = 20.0) -> None:
        goal = len(self._done) + more
        wait_for(f"{more} more acknowledged writes", lambda: len(self._done) >= goal, timeout_s)

    @property
    def acknowledged(self) -> set[int]:
        return {one.value for one in self._done}

    def longest_gap_s(self) -> float:
        """Between two acknowledged writes."""
        return self.history().longest_gap_s(0.0)

    def acknowledged_before_gap(self) -> set[int]:
        """Before the longest one."""
        return {one.value for one in self.history().before_gap(0.0)}

    def history(self) -> History:
        return History(tuple(self._done))


class EndpointWriter(Writer):
    """One connection through an endpoint, nothing tried twice, so that every broken connection is an error."""

    def __init__(self, host: str, port: int, *, key: str = "log") -> None:
        super().__init__(partial(_one_connection, (host, port)), [key])


class ClusterWriter(Writer):
    """A cluster client as applications use it, which looks the topology up again by itself; a new one after an error. The key
    `ledger` is in the first shard of up to six (slot 2466)."""

    def __init__(self, host: str, port: int, *, keys: Sequence[str] = ("ledger",)) -> None:
        super().__init__(partial(_cluster_client_anew, (host, port)), keys, PAUSE_S)
        self._where = host, port

    def __enter__(self) -> Self:
        super().__enter__()
        self.await_writes(100)
        return self

    def lost(self) -> tuple[set[int], set[int]]:
        """Acknowledged and not there any more: (all of them, those that were acknowledged after the longest gap)."""
        with closing(_cluster_client(self._where)) as client:
            found = {int(value) for key in self.keys for value in client.lrange(key, 0, -1)}
        missing = self.acknowledged - found
        return missing, missing - self.acknowledged_before_gap()


def reconnecting(client: redis.Redis) -> Write:
    """After any error the next write has a new connection."""

    def write(key: str, value: int) -> None:
        try:
            client.rpush(key, value)
        except redis.exceptions.RedisError:
            client.connection_pool.disconnect()
            raise

    return write


@contextmanager
def _one_connection(where: Where) -> Iterator[Write]:
    with redis.Redis(*where, socket_timeout=1, retry=Retry(NoBackoff(), 0)) as client:
        yield reconnecting(client)


@contextmanager
def _cluster_client_anew(where: Where) -> Iterator[Write]:
    """Made with the first write, and made again after an error."""
    clients: list[Any] = []

    def write(key: str, value: int) -> None:
        if not clients:
            clients.append(_cluster_client(where))
        try:
            clients[0].rpush(key, value)
        except Exception:
            clients.pop().close()
            raise

    try:
        yield write
    finally:
        for client in clients:
            client.close()


def _cluster_client(where: Where) -> Any:
    return RedisCluster(*where, socket_timeout=0.5, socket_connect_timeout=0.5)
