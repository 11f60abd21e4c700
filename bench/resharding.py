"""How fast slots move from two shards to a third, and what clients feel of it: our 2 -> 3 shards, and, in turn with it on the
same machine, a plain cluster of the same engine binary that the engines' own tool rebalances, `valkey-cli --cluster rebalance`
with `--cluster-pipeline 100`. Keys of 200 B, evenly over all slots; no replicas on either side.

Keys moved a second: those that the third shard has in the end over the time from the first slot that is seen to move to the
last one that has arrived; looked at in the same way, from outside. The time from the request until the group is available has
the start of the node in it, too.

Latency is measured in further rounds, with four clients (redis-py) of which together 500 operations a second are due, whether
or not earlier ones took their time: the 99th percentile while slots move over that of the seconds before. Gently: the same for
groups with the tag `cachefleet:reshard` = `gentle`.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
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
GENTLY = ("9.1", "7.0")  # one with jobs that move slots at once, and one without
TAG = {"Key": "cachefleet:reshard", "Value": "gentle"}
NAME = "reshard"
NODE_TYPE = "cache.m7g.large"
RATE = 500.0
CLIENTS = 4  # share that rate, so that one operation that waits does not hold up all others
CLIENTS_KEYS = 250
BEFORE = 1000  # operations of each before slots move
SETTLING = 200  # of them, those that show how clients start
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
    loads: Sequence[Verdict] = ()  # of each client

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
            if version in GENTLY:
                yield from _gently(subject, [_ours(service, subject, loaded=True, gentle=True) for _ in range(rounds)])


def _ours(service: Service, subject: Subject, *, loaded: bool = False, gentle: bool = False) -> Course:
    api = service.client()
    request = {
        "Engine": subject.engine,
        "EngineVersion": subject.version,
        "CacheNodeType": NODE_TYPE,
        "NumNodeGroups": 2,
        "ReplicasPerNodeGroup": 0,
        "AutomaticFailoverEnabled": True,
        "Tags": [TAG] if gentle else [],
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
    with data_folder() as folder, _clients(entrance, folder, loaded) as clients, Movement(sources, KEPT) as movement:
        begun_s = time.perf_counter()
        change()
        took_s = time.perf_counter() - begun_s
        span = wait_for("the end of the movement is seen", movement.seen)
        for client in clients:
            client.end()
        loads = [client.verdict() for client in clients]
    (newcomer,) = set(owners(entrance)) - set(sources)
    held, (moved,) = counts(sources), counts([newcomer])
    if sum(held) + moved != total + sum(client.keys for client in clients):
        raise AssertionError(f"of {total} keys there are {sum(held) + moved}")
    return Course(moved, span, begun_s, took_s, loads)


@contextmanager
def _clients(entrance: Where, folder: Path, loaded: bool) -> Iterator[Sequence[Client]]:
    """All of them running; none without load."""
    with ExitStack() as stack:
        clients = []
        for number in range(CLIENTS if loaded else 0):
            name = f"client{number}"
            clients.append(Client("redis-py-cluster", entrance, folder, name=name, rate=RATE / CLIENTS, keys=CLIENTS_KEYS))
            stack.callback(clients[-1].end)
        for client in clients:
            client.await_operations(BEFORE)
        yield clients


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
    yield from _harm(subject.what, ours)


def _gently(subject: Subject, courses: Sequence[Course]) -> Iterator[Row]:
    what = f"{subject.what}, gently"
    yield Row(figure=f"{what}: keys moved a second", unit="1/s", values=[one.rate for one in courses])
    yield _times_p99(f"{what}: p99 while slots move over before", courses, TIMES_P99)
    yield from _harm(what, courses)


def _harm(what: str, courses: Sequence[Course]) -> Iterator[Row]:
    gaps_ms = [1000 * max(load.longest_gap_s for load in during(one)) for one in courses]
    yield Row(figure=f"{what}: longest gap of a client", unit="ms", values=gaps_ms, target=100.0)
    errors = [sum(load.errors + load.wrong_reads for load in one.loads) for one in courses]
    yield Row(figure=f"{what}: errors after one retry", unit="", values=errors, target=0, each=True)


def _times_p99(figure: str, courses: Sequence[Course], target: float | None) -> Row:
    befores_ms = [1000 * together(before(one)).latency_s(0.99) for one in courses]
    durings_ms = [1000 * together(during(one)).latency_s(0.99) for one in courses]
    return Row(
        figure=figure,
        unit="",
        values=[one / other for one, other in zip(durings_ms, befores_ms, strict=True)],
        target=target,
        reference=f"{shown(statistics.median(durings_ms), 'ms')} over {shown(statistics.median(befores_ms), 'ms')}, medians",
    )


def before(course: Course) -> list[Verdict]:
    return [Verdict(load.between(0.0, course.asked_s).operations[SETTLING:]) for load in course.loads]


def during(course: Course) -> list[Verdict]:
    return [load.between(course.span.since_s, course.span.until_s) for load in course.loads]


def together(loads: Sequence[Verdict]) -> Verdict:
    return Verdict([one for load in loads for one in load.operations])
