"""Logs are delivered once, from where they were; what cannot be delivered says so, and goes on by itself."""

from __future__ import annotations

import asyncio
from pathlib import Path

from msgspec.structs import replace

from cachefleet.model.log import LogGroup
from cachefleet.model.log_delivery import DeliveryState, LogType
from cachefleet.model.parameter_group import ParameterGroupDesired
from cachefleet.model.resource import Kind
from cachefleet.model.row import ParameterGroupRow, Row
from cachefleet.telemetry.log_collector import KEPT_LAUNCHES
from tests.component.logs.world import LAUNCH, NOW, SCOPE, SLOW_STREAM, World, in_world, to


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


def test_an_engine_keeps_as_many_entries_as_its_own_parameter_group_says(tmp_path: Path) -> None:
    def parameters(length: str) -> ParameterGroupDesired:
        return ParameterGroupDesired(family="valkey9", description="", values={"slowlog-max-len": length})

    async def body(world: World) -> None:
        collector = await world.begin()
        own: ParameterGroupRow = Row(key=SCOPE.key(Kind.PARAMETER_GROUP, "mine"), desired=parameters("20000"))
        async with world.store.transaction() as transaction:
            own = await transaction.insert(own)
        await world.change(parameter_group="mine")
        await collector.look()
        assert world.node.keeps == 20_000
        async with world.store.transaction() as transaction:
            await transaction.update(replace(own, desired=parameters("7")))
        (slow,) = (await world.stored()).desired.logs
        await world.change(logs=(replace(slow, state=DeliveryState.DISABLING),))
        await world.later(collector)
        assert world.node.keeps == 7

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
            for _ in range(6000):
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
