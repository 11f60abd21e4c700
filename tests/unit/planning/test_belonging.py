"""Cluster mode enabled, when clients tamper with who knows whom: members forgotten or reset, strangers, stolen slots."""

from __future__ import annotations

import pytest

from cachefleet.model.plan import Forget, OwnSlots, Stop
from cachefleet.model.slots import without
from tests.unit.planning.groups import clustered, created
from tests.unit.planning.world import Engine, World

STRANGER = "id-stranger"


def forget(world: World, node: str, by: list[str]) -> None:
    gone = world.of(node).engine_id
    for name in by:
        world.of(name).knows -= {gone}


def others(world: World, node: str) -> list[str]:
    return [each.name for each in world.desired.nodes if each.name != node]


@pytest.mark.parametrize("node", ["demo-0002-001", "demo-0002-002"])
def test_a_node_that_one_forgot_is_met_again_by_that_one(node: str) -> None:
    world = created(clustered(3, 1))
    before = world.of(node).incarnation
    forget(world, node, ["demo-0003-002"])
    world.step()
    assert world.of(node).engine_id in world.of("demo-0003-002").knows
    world.settle()
    assert world.of(node).incarnation == before


@pytest.mark.parametrize("node", ["demo-0002-001", "demo-0002-002"])
def test_a_node_that_is_banned_joins_anew_and_nothing_is_lost(node: str) -> None:
    world = created(clustered(3, 1))
    for name in ("demo-0002-001", "demo-0002-002"):
        world.of(name).data = {7}
    before = world.of(node).incarnation
    for _ in range(10_000):
        if world.of(node).incarnation != before:
            break
        forget(world, node, [name for name in others(world, node) if "0002" not in name])
        plan = world.step()
        assert not any(isinstance(action, Stop) and action.kill for action in plan.actions), "it ends in good order"
    world.settle()
    assert world.of("demo-0002-001").data == world.of("demo-0002-002").data == {7}
    assert any("were told to forget" in event for event in world.events)
    launches = world.memory.nodes[node].launches
    for _ in range(50):
        world.step()
    assert world.memory.nodes[node].launches == launches == 2


def test_a_primary_without_a_replica_is_met_again_and_again_rather_than_ended() -> None:
    world = created(clustered(3, 0))
    before = world.of("demo-0002-001").incarnation
    for _ in range(200):
        forget(world, "demo-0002-001", others(world, "demo-0002-001"))
        world.step()
    assert world.of("demo-0002-001").incarnation == before
    world.settle()


def test_only_one_joins_anew_at_a_time() -> None:
    world = created(clustered(3, 1))
    first = {node.name: world.memory.nodes[node.name].launches for node in world.desired.nodes}
    for _ in range(400):
        for node in world.desired.nodes:
            if world.runs(node.name) and world.memory.nodes[node.name].launches == first[node.name]:
                forget(world, node.name, [name for name in others(world, node.name) if world.runs(name)])
        world.step()
        assert sum(not world.runs(node.name) for node in world.desired.nodes) <= 1
    world.settle(600)


def test_a_replica_that_was_reset_is_no_heir_until_it_has_everything_again() -> None:
    world = created(clustered(1, 1))
    world.of("demo-0001-001").data = {7}
    replica = world.of("demo-0001-002")
    replica.engine_id, replica.primary, replica.primary_id, replica.follows = "id-anew", True, "", ""
    replica.knows, replica.data, replica.synced = set(), set(), False
    world.step(apply=False)
    assert not world.memory.nodes["demo-0001-002"].became_ready
    world.settle()
    assert world.of("demo-0001-002").data == {7}
    assert "Recovering cache nodes 0001" in world.events
    assert "id-anew" in world.of("demo-0001-001").knows


def meet_stranger(world: World, slots: tuple[tuple[int, int], ...]) -> Engine:
    """A node of another cluster is introduced; it has the slots that it claims, by a higher epoch."""
    stranger = Engine("none", "127.99.0.1", STRANGER, primary=True, slots=slots, epoch=99)
    world.strangers[STRANGER] = stranger
    for engine in world.engines.values():
        engine.knows |= {STRANGER}
        engine.slots = without(engine.slots, slots)
    return stranger


def test_strangers_are_told_of_once_and_not_fought_and_leave_no_trace_when_they_end() -> None:
    world = created(clustered(2, 1))
    lost = world.desired.shards[1].slots
    stranger = meet_stranger(world, lost)
    for _ in range(100):
        actions = world.step().actions
        assert not any(isinstance(action, Forget | OwnSlots | Stop) for action in actions)
    assert len([event for event in world.events if "do not belong to replication group demo" in event]) == 1
    assert stranger.host in world.events[-1]
    assert world.status.nodes["demo-0002-001"].why == "has no slots yet"
    stranger.running = False
    world.settle()
    owned = sorted(pair for engine in world.engines.values() for pair in engine.slots)
    assert owned == sorted(pair for shard in world.desired.shards for pair in shard.slots)
    assert not any(STRANGER in engine.knows for engine in world.engines.values())
    assert world.memory.strangers == ()


def test_a_node_that_replicates_a_stranger_starts_anew() -> None:
    world = created(clustered(2, 1))
    meet_stranger(world, ())
    replica = world.of("demo-0002-002")
    replica.primary_id = STRANGER
    for _ in range(100):
        world.step()
        if not replica.running:
            break
    del world.strangers[STRANGER]
    world.settle()
    assert world.of("demo-0002-002").primary_id == world.of("demo-0002-001").engine_id
