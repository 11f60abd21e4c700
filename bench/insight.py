"""What looking at keys costs the engine. A single node with 100,000 keys, GETs of random ones (redis-benchmark, 50 connections)
with one request in flight on each and with 16: requests a second, and processor time of the engine for each request, while
`cachefleet insight` looks at it (keys that are used first, then keys that there are), over those of the same node while nobody
looks, alternating.
"""

from __future__ import annotations

import shutil
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import redis

from bench.collection import requests_per_s
from bench.row import Row
from bench.spending import spent_s
from cachefleet.app.installation import Installation
from cachefleet.cli.public_api import insight
from tests.engine.groups import address, replication_group
from tests.fixtures.service import Service, running_service, wait_for

NOTE = __doc__
KEYS = 100_000
ROUNDS = 8
LOOK_S = 4  # at uses, and as long again at keys
REQUESTS = {1: 500_000, 16: 5_000_000}  # some 8 s of them


def measure(data: Path) -> Iterator[Row]:
    if shutil.which("redis-benchmark") is None:
        print("insight: redis-benchmark is missing; install redis-tools", file=sys.stderr)
        return
    with running_service(data) as service, replication_group(service.client(), "single", NumCacheClusters=1) as group:
        host, port = address(group["NodeGroups"][0]["PrimaryEndpoint"])
        with redis.Redis(host, port) as client:
            for begin in range(0, KEYS, 1000):
                client.mset({f"key:{number:012d}": "x" * 100 for number in range(begin, begin + 1000)})
        for pipelined in REQUESTS:
            yield from _rows(service, host, port, pipelined)


def _rows(service: Service, host: str, port: int, pipelined: int) -> Iterator[Row]:
    speeds: dict[bool, list[float]] = {True: [], False: []}
    costs: dict[bool, list[float]] = {True: [], False: []}
    (pid,) = service.engine_pids()
    for number in range(ROUNDS):
        for looked_at in (True, False) if number % 2 else (False, True):
            if looked_at:
                _ask(service, "POST", seconds=str(LOOK_S))
                wait_for("somebody looks", lambda: _ask(service, "GET")["state"] == "running")
            before = spent_s(pid)
            speeds[looked_at].append(requests_per_s(host, port, REQUESTS[pipelined], "-r", str(KEYS), pipelined=pipelined))
            costs[looked_at].append((spent_s(pid) - before) / REQUESTS[pipelined])
            if looked_at:
                wait_for("nobody looks any more", lambda: _ask(service, "GET")["state"] == "done", 120)
    what = f"GET, {pipelined} in flight on each connection"
    reference = f"{statistics.median(speeds[True]):,.0f} over {statistics.median(speeds[False]):,.0f} requests/s, medians"
    ratios = [on / off for on, off in zip(speeds[True], speeds[False], strict=True)]
    yield Row(figure=f"{what}: requests", unit="", values=ratios, target=0.99, at_least=True, reference=reference)
    micros = [f"{1e6 * statistics.median(costs[looked_at]):.2f}" for looked_at in (True, False)]
    ratios = [on / off for on, off in zip(costs[True], costs[False], strict=True)]
    yield Row(figure=f"{what}: processor time for each", unit="", values=ratios, target=1.01,
              reference=f"{micros[0]} over {micros[1]} us, medians")  # fmt: skip


def _ask(service: Service, method: str, **parameters: str) -> Any:
    installation = Installation(service.data)
    running = installation.service()
    assert running is not None
    return insight(running, installation.credentials(), method, group="single", **parameters)
