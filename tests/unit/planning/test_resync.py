"""Replicas that receive all data again and again: when buffers are raised, how far, and when not."""

from __future__ import annotations

from cachefleet.planning.resync import FULL_SYNCS, STEPS_PERCENT
from tests.unit.planning.groups import created, replicated
from tests.unit.planning.world import World

PRIMARY = "demo-001"


def endless(nodes: int = 2) -> World:
    """The last node cannot be synchronised any more."""
    world = created(replicated(nodes))
    world.of(PRIMARY).full_syncs = nodes - 1
    world.of(f"demo-{nodes:03}").synced = False
    world.step()
    world.step()
    return world


def again(world: World, times: int = 1) -> None:
    for _ in range(times):
        world.of(PRIMARY).full_syncs += 1
        world.step()


def told(world: World) -> list[str]:
    return [event for event in world.events if "the buffer for them is raised" in event]


def test_three_full_syncs_without_an_end_raise_the_buffer_and_three_more_raise_it_again_up_to_the_most() -> None:
    world = endless()
    again(world, FULL_SYNCS - 1)
    assert world.of(PRIMARY).buffer_percent == 0
    again(world)
    assert world.of(PRIMARY).buffer_percent == STEPS_PERCENT[0]
    again(world, FULL_SYNCS)
    assert world.of(PRIMARY).buffer_percent == STEPS_PERCENT[1]
    world.of(PRIMARY).buffer_percent = 0  # it got lost
    again(world, FULL_SYNCS)
    assert world.of(PRIMARY).buffer_percent == STEPS_PERCENT[1]
    assert len(told(world)) == len(STEPS_PERCENT)
    assert "write less" in told(world)[-1]


def test_full_syncs_of_a_replica_that_is_in_sync_in_between_count_for_nothing() -> None:
    world = endless()
    for _ in range(3):
        again(world, FULL_SYNCS - 1)
        world.of("demo-002").synced = True
        world.step()
        world.of("demo-002").synced = False
        world.step()
    assert told(world) == []


def test_the_syncs_of_several_replicas_are_not_taken_for_those_of_one() -> None:
    world = endless(3)
    world.of("demo-002").synced = False
    world.step()
    again(world, 2 * FULL_SYNCS - 1)
    assert told(world) == []
    again(world)
    assert len(told(world)) == 1


def test_a_new_primary_begins_anew() -> None:
    world = endless(3)
    again(world, FULL_SYNCS)
    world.kill(PRIMARY)
    world.settle()
    assert world.memory.nodes["demo-002"].buffer_percent == 0
    assert world.memory.nodes[PRIMARY].buffer_percent == 0
