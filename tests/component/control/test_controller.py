"""The control loop over a fake machine: what it does when the store, the engines or itself fail in the middle."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from cachefleet.clock import SystemClock
from cachefleet.control.executor import DEADLINE_S
from cachefleet.interfaces import Conflict, HostRefused
from cachefleet.model.observed import Activity
from cachefleet.model.plan import EventDraft
from cachefleet.model.resource import Key
from cachefleet.model.row import GroupRow
from tests.component.control.stage import KEY, Stage, on_stage
from tests.fixtures.machine import seen


@on_stage
async def test_a_group_comes_up_and_goes_away(stage: Stage) -> None:
    await stage.create()
    await stage.settle()
    row = await stage.row()
    assert row.status.state == "available"
    assert stage.running() == ["feed.demo-001.1", "feed.demo-002.1"]
    await stage.change(deleting=True)
    await stage.settle()
    assert await stage.store.get(KEY) is None
    assert stage.machine.views == {}
    messages = [event.message for event in await stage.store.events(KEY.scope, start=0, end=2e9)]
    assert messages.count("Cache cluster deleted") == 2
    assert "Replication group demo created" in messages


@on_stage
async def test_a_row_that_changed_during_the_pass_is_left_alone(stage: Stage) -> None:
    await stage.create()
    stale = await stage.row()
    await stage.change(description="changed meanwhile")
    real_get = stage.store.get

    async def old(key: Key) -> GroupRow | None:
        return stale if key == KEY else None

    stage.store.get = old  # type: ignore[method-assign]
    with pytest.raises(Conflict):
        await stage.controller.step(KEY)
    stage.store.get = real_get  # type: ignore[method-assign]
    assert stage.machine.views == {}, "nothing may be done by a plan that could not be saved"
    await stage.settle()
    assert (await stage.row()).desired.description == "changed meanwhile"


@on_stage
async def test_a_failing_engine_is_tried_again_with_growing_pauses(stage: Stage) -> None:
    await stage.create()
    for _ in range(2):
        await stage.controller.step(KEY)
    stage.driver.refusing = "the network is gone"
    pauses = [await stage.controller.step(KEY) or 0.0 for _ in range(5)]
    assert pauses == sorted(pauses)
    assert pauses[-1] > pauses[0]
    stage.driver.refusing = ""
    await stage.settle()
    assert (await stage.row()).status.state == "available"


@on_stage
async def test_our_death_between_saving_and_acting_changes_nothing_for_good(stage: Stage) -> None:
    await stage.create()
    for _ in range(30):
        planned = len(stage.driver.calls)
        real_start, real_stop = stage.host.start, stage.host.stop
        stage.host.start = _nothing  # type: ignore[method-assign]
        stage.host.stop = _nothing  # type: ignore[method-assign]
        stage.driver.refusing = "we are dead"
        await stage.controller.step(KEY)
        stage.host.start, stage.host.stop = real_start, real_stop  # type: ignore[method-assign]
        stage.driver.refusing = ""
        await stage.restart().adopt()
        again_s = await stage.controller.step(KEY)
        stage.clock.pass_time(max(again_s or 0.0, 0.5))
        if len(stage.driver.calls) == planned and (await stage.row()).status.state == "available":
            break
    await stage.settle()
    assert (await stage.row()).status.state == "available"
    assert len(stage.running()) == 2


async def _nothing(*arguments: object, **options: object) -> None:
    return None


@on_stage
async def test_the_next_control_plane_adopts_what_runs(stage: Stage) -> None:
    await stage.create()
    await stage.settle()
    before = stage.running()
    await stage.restart().adopt()
    await stage.settle()
    assert stage.running() == before
    free = stage.host.offer("other", {"": 1, "a": 1})
    held = set((await stage.row()).memory.endpoints.values())
    assert not held & set(free[""]), "addresses of adopted groups are not given away"


@on_stage
async def test_an_exit_makes_the_group_due_at_once(stage: Stage) -> None:
    await stage.create()
    await stage.settle()
    stage.clock = SystemClock()
    await stage.restart().adopt()
    loop = asyncio.create_task(stage.controller.run())
    before = len(stage.driver.calls)
    stage.machine.end("feed.demo-001.1")
    await seen(lambda: any(call.startswith("promote") for call in stage.driver.calls[before:]))
    await seen(lambda: len(stage.running()) == 2)
    loop.cancel()
    await asyncio.gather(loop, return_exceptions=True)
    assert (await stage.row()).memory.shards["0001"].primary == "demo-002"


@on_stage
async def test_orphans_are_stopped_and_groups_are_not(stage: Stage) -> None:
    await stage.create()
    await stage.settle()
    row = await stage.row()
    rendering = stage.machine.renderings["feed.demo-001.1"]
    stage.machine.launch("dead.gone-001.1", rendering)
    assert await stage.controller.stop_orphans() == 1
    assert stage.running() == ["feed.demo-001.1", "feed.demo-002.1"]
    async with stage.store.transaction() as transaction:
        await transaction.delete(row)
    assert await stage.controller.stop_orphans() == 2
    assert stage.machine.views == {}


@on_stage
async def test_rules_of_addresses_that_nobody_holds_are_taken_away(stage: Stage) -> None:
    stage.machine.can_spread = True
    await stage.create(nodes=3)
    await stage.settle()
    (standing,) = stage.machine.rules
    stage.machine.rules["127.41.0.99", 6379] = ("127.41.1.1", "127.41.1.2")
    assert await stage.controller.stop_orphans() == 1
    assert list(stage.machine.rules) == [standing]


@on_stage
async def test_an_orphan_that_does_not_go_keeps_no_other_from_going(stage: Stage) -> None:
    await stage.create()
    await stage.settle()
    rendering = stage.machine.renderings["feed.demo-001.1"]
    for incarnation in ("dead.a.1", "dead.b.1", "gone.c.1"):
        stage.machine.launch(incarnation, rendering)
    stop = stage.host.stop

    async def stubborn(incarnation: str, *, kill: bool, grace_s: float = 5.0) -> None:
        if incarnation == "dead.a.1":
            raise HostRefused("dead.a.1 does not end")
        await stop(incarnation, kill=kill, grace_s=grace_s)

    stage.host.stop = stubborn  # type: ignore[method-assign]
    assert await stage.controller.stop_orphans() == 2
    assert stage.running() == ["dead.a.1", "feed.demo-001.1", "feed.demo-002.1"]


@on_stage
async def test_events_are_kept_for_fourteen_days(stage: Stage) -> None:
    now = stage.clock.now()
    async with stage.store.transaction() as transaction:
        await transaction.add_events(KEY.scope, now - 14.1 * 86_400, [EventDraft("cache-cluster", "old", "long ago")])
        await transaction.add_events(KEY.scope, now - 13.9 * 86_400, [EventDraft("cache-cluster", "new", "of late")])
    loop = asyncio.create_task(stage.controller.run())
    await stage.clock.settle()
    loop.cancel()
    await asyncio.gather(loop, return_exceptions=True)
    assert [event.message for event in await stage.store.events(KEY.scope, start=0, end=now)] == ["of late"]


@on_stage
async def test_an_unknown_group_ends_the_passes(stage: Stage) -> None:
    assert await stage.controller.step(KEY) is None


@on_stage
async def test_a_node_that_freezes_under_an_action_is_given_up_without_waiting_for_it(stage: Stage) -> None:
    await stage.create()
    await stage.settle()
    stage.clock = SystemClock()
    await stage.restart().adopt()
    primary = (await stage.row()).memory.nodes["demo-001"].address

    async def frozen_in_the_middle(*nodes: Any, **addresses: Any) -> None:
        stage.driver.frozen.add(primary)
        stage.machine.activities["feed.demo-001.1"] = Activity(stopped=True)
        await asyncio.Event().wait()

    stage.driver.switch = frozen_in_the_middle  # type: ignore[method-assign]
    (shard,) = (await stage.row()).desired.shards
    await stage.change(shards=(msgspec.structs.replace(shard, handovers=1),))
    loop = asyncio.create_task(stage.controller.run())
    begun = asyncio.get_running_loop().time()
    await seen(lambda: "feed.demo-001.1" not in stage.running())
    waited_s = asyncio.get_running_loop().time() - begun
    loop.cancel()
    await asyncio.gather(loop, return_exceptions=True)
    assert waited_s < DEADLINE_S
