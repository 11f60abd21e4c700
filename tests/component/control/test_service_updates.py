"""A service update that begins by itself, in virtual time: when it is due, in the group's window, and over our own death."""

from __future__ import annotations

from cachefleet.model.service_update import EngineBuildDesired
from cachefleet.planning.service_updates import DAY_S, service_updates
from cachefleet.reference.windows import is_open, parse_maintenance
from cachefleet.settings import UpdateSettings
from tests.component.control.stage import KEY, Stage, on_stage
from tests.fakes.catalogue import BUILDS, StaticCatalogue

OLD, NEW = "9.1.1", BUILDS[0].version
WINDOW = "sun:05:00-sun:06:00"
HOUR_S = 3600.0


async def old_group(stage: Stage, *, automatic: bool = True) -> None:
    """Of OLD, which NEW stands in for where it is launched; NEW is an update since now."""
    now = stage.clock.now()
    seen = [EngineBuildDesired(engine="valkey", version=version, first_seen_at=now) for version in (OLD, NEW)]
    stage.updates = service_updates(seen, StaticCatalogue().builds(), UpdateSettings())
    stage.restart()
    await stage.create()
    await stage.change(
        engine_version=OLD, maintenance_window=WINDOW, auto_minor_version_upgrade=automatic, created_at=now - DAY_S
    )
    await stage.settle()


async def versions(stage: Stage) -> set[str]:
    forms = [known.form for known in (await stage.row()).memory.nodes.values()]
    return {form.version for form in forms if form is not None}


async def pass_hours(stage: Stage, hours: float, *, each_h: float = 0.5) -> None:
    for _ in range(int(hours / each_h)):
        stage.clock.pass_time(each_h * HOUR_S)
        await stage.settle(200)


async def until_open(stage: Stage) -> None:
    """Time passes, an hour at a time at most, until the window is about to be open."""
    while not is_open(parse_maintenance(WINDOW), stage.clock.now() + HOUR_S / 2):
        stage.clock.pass_time(HOUR_S / 2)


@on_stage
async def test_an_update_is_applied_in_the_first_window_after_its_date(stage: Stage) -> None:
    await old_group(stage)
    for _ in range(4):  # windows before the 30 days are over
        await until_open(stage)
        await pass_hours(stage, 2)
        assert await versions(stage) == {OLD}
    stage.clock.pass_time(3 * DAY_S)
    await stage.settle()
    assert await versions(stage) == {OLD}, "due, and the window is closed"
    await until_open(stage)
    await pass_hours(stage, 2)
    assert await versions(stage) == {NEW}
    row = await stage.row()
    assert (row.desired.engine_version, row.status.state) == (NEW, "available")
    assert row.desired.update is not None
    assert row.desired.update.by == "system"
    (course,) = row.memory.updates
    assert is_open(parse_maintenance(WINDOW), course.asked_at)
    assert list(course.nodes) == ["demo-002", "demo-001"]
    told = [event.message for event in await stage.store.events(KEY.scope, start=0, end=2e9)]
    assert told.count("Service update is available for cache node 0001.") == 2
    assert told.count(f"Service update valkey-{NEW.replace('.', '-')}-patch is being applied in the maintenance window") == 3
    assert told.count(f"Succeeded applying modification to engine version to valkey {NEW}.") == 3


@on_stage
async def test_without_auto_minor_version_upgrade_nothing_begins_by_itself(stage: Stage) -> None:
    await old_group(stage, automatic=False)
    for _ in range(10):
        await until_open(stage)
        await pass_hours(stage, 2)
        stage.clock.pass_time(5 * DAY_S)
    assert await versions(stage) == {OLD}
    assert (await stage.row()).memory.updates == []


@on_stage
async def test_our_death_in_the_middle_changes_nothing(stage: Stage) -> None:
    await old_group(stage)
    stage.clock.pass_time(31 * DAY_S)
    await until_open(stage)
    stage.clock.pass_time(HOUR_S / 2)
    for _ in range(300):
        again_s = await stage.controller.step(KEY)
        await stage.restart().adopt()
        stage.clock.pass_time(min(again_s or 0.1, 0.5))
        if await versions(stage) == {NEW} and (await stage.row()).memory.updates[0].ended_at:
            break
    (course,) = (await stage.row()).memory.updates
    assert (course.by, course.ended_at > 0) == ("system", True)
