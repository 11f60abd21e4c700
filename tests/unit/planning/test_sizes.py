"""Memory for data follows the node type while nodes run; nothing has to go for it."""

from __future__ import annotations

import msgspec

from cachefleet.model.plan import Launch, Resize, Stop
from tests.unit.planning.groups import clustered, created, replicated
from tests.unit.planning.world import World

SMALL, LARGE = 1_000_000, 4_000_000


def sized(world: World, node_type: str, size_bytes: int) -> None:
    world.desired = msgspec.structs.replace(world.desired, node_type=node_type)
    world.data_bytes = size_bytes


def settled(nodes: int = 2) -> World:
    world = World(replicated(nodes))
    world.data_bytes = SMALL
    world.settle()
    return world


def test_a_larger_type_is_given_to_running_nodes() -> None:
    world = settled()
    told = len(world.events)
    sized(world, "cache.large", LARGE)
    plan = world.step()
    assert sorted(action.node for action in plan.actions if isinstance(action, Resize)) == ["demo-001", "demo-002"]
    assert not any(isinstance(action, Launch | Stop) for action in plan.actions)
    assert world.status.state == "modifying"
    world.settle()
    assert {engine.size_bytes for engine in world.engines.values()} == {LARGE}
    assert world.events[told:] == ["Succeeded applying modification to cache node type to cache.large."] * 3


def test_a_change_is_done_only_when_it_is_read_back() -> None:
    world = settled()
    sized(world, "cache.large", LARGE)
    for _ in range(3):
        plan = world.step(apply=False)
        assert sum(isinstance(action, Resize) for action in plan.actions) == 2
        assert world.status.state == "modifying"
    world.settle()
    assert world.status.state == "available"


def test_a_smaller_type_that_does_not_hold_the_data_any_more_is_taken_back() -> None:
    world = settled()
    sized(world, "cache.large", LARGE)
    world.settle()
    world.of("demo-001").used_bytes = 2 * SMALL
    told = len(world.events)
    sized(world, "cache.small", SMALL)
    assert not any(isinstance(action, Resize) for action in world.step().actions)
    assert world.desired.node_type == "cache.large"
    world.data_bytes = LARGE
    world.settle()
    assert {engine.size_bytes for engine in world.engines.values()} == {LARGE}
    why = "demo-001 holds more data than cache.small has memory for. It stays cache.large"
    assert world.events[told:] == [f"Failed applying modification to cache node type to cache.small. {why}"] * 3


def test_what_a_client_has_set_is_set_back_and_is_no_modification() -> None:
    world = World(clustered(2, 1))
    world.data_bytes = SMALL
    world.settle()
    told = len(world.events)
    for size_bytes in (0, 5, 10 * LARGE):
        world.of("demo-0001-001").size_bytes = size_bytes
        plan = world.step()
        assert [action.node for action in plan.actions if isinstance(action, Resize)] == ["demo-0001-001"]
        assert world.status.state == "available"
        world.settle()
        assert {engine.size_bytes for engine in world.engines.values()} == {SMALL}
    assert world.events[told:] == []


def test_nothing_is_evicted_to_set_back_what_a_client_has_raised() -> None:
    world = settled()
    engine = world.of("demo-001")
    engine.size_bytes, engine.used_bytes = LARGE, 2 * SMALL
    assert not any(isinstance(action, Resize) for action in world.step().actions)
    assert "holds more data" in world.status.why
    engine.used_bytes = 5
    world.settle()
    assert engine.size_bytes == SMALL


def test_nodes_that_do_not_tell_their_memory_are_left_alone() -> None:
    world = created(replicated(2))
    world.data_bytes = SMALL
    assert not any(isinstance(action, Resize) for action in world.step().actions)
