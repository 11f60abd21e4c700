"""Finds out what was asked about groups' keys, and writes it down. Only where the control loop runs.

At most one look at a group at a time; how long it takes was asked for. What was begun by a service that is gone is begun anew.
What it means is decided in cachefleet.insight.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TypeVar

import structlog
from msgspec.structs import replace

from cachefleet.clock import Clock, Entropy
from cachefleet.engine_interfaces import EngineRefused
from cachefleet.insight.findings import WITHOUT_MODULE, hot_keys, key_report, together, trace_report
from cachefleet.interfaces import Conflict, Deposed, Permit, Store, StoreError, always
from cachefleet.model.group import DesiredShard, Shape
from cachefleet.model.insight import InsightReport, InsightState, group_of
from cachefleet.model.resource import Key, Kind
from cachefleet.model.row import GroupRow, InsightRow
from cachefleet.planning.node_addresses import node_address
from cachefleet.telemetry.key_questions import Looker, Measure
from cachefleet.telemetry.key_survey import Surveyed, survey
from cachefleet.telemetry.key_trace import Traced, trace

LOOK_S = 1.0
KEEP_S = 86_400.0  # names of keys are users' data: they are not kept for long
MORE_S = 30.0  # beside the time that was asked for, twice
_SEED = 1 << 62

T = TypeVar("T")
log = structlog.get_logger()


class Insights:
    """run() for each term of leadership, until cancelled."""

    def __init__(
        self, store: Store, looker: Looker, measure: Measure, clock: Clock, entropy: Entropy, permit: Permit = always
    ) -> None:
        self._store = store
        self._looker = looker
        self._measure = measure
        self._clock = clock
        self._entropy = entropy
        self._permit = permit
        self._busy: set[Key] = set()

    async def run(self) -> None:
        self._busy.clear()
        async with asyncio.TaskGroup() as tasks:
            while True:
                try:
                    for row in await self._waiting():
                        self._busy.add(row.key)
                        tasks.create_task(self._work_off(row))
                except StoreError as error:
                    log.warning("nobody looked at keys: the store failed", why=str(error))
                await self._clock.sleep(LOOK_S)

    async def _waiting(self) -> list[InsightRow]:
        """Those to begin with. Forgets what is too old, or of a group that is gone. Raises StoreError."""
        found = []
        for key in await self._store.keys((Kind.INSIGHT,)):
            row: InsightRow | None = await self._store.get(key)
            if row is None or key in self._busy:
                continue
            wanted = row.desired
            if self._clock.now() - wanted.asked_at > KEEP_S or await self._store.get(group_of(key)) is None:
                await self._forget(row)
            elif wanted.state in (InsightState.ASKED, InsightState.RUNNING):
                found.append(row)
        return found

    async def _forget(self, row: InsightRow) -> None:
        try:
            async with self._store.transaction() as transaction:
                await transaction.delete(row)
        except Conflict:  # asked for again
            return

    async def _work_off(self, row: InsightRow) -> None:
        """Whatever goes wrong is written down."""
        try:
            begun = replace(row.desired, state=InsightState.RUNNING, begun_at=self._clock.now())
            row = await self._write(replace(row, desired=begun))
            group: GroupRow | None = await self._store.get(group_of(row.key))
            if group is None:
                return
            why, report = "", None
            try:
                async with asyncio.timeout(2 * begun.seconds + MORE_S):  # a lone node is looked at twice
                    report = await self._look(group, begun.seconds)
            except (EngineRefused, TimeoutError) as error:
                why = str(error) or "the nodes did not answer in time"
            except Exception as error:
                if isinstance(error, ExceptionGroup) and error.subgroup(Deposed):
                    return
                log.exception("a group's keys cannot be looked at", group=str(group.key))
                why = "an internal error happened; the service's log says more"
            state = InsightState.FAILED if why else InsightState.DONE
            ended = replace(begun, state=state, ended_at=self._clock.now(), why=why, report=report)
            await self._write(replace(row, desired=ended))
        except (Conflict, Deposed):  # somebody else has it now
            return
        except StoreError as error:
            log.warning("a look at a group's keys was lost: the store failed", group=row.key.name, why=str(error))
        finally:
            self._busy.discard(row.key)

    async def _write(self, row: InsightRow) -> InsightRow:
        """Raises Conflict, StoreError, Deposed."""
        self._permit()
        async with self._store.transaction() as transaction:
            return await transaction.update(row)

    async def _look(self, group: GroupRow, seconds: int) -> InsightReport:
        """Raises EngineRefused when nothing at all could be found out."""
        if group.desired.shape is Shape.MEMCACHED:
            raise EngineRefused("Memcached tells neither which keys are used nor what they take without stopping for it")
        failed: dict[str, str] = {}
        shards = [shard for shard in group.desired.shards if _primary(group, shard)]
        seed = self._entropy.below(_SEED)
        async with asyncio.TaskGroup() as tasks:
            looked = [tasks.create_task(self._look_at(group, shard, seconds, seed, failed)) for shard in shards]
        looks = _there([task.result()[0] for task in looked])
        seen = _there([task.result()[1] for task in looked])
        if not looks and not seen:
            raise EngineRefused("; ".join(failed.values()) or "no primary is known at present")
        keys, counted = key_report([(one.keys, one.found) for one in seen])
        hot = hot_keys([(one.hot, one.looked_keys, one.uses) for one in looks]) or counted
        return together(trace_report([one.shard for one in looks], len(group.desired.shards)), keys, hot, failed)

    async def _look_at(
        self, group: GroupRow, shard: DesiredShard, seconds: int, seed: int, failed: dict[str, str]
    ) -> tuple[Traced | None, Surveyed | None]:
        """Questions for keys count as hits: they are for a replica, or come when the primary's own hits have been counted."""
        primary = _primary(group, shard)
        async with asyncio.TaskGroup() as tasks:
            tracing = tasks.create_task(self._trace(group, primary, seconds, seed, failed))
            surveying = tasks.create_task(self._survey(group, _replicas(group, shard, primary), seconds, failed))
        return tracing.result(), surveying.result() or await self._survey(group, [primary], seconds, failed)

    async def _trace(self, group: GroupRow, node: str, seconds: int, seed: int, failed: dict[str, str]) -> Traced | None:
        try:
            found = await trace(node_address(group, node), seconds, self._looker, self._measure, self._clock, seed)
        except EngineRefused as error:
            failed[f"which keys are used on {node}"] = str(error)
            return None
        if found is None:
            failed[f"which keys are used on {node}"] = WITHOUT_MODULE
        return found

    async def _survey(self, group: GroupRow, nodes: Sequence[str], seconds: int, failed: dict[str, str]) -> Surveyed | None:
        """On the first that answers."""
        clustered = group.desired.shape is Shape.CLUSTERED
        for node in nodes:
            try:
                at = node_address(group, node)
                return await survey(at, seconds, self._looker, self._measure, self._clock, clustered=clustered)
            except EngineRefused as error:
                failed[f"which keys {node} has"] = str(error)
        return None


def _there(found: Sequence[T | None]) -> list[T]:
    return [one for one in found if one is not None]


def _primary(group: GroupRow, shard: DesiredShard) -> str:
    """ "" while there is none."""
    known = group.memory.shards.get(shard.shard_id)
    name = known.primary if known is not None else ""
    return name if name in group.memory.nodes else ""


def _replicas(group: GroupRow, shard: DesiredShard, primary: str) -> list[str]:
    nodes = group.memory.nodes
    return [
        node.name
        for node in shard.nodes
        if node.name != primary and node.name in nodes and nodes[node.name].ready and not nodes[node.name].ended_at
    ]
