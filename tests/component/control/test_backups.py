"""The keeper of snapshots over fakes: attempts that fail, groups that go, automatic ones, what our own death leaves."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from cachefleet.control.backups import Backups
from cachefleet.control.snapshot_attempt import folder_of
from cachefleet.model.group import GroupDesired
from cachefleet.model.resource import Kind
from cachefleet.model.row import Row, SnapshotRow
from cachefleet.model.snapshot import SnapshotDesired, SnapshotSource, SnapshotState
from cachefleet.snapshot_interfaces import TransferFailed
from tests.component.control.stage import KEY, Stage, on_stage, seams

NAME = "before-the-move"
SNAPSHOT = KEY.scope.key(Kind.SNAPSHOT, NAME)
PASSES = 40
DAY_S = 86_400.0


class Keeper:
    """One control plane's; restart() is its death."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.restart()

    def restart(self) -> None:
        stage = self.stage
        made = seams(stage.store, stage.leadership, stage.host, stage.driver, stage.clock, transfers=stage.transfers)
        self.backups = Backups(made, stage.controller.wake)

    async def ask(self, state: SnapshotState = SnapshotState.CREATING, **more: Any) -> None:
        """As the API does: the snapshot's row, and word of it in the group's."""
        group = await self.stage.row()
        desired = SnapshotDesired(
            uid="abcd", source=SnapshotSource.MANUAL, state=state, created_at=self.stage.clock.now(),
            group=group.desired, group_name=KEY.name, replication_group=True, **more,
        )  # fmt: skip
        row: SnapshotRow = Row(key=SNAPSHOT, desired=desired)
        async with self.stage.store.transaction() as transaction:
            await transaction.insert(row)
        if state is SnapshotState.CREATING:
            await self.stage.change(snapshotting=NAME)

    async def find(self) -> SnapshotDesired | None:
        row: SnapshotRow | None = await self.stage.store.get(SNAPSHOT)
        return row.desired if row is not None else None

    async def settle(self) -> SnapshotDesired | None:
        for _ in range(PASSES):
            again_s = await self.backups.step(SNAPSHOT)
            await self.stage.controller.step(KEY)
            if again_s is None:
                return await self.find()
            self.stage.clock.pass_time(again_s)
        raise AssertionError(f"not settled: {await self.find()}")

    async def group(self) -> GroupDesired:
        return (await self.stage.row()).desired


async def opened(stage: Stage) -> Keeper:
    await stage.create(2)
    await stage.settle()
    return Keeper(stage)


@on_stage
async def test_it_is_made_of_the_replica_and_the_group_is_free_again(stage: Stage) -> None:
    keeper = await opened(stage)
    await keeper.ask()
    made = await keeper.settle()
    assert made is not None
    assert made.state is SnapshotState.AVAILABLE
    assert [file.node for file in made.files] == ["demo-002"]
    assert set(stage.transfers.objects) == {file.object for file in made.files}
    (manifest,) = stage.transfers.documents
    assert manifest.startswith(made.files[0].object.rpartition("/")[0])
    assert (await keeper.group()).snapshotting == ""
    assert (await stage.row()).status.state == "available"


@on_stage
async def test_who_waited_for_it_may_go_on_at_once(stage: Stage) -> None:
    keeper = await opened(stage)
    await keeper.ask()
    await stage.controller.step(KEY)
    assert (await stage.row()).status.state == "snapshotting"
    assert await keeper.backups.step(SNAPSHOT) is None
    assert (await stage.row()).status.state == "available", "also before the controller's next pass"


@on_stage
async def test_another_node_is_tried_and_the_lost_attempt_leaves_nothing(stage: Stage) -> None:
    keeper = await opened(stage)
    await keeper.ask()
    stage.transfers.failing = [TransferFailed("it has ended")]
    made = await keeper.settle()
    assert made is not None
    assert made.state is SnapshotState.AVAILABLE
    assert made.attempts == 2
    assert [file.node for file in made.files] == ["demo-001"], "the one that failed comes last"
    assert {path.split("/")[3] for path in (*stage.transfers.objects, *stage.transfers.documents)} == {"2"}


@on_stage
async def test_after_so_many_attempts_it_has_failed_and_says_why(stage: Stage) -> None:
    keeper = await opened(stage)
    await keeper.ask()
    stage.transfers.failing = [TransferFailed("the archive is full") for _ in range(5)]
    made = await keeper.settle()
    assert made is not None
    assert (made.state, made.why) == (SnapshotState.FAILED, "the archive is full")
    assert stage.transfers.objects == {}
    assert (await keeper.group()).snapshotting == ""
    assert any("Snapshot failed" in event.message for event in await stage.store.events(KEY.scope, start=0, end=1e12))


@on_stage
async def test_what_would_not_change_is_not_tried_again(stage: Stage) -> None:
    keeper = await opened(stage)
    await keeper.ask(key_name="lost")
    made = await keeper.settle()
    assert made is not None
    assert (made.state, made.attempts) == (SnapshotState.FAILED, 1)


@on_stage
async def test_our_death_in_mid_attempt_begins_another(stage: Stage) -> None:
    keeper = await opened(stage)
    await keeper.ask()
    stage.transfers.failing = [TransferFailed("cut")]
    assert await keeper.backups.step(SNAPSHOT) is not None
    keeper.restart()
    made = await keeper.settle()
    assert made is not None
    assert (made.state, made.attempts) == (SnapshotState.AVAILABLE, 2)


@on_stage
async def test_a_group_that_is_deleted_meanwhile_fails_it(stage: Stage) -> None:
    keeper = await opened(stage)
    await keeper.ask()
    await stage.change(deleting=True)
    made = await keeper.settle()
    assert made is not None
    assert made.state is SnapshotState.FAILED
    assert stage.transfers.objects == {}


@on_stage
async def test_a_final_one_takes_its_group_along_and_a_failed_one_does_not(stage: Stage) -> None:
    keeper = await opened(stage)
    await keeper.ask(final=True, key_name="lost")
    made = await keeper.settle()
    assert made is not None
    assert made.state is SnapshotState.FAILED
    assert not (await keeper.group()).deleting
    async with stage.store.transaction() as transaction:
        row = await stage.store.get(SNAPSHOT)
        assert row is not None
        await transaction.delete(row)
    await keeper.ask(final=True)
    await keeper.settle()
    assert (await keeper.group()).deleting


@on_stage
async def test_deleting_removes_every_attempt_and_then_the_row(stage: Stage) -> None:
    keeper = await opened(stage)
    await keeper.ask()
    await keeper.settle()
    row = await stage.store.get(SNAPSHOT)
    assert row is not None
    async with stage.store.transaction() as transaction:
        await transaction.update(replace(row, desired=replace(row.desired, state=SnapshotState.DELETING)))
    stage.transfers.objects[f"{folder_of(row)}7/leftover"] = 1
    stage.transfers.failing = [TransferFailed("out of reach")]
    assert await keeper.backups.step(SNAPSHOT) is not None, "the row is kept for as long as objects are"
    assert await keeper.find() is not None
    assert await keeper.settle() is None
    assert stage.transfers.objects == {}


@on_stage
async def test_automatic_ones_come_once_a_day_and_go_after_their_days(stage: Stage) -> None:
    keeper = await opened(stage)
    await stage.change(snapshot_window="05:00-06:00", snapshot_retention_days=2)

    async def names(after_s: float) -> list[str]:
        stage.clock.pass_time(after_s)
        for _ in range(3):
            await keeper.backups.look_around()
            for key in await stage.store.keys((Kind.SNAPSHOT,)):
                await keeper.backups.step(key)
            await stage.controller.step(KEY)
        return [key.name for key in await stage.store.keys((Kind.SNAPSHOT,))]

    until_s = (5 * 3600 + 600 - stage.clock.now()) % DAY_S
    assert await names(until_s - 1200) == [], "the window is not open"
    first = await names(1200)
    assert len(first) == 1
    assert first[0].startswith("automatic.demo-002-")
    assert await names(1800) == first, "once in each window"
    second = await names(DAY_S - 1800)
    assert len(second) == 2
    third = await names(DAY_S + 60)
    assert len(third) == 2
    assert first[0] not in third
    async with stage.store.transaction() as transaction:
        await transaction.delete(await stage.row())
    assert await names(60) == [], "they go with their group"
