"""Proofs of snapshots beside the control loop: what users see of them, how they end, what our death leaves."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from cachefleet.control.leadership import LEASE
from cachefleet.control.snapshot_proof import BUSY_S, IDLE_S, PATIENCE_S, Proofs
from cachefleet.interfaces import Deposed
from cachefleet.model.observed import Address, FeedView
from cachefleet.model.proof import ACCOUNT, ASKED, FAILED, PROVEN, is_proof
from cachefleet.model.resource import GROUP_KINDS, Key, Kind, Scope
from cachefleet.model.row import GroupRow, Row, SnapshotRow
from cachefleet.model.snapshot import SnapshotDesired, SnapshotSource, SnapshotState
from cachefleet.model.snapshot_file import SnapshotFile
from cachefleet.settings import ArchiveSettings, Settings
from tests.component.control.stage import KEY, Stage, on_stage, seams

SCOPE = KEY.scope
HIDDEN = Scope(ACCOUNT, "local-1")
KEYS = 7
PASSES = 60


class Keeper:
    """A control plane's keeper of proofs, and the controller's passes over what it makes. restart() is our death."""

    def __init__(self, stage: Stage, every_h: float = 0.0) -> None:
        self.stage = stage
        self.settings = Settings(archive=ArchiveSettings(verify_every_h=every_h))
        self.most = 0  # proofs at one time
        self.proofs = self._begin()

    def _begin(self) -> Proofs:
        stage = self.stage
        made = seams(stage.store, stage.leadership, stage.host, stage.driver, stage.clock, transfers=stage.transfers)
        return Proofs(replace(made, settings=self.settings), stage.controller.wake)

    async def restart(self) -> None:
        await self.stage.restart().adopt()
        self.proofs = self._begin()

    async def step(self) -> float:
        again_s = await self.proofs.step()
        self.most = max(self.most, len(await self.rows()))
        return again_s

    async def rows(self) -> list[GroupRow]:
        found = [await self.stage.store.get(key) for key in await self.stage.store.keys(GROUP_KINDS) if is_proof(key)]
        return [row for row in found if row is not None]

    async def turn(self) -> None:
        """The keeper looks, the controller does, engines load what they are fed."""
        stage = self.stage
        await self.step()
        for row in await self.rows():
            stage.clock.pass_time(await stage.controller.step(row.key) or 0.0)

    async def fed(self) -> str:
        """The launch that is being fed."""
        for _ in range(PASSES):
            if self.stage.transfers.seeds:
                (launch,) = self.stage.transfers.seeds
                return launch
            await self.turn()
        raise AssertionError(f"nothing is fed: {await self.rows()}")

    async def load(self, keys: int = KEYS) -> None:
        launch = await self.fed()
        (row,) = await self.rows()
        (node,) = row.memory.nodes.values()
        self.stage.transfers.views[launch] = FeedView(done=True, keys=KEYS)
        self.stage.driver.load(Address(node.address, 6379), keys)

    async def end(self) -> None:
        """Nothing is left of any proof."""
        for _ in range(PASSES):
            await self.turn()
            if not await self.rows():
                assert all(name.startswith("feed.") for name in self.stage.machine.views)
                assert not self.stage.transfers.seeds
                return
        raise AssertionError(f"does not end: {await self.rows()}")


async def keep(stage: Stage, name: str = "daily", tags: dict[str, str] | None = None, **changes: Any) -> SnapshotRow:
    """A snapshot of the group `demo` that is available."""
    file = SnapshotFile(shard_id="0001", object=f"{name}-0001.rdb.zst", keys=KEYS, rdb_sha256="ab" * 32, used_bytes=1000)
    desired = SnapshotDesired(
        uid=f"uid-of-{name}", source=SnapshotSource.MANUAL, state=SnapshotState.AVAILABLE, created_at=stage.clock.now(),
        group=(await stage.row()).desired, group_name=KEY.name, replication_group=True, files=(file,),
    )  # fmt: skip
    row: SnapshotRow = Row(key=SCOPE.key(Kind.SNAPSHOT, name), desired=replace(desired, **changes), tags=tags or {})
    async with stage.store.transaction() as transaction:
        stored: SnapshotRow = await transaction.insert(row)
    return stored


async def snapshot(stage: Stage, name: str = "daily") -> SnapshotRow:
    row = await stage.store.get(SCOPE.key(Kind.SNAPSHOT, name))
    assert row is not None
    return row


async def change(stage: Stage, name: str = "daily", tags: dict[str, str] | None = None, **desired: Any) -> None:
    row = await snapshot(stage, name)
    async with stage.store.transaction() as transaction:
        changed = replace(row, desired=replace(row.desired, **desired), tags=row.tags if tags is None else tags)
        await transaction.update(changed)


async def told(stage: Stage, scope: Scope = SCOPE) -> list[str]:
    return [event.message for event in await stage.store.events(scope, start=0, end=2e9)]


@on_stage
async def test_a_snapshot_is_restored_and_users_see_only_how_that_ended(stage: Stage) -> None:
    await stage.create()
    await stage.settle()
    engines, before = stage.running(), await told(stage)
    await keep(stage, tags={ASKED: "now", "team": "x"})
    keeper = Keeper(stage)
    assert await keeper.step() == BUSY_S
    await keeper.fed()
    (proof,) = await keeper.rows()
    assert proof.key == HIDDEN.key(Kind.CACHE_CLUSTER, "uid-of-daily")
    assert len(stage.running()) == len(engines) + 1
    assert sorted(await stage.store.keys(GROUP_KINDS)) == sorted([KEY, proof.key])
    for kind in GROUP_KINDS:
        assert [row.key for row in await stage.store.rows(kind, SCOPE)] == ([KEY] if kind is KEY.kind else [])
    assert {member for member, _ in await stage.store.members(SCOPE)} == {"demo-001", "demo-002"}

    await keeper.load()
    await keeper.end()

    row = await snapshot(stage)
    assert row.tags.keys() == {PROVEN, "team"}
    assert row.tags[PROVEN].endswith(f"Z keys={KEYS} sha256={'ab' * 32}")
    assert row.desired.verified_at and not row.desired.verified_why
    assert stage.running() == engines
    assert await told(stage) == [f"Snapshot daily was verified: it was restored, with {KEYS} keys", *before]
    assert any("created" in message for message in await told(stage, HIDDEN))
    group = await stage.row()
    assert (group.memory.proof_at, group.memory.proof_why) == (row.desired.verified_at, "")
    await stage.settle()
    assert (await stage.row()).memory.proof_at == row.desired.verified_at, "the controller keeps what it does not know of"
    assert await keeper.step() == IDLE_S


@on_stage
async def test_one_that_cannot_be_restored_says_why(stage: Stage) -> None:
    await stage.create()
    await keep(stage, tags={ASKED: "now", PROVEN: "2001-01-01T00:00:00Z keys=7"})
    keeper = Keeper(stage)
    why = "the object's data (0001) are damaged: cut off"
    stage.transfers.views[await keeper.fed()] = FeedView(failure=why, lasting=True)
    await keeper.end()
    row = await snapshot(stage)
    assert row.tags.keys() == {FAILED}
    assert row.tags[FAILED].endswith("Z the objects data - 0001 are damaged: cut off")
    assert row.desired.verified_why == (await stage.row()).memory.proof_why == why
    assert f"Snapshot daily could not be restored when it was verified: {why}" in await told(stage)


@on_stage
async def test_keys_that_are_missing_are_no_proof(stage: Stage) -> None:
    await stage.create()
    await keep(stage, tags={ASKED: "now"})
    keeper = Keeper(stage)
    await keeper.load(KEYS - 1)
    await keeper.end()
    assert (await snapshot(stage)).desired.verified_why == "the snapshot daily has 7 keys, and 6 were restored"


@pytest.mark.parametrize("turns", range(1, 12))
def test_our_death_at_any_step_leaves_one_proof_that_comes_to_its_end(turns: int) -> None:
    @on_stage
    async def live(stage: Stage) -> None:
        await stage.create()
        await keep(stage, tags={ASKED: "now"})
        keeper = Keeper(stage)
        for turn in range(turns):
            await keeper.turn()
            if turn % 2:
                await keeper.restart()
        await keeper.restart()
        if ASKED in (await snapshot(stage)).tags:
            for _ in range(PASSES):  # a launch that nobody feeds any more is ended, and the next one is fed
                if stage.transfers.seeds:
                    break
                for name in [one for one in stage.running() if one.partition(".")[0] != "feed"]:
                    stage.machine.end(name, "exit code 1", "Unexpected EOF reading RDB file")
                await keeper.turn()
            await keeper.load()
        await keeper.end()
        assert PROVEN in (await snapshot(stage)).tags
        assert keeper.most == 1

    live()


@on_stage
async def test_a_proof_ends_with_its_snapshot(stage: Stage) -> None:
    await stage.create()
    await keep(stage, tags={ASKED: "now"})
    keeper = Keeper(stage)
    await keeper.fed()
    await change(stage, state=SnapshotState.DELETING)
    await keeper.end()
    assert (await snapshot(stage)).tags == {ASKED: "now"}
    assert await told(stage) == []
    await change(stage, state=SnapshotState.AVAILABLE)
    await keeper.fed()
    async with stage.store.transaction() as transaction:
        await transaction.delete(await snapshot(stage))
    await keeper.end()


@on_stage
async def test_who_asks_anew_in_the_middle_gets_a_proof_that_began_afterwards(stage: Stage) -> None:
    await stage.create()
    await keep(stage, tags={ASKED: "first"})
    keeper = Keeper(stage)
    await keeper.load()
    await change(stage, tags={ASKED: "second"})
    for _ in range(PASSES):
        await keeper.turn()
        if PROVEN in (await snapshot(stage)).tags and not stage.transfers.seeds:
            break
    assert (await snapshot(stage)).tags.keys() == {ASKED, PROVEN}
    await keeper.load()
    await keeper.end()
    assert (await snapshot(stage)).tags.keys() == {PROVEN}
    assert keeper.most == 1


@on_stage
async def test_one_at_a_time(stage: Stage) -> None:
    await stage.create()
    for name in ("a", "b"):
        await keep(stage, name, tags={ASKED: "now"})
    keeper = Keeper(stage)
    for name in ("a", "b"):
        assert (await keeper.fed()).partition(".")[2].startswith(f"uid-of-{name}")
        await keeper.load()
        for _ in range(PASSES):
            await keeper.turn()
            if not stage.transfers.seeds:
                break
    await keeper.end()
    assert {PROVEN} == (await snapshot(stage, "a")).tags.keys() == (await snapshot(stage, "b")).tags.keys()
    assert keeper.most == 1


@on_stage
async def test_a_proof_waits_for_room_and_then_says_that_there_is_none(stage: Stage) -> None:
    await stage.create()
    await keep(stage, tags={ASKED: "now"})
    keeper = Keeper(stage)
    stage.machine.full = "no memory to spare"
    assert await keeper.step() == IDLE_S
    stage.clock.pass_time(PATIENCE_S)
    assert await keeper.step() == IDLE_S
    assert (await snapshot(stage)).tags == {ASKED: "now"}
    stage.clock.pass_time(1)
    await keeper.step()
    assert await keeper.rows() == []
    row = await snapshot(stage)
    assert row.desired.verified_why == "it could not be tried: no memory to spare"
    assert row.tags.keys() == {FAILED}


@on_stage
async def test_a_proof_that_does_not_get_on_is_given_up(stage: Stage) -> None:
    await stage.create()
    await keep(stage, tags={ASKED: "now"})
    keeper = Keeper(stage)
    await keeper.fed()
    stage.clock.pass_time(3700)
    await keeper.end()
    assert "it was not restored within 60 minutes" in (await snapshot(stage)).desired.verified_why


@on_stage
async def test_the_newest_of_each_group_is_proven_so_often(stage: Stage) -> None:
    await stage.create()
    await stage.settle()
    await keep(stage, "old")
    stage.clock.pass_time(60)
    await keep(stage, "new")
    keeper = Keeper(stage, every_h=24)
    await keeper.load()
    await keeper.end()
    assert PROVEN in (await snapshot(stage, "new")).tags
    assert (await snapshot(stage, "old")).tags == {}
    stage.clock.pass_time(23 * 3600)
    assert await keeper.step() == IDLE_S
    stage.clock.pass_time(3600)
    assert await keeper.step() == BUSY_S
    await keeper.load()
    await keeper.end()


@on_stage
async def test_who_leads_no_more_writes_nothing(stage: Stage) -> None:
    await stage.create()
    await keep(stage, tags={ASKED: "now"})
    keeper = Keeper(stage)
    await stage.store.hold_lease(LEASE, "somebody else", 3.0, dead="the only one")
    with pytest.raises(Deposed):
        await keeper.step()
    assert await keeper.rows() == []


@on_stage
async def test_wishes_of_users_are_noticed_by_the_loop(stage: Stage) -> None:
    """run() and wake(), as the leader has them."""
    await stage.create()
    await keep(stage)
    loop = asyncio.create_task(stage.controller.run())
    try:
        await stage.clock.advance(1)
        assert not await Keeper(stage).rows()
        await change(stage, tags={ASKED: "now"})
        stage.controller.wake(SCOPE.key(Kind.SNAPSHOT, "daily"))
        await stage.clock.advance(0.2)
        assert len(await Keeper(stage).rows()) == 1
    finally:
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)


@on_stage
async def test_a_proof_that_the_controller_has_not_heard_of_is_told_to_it(stage: Stage) -> None:
    """The word of its beginning, or of its end, may have been lost with an error."""
    await stage.create()
    await keep(stage, tags={ASKED: "now"})
    woken: list[Key] = []
    keeper = Keeper(stage)
    keeper.proofs = Proofs(
        seams(stage.store, stage.leadership, stage.host, stage.driver, stage.clock, transfers=stage.transfers), woken.append
    )
    await keeper.step()
    (proof,) = await keeper.rows()
    assert woken == [proof.key]
    await keeper.step()
    assert woken == [proof.key] * 2
    await stage.controller.step(proof.key)
    await keeper.step()
    assert woken == [proof.key] * 2
    await change(stage, state=SnapshotState.DELETING)
    await keeper.step()
    await keeper.step()
    assert woken == [proof.key] * 4
