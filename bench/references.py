"""python -m bench.references KIND BINARY ROUNDS: the same kills without our control plane; gaps in seconds as a JSON list.

sentinel: a 1+1 pair watched by three Sentinels that call it dead after 5 s, quorum 2. cluster: 3x2 with the engine's own
node timeout of 15 s. Each round has new processes of the same engine binary, and they are not started again.

A program of its own: it runs beside other measurements without taking turns with their clients. Its processes live in its
folder, as it does itself, so whoever cleans that folder ends them all.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import redis

from bench.caches import Cache, Roles, cluster_roles, complete
from bench.clients import Where, clustered, plain, redis_py_cluster, redis_py_sentinel, watched
from bench.creation import KEYS_OF_THREE_SHARDS
from bench.faults import Kill
from bench.trial import trial
from tests.fixtures.machine import data_folder
from tests.fixtures.service import wait_for
from tests.traffic.writer import Connect

DOWN_AFTER_MS = 5000
NAME = "bench"
REST_S = 0.001
SLOTS = ((0, 5460), (5461, 10922), (10923, 16383))
_ROOT = Path(__file__).resolve().parent.parent
_NETWORK = 37  # no installation chooses it, no test uses it
_COMMON = {"save": '""', "appendonly": "no", "repl-diskless-sync-delay": "0", "protected-mode": "no", "daemonize": "no"}
PLAIN_CLUSTER: Mapping[str, object] = {**_COMMON, "cluster-enabled": "yes", "cluster-announce-ip": ""}


class Processes:
    """Engine processes, each at a loopback address of its own."""

    def __init__(self, binary: str, folder: Path) -> None:
        self._binary, self._folder = binary, folder
        self._hosts = _hosts()
        self._started: list[subprocess.Popen[bytes]] = []

    def start(self, port: int, configuration: Mapping[str, object], *options: str) -> Where:
        """Returns when it answers. An empty value of a directive is its address."""
        host = next(host for host in self._hosts if _is_free((host, port)))
        own = self._folder / host
        own.mkdir()
        lines = {"bind": "", "port": port, "dir": own, "logfile": own / "engine.log", **configuration}
        (own / "engine.conf").write_text("".join(f"{name} {value or host}\n" for name, value in lines.items()))
        process = subprocess.Popen(
            [self._binary, "engine.conf", *options], cwd=own, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        self._started.append(process)
        wait_for(f"an engine at {host}", lambda: answers((host, port)))
        return host, port

    def pids(self) -> list[int]:
        return [process.pid for process in self._started]

    def end(self) -> None:
        for process in self._started:
            process.kill()
            process.wait()


def answers(where: Where) -> bool:
    try:
        with plain(where) as client:
            return bool(client.ping())
    except redis.exceptions.RedisError:
        return False


@contextmanager
def sentinel_pair(processes: Processes) -> Iterator[tuple[Cache, Connect]]:
    server = {**_COMMON, "replica-announce-ip": ""}
    primary = processes.start(6379, server)
    replica = processes.start(6379, {**server, "replicaof": " ".join(map(str, primary))})
    wanted = {
        "protected-mode": "no",
        "sentinel announce-ip": "",
        f"sentinel monitor {NAME}": f"{primary[0]} {primary[1]} 2",
        f"sentinel down-after-milliseconds {NAME}": DOWN_AFTER_MS,
    }
    sentinels = [processes.start(26379, wanted, "--sentinel") for _ in range(3)]
    wait_for("the Sentinels know each other", lambda: all(_knows_all(sentinel) for sentinel in sentinels))
    cache = Cache(
        keys=["log"],
        endpoint=sentinels[0],
        direct=True,
        open=partial(watched, sentinels, NAME),
        roles=lambda: complete(Roles(primary, [replica])),
        pids=processes.pids,
        heals=False,
    )
    yield cache, partial(redis_py_sentinel, sentinels, NAME)


@contextmanager
def plain_cluster(processes: Processes) -> Iterator[tuple[Cache, Connect]]:
    nodes = [processes.start(6379, PLAIN_CLUSTER) for _ in range(6)]
    _make_cluster(nodes)
    cache = Cache(
        keys=KEYS_OF_THREE_SHARDS,
        endpoint=nodes[-1],
        direct=True,
        open=partial(clustered, nodes[-1]),
        roles=partial(cluster_roles, nodes[-1], 2),
        pids=processes.pids,
        heals=False,
    )
    yield cache, partial(redis_py_cluster, cache.endpoint)


KINDS: Mapping[str, Callable[[Processes], Any]] = {"sentinel": sentinel_pair, "cluster": plain_cluster}


class Reference:
    """The program, running: gaps_s waits for it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def gaps_s(self) -> list[float]:
        output, errors = self._process.communicate(timeout=600)
        if self._process.returncode:
            raise AssertionError(f"the reference failed: {errors[-2000:]}")
        return list(json.loads(output))


@contextmanager
def running(kind: str, binary: str, rounds: int) -> Iterator[Reference]:
    with data_folder() as folder:
        own = folder / "reference"
        own.mkdir()
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.references", kind, binary, str(rounds)],
            cwd=own,
            env={**os.environ, "PYTHONPATH": str(_ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with process:
            try:
                yield Reference(process)
            finally:
                process.kill()


def _make_cluster(nodes: Sequence[Where]) -> None:
    primaries, replicas = nodes[:3], nodes[3:]
    for number, ((first, last), primary) in enumerate(zip(SLOTS, primaries, strict=True), start=1):
        _tell(primary, "CLUSTER", "ADDSLOTSRANGE", first, last)
        _tell(primary, "CLUSTER", "SET-CONFIG-EPOCH", number)
    for host, port in nodes[1:]:
        _tell(nodes[0], "CLUSTER", "MEET", host, port)
    wait_for("all nodes know each other", lambda: all(_counts(node, "cluster_known_nodes") == "6" for node in nodes))
    for primary, replica in zip(primaries, replicas, strict=True):
        _tell(replica, "CLUSTER", "REPLICATE", _tell(primary, "CLUSTER", "MYID"))
    wait_for("the cluster is whole", lambda: all(_is_whole(node) for node in nodes))


def _is_whole(node: Where) -> bool:
    """As this node sees it."""
    return _counts(node, "cluster_state") == "ok" and all(len(line) == 4 for line in _tell(node, "CLUSTER", "SLOTS"))


def _counts(node: Where, name: str) -> str:
    return str(_tell(node, "CLUSTER INFO")[name])


def _knows_all(sentinel: Where) -> bool:
    with plain(sentinel) as client:
        state = client.sentinel_master(NAME)
    return bool(state["num-slaves"] == 1 and state["num-other-sentinels"] == 2)


def _tell(where: Where, *words: object) -> Any:
    with redis.Redis(*where, socket_timeout=5, decode_responses=True) as client:
        return client.execute_command(*words)


def _hosts() -> Iterator[str]:
    """Every process begins elsewhere."""
    for number in range(64 * os.getpid(), 64 * os.getpid() + 60_000):
        yield f"127.{_NETWORK}.{number // 250 % 250}.{number % 250 + 1}"


def _is_free(where: Where) -> bool:
    """Nobody listens there."""
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind(where)
        except OSError:
            return False
    return True


def main(kind: str, binary: str, rounds: str) -> None:
    gaps_s = []
    for number in range(int(rounds)):
        folder = Path.cwd() / str(number)
        folder.mkdir()
        processes = Processes(binary, folder)
        try:
            with KINDS[kind](processes) as (cache, connect):
                gaps_s.append(trial(cache, connect, Kill, rest_s=REST_S).gap_s)
        finally:
            processes.end()
    print(json.dumps(gaps_s))


if __name__ == "__main__":
    main(*sys.argv[1:])
