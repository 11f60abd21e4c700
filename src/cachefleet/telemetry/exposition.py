"""What Prometheus scrapes: each node's last reading, and this process. Told by the collector; decides nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set

import msgspec
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector as Source

from cachefleet.clock import Clock
from cachefleet.metrics.formulas import Reading
from cachefleet.metrics.instruments import Instruments
from cachefleet.metrics.prometheus import (
    COMMAND_SECONDS,
    COMMANDS,
    OF_MEMCACHED,
    OF_RESP,
    PROVEN,
    PROVEN_AT,
    UP,
    Family,
    commands,
)
from cachefleet.model.group import Engine
from cachefleet.telemetry.own_metrics import OwnMetrics

LABELS = ("account", "region", "group", "shard", "node", "role", "zone", "engine")


class NodeLabels(msgspec.Struct, frozen=True):
    account: str
    region: str
    group: str
    shard: str
    node: str
    role: str  # primary, replica; "" of Memcached
    zone: str
    engine: Engine

    def values(self) -> tuple[str, ...]:
        return tuple(str(getattr(self, name)) for name in LABELS)


class Proof(msgspec.Struct, frozen=True):
    """The last one of a group. at: epoch seconds."""

    at: float
    succeeded: bool


class _Latest(msgspec.Struct, frozen=True):
    """reading: None for one that did not answer. until: of the clock that is never set; forgotten from then on."""

    labels: NodeLabels
    reading: Reading | None
    until: float


class Exposition(Source):
    """instruments: what this process counts of itself."""

    def __init__(self, clock: Clock, instruments: Instruments | None = None) -> None:
        self._clock = clock
        self._latest: dict[tuple[str, str, str, str], _Latest] = {}
        self._proofs: tuple[float, Mapping[tuple[str, str, str], Proof]] = (0.0, {})  # until when they are told
        self._registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(namespace="cachefleet", registry=self._registry)
        self._registry.register(self)
        self._registry.register(OwnMetrics(instruments or Instruments()))

    def tell(self, nodes: Iterable[tuple[NodeLabels, Reading | None]], interval_s: float) -> None:
        """Nodes of a group that were just measured, or did not answer. A node that nobody speaks of any more is forgotten."""
        until = self._clock.monotonic() + 2.5 * interval_s
        for labels, reading in nodes:
            name = labels.account, labels.region, labels.group, labels.node
            self._latest[name] = _Latest(labels, reading, until)

    def keep(self, nodes: Set[tuple[str, str, str, str]]) -> None:
        """Forget all others: who deletes a group wants no word that its nodes are down. account, region, group, node."""
        self._latest = {name: latest for name, latest in self._latest.items() if name in nodes}

    def tell_proofs(self, proofs: Mapping[tuple[str, str, str], Proof], patience_s: float) -> None:
        """Of all groups of which a snapshot was ever proven, or failed its proof, by account, region and group; told for
        patience_s."""
        self._proofs = self._clock.monotonic() + patience_s, proofs

    def text(self) -> bytes:
        return generate_latest(self._registry)

    def collect(self) -> Iterable[Metric]:
        now = self._clock.monotonic()
        self._latest = {name: latest for name, latest in self._latest.items() if latest.until > now}
        latest = list(self._latest.values())
        up = GaugeMetricFamily(UP, "1 for a node that answered when it was measured last.", labels=LABELS)
        for one in latest:
            up.add_metric(one.labels.values(), float(one.reading is not None))
        yield up
        made: dict[str, Metric] = {}
        for one in latest:
            if one.reading is not None:
                for family in OF_MEMCACHED if one.labels.engine is Engine.MEMCACHED else OF_RESP:
                    _add(made, family, one.labels, one.reading)
        yield from made.values()
        yield from _commands(one for one in latest if one.reading is not None)
        until, proofs = self._proofs
        yield from _of_proofs(proofs if until > now else {})


def _of_proofs(proofs: Mapping[tuple[str, str, str], Proof]) -> Iterable[Metric]:
    at = GaugeMetricFamily(
        PROVEN_AT, "When a snapshot of the group was restored as a proof for the last time.", labels=LABELS[:3]
    )
    well = GaugeMetricFamily(PROVEN, "1 when that went well, 0 when it failed.", labels=LABELS[:3])
    for group, proof in proofs.items():
        at.add_metric(group, proof.at)
        well.add_metric(group, float(proof.succeeded))
    return at, well


def _add(made: dict[str, Metric], family: Family, labels: NodeLabels, reading: Reading) -> None:
    number = family.number(reading)
    if number is None:
        return
    if family.name not in made:
        kind = CounterMetricFamily if family.counter else GaugeMetricFamily
        made[family.name] = kind(family.name, family.help, labels=LABELS)
    made[family.name].add_metric(labels.values(), number)  # type: ignore[attr-defined]


def _commands(latest: Iterable[_Latest]) -> Iterable[Metric]:
    names = (*LABELS, "family")
    calls = CounterMetricFamily(COMMANDS, "Commands by family, as CloudWatch has them.", labels=names)
    seconds = CounterMetricFamily(COMMAND_SECONDS, "Time that the engine ran them.", labels=names)
    for one in latest:
        for family, number, spent_s in commands(one.reading) if one.reading is not None else ():
            calls.add_metric((*one.labels.values(), family), number)
            seconds.add_metric((*one.labels.values(), family), spent_s)
    return calls, seconds
