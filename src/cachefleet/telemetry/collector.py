"""Asks every node for its numbers when their time has come, and records what follows. Only where the control loop runs.

Each interval ends at a multiple of its length: what is measured at 12:01:00 is recorded for 12:00:00, the interval's begin, as
CloudWatch does. Over the connections that probes use; decides nothing about caches.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping

import msgspec
import structlog

from cachefleet.clock import Clock
from cachefleet.engine_interfaces import EngineDriver, EngineRefused
from cachefleet.interfaces import Deposed, Permit, Store, StoreError, always
from cachefleet.metric_interfaces import Machine, Metrics
from cachefleet.metrics.formulas import Reading, Values, node_values
from cachefleet.metrics.groups import Member, group_values, lag_s
from cachefleet.metrics.instruments import Instruments
from cachefleet.metrics.values import single
from cachefleet.model.group import DesiredNode, DesiredShard, Shape, incarnation
from cachefleet.model.metric import BEYOND_AWS, NODES, MetricName, Series
from cachefleet.model.metric_interval import interval_s
from cachefleet.model.observed import Usage
from cachefleet.model.proof import is_proof
from cachefleet.model.resource import GROUP_KINDS, Key, Kind
from cachefleet.model.row import GroupRow
from cachefleet.planning.node_addresses import node_address
from cachefleet.reference.node_types import node_type
from cachefleet.settings import Settings
from cachefleet.telemetry.exposition import Exposition, NodeLabels, Proof

ROWS_S = 5.0  # how old the list of groups may be
TIMEOUT_S = 2.0
PROOFS_S = 60  # how often the last proofs of snapshots are recorded
_AT_ONCE = 32  # groups
_PROVEN, _PROOF_AGE = MetricName("SnapshotProofSucceeded", "Count"), MetricName("SnapshotProofAge", "Seconds")
_NOTHING_USED = Usage(0.0, 0.0, 0, 0, 0)

log = structlog.get_logger()


class Sources(msgspec.Struct, frozen=True, kw_only=True):
    store: Store
    machine: Machine
    resp: EngineDriver
    memcached: EngineDriver
    clock: Clock
    settings: Settings
    permit: Permit = always  # who has been deposed and does not know it yet would record what another one records, too
    instruments: Instruments = msgspec.field(default_factory=Instruments)


class Collector:
    """run() for each term of leadership, until cancelled."""

    def __init__(self, sources: Sources, metrics: Metrics, exposition: Exposition) -> None:
        self._sources = sources
        self._metrics = metrics
        self._exposition = exposition
        self._rows: dict[Key, GroupRow] = {}
        self._rows_at = -math.inf
        self._before: dict[str, Reading] = {}  # by incarnation
        self._measuring: set[Key] = set()
        self._gate = asyncio.Semaphore(_AT_ONCE)
        self._since = math.inf  # epoch seconds: since when everything has been measured

    async def run(self) -> None:
        """Readings of an earlier term are too old to be compared with."""
        self._before.clear()
        self._measuring.clear()
        clock = self._sources.clock
        self._since = clock.now()
        last = math.floor(clock.now())
        async with asyncio.TaskGroup() as tasks:
            while True:
                tick = math.floor(clock.now()) + 1
                await clock.sleep(max(0.0, tick - clock.now()))
                await self._refresh()
                last = min(last, tick - 1)  # the clock may have been set back
                if tick // PROOFS_S > last // PROOFS_S:
                    self._record_proofs(tick)
                for row in self._due(last, tick):
                    tasks.create_task(self._collect(row, tick))
                last = tick

    async def _refresh(self) -> None:
        if self._sources.clock.monotonic() - self._rows_at < ROWS_S:
            return
        try:
            await self._look()
        except StoreError as error:
            log.warning("only known groups are measured: the store failed", why=str(error))

    def _due(self, last: int, tick: int) -> list[GroupRow]:
        """Groups of which an interval has ended since `last`. One that is still being measured misses it: a gap of its own."""
        return [
            row
            for key, row in self._rows.items()
            if key not in self._measuring and tick // self._interval_s(row) > last // self._interval_s(row)
        ]

    async def _collect(self, row: GroupRow, tick: int) -> None:
        self._measuring.add(row.key)
        try:
            async with self._gate:
                await self._measure(row, tick)
        except Deposed:
            return
        except Exception:
            log.exception("a group cannot be measured", group=str(row.key))
        finally:
            self._measuring.discard(row.key)

    async def _look(self) -> None:
        rows: list[GroupRow] = await self._sources.store.every(GROUP_KINDS)
        self._rows = {row.key: row for row in rows if not is_proof(row.key)}  # those are nobody's caches
        self._rows_at = self._sources.clock.monotonic()
        wanted = {(key.account, key.region, key.name, node) for key, row in self._rows.items() for node in _wanted(row)}
        self._exposition.keep(wanted)
        proofs = {
            (key.account, key.region, key.name): Proof(row.memory.proof_at, not row.memory.proof_why)
            for key, row in self._rows.items()
            if row.memory.proof_at
        }
        self._exposition.tell_proofs(proofs, 4 * ROWS_S)
        launches = {launch for row in self._rows.values() for launch in _launches(row).values()}
        self._before = {launch: reading for launch, reading in self._before.items() if launch in launches}

    def _interval_s(self, row: GroupRow) -> int:
        return interval_s(row.tags, self._sources.settings.metrics.interval_s)

    async def _measure(self, row: GroupRow, tick: int) -> None:
        """Raises Deposed."""
        seconds = self._interval_s(row)
        begin = tick // seconds * seconds - seconds
        patience_s = min(TIMEOUT_S, 0.8 * seconds)  # a silent node must not cost the others of its group their next value
        launches = _launches(row)
        readings = await asyncio.gather(*(self._read(row, name, launch, patience_s) for name, launch in launches.items()))
        self._sources.permit()
        found = {name: reading for name, reading in zip(launches, readings, strict=True) if reading is not None}
        self._sources.instruments.measured.add("measured", by=len(found))
        self._sources.instruments.measured.add("missed", by=len(launches) - len(found))
        streams = {name: reading.told for name, reading in found.items()}
        members: list[Member] = []
        exposed: list[tuple[NodeLabels, Reading | None]] = []
        for shard in row.desired.shards:
            for node in shard.nodes:
                if node.name not in found:
                    if node.name in _wanted(row):
                        exposed.append((_labels(row, shard, node, None), None))
                    continue
                now = msgspec.structs.replace(found[node.name], lag_s=lag_s(node.name, streams, shard))
                values = self._values(row, node.name, launches[node.name], now)
                exposed.append((_labels(row, shard, node, now), now))
                members.append(Member(shard.shard_id, bool(now.told.get("primary")), values))
                cluster = node.name if row.key.kind is Kind.REPLICATION_GROUP else row.key.name
                self._record(row.key, begin, seconds, {"CacheClusterId": cluster, "CacheNodeId": node.node_id}, values)
        self._exposition.tell(exposed, seconds)
        if row.key.kind is Kind.REPLICATION_GROUP:
            for dimensions, values in group_values(row.key.name, members):
                self._record(row.key, begin, seconds, dimensions, values)

    def _record_proofs(self, tick: int) -> None:
        """Also of groups whose nodes do not answer."""
        try:
            self._sources.permit()
        except Deposed:
            return
        for key, row in self._rows.items():
            at, why = row.memory.proof_at, row.memory.proof_why
            if at:
                age_s = max(0.0, self._sources.clock.now() - at)
                values = {_PROVEN: single(0.0 if why else 1.0), _PROOF_AGE: single(age_s)}
                dimension = "ReplicationGroupId" if key.kind is Kind.REPLICATION_GROUP else "CacheClusterId"
                begin = tick // PROOFS_S * PROOFS_S - PROOFS_S
                self._metrics.record(Series(key.account, key.region, BEYOND_AWS, ((dimension, key.name),)), begin, values)

    def _record(self, key: Key, at: int, seconds: int, dimensions: Mapping[str, str], values: Values) -> None:
        series = Series(key.account, key.region, NODES, tuple(sorted(dimensions.items())))
        self._metrics.record(series, at, values, fine=seconds < 60)

    async def _read(self, row: GroupRow, name: str, launch: str, patience_s: float) -> Reading | None:
        """None for a node that does not answer: a gap."""
        sources = self._sources
        driver = sources.memcached if row.desired.shape is Shape.MEMCACHED else sources.resp
        try:
            async with asyncio.timeout(patience_s):
                told = await driver.measure(node_address(row, name))
        except (EngineRefused, TimeoutError):
            return None
        kind = node_type(row.desired.node_type, sources.settings.node_types)
        return Reading(
            at_s=sources.clock.monotonic(),
            told=told,
            usage=sources.machine.usage(launch),
            free_bytes=sources.machine.free_bytes(),
            vcpus=kind.vcpu if kind is not None else 1,
        )

    def _values(self, row: GroupRow, name: str, launch: str, now: Reading) -> Values:
        before = self._before.get(launch) or self._at_start(row.memory.nodes[name].launched_at, now)
        self._before[launch] = now
        return node_values(row.desired.engine, before, now)

    def _at_start(self, launched_at: float, now: Reading) -> Reading | None:
        """Of a launch that we saw begin: it had counted nothing then."""
        if launched_at < self._since:
            return None
        up_s = max(0.0, self._sources.clock.now() - launched_at)
        return Reading(at_s=now.at_s - up_s, told={}, usage=_NOTHING_USED)


def _labels(row: GroupRow, shard: DesiredShard, node: DesiredNode, now: Reading | None) -> NodeLabels:
    """The role is the one that it says it has, or else the one that it has by our books."""
    role = ""
    if row.desired.shape is not Shape.MEMCACHED:
        ours = row.memory.shards.get(shard.shard_id)
        primary = bool(now.told.get("primary")) if now is not None else ours is not None and ours.primary == node.name
        role = "primary" if primary else "replica"
    zone = row.memory.nodes[node.name].zone
    return NodeLabels(row.key.account, row.key.region, row.key.name, shard.shard_id, node.name, role, zone, row.desired.engine)


def _wanted(row: GroupRow) -> set[str]:
    """Its nodes that are down when they do not answer: also those whose process has ended, but none that is to end."""
    known = row.memory.nodes
    return {
        node.name for node in row.desired.nodes if node.name in known and known[node.name].launches and not row.desired.deleting
    }


def _launches(row: GroupRow) -> dict[str, str]:
    """Of its nodes that run; a Memcached cluster's discovery endpoint is no node."""
    known = row.memory.nodes
    return {
        node.name: incarnation(row.desired.uid, node.name, known[node.name].launches)
        for node in row.desired.nodes
        if node.name in known and known[node.name].launches and not known[node.name].ended_at
    }
