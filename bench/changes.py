"""How long clients wait while a group is changed: redis-py and valkey-glide write and read back without end, each in a process
of its own, of which 200 operations a second are due; what fails is tried once more, at once. A gap is the longest time between
two operations of one client that succeeded, from the request until the group is available again in its new form; one value a
client.

Afterwards everything is read back: acknowledged values that are gone, or there twice, must be none, and so must operations that
failed twice. The groups have a replica a shard, and hold 20 MB.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from bench.row import Row, shown
from tests.engine.groups import address, replication_group
from tests.fixtures.machine import data_folder
from tests.fixtures.service import Service, running_service
from tests.traffic.changes import LARGE, SMALL, Change, node_type, replicas, shards, version
from tests.traffic.keys import fill
from tests.traffic.traffic import Traffic, traffic
from tests.traffic.verdict import Remains, Verdict

NOTE = __doc__
KEYS = 98_304  # of 200 B
GAP_MS = 100.0
BEFORE = 600  # operations of each client before the first change, and between two
RETYPED = (node_type(LARGE), node_type(SMALL))
RESHARDED = (shards(3, 2), shards(5, 3), shards(3, 5))


class Scenario(msgspec.Struct, frozen=True):
    what: str
    clustered: bool
    request: Mapping[str, Any]
    changes: Sequence[Change]

    @property
    def kinds(self) -> Sequence[str]:
        return ("redis-py-cluster", "glide-cluster") if self.clustered else ("redis-py", "glide")


SCENARIOS = (
    Scenario(
        "Redis 7.0, cluster mode disabled",
        False,
        {"Engine": "redis", "EngineVersion": "7.0", "NumCacheClusters": 2},
        (replicas(3, 1), replicas(1, 3), *RETYPED, version("valkey", "9.1"), replicas(3, 1), replicas(1, 3), *RETYPED),
    ),
    Scenario(
        "Redis 7.0, cluster mode enabled",
        True,
        {"Engine": "redis", "EngineVersion": "7.0", "NumNodeGroups": 2, "ReplicasPerNodeGroup": 1},
        (*RESHARDED, replicas(3, 1), replicas(1, 3), *RETYPED, version("valkey", "9.1")),
    ),
    Scenario(
        "Valkey 9.1, cluster mode enabled",
        True,
        {"Engine": "valkey", "EngineVersion": "9.1", "NumNodeGroups": 2, "ReplicasPerNodeGroup": 1},
        (*RESHARDED, replicas(3, 1), replicas(1, 3), *RETYPED),
    ),
)


class Step(msgspec.Struct, frozen=True):
    what: str
    since_s: float
    until_s: float


def measure(data: Path) -> Iterator[Row]:
    with running_service(data) as service:
        for scenario in SCENARIOS:
            yield from _measured(service, scenario)


def _measured(service: Service, scenario: Scenario) -> Iterator[Row]:
    api = service.client()
    with data_folder() as folder, replication_group(api, "changed", AutomaticFailoverEnabled=True, **scenario.request) as group:
        entrance = address(group["ConfigurationEndpoint"] if scenario.clustered else group["NodeGroups"][0]["PrimaryEndpoint"])
        fill(entrance, KEYS, clustered=scenario.clustered)
        with traffic(scenario.kinds, entrance, folder, clustered=scenario.clustered) as running:
            quiet_s = time.perf_counter()
            running.await_operations(BEFORE)
            steps = [_made(api, change, running) for change in scenario.changes]
            running.end()
            verdicts, remains, flaws = running.verdicts(), running.remains(), running.flaws()
    quiet_ms = [1000 * verdict.between(quiet_s, steps[0].since_s).latency_s(0.99) for verdict in verdicts.values()]
    yield Row(figure=f"{scenario.what}, before: p99", unit="ms", values=quiet_ms)
    yield from (_gaps(scenario, step, verdicts) for step in steps)
    yield from _flaws(scenario, verdicts, remains)
    for client, what in flaws.items():
        print(f"{scenario.what}, {client}: {what}", file=sys.stderr)


def _made(api: Any, change: Change, running: Traffic) -> Step:
    since_s = time.perf_counter()
    change.make(api, "changed")
    until_s = time.perf_counter()
    running.await_operations(BEFORE)
    return Step(change.what, since_s, until_s)


def _gaps(scenario: Scenario, step: Step, verdicts: Mapping[str, Verdict]) -> Row:
    during = [verdict.between(step.since_s, step.until_s) for verdict in verdicts.values()]
    p99s = ", ".join(shown(1000 * one.latency_s(0.99), "ms") for one in during)
    retries = sum(one.retries for one in during)
    return Row(
        figure=f"{scenario.what}, {step.what}: longest gap",
        unit="ms",
        values=[1000 * one.longest_gap_s for one in during],
        target=GAP_MS,
        each=True,
        reference=f"{shown(step.until_s - step.since_s, 's')}; p99 {p99s}; {retries} retries",
    )


def _flaws(scenario: Scenario, verdicts: Mapping[str, Verdict], remains: Mapping[str, Remains]) -> Iterator[Row]:
    counted = {
        "acknowledged values lost": [len(one.lost) for one in remains.values()],
        "values there twice": [len(one.doubled) for one in remains.values()],
        "errors after one retry": [one.errors for one in verdicts.values()],
        "reads without what had been acknowledged": [one.wrong_reads for one in verdicts.values()],
    }
    total = sum(len(one.operations) for one in verdicts.values())
    for what, counts in counted.items():
        yield Row(figure=f"{scenario.what}, all changes: {what}", unit="", values=counts, target=0, each=True,
                  reference=f"of {total:,} operations")  # fmt: skip
