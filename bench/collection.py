"""What measuring costs. The control plane: 10 groups 1+1 (20 nodes), its processor time while every node is measured once a
second less that while they are measured once a minute, alternating, over the samples taken; from that the share of a core
that 200 nodes would take every 10 s. The engines: their processor time in the same spans, from that the share of its time
that one spends on being measured every 10 s; and requests a second (redis-benchmark, 50 connections, 16 requests in flight) of
a single node that is measured every 10 s over the same of that node measured every 60 s, alternating.
"""

from __future__ import annotations

import csv
import io
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.creation import PAIR, available, create
from bench.idle import pause
from bench.row import Row
from bench.spending import ran_s, spent_s
from cachefleet.model.metric_interval import TAG
from tests.engine.groups import address, replication_group
from tests.fixtures.service import Service, running_service, wait_for

NOTE = __doc__
GROUPS, NODES = 10, 20
SPANS = 5
SPAN_S = 12.0
SETTLE_S = 12.0
ROUNDS = 8
REQUESTS = 6_000_000  # some 10 s of them: a sample falls into each run


def measure(data: Path) -> Iterator[Row]:
    with running_service(data) as service:
        client = service.client()
        for number in range(GROUPS):
            create(client, f"idle{number}", PAIR)
        wait_for("all are available", lambda: available(client) == GROUPS, 60)
        costs = list(_costs_s(service, client))
        costs_ms = [1000 * cost_s for cost_s, _ in costs]
        yield Row(figure="control plane, each node and sample", unit="ms", values=costs_ms, target=3)
        share = 100 * statistics.median(costs_ms) / 1000 * 200 / 10
        yield Row(figure="control plane, 200 nodes every 10 s: share of a core", unit="%", values=[share], target=10,
                  reference="computed from the row above")  # fmt: skip
        shares = [100 * cost_s / 10 for _, cost_s in costs]
        yield Row(figure="engine, measured every 10 s: share of its time", unit="%", values=shares, target=0.5)
        if shutil.which("redis-benchmark") is None:
            print("collection: redis-benchmark is missing; install redis-tools", file=sys.stderr)
            return
        yield from _throughput(client)


def _costs_s(service: Service, client: Any) -> Iterator[tuple[float, float]]:
    """Processor time for each node and sample: of the control plane, and of the node's engine."""
    assert service.process is not None
    pid, engines = service.process.pid, tuple(service.engine_pids())
    for _ in range(SPANS):
        rates: dict[int, list[float]] = {}
        for interval_s in (1, 60):
            for number in range(GROUPS):
                _tag(client, f"idle{number}", interval_s)
            pause(SETTLE_S)
            before, begun = _spent(pid, engines), time.perf_counter()
            pause(SPAN_S)
            took_s = time.perf_counter() - begun
            rates[interval_s] = [(now - then) / took_s for now, then in zip(_spent(pid, engines), before, strict=True)]
        plane, engine = ((often - seldom) / NODES for often, seldom in zip(rates[1], rates[60], strict=True))
        yield plane, engine


def _spent(pid: int, engines: Sequence[int]) -> tuple[float, float]:
    return spent_s(pid), sum(map(ran_s, engines))


def _throughput(client: Any) -> Iterator[Row]:
    with replication_group(client, "single", NumCacheClusters=1) as group:
        host, port = address(group["NodeGroups"][0]["PrimaryEndpoint"])
        found: dict[int, list[float]] = {10: [], 60: []}
        for number in range(ROUNDS):
            for interval_s in (10, 60) if number % 2 else (60, 10):
                _tag(client, "single", interval_s)
                pause(1.0)
                found[interval_s].append(requests_per_s(host, port, REQUESTS))
        ratios = [often / seldom for often, seldom in zip(found[10], found[60], strict=True)]
        reference = f"{statistics.median(found[10]):,.0f} over {statistics.median(found[60]):,.0f} requests/s, medians"
        yield Row(figure="GET -P 16, measured every 10 s over every 60 s", unit="", values=ratios, target=0.995, at_least=True,
                  reference=reference)  # fmt: skip


def _tag(client: Any, group: str, interval_s: int) -> None:
    arn = client.describe_replication_groups(ReplicationGroupId=group)["ReplicationGroups"][0]["ARN"]
    client.add_tags_to_resource(ResourceName=arn, Tags=[{"Key": TAG, "Value": str(interval_s)}])


def requests_per_s(host: str, port: int, requests: int, *more: str, pipelined: int = 16) -> float:
    """GET by redis-benchmark with 50 connections, each with so many requests in flight."""
    words = ["-h", host, "-p", str(port), "-c", "50", "-P", str(pipelined), "-n", str(requests), "-t", "get", "--csv", *more]
    told = subprocess.run(["redis-benchmark", *words], capture_output=True, text=True, check=True, timeout=300).stdout
    (row,) = csv.DictReader(io.StringIO(told))
    return float(row["rps"])
