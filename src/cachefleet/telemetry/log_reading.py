"""Reads the slow log and the engine log of a launch from where the cursor stands, and stores both. Called by LogCollector."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from cachefleet.clock import Clock
from cachefleet.engine_interfaces import EngineRefused, ReplicationDriver
from cachefleet.interfaces import Permit, Store, always
from cachefleet.log_interfaces import LogFiles, LogSender, LogStore
from cachefleet.logs.engine_lines import Before, engine_event, read_lines, time_text
from cachefleet.logs.slow_entries import slow_event
from cachefleet.model.log import Cursor, Delivery, NewEvent, Parcel
from cachefleet.model.log_delivery import (
    KEPT_SLOW_ENTRIES,
    SLOW_LENGTH,
    DestinationType,
    LogDelivery,
    LogFormat,
    LogType,
    stream_name,
)
from cachefleet.model.plan import EventDraft
from cachefleet.model.resource import Kind
from cachefleet.model.row import GroupRow, ParameterGroupRow
from cachefleet.planning.node_addresses import node_address
from cachefleet.reference import parameters
from cachefleet.reference.engines import family_of
from cachefleet.settings import LogSettings

TIMEOUT_S = 10.0
AT_ONCE = 1000  # entries in one transaction
CHUNK_BYTES = 131_072


class LogSources(msgspec.Struct, frozen=True, kw_only=True):
    store: Store
    logs: LogStore
    files: LogFiles
    resp: ReplicationDriver
    sender: LogSender
    clock: Clock
    settings: LogSettings
    permit: Permit = always  # see telemetry.collector.Sources


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """runs: it has not been seen to have ended. began_at: epoch seconds, 0 not known."""

    incarnation: str
    node: str
    node_id: str
    runs: bool
    began_at: float


class LogReading:
    def __init__(self, sources: LogSources) -> None:
        self._sources = sources
        self._keeping: set[str] = set()  # launches that were told to keep many entries
        self._before: dict[str, Before] = {}  # by launch: of the last line that was read

    def forget(self) -> None:
        """What may not hold any more."""
        self._keeping.clear()
        self._before.clear()

    # --- slow log ---

    async def slow_log(self, row: GroupRow, delivery: LogDelivery, launch: Launch, cursor: Cursor) -> None:
        """Raises EngineRefused, TimeoutError, CursorMoved, LogGroupGone, StoreError, Deposed."""
        at = node_address(row, launch.node)
        after = int(cursor.place) if cursor.place else -1
        length = await _own_length(self._sources.store, row)
        async with asyncio.timeout(TIMEOUT_S):
            if launch.incarnation not in self._keeping:
                await self._sources.resp.keep_slow_entries(at, max(KEPT_SLOW_ENTRIES, length))
                self._keeping.add(launch.incarnation)
            entries = await self._sources.resp.slow_entries(at, after)
        if not entries:
            return
        complete = bool(cursor.place) or launch.began_at >= delivery.since
        if not complete and entries[0].at_s < int(delivery.since):
            older = [entry for entry in entries if entry.at_s < int(delivery.since)]
            cursor = await self._store(row, delivery, launch, cursor, str(older[-1].number), ())
            entries = entries[len(older) :]
        lost = entries[0].number - after - 1 if complete and entries else 0
        if lost:
            why = f"{lost} entries of the slow log were lost before the one with id {entries[0].number}"
            cursor = await self._gap(row, delivery, launch, cursor, why, str(entries[0].number - 1))
        for first in range(0, len(entries), AT_ONCE):
            several = entries[first : first + AT_ONCE]
            events = [slow_event(entry, launch.node, launch.node_id, delivery.log_format) for entry in several]
            cursor = await self._store(row, delivery, launch, cursor, str(several[-1].number), events)

    async def keep_few(self, row: GroupRow, launches: Sequence[Launch]) -> None:
        """Again as many entries as the parameters say. A node that does not answer has them until it is launched anew."""
        length = await _own_length(self._sources.store, row)
        for launch in launches:
            self._keeping.discard(launch.incarnation)
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    await self._sources.resp.keep_slow_entries(node_address(row, launch.node), length)
            except (EngineRefused, TimeoutError):
                continue

    # --- engine log ---

    async def engine_log(self, row: GroupRow, delivery: LogDelivery, launch: Launch, cursor: Cursor) -> None:
        """All that is there. Raises CursorMoved, LogGroupGone, StoreError, OSError, Deposed."""
        since_ms = 0 if launch.began_at >= delivery.since else int(delivery.since * 1000)
        more = True
        while more:
            offset, _, mark = cursor.place.partition(":")
            chunk = await self._sources.files.read(launch.incarnation, mark, int(offset or 0), CHUNK_BYTES)
            if chunk.missed:
                why = "lines of the engine log were lost: the engine wrote more than is kept before it could be delivered"
                cursor = await self._gap(row, delivery, launch, cursor, why, "")
            if not chunk.data:
                break
            now_ms = int(self._sources.clock.now() * 1000)
            before = self._before.get(launch.incarnation, Before(now_ms))
            lines = read_lines(chunk.data.decode(errors="replace"), before)
            if lines:
                last = lines[-1]
                self._before[launch.incarnation] = Before(last.at_ms, last.role, last.level)
            events = [
                engine_event(line, launch.node, launch.node_id, delivery.log_format) for line in lines if line.at_ms >= since_ms
            ]
            cursor = await self._store(row, delivery, launch, cursor, f"{chunk.offset}:{chunk.mark}", events)
            more = chunk.more
            if launch.runs and chunk.offset > self._sources.settings.engine_file_bytes:
                await self._sources.files.rotate(launch.incarnation, self._sources.settings.engine_file_bytes)
        if not launch.runs:
            self._before.pop(launch.incarnation, None)

    # --- both ---

    async def _store(
        self, row: GroupRow, delivery: LogDelivery, launch: Launch, cursor: Cursor, place: str, events: Sequence[NewEvent]
    ) -> Cursor:
        """The cursor behind them. Raises CursorMoved, LogGroupGone, StoreError, Deposed."""
        made = Delivery(before=cursor, place=place)
        if delivery.destination_type is DestinationType.LOG_GROUP:
            name = stream_name(row.desired.engine, launch.node, launch.node_id, delivery.log_type)
            made = Delivery(before=cursor, place=place, log_group=delivery.destination, stream=name, events=tuple(events))
        elif events:
            labels = {
                "region": row.key.region,
                "group": row.key.name,
                "cluster": launch.node,
                "node": launch.node_id,
                "log_type": delivery.log_type.value,
            }
            parcels = [Parcel(delivery.destination, event.at_ms, event.message, labels) for event in events]
            made = Delivery(before=cursor, place=place, parcels=tuple(parcels))
        self._sources.permit()
        await self._sources.logs.deliver(row.key.scope, made, int(self._sources.clock.now() * 1000))
        return Cursor(cursor.launch, cursor.log_type, place)

    async def _gap(self, row: GroupRow, delivery: LogDelivery, launch: Launch, cursor: Cursor, why: str, place: str) -> Cursor:
        """Says aloud what is missing: in the log itself, and as an event. place: "" where it stays."""
        now = self._sources.clock.now()
        notice = _notice(launch, delivery, why, int(now * 1000))
        cursor = await self._store(row, delivery, launch, cursor, place or cursor.place, [notice])
        draft = EventDraft("cache-cluster", launch.node, f"Cache node {launch.node_id}: {why}")
        async with self._sources.store.transaction() as transaction:
            await transaction.add_events(row.key.scope, now, [draft])
        return cursor


def _notice(launch: Launch, delivery: LogDelivery, why: str, now_ms: int) -> NewEvent:
    if delivery.log_format is LogFormat.JSON:
        fields = {"CacheClusterId": launch.node, "CacheNodeId": launch.node_id, "Time": time_text(now_ms), "Message": why}
        return NewEvent(now_ms, msgspec.json.encode(fields).decode())
    separator = "," if delivery.log_type is LogType.SLOW else "/"
    return NewEvent(now_ms, f"{launch.node}{separator}{launch.node_id}: {time_text(now_ms)} {why}")


async def _own_length(store: Store, row: GroupRow) -> int:
    """SLOW_LENGTH by the group's parameters. Raises StoreError."""
    name = family_of(row.desired.engine, row.desired.engine_version)
    if name is None:
        return KEPT_SLOW_ENTRIES
    default = parameters.value(parameters.family(name).parameters[SLOW_LENGTH], cluster_on=False)
    own: ParameterGroupRow | None = await store.get(row.key.scope.key(Kind.PARAMETER_GROUP, row.desired.parameter_group))
    return int(default if own is None else own.desired.values.get(SLOW_LENGTH, default))
