"""The values of a parameter group reach nodes that run and nodes that are launched, whatever becomes of the control plane."""

from __future__ import annotations

import msgspec

from cachefleet.control.parameter_reader import READ_AGAIN_S
from cachefleet.model.group import APPLYING, IN_SYNC, PENDING_REBOOT
from cachefleet.model.observed import Address
from cachefleet.model.parameter_group import ParameterGroupDesired
from cachefleet.model.resource import Kind
from cachefleet.model.row import ParameterGroupRow, Row
from tests.component.control.stage import KEY, Stage, on_stage

GROUP = KEY.scope.key(Kind.PARAMETER_GROUP, "p")  # that of the stage's group
FIRST, SECOND = "demo-001", "demo-002"


async def say(stage: Stage, **values: str) -> None:
    """ModifyCacheParameterGroup."""
    desired = ParameterGroupDesired(
        family="valkey9", description="", values={name.replace("_", "-"): value for name, value in values.items()}
    )
    row: ParameterGroupRow | None = await stage.store.get(GROUP)
    async with stage.store.transaction() as transaction:
        if row is None:
            await transaction.insert(Row(key=GROUP, desired=desired))
        else:
            await transaction.update(msgspec.structs.replace(row, desired=desired))


async def has(stage: Stage, node: str, name: str) -> str:
    known = (await stage.row()).memory.nodes[node]
    engine = stage.driver.at(Address(known.address, 6379))
    assert engine is not None
    return engine.parameters[name]


async def statuses(stage: Stage) -> set[str]:
    return {node.parameters for node in (await stage.row()).status.nodes.values()}


@on_stage
async def test_values_reach_running_nodes_and_those_that_are_launched(stage: Stage) -> None:
    await say(stage, timeout="60")
    await stage.create()
    await stage.settle()
    assert await statuses(stage) == {IN_SYNC} and await has(stage, FIRST, "timeout") == "60"
    await say(stage, timeout="300", maxmemory_samples="9", of_no_family="1")
    await stage.settle()
    for node in (FIRST, SECOND):
        assert (await has(stage, node, "timeout"), await has(stage, node, "maxmemory-samples")) == ("300", "9")
    stage.machine.end(f"feed.{FIRST}.1")
    await stage.settle()
    assert await has(stage, FIRST, "timeout") == "300"
    await say(stage)
    await stage.settle()
    assert await has(stage, SECOND, "timeout") == "0" and await statuses(stage) == {IN_SYNC}


@on_stage
async def test_a_control_plane_that_dies_in_between_is_followed_by_one_that_goes_on(stage: Stage) -> None:
    await stage.create()
    await stage.settle()
    await say(stage, timeout="300")
    stage.driver.refusing = "we are dead"
    await stage.controller.step(KEY)
    stage.driver.refusing = ""
    await stage.restart().adopt()
    await stage.settle()
    assert {await has(stage, node, "timeout") for node in (FIRST, SECOND)} == {"300"}
    assert await statuses(stage) == {IN_SYNC}


@on_stage
async def test_what_is_not_taken_is_tried_again_and_shown(stage: Stage) -> None:
    await stage.create()
    await stage.settle()
    await say(stage, timeout="300")
    stage.driver.refusing = "not now"
    await stage.controller.step(KEY)
    assert await statuses(stage) == {APPLYING}
    stage.driver.refusing = ""
    await stage.settle()
    assert await statuses(stage) == {IN_SYNC} and await has(stage, SECOND, "timeout") == "300"


@on_stage
async def test_a_change_by_hand_is_set_back_before_long(stage: Stage) -> None:
    await stage.create()
    await stage.settle()
    engine = stage.driver.at(Address((await stage.row()).memory.nodes[SECOND].address, 6379))
    assert engine is not None
    engine.parameters["timeout"] = "1"
    stage.clock.pass_time(READ_AGAIN_S)
    await stage.controller.step(KEY)
    assert engine.parameters["timeout"] == "0"


@on_stage
async def test_what_needs_a_launch_is_pending_over_a_restart_too(stage: Stage) -> None:
    await stage.create()
    await stage.settle()
    stage.driver.at_launch.add("databases")
    await say(stage, databases="32")
    await stage.settle()
    assert await statuses(stage) == {PENDING_REBOOT}
    await stage.restart().adopt()
    await stage.settle()
    assert await statuses(stage) == {PENDING_REBOOT}


@on_stage
async def test_a_quiet_group_is_not_written(stage: Stage) -> None:
    await say(stage, timeout="300")
    await stage.create()
    await stage.settle()
    version = (await stage.row()).version
    for _ in range(5):
        stage.clock.pass_time(READ_AGAIN_S)
        await stage.controller.step(KEY)
    assert (await stage.row()).version == version
