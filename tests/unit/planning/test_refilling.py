"""Groups that were saved for a stop of everything, against a model world: what is brought back, and what is forgotten."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from cachefleet.model.group import GroupDesired
from cachefleet.model.observed import FeedView
from cachefleet.model.saving import KEPT_S
from cachefleet.model.snapshot_file import Restore
from tests.unit.planning.groups import clustered, replicated
from tests.unit.planning.restoring_world import KEYS, RestoringWorld, files

SHAPES = [replicated(1), replicated(3), clustered(1, 0), clustered(2, 1), clustered(3, 0)]
RESTORED = "Restored the data that demo had when it was stopped"


def saved(desired: GroupDesired, **more: object) -> RestoringWorld:
    """Available, and saved just now."""
    world = RestoringWorld(desired)
    world.settle()
    world.watched_s = 60.0
    parts = len(desired.shards) if desired.shards[0].slots else 0
    world.desired = replace(world.desired, saved=Restore(files(parts, taken_at=world.now, **more), "down.demo"))
    return world


def stop(world: RestoringWorld, *names: str) -> None:
    """Nodes have ended while no control plane ran, and the next one begins. No name: all."""
    for name in names or tuple(world.memory.nodes):
        world.kill(name, seen=False)
    world.feeds.clear()
    world.watched_s = 0.0


@pytest.mark.parametrize("desired", SHAPES)
def test_everything_comes_back_at_the_same_addresses(desired: GroupDesired) -> None:
    world = saved(desired)
    addresses = {name: known.address for name, known in world.memory.nodes.items()}
    endpoints, slots = world.memory.endpoints, world.memory.slots
    stop(world)
    world.step()
    assert world.status.state == "modifying"
    assert world.status.endpoints == endpoints
    assert "is being restored" in world.status.why
    world.settle(600)
    assert sum(len(world.of(shard.primary).data) for shard in world.memory.shards.values()) == KEYS * len(desired.shards)
    for shard in world.desired.shards:
        for node in shard.nodes:
            assert world.of(node.name).data == world.wanted[shard.nodes[0].name]
    assert {name: known.address for name, known in world.memory.nodes.items()} == addresses
    assert (world.memory.endpoints, world.memory.slots) == (endpoints, slots)
    assert (world.desired.saved, world.desired.restore, world.memory.refilling) == (None, None, False)
    assert world.events.count(RESTORED) == 1


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(SHAPES), st.lists(st.tuples(st.integers(1, 30), st.booleans()), max_size=4))
def test_our_death_in_the_middle_of_it_loses_nothing(desired: GroupDesired, deaths: list[tuple[int, bool]]) -> None:
    """After so many passes, before or after the actions of the last one; nodes that are served already may have ended, too."""
    world = saved(desired)
    stop(world)
    for passes, acted in deaths:
        for number in range(passes):
            world.step(apply=acted or number < passes - 1)
        if world.memory.refilling:
            world.restart()
    world.settle(900)
    assert sum(len(world.of(shard.primary).data) for shard in world.memory.shards.values()) == KEYS * len(desired.shards)


def test_a_shard_with_a_node_that_runs_keeps_its_newer_data() -> None:
    world = saved(clustered(2, 1))
    newer = world.of("demo-0002-001").data = {7_000_001}
    world.of("demo-0002-002").data = {7_000_001}
    stop(world, "demo-0001-001", "demo-0001-002")
    world.settle(600)
    assert world.of("demo-0002-001").data == newer
    assert world.memory.nodes["demo-0002-001"].launches == 1
    assert world.of("demo-0001-001").data == world.wanted["demo-0001-001"]


@pytest.mark.parametrize("desired", SHAPES)
def test_a_group_that_was_saved_in_vain_goes_on_and_forgets_it(desired: GroupDesired) -> None:
    """`down` was killed when it had saved; another service begins."""
    world = saved(desired)
    world.now += 1.0
    world.watched_s = 0.5
    world.step()
    assert world.desired.saved is not None, "not before it is known that they go on"
    assert world.status.state == "modifying"
    assert "about to be stopped" in world.status.why
    world.watched_s, world.now = 5.5, world.now + 5.0
    world.settle()
    assert world.desired.saved is None
    assert [known.launches for known in world.memory.nodes.values()] == [1] * len(world.memory.nodes)
    assert not world.status.why


def test_what_this_service_has_saved_is_kept_while_others_are_being_saved() -> None:
    world = saved(replicated(2))
    for _ in range(20):
        world.now += KEPT_S / 25
        world.watched_s += KEPT_S / 25
        world.step()
    assert world.desired.saved is not None
    world.now += KEPT_S / 2
    world.watched_s += KEPT_S / 2
    world.settle()
    assert world.desired.saved is None


def test_a_clock_that_was_set_back_keeps_nobody_saved_for_ever() -> None:
    world = saved(replicated(2))
    world.now -= 100_000.0
    world.settle()
    assert world.desired.saved is None


@pytest.mark.parametrize("desired", SHAPES)
def test_a_refill_that_fails_is_tried_again_and_never_begins_empty(desired: GroupDesired) -> None:
    world = saved(desired)
    stop(world)
    world.failing = [FeedView(failure="the key is disabled", lasting=True) for _ in range(8)]
    for _ in range(3000):
        world.step()
        assert not any(engine.running and engine.primary and engine.bound for engine in world.engines.values())
        if not world.failing:
            break
    assert not world.failing
    assert world.status.state == "modifying"
    world.settle(3000)
    assert world.everything()


def test_why_it_fails_is_shown() -> None:
    world = saved(replicated(2))
    stop(world)
    world.failing = [FeedView(failure="the key is disabled", lasting=True) for _ in range(8)]
    while world.failing:
        world.step()
    for _ in range(3):
        world.step()
    assert "the key is disabled" in world.status.why
    assert world.status.state == "modifying"


@pytest.mark.parametrize("tells_load", [True, False])
def test_keys_that_are_missing_after_all_are_noticed(tells_load: bool) -> None:
    world = saved(replicated(1))
    world.tells_load, world.loss = tells_load, 1
    stop(world)
    for _ in range(300):
        world.step()
        assert world.memory.refilling
    assert f"{KEYS} keys, and {KEYS - 1} were restored" in world.status.why
    assert world.memory.nodes["demo-001"].failures > 2
    world.loss = 0
    world.settle(600)
    assert world.everything()


def test_a_primary_that_ends_before_the_refill_has_is_refilled_again() -> None:
    world = saved(replicated(1))
    stop(world)
    while not world.memory.shards["0001"].restored:
        world.step()
    world.kill("demo-001")
    world.settle(600)
    assert world.everything()
    world.kill("demo-001")
    world.settle(600)
    assert world.of("demo-001").data == set(), "once it was available again a node alone begins empty, as always"


def test_a_group_that_is_deleted_meanwhile_goes() -> None:
    world = saved(clustered(2, 1))
    stop(world)
    world.step()
    world.desired = replace(world.desired, deleting=True)
    world.settle()
    assert world.finished
