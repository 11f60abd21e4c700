"""Saving for a stop of everything through the control loop: from the tag that asks for it to data that are back."""

from __future__ import annotations

from msgspec.structs import replace

from cachefleet.model.observed import Address, FeedView
from cachefleet.model.resource import Kind
from cachefleet.model.row import GroupRow, SnapshotRow
from cachefleet.model.saving import ASKED, DONE, FAILED
from cachefleet.snapshot_interfaces import TransferFailed
from tests.component.control.stage import KEY, Stage, on_stage


async def ask(stage: Stage, request: str = "r1", **tags: str) -> None:
    await tag(stage, **{ASKED: request}, **tags)


async def tag(stage: Stage, **tags: str) -> None:
    row = await stage.row()
    async with stage.store.transaction() as transaction:
        await transaction.update(replace(row, tags={**row.tags, **tags}))


async def untag(stage: Stage) -> None:
    row = await stage.row()
    async with stage.store.transaction() as transaction:
        await transaction.update(replace(row, tags={key: text for key, text in row.tags.items() if key != ASKED}))


async def keep(stage: Stage, rounds: int = 12) -> GroupRow:
    """Keeper and controller take turns."""
    backups = stage.controller._backups
    for _ in range(rounds):
        await backups.look_around()
        for key in [KEY, *await stage.store.keys((Kind.SNAPSHOT,))]:
            await backups.step(key)
        await stage.controller.step(KEY)
        stage.clock.pass_time(0.5)
    return await stage.row()


async def snapshots(stage: Stage) -> list[SnapshotRow]:
    found = [await stage.store.get(key) for key in await stage.store.keys((Kind.SNAPSHOT,))]
    return [row for row in found if row is not None]


async def whole(stage: Stage) -> None:
    await stage.create(nodes=1)
    await stage.settle()
    address = Address((await stage.row()).memory.nodes["demo-001"].address, 6379)
    stage.transfers.keys[address] = 7
    await stage.controller._backups.look_around()  # the first of this term


@on_stage
async def test_what_was_saved_is_there_after_a_stop_and_then_nothing_is_left(stage: Stage) -> None:
    await whole(stage)
    await ask(stage)
    row = await keep(stage)
    (made,) = await snapshots(stage)
    assert row.tags == {ASKED: "r1", DONE: "r1"}
    assert made.key.name.startswith("down.demo-")
    assert row.desired.saved is not None
    assert (row.desired.saved.snapshot, row.desired.saved.keys, row.status.state) == (made.key.name, 7, "modifying")
    objects = dict(stage.transfers.objects)

    stage.machine.end("feed.demo-001.1", "", "")
    await stage.restart().adopt()
    stage.transfers.objects = objects
    row = await keep(stage)
    assert "feed.demo-001.2" in stage.transfers.seeds
    assert (row.status.state, row.memory.refilling) == ("modifying", True)
    assert await snapshots(stage), "it is being read"
    stage.transfers.views["feed.demo-001.2"] = FeedView(done=True, keys=7)
    stage.driver.load(Address(row.memory.nodes["demo-001"].address, 6379), 7)
    row = await keep(stage)
    assert (row.status.state, row.desired.restore, row.desired.saved, row.memory.refilling) == ("available", None, None, False)
    assert row.tags == {}
    assert await snapshots(stage) == []
    assert stage.transfers.objects == {}


@on_stage
async def test_a_failure_is_told_in_a_tag_and_nothing_is_kept(stage: Stage) -> None:
    await whole(stage)
    stage.transfers.failing = [TransferFailed("the archive is full", lasting=True)]
    await ask(stage)
    row = await keep(stage)
    assert row.tags == {ASKED: "r1", FAILED: "r1 the archive is full"}
    assert (row.desired.saved, row.status.state) == (None, "available")
    assert await snapshots(stage) == []
    await ask(stage, "r2")
    row = await keep(stage)
    assert row.tags == {ASKED: "r2", DONE: "r2"}


@on_stage
async def test_a_request_that_is_taken_back_frees_the_group(stage: Stage) -> None:
    await whole(stage)
    await ask(stage)
    await keep(stage)
    await untag(stage)
    row = await keep(stage)
    assert (row.tags, row.desired.saved, row.status.state) == ({}, None, "available")
    assert await snapshots(stage) == []


@on_stage
async def test_another_request_is_another_save(stage: Stage) -> None:
    await whole(stage)
    await ask(stage)
    (first,) = (await keep(stage), await snapshots(stage))[1]
    await ask(stage, "r2")
    row = await keep(stage, 20)
    (second,) = await snapshots(stage)
    assert first.key != second.key
    assert row.tags == {ASKED: "r2", DONE: "r2"}


@on_stage
async def test_a_request_that_an_earlier_service_left_open_is_dropped(stage: Stage) -> None:
    await whole(stage)
    await ask(stage)
    await stage.restart().adopt()
    row = await keep(stage)
    assert (row.tags, row.desired.saved, row.status.state) == ({}, None, "available")
    assert await snapshots(stage) == []


@on_stage
async def test_data_that_are_given_up_let_the_group_begin_empty(stage: Stage) -> None:
    await whole(stage)
    await ask(stage)
    await keep(stage)
    stage.machine.end("feed.demo-001.1", "", "")
    await stage.restart().adopt()
    row = await keep(stage)
    assert row.memory.refilling
    stage.transfers.views["feed.demo-001.2"] = FeedView(failure="the key is lost", lasting=True)
    stage.machine.end("feed.demo-001.2", "exit code 1", "")
    row = await keep(stage)
    assert (row.memory.refilling, row.status.state) == (True, "modifying")
    told = [event.message for event in await stage.store.events(KEY.scope, start=0, end=2e9)]
    assert "Cache node 0001 failed to start: could not be restored: the key is lost" in told
    await untag(stage)
    row = await keep(stage, 60)
    assert (row.status.state, row.desired.restore, row.memory.refilling, row.tags) == ("available", None, False, {})
    assert await snapshots(stage) == []
