"""Slots move to where they are to be, whatever is cut short: every slot has one owner, and no value is lost or doubled."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from cachefleet.model.slots import count
from tests.unit.planning.groups import clustered
from tests.unit.planning.moving_world import MovingWorld, growing, shrinking

WAYS = pytest.mark.parametrize("atomic", [True, False])


def moving(shards: int, replicas: int, atomic: bool) -> tuple[MovingWorld, set[int]]:
    world = MovingWorld(clustered(shards, replicas), atomic)
    world.settle()
    return world, world.fill()


@WAYS
@pytest.mark.parametrize("replicas", [0, 1])
def test_shards_are_added(atomic: bool, replicas: int) -> None:
    world, values = moving(2, replicas, atomic)
    world.events.clear()
    world.desired = growing(world.desired, 4, replicas)
    world.run()
    world.assert_whole(values)
    assert [count(shard.slots) for shard in world.desired.shards] == [4096] * 4
    assert world.progress[0] == 0.0 and world.progress == sorted(world.progress)
    assert atomic or world.progress[-1] > 50  # slot by slot
    told = [event for event in world.events if event.startswith("Slot migration")]
    assert told == [
        "Slot migration of replication group demo started: 8192 slots",
        "Slot migration of replication group demo finished",
    ]
    assert not any("Failover" in event or "Recovering" in event for event in world.events)


@WAYS
def test_shards_leave(atomic: bool) -> None:
    world, values = moving(4, 1, atomic)
    world.events.clear()
    world.desired = shrinking(world.desired, {"0002", "0003"})
    world.run()
    world.assert_whole(values)
    assert [shard.shard_id for shard in world.desired.shards] == ["0001", "0004"]
    assert set(world.memory.slots) == set(world.memory.shards) == {"0001", "0004"}
    assert sum(engine.running for engine in world.engines.values()) == 4
    assert not any("Failover" in event or "Recovering" in event for event in world.events)


@WAYS
def test_a_hand_over_that_is_asked_for_while_a_move_is_begun_again_waits_for_it(atomic: bool) -> None:
    world, values = moving(2, 1, atomic)
    world.desired = growing(world.desired, 3, 1)
    while not world.memory.moves:
        world.step()
    world.of(world.memory.shards["0003"].primary).running = False
    first, *others = world.desired.shards
    world.desired = replace(world.desired, shards=(replace(first, handovers=1), *others))
    world.run()
    world.assert_whole(values)
    assert world.memory.shards["0001"].handovers == 1


# --- cut short -----------------------------------------------------------------------------------------------------

CHANGES = {
    "grow": lambda desired: growing(desired, 3, 1),
    "shrink": lambda desired: shrinking(desired, {"0002"}),
}
VICTIMS = ("0001", "0002", "0003", "nobody")


@WAYS
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("victim", VICTIMS)
@pytest.mark.parametrize("what", ["primary", "replica"])
def test_a_node_that_dies_at_any_moment_costs_nothing(atomic: bool, change: str, victim: str, what: str) -> None:
    """And the control plane dies in that moment, too: after it has saved, before it acts."""
    for moment in range(0, 40, 3):
        world, values = moving(2 if change == "grow" else 3, 1, atomic)
        world.desired = CHANGES[change](world.desired)
        for _ in range(moment):
            world.step()
        for shard in world.desired.shards:
            if shard.shard_id == victim and world.can_spare(shard):
                names = [node.name for node in shard.nodes]
                names.sort(key=lambda name: (name == world.memory.shards[victim].primary) is (what == "replica"))
                world.kill(names[0])
        world.step(apply=False)
        world.run()
        world.assert_whole(values)
        assert len(world.desired.shards) == (3 if change == "grow" else 2), moment


@settings(max_examples=60, deadline=None)
@given(st.data(), st.booleans())
def test_any_order_of_deaths_and_of_shards_that_come_and_go(data: st.DataObject, atomic: bool) -> None:
    """One node of a shard at a time, and only while the other has all the data."""
    world, values = moving(data.draw(st.integers(1, 3)), 1, atomic)
    for _ in range(data.draw(st.integers(1, 3))):
        shards = [shard.shard_id for shard in world.desired.shards]
        if len(shards) > 1 and data.draw(st.booleans()):
            leaving = data.draw(st.sets(st.sampled_from(shards), min_size=1, max_size=len(shards) - 1))
            world.desired = shrinking(world.desired, leaving)
        else:
            world.desired = growing(world.desired, int(shards[-1]) + data.draw(st.integers(1, 2)), 1)
        for _ in range(data.draw(st.integers(0, 5))):
            for _ in range(data.draw(st.integers(0, 15))):
                world.step(apply=data.draw(st.integers(0, 9)) > 0)
            shard = data.draw(st.sampled_from(world.desired.shards))
            if world.can_spare(shard):
                world.kill(data.draw(st.sampled_from(shard.nodes)).name)
        world.run(2000)
        world.assert_whole(values)
