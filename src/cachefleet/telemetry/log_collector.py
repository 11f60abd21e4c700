"""Delivers the logs of nodes to where their groups want them. Only where the control loop runs.

Entries are stored together with the cursor behind them, so that each is delivered once, whenever we end. How logs are read:
log_reading; what leaves this machine goes on from the store (log_dispatch). Decides nothing about caches.
"""

from __future__ import annotations

import asyncio
import math

import structlog
from msgspec.structs import replace

from cachefleet.engine_interfaces import EngineRefused
from cachefleet.interfaces import Conflict, Deposed, StoreError
from cachefleet.log_interfaces import CursorMoved, LogGroupGone
from cachefleet.logs.delivery_states import after_attempt, ended
from cachefleet.model.group import incarnation
from cachefleet.model.log import Cursor
from cachefleet.model.log_delivery import DeliveryState, DestinationType, LogDelivery, LogType
from cachefleet.model.resource import GROUP_KINDS, Key
from cachefleet.model.row import GroupRow
from cachefleet.telemetry.log_dispatch import LogDispatch
from cachefleet.telemetry.log_reading import Launch, LogReading, LogSources

ROWS_S = 2.0  # how old the list of groups may be
TIDY_S = 10.0
KEPT_LAUNCHES = 10  # of one group, of which the logs are kept although they cannot be delivered
_AT_ONCE = 16  # groups

log = structlog.get_logger()


class LogCollector:
    """run() for each term of leadership, until cancelled."""

    def __init__(self, sources: LogSources) -> None:
        self._sources = sources
        self._reading = LogReading(sources)
        self._dispatch = LogDispatch(sources)
        self._rows: dict[Key, GroupRow] = {}
        self._gone: dict[Key, GroupRow] = {}  # groups that were deleted since: their last lines may still be here
        self._rows_at = -math.inf
        self._known: set[str] = set()  # launches of which there is something on disk
        self._kept: dict[str, list[str]] = {}  # by uid: those whose folders are gone
        self._read: set[str] = set()  # launches of which the engine log has been read to its end

    async def run(self) -> None:
        self._rows_at = -math.inf
        self._reading.forget()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._dispatch.run())
            tasks.create_task(self._tidy_again())
            while True:
                await self._sources.clock.sleep(self._sources.settings.interval_s)
                await self.look()

    async def look(self) -> None:
        """Deliver what there is."""
        try:
            self._sources.permit()
            await self._refresh()
            gate = asyncio.Semaphore(_AT_ONCE)
            rows = [row for row in (*self._rows.values(), *self._gone.values()) if row.desired.logs]
            failures = await asyncio.gather(*(self._guarded(row, gate) for row in rows), return_exceptions=True)
            for failure in failures:
                if failure is not None:
                    raise failure
            await self._discard()
        except Deposed:
            return
        except (StoreError, OSError) as error:
            log.warning("logs were not delivered", why=str(error))
        except Exception:
            log.exception("logs cannot be delivered")

    async def _refresh(self) -> None:
        """Launches first, then rows: whatever was launched is of a group that has a row, or that is gone. Raises StoreError,
        OSError."""
        sources = self._sources
        folders, kept = await sources.files.known()
        self._known = {*folders, *kept}
        self._kept = {}
        for launch in kept:
            self._kept.setdefault(launch.partition(".")[0], []).append(launch)
        if not kept and sources.clock.monotonic() - self._rows_at < ROWS_S:
            return
        rows: list[GroupRow] = await sources.store.every(GROUP_KINDS)
        found = {row.key: row for row in rows}
        uids = {row.desired.uid for row in found.values()}  # a group may go on under another name
        self._gone |= {key: row for key, row in self._rows.items() if row.desired.uid not in uids}
        self._rows = found
        self._rows_at = sources.clock.monotonic()

    async def _guarded(self, row: GroupRow, gate: asyncio.Semaphore) -> None:
        async with gate:
            try:
                await self._collect(row)
            except (Deposed, StoreError, OSError):
                raise
            except Exception:
                log.exception("the logs of a group cannot be delivered", group=str(row.key))

    async def _collect(self, row: GroupRow) -> None:
        """Raises Deposed, StoreError, OSError."""
        logs, uid = self._sources.logs, row.desired.uid
        cursors = await logs.cursors(uid)
        attempts: dict[LogDelivery, str] = {}
        for delivery in row.desired.logs:
            attempts[delivery] = await self._attempt(row, delivery, cursors)
        await logs.forget_cursors([cursor for cursor in cursors.values() if cursor.launch not in self._known])
        if row.key in self._gone:
            await logs.forget_cursors(list((await logs.cursors(uid)).values()))
        elif row.memory.provisioned:
            await self._settle(row, attempts)

    async def _attempt(self, row: GroupRow, delivery: LogDelivery, cursors: dict[tuple[str, str], Cursor]) -> str:
        """Why it failed, "" when it did not. A node that does not answer is no failure: it is asked again."""
        sources, destination = self._sources, delivery.destination
        if delivery.destination_type is DestinationType.STREAM:
            why = sources.sender.refuses(destination)
            if not why and not self._dispatch.is_full(destination):
                await self._deliver(row, delivery, cursors)
            return why or self._dispatch.failure(destination)
        gone = f"The log group {destination} does not exist."
        if await sources.logs.group(row.key.scope, destination) is None:
            return gone
        try:
            await self._deliver(row, delivery, cursors)
        except LogGroupGone:
            return gone
        return ""

    async def _deliver(self, row: GroupRow, delivery: LogDelivery, cursors: dict[tuple[str, str], Cursor]) -> None:
        """Raises LogGroupGone, Deposed, StoreError, OSError."""
        for launch in self._launches(row):
            cursor = cursors.get((launch.incarnation, delivery.log_type), Cursor(launch.incarnation, delivery.log_type, ""))
            try:
                if delivery.log_type is LogType.ENGINE:
                    await self._reading.engine_log(row, delivery, launch, cursor)
                    self._read.add(launch.incarnation)
                elif launch.runs:
                    await self._reading.slow_log(row, delivery, launch, cursor)
            except (EngineRefused, TimeoutError, CursorMoved, Conflict) as error:
                log.debug("a log was not read", launch=launch.incarnation, log_type=delivery.log_type, why=str(error))

    def _launches(self, row: GroupRow) -> list[Launch]:
        """Of all its nodes, also of those that are to go and of those whose folders are gone."""
        node_ids = {node.name: node.node_id for node in row.desired.nodes}
        found = []
        for launch in self._kept.get(row.desired.uid, ()):
            name = launch.partition(".")[2].rpartition(".")[0]
            node_id = node_ids.get(name, "0001")
            found.append(Launch(incarnation=launch, node=name, node_id=node_id, runs=False, began_at=0.0))
        for name, known in row.memory.nodes.items():
            if known.launches and row.key not in self._gone:
                made = Launch(
                    incarnation=incarnation(row.desired.uid, name, known.launches),
                    node=name,
                    node_id=node_ids.get(name, "0001"),
                    runs=not known.ended_at,
                    began_at=known.launched_at,
                )
                found.append(made)
        return found

    async def _settle(self, row: GroupRow, attempts: dict[LogDelivery, str]) -> None:
        """Write down what became of it, unless nothing has changed. Raises Deposed, StoreError."""
        sources = self._sources
        if after_attempt(row.desired.logs, attempts) == row.desired.logs:
            return
        sources.permit()
        now: GroupRow | None = await sources.store.get(row.key)
        if now is None or now.desired.uid != row.desired.uid:
            return
        after = after_attempt(now.desired.logs, attempts)
        over = ended(now.desired.logs, after)
        if LogType.SLOW in over:
            await self._reading.keep_few(now, [launch for launch in self._launches(now) if launch.runs])
        try:
            async with sources.store.transaction() as transaction:
                stored = await transaction.update(replace(now, desired=replace(now.desired, logs=after)))
        except Conflict:  # the control loop was faster: again by the next look
            self._rows_at = -math.inf
            return
        self._rows[row.key] = stored
        cursors = await sources.logs.cursors(row.desired.uid)
        await sources.logs.forget_cursors([cursor for cursor in cursors.values() if cursor.log_type in over])
        for delivery in after:
            if delivery.state is DeliveryState.ERROR:
                why = delivery.message
                log.warning("logs cannot be delivered", group=str(row.key), log_type=delivery.log_type, why=why)

    async def _discard(self) -> None:
        """Logs of launches that are gone, once they are delivered or nobody wants them. Raises OSError, Deposed."""
        delivering = {
            row.desired.uid
            for row in self._rows.values()
            if any(delivery.log_type is LogType.ENGINE for delivery in row.desired.logs)
        }
        for uid, launches in self._kept.items():
            unread = sorted(set(launches).difference(self._read), key=_age) if uid in delivering else []
            for launch in sorted(set(launches).difference(unread[-KEPT_LAUNCHES:])):
                await self._sources.files.discard(launch)
        self._read.clear()
        self._gone.clear()

    async def _tidy_again(self) -> None:
        sources = self._sources
        while True:
            await sources.clock.sleep(TIDY_S)
            try:
                for launch in sources.files.running():
                    await sources.files.rotate(launch, sources.settings.engine_file_bytes)
                while await sources.logs.trim(int(sources.clock.now() * 1000), sources.settings.stored_bytes):
                    await sources.clock.sleep(0)
            except Deposed:
                continue
            except (StoreError, OSError) as error:
                log.warning("logs were not trimmed", why=str(error))
            except Exception:
                log.exception("logs cannot be trimmed")


def _age(launch: str) -> tuple[int, str]:
    """Of the launches of a node, the first have the smallest."""
    number = launch.rpartition(".")[2]
    return len(number), number
