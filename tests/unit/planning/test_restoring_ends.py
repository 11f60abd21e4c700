"""Groups that are restored, against a model world: nodes that end before the group was available."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from cachefleet.model.group import GroupDesired
from cachefleet.model.observed import FeedView
from tests.unit.planning.groups import clustered, replicated
from tests.unit.planning.restoring_world import KEYS, SHAPES, RestoringWorld, fed, restored, settled


def partly_restored() -> RestoringWorld:
    """Two of three shards have everything; the third is still being fed."""
    world = fed(RestoringWorld(restored(clustered(3, 1))), "demo-0003-001")
    for name in ("demo-0001-001", "demo-0002-001"):
        world.feeds[world.of(name).incarnation] = FeedView(done=True, keys=KEYS)
        world._load(world.of(name), world.wanted[name])
    for _ in range(20):
        world.step()
    assert world.of("demo-0001-002").synced
    assert not world.memory.provisioned
    return world


def test_a_replica_in_sync_succeeds_a_primary_that_was_restored() -> None:
    world = partly_restored()
    world.kill("demo-0001-001")
    world.step()
    assert world.memory.shards["0001"].primary == "demo-0001-002"
    assert world.memory.shards["0001"].restored
    world.flows = True
    settled(world)
    assert world.memory.nodes["demo-0001-001"].seeded is False


def test_a_replica_that_the_engines_elected_has_everything() -> None:
    world = partly_restored()
    world.kill("demo-0001-001")
    elected, dead = world.of("demo-0001-002"), world.of("demo-0001-001")
    elected.primary, elected.primary_id, elected.follows, elected.epoch = True, "", "", 99
    elected.slots, dead.slots = dead.slots, ()
    world.step()
    assert world.memory.shards["0001"].primary == "demo-0001-002"
    assert world.memory.shards["0001"].restored
    world.flows = True
    settled(world)
    assert world.memory.nodes["demo-0001-002"].launches == 1


@pytest.mark.parametrize("desired", [replicated(2), clustered(2, 1)])
def test_a_primary_that_ends_before_anybody_has_its_data_is_seeded_again(desired: GroupDesired) -> None:
    first = desired.nodes[0].name
    world = RestoringWorld(restored(desired))
    while not world.memory.shards or not world.memory.shards["0001"].restored:
        world.step()
    second = desired.nodes[1].name
    assert world.runs(second)
    assert not world.of(second).synced
    world.kill(first)
    world.step()
    assert not world.memory.shards["0001"].restored
    assert not world.runs(second)
    world.step()
    assert not world.memory.nodes[second].failures, "it has done nothing wrong"
    settled(world)
    assert world.memory.nodes[first].launches == 2
    assert world.memory.nodes[second].launches == 2, "whatever ran in it is of an earlier attempt"


@pytest.mark.parametrize("desired", [replicated(2), clustered(2, 1)])
def test_another_node_is_seeded_when_the_zone_of_the_first_is_out(desired: GroupDesired) -> None:
    first, second = (node.name for node in desired.shards[0].nodes[:2])
    world = fed(RestoringWorld(restored(desired)), first)
    world.zones_out = frozenset(desired.nodes[0].zone[-1])
    world.flows = True
    for _ in range(100):
        world.step()
    assert world.memory.shards["0001"].primary == second
    assert world.memory.nodes[second].seeded
    world.zones_out = frozenset()
    settled(world)


@pytest.mark.parametrize("desired", [replicated(2), clustered(2, 1)])
def test_nothing_is_seeded_once_the_group_was_available(desired: GroupDesired) -> None:
    world = settled(RestoringWorld(restored(desired)))
    for node in desired.nodes:
        world.kill(node.name)
    settled(world)  # the world asserts it
    assert not any(engine.data for engine in world.engines.values())


@pytest.mark.parametrize("desired", [replicated(2), clustered(2, 1)])
def test_nothing_is_seeded_once_the_group_was_available_whatever_its_row_says(desired: GroupDesired) -> None:
    world = settled(RestoringWorld(restored(desired)))
    for node in desired.nodes:
        world.kill(node.name)
    world.desired = replace(world.desired, restore=restored(desired).restore)
    world.step()
    assert world.desired.restore is None
    settled(world)


def test_a_restored_group_can_be_deleted_at_any_time() -> None:
    for passes in range(12):
        world = RestoringWorld(restored(replicated(2)))
        for _ in range(passes):
            world.step()
        world.desired = replace(world.desired, deleting=True)
        world.settle()
        assert world.finished
        assert not world.engines


EVENTS = st.sampled_from(["step", "step", "step", "kill", "die", "restart", "fail", "zone"])


@settings(max_examples=60, deadline=None)
@given(shape=st.sampled_from(SHAPES), script=st.lists(st.tuples(EVENTS, st.integers(0, 5)), max_size=40))
def test_whatever_happens_nobody_is_available_with_less(shape: GroupDesired, script: list[tuple[str, int]]) -> None:
    """The world asserts it, and that nobody is fed twice, used while it loads, or seeded later."""
    world = RestoringWorld(restored(shape))
    world.rules = replace(world.rules, create_attempts=1000)
    for what, number in script:
        node = shape.nodes[number % len(shape.nodes)].name
        there = node in world.memory.nodes and world.memory.nodes[node].launches and world.runs(node)
        if what == "kill" and there:
            world.kill(node)
        elif what == "die":
            world.step(apply=False)
            world.restart()
        elif what == "restart":
            world.restart()
        elif what == "fail":
            world.failing = [FeedView(failure="the archive did not answer")]
        elif what == "zone":
            world.zones_out = frozenset() if world.zones_out else frozenset(shape.nodes[number % len(shape.nodes)].zone[-1])
        world.step()
    world.zones_out, world.failing = frozenset(), []
    settled(world)
