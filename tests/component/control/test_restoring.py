"""Restores through the control loop: what is launched and fed, what our death leaves, how it ends."""

from __future__ import annotations

import asyncio

import msgspec

from cachefleet.engine_interfaces import NodeSpec
from cachefleet.model.observed import Address, FeedView
from cachefleet.model.snapshot_file import Restore, SnapshotFile
from cachefleet.snapshot_interfaces import Seed
from tests.component.control.stage import KEY, Stage, on_stage

RESTORE = Restore((SnapshotFile(shard_id="0001", object="s/daily-0001.rdb.zst", keys=7),), "daily")


async def fed(stage: Stage, launch: str) -> None:
    """Pass after pass until that launch is being fed."""
    for _ in range(20):
        if launch in stage.transfers.seeds:
            return
        stage.clock.pass_time(await stage.controller.step(KEY) or 0.0)
    raise AssertionError(f"{launch} is not fed: {(await stage.row()).status}")


async def load(stage: Stage, launch: str, keys: int = 7) -> None:
    """The feed of that launch comes to its end, and the engine answers."""
    stage.transfers.views[launch] = FeedView(done=True, keys=7)
    stage.driver.load(Address((await stage.row()).memory.nodes["demo-001"].address, 6379), keys)


@on_stage
async def test_a_primary_is_fed_and_its_replica_copies_it(stage: Stage) -> None:
    await stage.create(restore=RESTORE)
    await fed(stage, "feed.demo-001.1")
    assert stage.running() == ["feed.demo-001.1"]
    spec = msgspec.json.decode(stage.machine.files["feed.demo-001.1"]["spec.json"], type=NodeSpec)
    assert spec.seeded
    assert stage.transfers.seeds == {"feed.demo-001.1": Seed(RESTORE.files)}
    for _ in range(50):  # for as long as it takes
        stage.clock.pass_time(20.0)
        await stage.controller.step(KEY)
    assert (await stage.row()).status.state == "creating"
    assert stage.running() == ["feed.demo-001.1"]
    await load(stage, "feed.demo-001.1")
    await stage.settle()
    row = await stage.row()
    assert (row.status.state, row.desired.restore) == ("available", None)
    await stage.controller.step(KEY)
    assert stage.transfers.feeds("feed") == {}
    assert stage.running() == ["feed.demo-001.1", "feed.demo-002.1"]
    assert [stage.driver.at(Address(node.address, 6379)).keys for node in row.memory.nodes.values()] == [7, 7]  # type: ignore[union-attr]


@on_stage
async def test_our_death_in_the_middle_of_a_feed_costs_one_launch_and_is_nobody_s_failure(stage: Stage) -> None:
    await stage.create(restore=RESTORE)
    for launch in range(1, 6):
        await fed(stage, f"feed.demo-001.{launch}")
        stage.machine.end(f"feed.demo-001.{launch}", "exit code 1", "Unexpected EOF reading RDB file")
        await stage.restart().adopt()
    await fed(stage, "feed.demo-001.6")
    assert (await stage.row()).memory.nodes["demo-001"].failures == 0
    await load(stage, "feed.demo-001.6")
    await stage.settle()
    assert (await stage.row()).status.state == "available"
    told = [event.message for event in await stage.store.events(KEY.scope, start=0, end=2e9)]
    assert not any("failed" in message for message in told)


@on_stage
async def test_our_death_between_saving_and_feeding_never_feeds_an_engine_twice(stage: Stage) -> None:
    """Nobody knows whether it has read anything. The next service, which looks on for a moment, ends it and begins anew."""
    await stage.create(restore=RESTORE)
    stage.transfers.feed = lambda *_: None  # type: ignore[method-assign]
    for _ in range(10):
        stage.clock.pass_time(await stage.controller.step(KEY) or 0.0)
    assert (await stage.row()).memory.nodes["demo-001"].feed_at
    await stage.restart().adopt()
    loop = asyncio.create_task(stage.controller.run())
    try:
        for _ in range(200):
            await stage.clock.advance(0.1)
            if "feed.demo-001.2" in stage.transfers.seeds:
                break
    finally:
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)
    assert list(stage.transfers.seeds) == ["feed.demo-001.2"]


@on_stage
async def test_a_failure_for_good_leaves_the_reason_and_nothing_else(stage: Stage) -> None:
    await stage.create(restore=RESTORE)
    await fed(stage, "feed.demo-001.1")
    stage.transfers.views["feed.demo-001.1"] = FeedView(failure="the key default is disabled", lasting=True)
    await stage.settle()
    row = await stage.row()
    assert (row.status.state, row.status.why) == ("create-failed", "the key default is disabled")
    assert row.memory.unrestorable
    assert stage.machine.views == {}
    assert stage.transfers.feeds("feed") == {}, "feeds of launches that are no more are ended"


@on_stage
async def test_missing_keys_are_noticed(stage: Stage) -> None:
    await stage.create(restore=RESTORE)
    await fed(stage, "feed.demo-001.1")
    await load(stage, "feed.demo-001.1", keys=6)
    await stage.settle()
    assert (await stage.row()).status.why == "the snapshot daily has 7 keys, and 6 were restored"


@on_stage
async def test_a_service_that_starts_when_everything_is_loaded_goes_on_from_there(stage: Stage) -> None:
    await stage.create(restore=RESTORE)
    await fed(stage, "feed.demo-001.1")
    await load(stage, "feed.demo-001.1")
    await stage.restart().adopt()
    await stage.settle()
    assert stage.running() == ["feed.demo-001.1", "feed.demo-002.1"]
    assert stage.transfers.seeds == {}
