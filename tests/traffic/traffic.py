"""Clients in processes of their own, so that neither the service nor the test disturbs them: started, awaited, ended, and
judged by what they recorded and by what is there in the end.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import redis
from redis.cluster import RedisCluster

from tests.fixtures.service import wait_for
from tests.traffic.clients import Where
from tests.traffic.operation import SIZE_BYTES, read_operations
from tests.traffic.verdict import Remains, Verdict

KEYS = 256  # of each client: random slots, so that every shard has many
RATE = 200.0
SETTLED = 200  # operations, until a client counts as running
_ROOT = Path(__file__).resolve().parent.parent.parent


class Client:
    """One process. `kind` is of clients.KINDS; `where` an endpoint."""

    def __init__(self, kind: str, where: Where, folder: Path, *, name: str = "", keys: int = KEYS, rate: float = RATE) -> None:
        self.kind, self.name, self.keys = kind, name or kind, keys
        self._file, self._complaints = folder / f"{self.name}.operations", folder / f"{self.name}.complaints"
        host, port = where
        words = (kind, host, str(port), str(self._file), self.name, str(keys), str(rate))
        self._file.touch()
        with self._complaints.open("ab") as complaints:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.traffic", *words],
                cwd=_ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=complaints,
            )

    @property
    def operations(self) -> int:
        """How many ended."""
        return self._file.stat().st_size // SIZE_BYTES

    def await_operations(self, more: int, timeout_s: float = 30.0) -> None:
        goal = self.operations + more

        def reached() -> bool:
            if self._process.poll() is not None:
                raise AssertionError(f"the client {self.name} has ended: {self.complaints()}")
            return self.operations >= goal

        wait_for(f"{more} more operations of {self.name}", reached, timeout_s)

    def end(self) -> None:
        """Returns when what it did last is recorded."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def verdict(self) -> Verdict:
        return Verdict(list(read_operations(self._file)))

    def complaints(self) -> str:
        """The last of what went wrong, for messages."""
        return self._complaints.read_text(errors="replace")[-3000:]

    def remains(self, cache: Any) -> Remains:
        """cache: a redis-py client that reaches every key."""
        return self.verdict().remains(_lists(cache, [f"{self.name}:{number}" for number in range(self.keys)]))


class Traffic:
    """Several clients of one group at once."""

    def __init__(self, clients: Sequence[Client], connect: Callable[[], Any]) -> None:
        self.clients, self._connect = clients, connect

    def await_operations(self, more: int, timeout_s: float = 30.0) -> None:
        """Of each."""
        for client in self.clients:
            client.await_operations(more, timeout_s)

    def end(self) -> None:
        for client in self.clients:
            client.end()

    def verdicts(self) -> Mapping[str, Verdict]:
        return {client.name: client.verdict() for client in self.clients}

    def remains(self) -> Mapping[str, Remains]:
        """When it has ended."""
        with self._connect() as cache:
            return {client.name: client.remains(cache) for client in self.clients}

    def flaws(self) -> dict[str, str]:
        """When it has ended: client -> what was lost, doubled, not shown or refused; empty when all is well."""
        found, there = {}, self.remains()
        for client in self.clients:
            verdict, remains = client.verdict(), there[client.name]
            if remains.lost or remains.doubled or verdict.errors or verdict.wrong_reads:
                counts = f"lost {remains.lost[:5]}... of {len(remains.lost)}, doubled {len(remains.doubled)}"
                found[client.name] = (
                    f"{counts}, errors {verdict.errors}, wrong reads {verdict.wrong_reads}: {client.complaints()}"
                )
        return found


@contextmanager
def traffic(kinds: Sequence[str], where: Where, folder: Path, *, clustered: bool, rate: float = RATE) -> Iterator[Traffic]:
    """One client of each kind, all of them running. They are ended with the block, or before by end()."""
    with ExitStack() as stack:
        made = []
        for kind in kinds:
            made.append(Client(kind, where, folder, rate=rate))
            stack.callback(made[-1].end)
        running = Traffic(made, lambda: patient(where, clustered=clustered))
        running.await_operations(SETTLED)
        yield running


def patient(where: Where, *, clustered: bool) -> Any:
    """A redis-py client to read back with."""
    return RedisCluster(*where, socket_timeout=10) if clustered else redis.Redis(*where, socket_timeout=10)


def _lists(cache: Any, names: Sequence[str]) -> dict[int, list[int]]:
    """Number of each name -> what the list holds."""
    with cache.pipeline(**({} if isinstance(cache, RedisCluster) else {"transaction": False})) as pipeline:
        for name in names:
            pipeline.lrange(name, 0, -1)
        found = pipeline.execute()
    return {number: [int(value) for value in values] for number, values in enumerate(found)}
