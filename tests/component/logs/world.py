"""A node with logs, a collector, and where both are delivered: with virtual time, real files and a real database of logs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

from msgspec.structs import replace

from cachefleet.engine_interfaces import EngineRefused, ReplicationDriver
from cachefleet.hosts.folders import Folders
from cachefleet.hosts.log_files import LocalLogFiles
from cachefleet.interfaces import Deposed
from cachefleet.model.group import GroupMemory, NodeMemory
from cachefleet.model.log import EventQuery, LogGroup, SlowEntry
from cachefleet.model.log_delivery import DestinationType, LogDelivery, LogFormat, LogType
from cachefleet.model.observed import Address
from cachefleet.model.resource import Kind, Scope
from cachefleet.model.row import GroupRow, Row
from cachefleet.settings import LogSettings
from cachefleet.store import LogFile
from cachefleet.telemetry.log_collector import LogCollector
from cachefleet.telemetry.log_reading import LogSources
from cachefleet.telemetry.log_sending import SettingsLogSender
from tests.fakes.clock import ManualClock
from tests.fakes.store import MemoryStore
from tests.unit.planning.groups import replicated

SCOPE = Scope("000000000000", "local-1")
KEY = SCOPE.key(Kind.REPLICATION_GROUP, "demo")
NOW = 1_795_424_135.0
LAUNCH = "u1.demo-001.1"
SLOW_STREAM = "elasticache/valkey/demo-001/0001/slow-log"
ENGINE_STREAM = "elasticache/valkey/demo-001/0001/engine-log"


def to(destination: str, log_type: LogType = LogType.SLOW, **more: Any) -> LogDelivery:
    """A destination with a slash is a log group."""
    kind = DestinationType.LOG_GROUP if "/" in destination else DestinationType.STREAM
    made = LogDelivery(
        log_type=log_type, destination_type=kind, destination=destination, log_format=LogFormat.TEXT, since=NOW - 100
    )
    return replace(made, **more)


class Node:
    """An engine with a slow log and a log file."""

    def __init__(self, folders: Folders) -> None:
        self.folders = folders
        self.entries: list[SlowEntry] = []
        self.keeps = 16_384
        self.silent = False
        folders.create(LAUNCH, {})

    def slow(self, many: int, at_s: int = int(NOW)) -> None:
        for _ in range(many):
            number = self.entries[-1].number + 1 if self.entries else 0
            self.entries.append(SlowEntry(number, at_s, 5, ("GET", "secret"), "127.0.0.1:1", "c"))
        self.entries = self.entries[-self.keeps :]

    def log(self, message: str, at_s: int = 35) -> None:
        with (self.folders.path(LAUNCH) / "engine.log").open("a") as opened:
            opened.write(f"1:M 23 Nov 2026 08:55:{at_s}.416 * {message}\n")

    async def slow_entries(self, at: Address, after: int) -> list[SlowEntry]:
        if self.silent:
            raise EngineRefused("no answer")
        return [entry for entry in self.entries if entry.number > after]

    async def keep_slow_entries(self, at: Address, many: int) -> None:
        self.keeps = many


class World:
    def __init__(self, folder: Path, *deliveries: LogDelivery, launched_at: float = NOW - 50, **settings: Any) -> None:
        self.folder = folder
        self.clock, self.store = ManualClock(NOW), MemoryStore()
        self.folders = Folders(folder / "nodes")
        self.folders.make_root()
        self.node = Node(self.folders)
        self.running = [LAUNCH]
        self.logs = LogFile(folder / "logs.db")
        self.settings = LogSettings(**settings)
        self.deposed = False
        nodes = {"demo-001": NodeMemory("a", "h1", launches=1, launched_at=launched_at)}
        memory = GroupMemory(nodes=nodes, provisioned=True)
        self.row: GroupRow = Row(key=KEY, desired=replace(replicated(1), logs=deliveries), memory=memory)

    def permit(self) -> None:
        if self.deposed:
            raise Deposed("another one leads")

    def sources(self) -> LogSources:
        return LogSources(
            store=self.store,
            logs=self.logs,
            files=LocalLogFiles(self.folders, lambda: self.running, self.permit),
            resp=cast(ReplicationDriver, self.node),
            sender=SettingsLogSender(self.settings),
            clock=self.clock,
            settings=self.settings,
            permit=self.permit,
        )

    def collector(self) -> LogCollector:
        """One that has just begun, as after a restart."""
        return LogCollector(self.sources())

    async def begin(self) -> LogCollector:
        await self.logs.create_group(SCOPE, LogGroup("/caches", 1))
        async with self.store.transaction() as transaction:
            await transaction.insert(self.row, ["demo-001"])
        return self.collector()

    async def stored(self) -> GroupRow:
        row: GroupRow | None = await self.store.get(KEY)
        assert row is not None
        return row

    async def states(self) -> dict[str, str]:
        """With why."""
        found = (await self.stored()).desired.logs
        return {each.log_type.value: f"{each.state.value} {each.message}".strip() for each in found}

    async def change(self, **desired: Any) -> None:
        row = await self.stored()
        async with self.store.transaction() as transaction:
            await transaction.update(replace(row, desired=replace(row.desired, **desired)))

    async def later(self, collector: LogCollector) -> None:
        """Another look, at rows as they are then."""
        self.clock.pass_time(3)
        await collector.look()

    async def delivered(self, stream: str) -> list[str]:
        query = EventQuery(streams=(stream,), limit=100_000, most_bytes=1 << 30)
        found = await self.logs.events(SCOPE, "/caches", query)
        return [event.message for event in found]

    async def slow_ids(self) -> list[int]:
        return [int(message.split(",")[2]) for message in await self.delivered(SLOW_STREAM) if message.count(",") > 5]

    async def engine_messages(self) -> list[str]:
        return [message.rpartition(" * ")[2] for message in await self.delivered(ENGINE_STREAM)]

    async def events(self) -> list[str]:
        return [event.message for event in await self.store.events(SCOPE, start=0, end=1e12)]


def in_world(world: World, body: Callable[[World], Awaitable[None]]) -> None:
    async def run() -> None:
        try:
            await body(world)
        finally:
            await world.logs.close()

    asyncio.run(run())
