"""Logs are delivered once, from where they were; what cannot be delivered says so, and goes on by itself."""

from __future__ import annotations

import asyncio
import http.server
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from msgspec.structs import replace

from cachefleet.engine_interfaces import EngineRefused, ReplicationDriver
from cachefleet.hosts.folders import Folders
from cachefleet.hosts.log_files import LocalLogFiles
from cachefleet.interfaces import Deposed
from cachefleet.model.group import GroupMemory, NodeMemory
from cachefleet.model.log import LogGroup, SlowEntry
from cachefleet.model.log_delivery import DeliveryState, DestinationType, LogDelivery, LogFormat, LogType
from cachefleet.model.observed import Address
from cachefleet.model.resource import Kind, Scope
from cachefleet.model.row import GroupRow, Row
from cachefleet.settings import LogSettings
from cachefleet.store import LogFile
from cachefleet.telemetry.log_collector import KEPT_LAUNCHES, LogCollector
from cachefleet.telemetry.log_dispatch import LogDispatch
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
        limits: Any = {"limit": 100_000, "most_bytes": 1 << 30}
        found = await self.logs.events(SCOPE, "/caches", [stream], start_ms=0, end_ms=1 << 60, **limits)
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


def test_each_entry_once_whoever_collects(tmp_path: Path) -> None:
    async def body(world: World) -> None:
        collector = await world.begin()
        for round_number in range(4):
            world.node.slow(1500)
            world.node.log(f"line {round_number}")
            await collector.look()
            if round_number % 2:
                collector = world.collector()
        await asyncio.gather(collector.look(), world.collector().look())
        assert await world.slow_ids() == list(range(6000))
        assert await world.engine_messages() == [f"line {number}" for number in range(4)]
        assert await world.states() == {"slow-log": "active", "engine-log": "active"}
        assert "secret" not in "".join(await world.delivered(SLOW_STREAM))
        assert await world.events() == []

    in_world(World(tmp_path, to("/caches"), to("/caches", LogType.ENGINE)), body)


def test_nothing_older_than_the_wish_is_delivered(tmp_path: Path) -> None:
    async def body(world: World) -> None:
        collector = await world.begin()
        world.node.slow(3, at_s=int(NOW) - 200)
        world.node.log("old", at_s=10)
        await collector.look()
        world.node.slow(2)
        world.node.log("new", at_s=35)
        await collector.look()
        assert await world.slow_ids() == [3, 4]
        assert await world.engine_messages() == ["new"]

    since = NOW - 10
    deliveries = to("/caches", since=since), to("/caches", LogType.ENGINE, since=since)
    in_world(World(tmp_path, *deliveries, launched_at=NOW - 1000), body)


def test_entries_that_the_engine_dropped_are_told(tmp_path: Path) -> None:
    async def body(world: World) -> None:
        collector = await world.begin()
        world.node.keeps = 128  # of a launch from before the wish
        await collector.look()
        assert world.node.keeps == 16_384
        world.node.slow(1)
        await collector.look()
        world.node.slow(16_384 + 5)
        await collector.look()
        assert await world.slow_ids() == [0, *range(6, 16_384 + 6)]
        why = "5 entries of the slow log were lost before the one with id 6"
        assert next(message for message in await world.delivered(SLOW_STREAM) if "lost" in message).endswith(why)
        assert await world.events() == [f"Cache node 0001: {why}"]

    in_world(World(tmp_path, to("/caches")), body)


def test_a_log_group_that_is_gone_is_an_error_until_it_is_back(tmp_path: Path) -> None:
    async def body(world: World) -> None:
        collector = await world.begin()
        await world.logs.delete_group(SCOPE, "/caches")
        world.node.slow(3)
        await collector.look()
        assert await world.states() == {"slow-log": "error The log group /caches does not exist."}
        await world.logs.create_group(SCOPE, LogGroup("/caches", 1))
        await collector.look()
        assert await world.states() == {"slow-log": "active"}
        assert await world.slow_ids() == [0, 1, 2]

    in_world(World(tmp_path, to("/caches")), body)


def test_a_delivery_that_ends_takes_what_there_is_and_lets_the_engine_go(tmp_path: Path) -> None:
    async def body(world: World) -> None:
        collector = await world.begin()
        world.node.slow(2)
        await collector.look()
        world.node.slow(2)
        (slow, engine) = (await world.stored()).desired.logs
        await world.change(logs=(replace(slow, state=DeliveryState.DISABLING), engine))
        await world.later(collector)
        assert await world.states() == {"engine-log": "active"}
        assert await world.slow_ids() == [0, 1, 2, 3]
        assert world.node.keeps == 128
        world.node.slow(2)
        await world.later(collector)
        assert await world.slow_ids() == [0, 1, 2, 3]
        assert (LAUNCH, "slow-log") not in await world.logs.cursors("u1")

    in_world(World(tmp_path, to("/caches"), to("/caches", LogType.ENGINE)), body)


def test_the_last_lines_of_a_node_that_crashed_and_of_a_group_that_is_deleted(tmp_path: Path) -> None:
    async def body(world: World) -> None:
        collector = await world.begin()
        world.node.log("first")
        await collector.look()
        world.node.log("the crash")
        world.running.clear()
        world.folders.erase(LAUNCH)
        async with world.store.transaction() as transaction:
            await transaction.delete(await world.stored())
        await world.later(collector)
        assert await world.engine_messages() == ["first", "the crash"]
        assert await world.logs.cursors("u1") == {}
        assert world.folders.kept_logs() == []

    in_world(World(tmp_path, to("/caches", LogType.ENGINE)), body)


def test_logs_of_some_launches_wait_while_their_destination_takes_none(tmp_path: Path) -> None:
    async def body(world: World) -> None:
        collector = await world.begin()
        await world.logs.delete_group(SCOPE, "/caches")
        world.running.clear()
        world.folders.erase(LAUNCH)
        for number in range(KEPT_LAUNCHES + 3):
            launch = f"u1.demo-001.{number:03}"
            folder = world.folders.create(launch, {})
            (folder / "engine.log").write_text(f"1:M 23 Nov 2026 08:55:35.{number:03} * launch {number}\n")
            world.folders.erase(launch)
        await collector.look()
        assert (await world.states())["engine-log"].startswith("error")
        assert len(world.folders.kept_logs()) == KEPT_LAUNCHES
        await world.logs.create_group(SCOPE, LogGroup("/caches", 1))
        await collector.look()
        assert await world.engine_messages() == [f"launch {number}" for number in range(3, KEPT_LAUNCHES + 3)]
        assert world.folders.kept_logs() == []

    in_world(World(tmp_path, to("/caches", LogType.ENGINE)), body)


def test_logs_that_nobody_wants_are_discarded_and_rotated(tmp_path: Path) -> None:
    async def body(world: World) -> None:
        collector = await world.begin()
        run = asyncio.create_task(collector.run())
        for number in range(20):
            world.node.log(f"line {number}")
        try:
            await world.clock.advance(11)
            for _ in range(200):
                if (world.folders.path(LAUNCH) / "engine.log.1").exists():
                    break
                await asyncio.sleep(0.01)
            assert (world.folders.path(LAUNCH) / "engine.log.1").exists()
        finally:
            run.cancel()
            await asyncio.gather(run, return_exceptions=True)
        world.running.clear()
        world.folders.erase(LAUNCH)
        await collector.look()
        assert world.folders.kept_logs() == []

    in_world(World(tmp_path, engine_file_bytes=100), body)


def test_who_leads_no_more_delivers_nothing(tmp_path: Path) -> None:
    async def body(world: World) -> None:
        collector = await world.begin()
        world.node.slow(3)
        world.deposed = True
        await collector.look()
        assert await world.slow_ids() == [] and await world.states() == {"slow-log": "enabling"}

    in_world(World(tmp_path, to("/caches")), body)


def test_a_silent_node_keeps_nobody_from_anything(tmp_path: Path) -> None:
    async def body(world: World) -> None:
        collector = await world.begin()
        world.node.silent = True
        world.node.slow(3)
        world.node.log("line")
        await collector.look()
        assert await world.slow_ids() == [] and await world.engine_messages() == ["line"]
        world.node.silent = False
        await collector.look()
        assert await world.slow_ids() == [0, 1, 2]

    in_world(World(tmp_path, to("/caches"), to("/caches", LogType.ENGINE)), body)


# --- destinations outside ------------------------------------------------------------------------------------------


def test_a_folder_takes_lines_day_by_day_within_its_bound(tmp_path: Path) -> None:
    async def body(world: World) -> None:
        collector = await world.begin()
        dispatch = LogDispatch(world.sources())
        (tmp_path / "out").mkdir()
        other = tmp_path / "out" / "out-2-2026-01-01.0000.log"  # of the stream out-2
        other.write_text("x" * 1000)
        world.node.slow(2, at_s=int(NOW) - 90_000)
        world.node.slow(3)
        await collector.look()
        await dispatch.look()
        files = sorted({*(tmp_path / "out").iterdir()} - {other})
        assert [file.name for file in files] == ["out-2026-11-23.0000.log"]  # the older one was beyond the bound
        lines = files[0].read_text().splitlines()
        assert [line.split(",")[:3] for line in lines] == [["demo-001", "0001", str(number)] for number in (2, 3, 4)]
        assert files[0].stat().st_mode & 0o777 == 0o600
        assert await world.logs.waiting() == {}
        assert await world.states() == {"slow-log": "active"}

    streams = {"out": f"file://{tmp_path}/out"}
    in_world(World(tmp_path, to("out", since=0.0), streams=streams, folder_bytes=100), body)


def test_a_destination_that_takes_nothing_is_an_error_and_recovers(tmp_path: Path) -> None:
    async def body(world: World) -> None:
        collector = await world.begin()
        dispatch = collector._dispatch
        (tmp_path / "out").write_text("a file in the way")
        world.node.slow(3)
        await collector.look()
        await dispatch.look()
        await collector.look()
        assert await world.states() == {"slow-log": f"error folder {tmp_path}/out: File exists"}
        world.node.slow(3)
        await collector.look()  # as much as may wait is waiting: the rest stays in the engine
        await dispatch.look()
        assert await world.logs.waiting() == {"out": 3}
        (tmp_path / "out").unlink()
        world.clock.pass_time(60)
        await dispatch.look()
        await dispatch.look()
        await collector.look()
        await dispatch.look()
        assert await world.states() == {"slow-log": "active"}
        (file,) = (tmp_path / "out").iterdir()
        assert [int(line.split(",")[2]) for line in file.read_text().splitlines()] == list(range(6))

    in_world(World(tmp_path, to("out"), streams={"out": f"file://{tmp_path}/out"}, waiting_events=3), body)


def test_a_stream_that_the_settings_do_not_know_any_more(tmp_path: Path) -> None:
    async def body(world: World) -> None:
        collector = await world.begin()
        await collector.look()
        assert "the setting logs.streams says what streams are, and has none" in (await world.states())["slow-log"]

    in_world(World(tmp_path, to("out")), body)


class Collector(http.server.BaseHTTPRequestHandler):
    """Refuses the first request."""

    told: list[tuple[str, str, Any]]

    def do_POST(self) -> None:
        body = msgspec.json.decode(self.rfile.read(int(self.headers["Content-Length"])))
        self.told.append((self.path, self.headers.get("Authorization", ""), body))
        self.send_response(503 if len(self.told) == 1 else 204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.mark.parametrize(("scheme", "path"), [("otlp", "/v1/logs"), ("loki", "/loki/api/v1/push")])
def test_an_http_collector_is_told_until_it_has_understood(tmp_path: Path, scheme: str, path: str) -> None:
    handler: Any = type("Handler", (Collector,), {"told": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    where = f"127.0.0.1:{server.server_port}"

    async def body(world: World) -> None:
        collector = await world.begin()
        dispatch = collector._dispatch
        world.node.slow(2)
        await collector.look()
        await dispatch.look()
        await collector.look()
        assert await world.states() == {"slow-log": f"error {scheme}+http://{where} answered 503 Service Unavailable:"}
        await dispatch.look()
        assert len(handler.told) == 1  # not before its pause is over
        world.clock.pass_time(5)
        await dispatch.look()
        await collector.look()
        assert await world.states() == {"slow-log": "active"}
        (_, (asked, login, told)) = handler.told
        assert (asked, login) == (path, "Basic bWU6dGhlIHNlY3JldA==")
        assert str(told).count("GET ... (1 more arguments)") == 2

    try:
        url = f"{scheme}+http://me:the%20secret@{where}"
        in_world(World(tmp_path, to("out"), streams={"out": url}), body)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
