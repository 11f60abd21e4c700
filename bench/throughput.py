"""Requests a second through an endpoint over requests a second of the same engine started by hand with the same configuration
(without our addresses), measured in turn: A B, B A, A B ... in many short runs, so that whatever else the machine does meets
both. For machines that have other things to do, the ratio of the best run of each is given, too, and where two processes are
compared, the processor time that each spends on a request.

redis-benchmark with 50 connections, one request in flight on each (-P 1) and 16 (-P 16). A reader endpoint is compared
with the own address of the replica that serves it; with several replicas the kernel spreads connections over them, and the
sum is compared with one replica alone.
"""

from __future__ import annotations

import csv
import io
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from bench.row import Row, shown
from tests.engine.groups import address, describe_cluster, replication_group
from tests.fixtures.machine import data_folder
from tests.fixtures.service import Service, running_service, wait_for

NOTE = __doc__
PAIRS = 21
REQUESTS = {1: 40_000, 16: 300_000}
_PLACE = {"bind", "dir", "logfile", "loglevel", "replicaof", "replica-announce-ip", "replica-serve-stale-data"}
OWN_WORDS = frozenset(_PLACE | {"user", "masteruser", "masterauth"})
BY_HAND = "by hand"
Where = tuple[str, int]


def measure(data: Path) -> Iterator[Row]:
    """Nothing where there is no redis-benchmark."""
    if shutil.which("redis-benchmark") is None:
        print("throughput: redis-benchmark is missing; install redis-tools", file=sys.stderr)
        return
    with running_service(data) as service:
        client = service.client()
        with replication_group(client, "single", NumCacheClusters=1) as group, _by_hand(service, "single-001") as reference:
            endpoint = address(group["NodeGroups"][0]["PrimaryEndpoint"])
            for depth in REQUESTS:
                yield from _compare("primary endpoint", endpoint, BY_HAND, reference, ("SET", "GET"), depth, 0.97)
        yield from _encrypted(service, client)
        for replicas in (1, 3):
            with replication_group(client, "read", NumCacheClusters=1 + replicas, AutomaticFailoverEnabled=True) as group:
                endpoint = address(group["NodeGroups"][0]["ReaderEndpoint"])
                name = f"reader endpoint, {replicas} replica{'s' * (replicas > 1)}"
                target = 0.97 if replicas == 1 else None
                yield from _compare(name, endpoint, "one replica", _replica(client, "read"), ("GET",), 1, target)


def _encrypted(service: Service, client: Any) -> Iterator[Row]:
    """The same with TLS, of an engine that has it."""
    tls = {"Engine": "redis", "EngineVersion": "7.0", "TransitEncryptionEnabled": True}
    with replication_group(client, "secret", NumCacheClusters=1, **tls) as group:
        endpoint = address(group["NodeGroups"][0]["PrimaryEndpoint"])
        with _by_hand(service, "secret-001", encrypted=True) as reference:
            for depth in REQUESTS:
                name = "primary endpoint with TLS"
                yield from _compare(name, endpoint, BY_HAND, reference, ("SET", "GET"), depth, 0.97, encrypted=True)


def _compare(
    name: str,
    ours: Where,
    other_name: str,
    other: Where,
    tests: Sequence[str],
    depth: int,
    target: float | None,
    *,
    encrypted: bool = False,
) -> Iterator[Row]:
    """A ratio a pair, and the rates themselves."""
    for where in (ours, other):
        _benchmark(where, tests, depth, encrypted=encrypted)  # not counted: memory is touched, processor speeds settle
    before = _spent_s(ours, encrypted=encrypted), _spent_s(other, encrypted=encrypted)
    rates: dict[str, tuple[list[float], list[float]]] = {test: ([], []) for test in tests}
    for number in range(PAIRS):
        for side in (0, 1) if number % 2 == 0 else (1, 0):
            for test, rate in _benchmark((ours, other)[side], tests, depth, encrypted=encrypted).items():
                rates[test][side].append(rate)
    requests = PAIRS * len(tests) * REQUESTS[depth]
    after = _spent_s(ours, encrypted=encrypted), _spent_s(other, encrypted=encrypted)
    spent = [1e6 * (now - begun) / requests for now, begun in zip(after, before, strict=True)]
    cost = f"; {spent[0]:.2f} over {spent[1]:.2f} µs of processor a request" if other_name == BY_HAND else ""
    for test, (here, there) in rates.items():
        own = Row(figure="", unit="1/s", values=here)
        reference = Row(figure="", unit="1/s", values=there)
        yield Row(
            figure=f"{name}, {test}, -P {depth}",
            unit="",
            values=[a / b for a, b in zip(here, there, strict=True)],
            target=target,
            at_least=True,
            reference=f"{shown(own.median, '1/s')} over {shown(reference.median, '1/s')} {other_name}; "
            f"best of each {max(here) / max(there):.2f}{cost}",
        )


def _benchmark(where: Where, tests: Sequence[str], depth: int, *, encrypted: bool = False) -> dict[str, float]:
    """Requests a second by test."""
    host, port = where
    command = ["redis-benchmark", "-h", host, "-p", str(port), "-t", ",".join(tests).lower(), "-n", str(REQUESTS[depth])]
    command += ["--tls", "--insecure"] if encrypted else []  # who answers is known; to prove it takes time once
    done = subprocess.run([*command, "-c", "50", "-P", str(depth), "-q", "--csv"], check=True, capture_output=True, text=True)
    rows = csv.reader(io.StringIO(done.stdout))
    return {row[0]: float(row[1]) for row in rows if row and row[0] in tests}


def _spent_s(where: Where, *, encrypted: bool = False) -> float:
    """Processor time of the process that answers there."""
    with redis.Redis(*where, socket_timeout=5, **_tls(encrypted)) as client:
        info = client.info("cpu")
    return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])


def _replica(client: Any, group: str) -> Where:
    """The own address of the group's second node."""
    found = describe_cluster(client, f"{group}-002")
    assert found is not None
    return address(found["CacheNodes"][0]["Endpoint"])


@contextmanager
def _by_hand(service: Service, node: str, *, encrypted: bool = False) -> Iterator[Where]:
    """The node's binary and its configuration, without what is ours, as a process of its own; in a session of its own like
    the node, since kernels share out processor time by session."""
    pid = service.pid_of(node)
    folder = Path(f"/proc/{pid}/cwd").resolve()
    lines = (folder / "engine.conf").read_text().splitlines()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with data_folder() as data:
        own = data / "by-hand"
        own.mkdir()
        kept = [line for line in lines if line.split(" ", 1)[0] not in OWN_WORDS | {"port", "tls-port"}]
        ports = ["port 0", f"tls-port {port}"] if encrypted else [f"port {port}"]
        config = [*kept, "bind 127.0.0.1", *ports, f"dir {own}", f"logfile {own / 'engine.log'}"]
        (own / "engine.conf").write_text("\n".join(config) + "\n")
        binary = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode()  # one file may be several programs, by name
        process = subprocess.Popen([binary, "engine.conf"], cwd=own, start_new_session=True)
        try:
            wait_for("the engine answers", lambda: _answers(port, encrypted=encrypted))
            yield "127.0.0.1", port
        finally:
            process.kill()
            process.wait()


def _tls(encrypted: bool) -> dict[str, Any]:
    return {"ssl": True, "ssl_cert_reqs": "none", "ssl_check_hostname": False} if encrypted else {}


def _answers(port: int, *, encrypted: bool) -> bool:
    try:
        with redis.Redis("127.0.0.1", port, socket_timeout=1, **_tls(encrypted)) as client:
            return bool(client.ping())
    except redis.exceptions.RedisError:
        return False
