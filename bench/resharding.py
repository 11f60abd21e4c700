"""How fast slots move from two shards to a third, and what clients feel of it: our 2 -> 3 shards, and, in turn with it on the
same machine, a plain cluster of the same engine binary that the engines' own tool rebalances, `valkey-cli --cluster rebalance`
with `--cluster-pipeline 100`. Keys of 200 B, evenly over all slots; no replicas on either side.

Keys moved a second: those that the third shard has in the end over the time from the first slot that is seen to move to the
last one that has arrived; looked at in the same way, from outside. The time from the request until the group is available has
the start of the node in it, too.

Latency is measured in further rounds, with a client (redis-py) of which 500 operations a second are due, whether or not earlier
ones took their time: the 99th percentile while slots move over that of the seconds before.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from bench import rebalancer
from bench.clients import Where
from bench.movement import Movement, Span
from bench.row import Row, shown
from cachefleet.engines.catalogue import InstalledEngines
from cachefleet.model.group import SLOTS, Engine
from cachefleet.settings import EngineSettings
from tests.engine.groups import address, replication_group
from tests.fixtures.machine import data_folder
from tests.fixtures.service import Service, running_service, wait_for
from tests.traffic.changes import shards
from tests.traffic.keys import counts, fill, owners
from tests.traffic.traffic import Client
from tests.traffic.verdict import Verdict

NOTE = __doc__
KEYS = 1_500_000
ROUNDS = 3
ENGINES = (("valkey", "9.1", 10.0), ("valkey", "8.1", 1.5), ("redis", "7.0", 1.5))  # and how many times the tool's rate
NAME = "reshard"
NODE_TYPE = "cache.m7g.large"
RATE = 500.0
CLIENTS_KEYS = 1000
BEFORE = 3000  # operations before slots move
TIMES_P99 = 3.0
TIMEOUT_S = 600.0
KEPT = SLOTS - SLOTS // 3


class Subject(msgspec.Struct, frozen=True):
    engine: str
    version: str
    keys: int

    @property
    def what(self) -> str:
        return f"{self.engine} {self.version}, {self.keys / 1e6:g} M keys"


class Course(msgspec.Struct, frozen=True):
    moved: int  # keys
    span: Span
    asked_s: float  # when it was asked for; times are of time.perf_counter()
    took_s: float  # until all was over
    load: Verdict | None = None  # of the client, if there was one

    @property
    def rate(self) -> float:
        return self.moved / self.span.seconds


def measure(data: Path, rounds: int = ROUNDS, keys: int = KEYS) -> Iterator[Row]:
    """rounds: of each engine, without and with a client. keys: about so many, two thirds of which stay where they are."""
    with running_service(data) as service:
        for engine, version, target in ENGINES:
            subject = Subject(engine, version, keys)
            pairs = [(_ours(service, subject), _tools(subject)) for _ in range(rounds)]
            yield from _speed(subject, pairs, target)
            pairs = [(_ours(service, subject, loaded=True), _tools(subject, loaded=True)) for _ in range(rounds)]
            yield from _latency(subject, pairs)


def _ours(service: Service, subject: Subject, *, loaded: bool = False) -> Course:
    api = service.client()
    request = {
        "Engine": subject.engine,
        "EngineVersion": subject.version,
        "CacheNodeType": NODE_TYPE,
        "NumNodeGroups": 2,
        "ReplicasPerNodeGroup": 0,
        "AutomaticFailoverEnabled": True,
    }
    with replication_group(api, NAME, **request) as group:
        entrance = address(group["ConfigurationEndpoint"])
        return _course(entrance, subject.keys, lambda: shards(3, 2).make(api, NAME, TIMEOUT_S), loaded)


def _tools(subject: Subject, *, loaded: bool = False) -> Course:
    build = InstalledEngines(EngineSettings()).resolve(Engine(subject.engine), subject.version)
    if build is None:
        raise AssertionError(f"{subject.what} is not installed")
    with rebalancer.two_owners_and_a_newcomer(build.binary) as nodes:
        return _course(nodes[0], subject.keys, lambda: rebalancer.rebalance(nodes), loaded)


def _course(entrance: Where, keys: int, change: Callable[[], None], loaded: bool) -> Course:
    total = fill(entrance, keys)
    sources = list(owners(entrance))
    with data_folder() as folder, _client(entrance, folder, loaded) as client, Movement(sources, KEPT) as movement:
        begun_s = time.perf_counter()
        change()
        took_s = time.perf_counter() - begun_s
        span = wait_for("the end of the movement is seen", movement.seen)
        if client is not None:
            client.end()
        load = client.verdict() if client is not None else None
    (newcomer,) = set(owners(entrance)) - set(sources)
    held, (moved,) = counts(sources), counts([newcomer])
    if sum(held) + moved != total + (CLIENTS_KEYS if loaded else 0):
        raise AssertionError(f"of {total} keys there are {sum(held) + moved}")
    return Course(moved, span, begun_s, took_s, load)


@contextmanager
def _client(entrance: Where, folder: Path, loaded: bool) -> Iterator[Client | None]:
    if not loaded:
        yield None
        return
    client = Client("redis-py-cluster", entrance, folder, rate=RATE, keys=CLIENTS_KEYS)
    try:
        client.await_operations(BEFORE)
        yield client
    finally:
        client.end()


def _speed(subject: Subject, pairs: Sequence[tuple[Course, Course]], target: float) -> Iterator[Row]:
    ours, tools = [own for own, _ in pairs], [other for _, other in pairs]
    own = Row(figure=f"{subject.what}: keys moved a second", unit="1/s", values=[one.rate for one in ours])
    other = Row(figure="", unit="1/s", values=[one.rate for one in tools])
    yield own
    yield Row(
        figure=f"{subject.what}: times as fast as the tool",
        unit="",
        values=[one.rate / theirs.rate for one, theirs in pairs],
        target=target,
        at_least=True,
        reference=f"{shown(own.median, '1/s')} over {shown(other.median, '1/s')}, medians",
    )
    whole = Row(figure="", unit="s", values=[one.took_s for one in tools])
    yield Row(
        figure=f"{subject.what}: from the request until available",
        unit="s",
        values=[one.took_s for one in ours],
        reference=f"the tool, with a node that runs: {shown(whole.median, 's')}",
    )


def _latency(subject: Subject, pairs: Sequence[tuple[Course, Course]]) -> Iterator[Row]:
    ours, tools = [own for own, _ in pairs], [other for _, other in pairs]
    yield _times_p99(f"{subject.what}: p99 while slots move over before", ours, TIMES_P99)
    yield _times_p99(f"{subject.what}, the tool: p99 while slots move over before", tools, None)
    yield Row(
        figure=f"{subject.what}: longest gap",
        unit="ms",
        values=[1000 * during(one).longest_gap_s for one in ours],
        target=100.0,
    )
    errors = [one.load.errors + one.load.wrong_reads for one in ours if one.load is not None]
    yield Row(figure=f"{subject.what}: errors after one retry", unit="", values=errors, target=0, each=True)


def _times_p99(figure: str, courses: Sequence[Course], target: float | None) -> Row:
    befores_ms = [1000 * before(one).latency_s(0.99) for one in courses]
    durings_ms = [1000 * during(one).latency_s(0.99) for one in courses]
    return Row(
        figure=figure,
        unit="",
        values=[one / other for one, other in zip(durings_ms, befores_ms, strict=True)],
        target=target,
        reference=f"{shown(statistics.median(durings_ms), 'ms')} over {shown(statistics.median(befores_ms), 'ms')}, medians",
    )


def before(course: Course) -> Verdict:
    assert course.load is not None
    return course.load.between(0.0, course.asked_s)


def during(course: Course) -> Verdict:
    assert course.load is not None
    return course.load.between(course.span.since_s, course.span.until_s)
