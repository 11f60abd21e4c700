"""Nodes that are to go: nobody is sent to them any more when they are stopped, and what they leave behind."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from cachefleet.model.group import EndpointRole, GroupDesired
from cachefleet.model.plan import Forget, HandAddress, Stop
from cachefleet.planning.group import plan_group
from tests.unit.planning.groups import clustered, created, holder, memcached, replicated
from tests.unit.planning.world import World


def without_nodes(desired: GroupDesired, *names: str) -> GroupDesired:
    shards = tuple(
        replace(shard, nodes=tuple(node for node in shard.nodes if node.name not in names)) for shard in desired.shards
    )
    return replace(desired, shards=shards)


def settle_watching(world: World) -> list[str]:
    """Plans until all is quiet; nodes that are stopped meanwhile, in order, each without clients that are sent to it."""
    stopped = []
    for _ in range(300):
        before = {engine.incarnation: engine for engine in world.engines.values()}
        endpoints = set(world.memory.endpoints.values())
        known = {
            engine_id for engine in before.values() if engine.running and world.desires(engine) for engine_id in engine.knows
        }
        plan = world.step()
        for action in plan.actions:
            if isinstance(action, Stop):
                engine = before[action.incarnation]
                assert not engine.bound & endpoints, "clients of an endpoint were cut off"
                assert engine.engine_id not in known, "other nodes still tell clients of it"
                stopped.append(action.node)
        if not plan.actions and world.status.state == "available":
            return stopped
    raise AssertionError("did not settle")


def test_the_reader_endpoint_goes_to_another_replica_first() -> None:
    world = created(replicated(3))
    reader = world.memory.endpoints[EndpointRole.READER]
    (leaver,) = [name for name in ("demo-002", "demo-003") if reader in world.of(name).bound]
    world.desired = without_nodes(world.desired, leaver)
    assert settle_watching(world) == [leaver]
    (stays,) = {"demo-002", "demo-003"} - {leaver}
    assert world.of(stays).bound == {reader}
    assert set(world.memory.nodes) == {"demo-001", stays}
    assert world.events[-2:] == ["Cache cluster deleted", "Finished modifying number of nodes from 3 to 2"]


def test_a_node_with_the_name_of_one_that_left_is_never_launched_under_an_old_id() -> None:
    world = created(replicated(3))
    whole = world.desired
    first = world.of("demo-003").incarnation
    world.desired = without_nodes(whole, "demo-003")
    settle_watching(world)
    world.desired = whole
    settle_watching(world)
    assert world.of("demo-003").incarnation != first
    assert world.memory.departed == {}
    assert any("Added cache node" in event for event in world.events[-4:])


def test_the_reader_endpoint_goes_to_the_primary_when_no_replica_is_left() -> None:
    world = created(replicated(3, failover=False))
    world.desired = without_nodes(world.desired, "demo-002", "demo-003")
    assert sorted(settle_watching(world)) == ["demo-002", "demo-003"]
    assert world.of("demo-001").bound == set(world.memory.endpoints.values())


def test_the_endpoint_waits_for_a_node_that_is_feeding_a_replica() -> None:
    world = created(replicated(2, failover=False))
    world.desired = without_nodes(world.desired, "demo-002")
    world.of("demo-001").has_child = True
    for _ in range(5):
        actions = world.step().actions
        assert not any(isinstance(action, HandAddress | Stop) for action in actions)
    world.of("demo-001").has_child = False
    assert settle_watching(world) == ["demo-002"]


def test_a_node_is_not_stopped_while_the_kernel_spreads_connections_to_it() -> None:
    world = created(replicated(3))
    assert holder(world, EndpointRole.READER) == world.of("demo-002").host
    world.desired = without_nodes(world.desired, "demo-003")
    leaving = world.memory.nodes["demo-003"].address
    assert not any(isinstance(action, Stop) for action in plan_of(world, (leaving,)).actions)
    assert any(isinstance(action, Stop) for action in plan_of(world, ()).actions)


def plan_of(world: World, spread: tuple[str, ...]) -> Any:
    observed = replace(world.observe(), spread=spread)
    return plan_group(world.name, True, world.desired, observed, world.memory, world.now, world.rules)


@pytest.mark.parametrize("replicas", [1, 3])
def test_all_nodes_forget_it_and_the_configuration_endpoint_moves(replicas: int) -> None:
    world = created(clustered(3, replicas))
    leavers = [node.name for shard in world.desired.shards for node in shard.nodes[1:]]
    giver, taker = world.of("demo-0001-001"), world.of(leavers[0])
    giver.bound, taker.bound = set(), set(world.memory.endpoints.values())
    world.settle()
    assert holder(world, EndpointRole.CONFIGURATION) == taker.host
    ids = {world.of(name).engine_id for name in leavers}
    world.desired = without_nodes(world.desired, *leavers)
    assert sorted(settle_watching(world)) == leavers
    assert len(world.memory.nodes) == 3
    assert not any(engine.knows & ids for engine in world.engines.values())
    assert holder(world, EndpointRole.CONFIGURATION) != taker.host


def test_a_silent_node_is_stopped_at_once() -> None:
    for desired, name in ((replicated(3), "demo-002"), (clustered(2, 1), "demo-0001-002")):
        world = created(desired)
        world.of(name).frozen = True
        world.desired = without_nodes(desired, name)
        (stop,) = [action for action in world.step().actions if isinstance(action, Stop)]
        assert (stop.node, stop.kill) == (name, True)
        world.settle()
        assert name not in world.memory.nodes


def test_one_that_a_replica_follows_is_not_waited_for() -> None:
    """Nobody forgets its own primary; so one that took the role by itself at the last moment goes nevertheless."""
    world = created(clustered(1, 2))
    world.desired = without_nodes(world.desired, "demo-0001-003")
    leaver = world.of("demo-0001-003")
    world.of("demo-0001-002").primary_id = leaver.engine_id
    plan = world.step(apply=False)
    assert [action.node for action in plan.actions if isinstance(action, Forget)] == ["demo-0001-001"]


def test_a_memcached_node_leaves_the_list_and_goes_on_for_the_grace() -> None:
    world = created(memcached(3), replication_group=False)
    version = world.memory.node_list_version
    world.desired = without_nodes(world.desired, "demo.0002")
    began = world.now
    world.step(apply=False)  # the list is decided on, and we die before it is published
    assert (world.memory.node_list, world.memory.node_list_version) == (("demo.0001", "demo.0003"), version + 1)
    assert settle_watching(world) == ["demo.0002"]
    assert world.now - began >= world.rules.discovery_grace_s
    assert world.of("demo.discovery").published == str(version + 1)
    assert world.events[-2:] == ["Removed cache nodes 0002", "Finished modifying number of nodes from 3 to 2"]


def test_the_grace_begins_only_when_the_endpoint_serves_the_new_list() -> None:
    world = created(memcached(2), replication_group=False)
    world.desired = without_nodes(world.desired, "demo.0002")
    world.of("demo.discovery").frozen = True
    for _ in range(20):
        world.step()
    assert world.memory.nodes["demo.0002"].left_at == 0 and world.runs("demo.0002")
    world.of("demo.discovery").frozen = False
    settle_watching(world)
    assert "demo.0002" not in world.memory.nodes


def test_the_grace_ends_also_when_the_clock_is_set_back() -> None:
    world = created(memcached(2), replication_group=False)
    world.desired = without_nodes(world.desired, "demo.0002")
    world.step()
    world.step()
    assert world.memory.nodes["demo.0002"].left_at
    world.now -= 3600
    settle_watching(world)


def test_a_memcached_node_that_never_came_up_goes_at_once() -> None:
    world = created(memcached(1), replication_group=False)
    world.failing_starts = {"demo.0002"}
    world.desired = memcached(2)
    for _ in range(5):
        world.step()
    began = world.now
    world.desired = memcached(1)
    settle_watching(world)
    assert world.now - began < world.rules.discovery_grace_s
    assert "Finished modifying number of nodes from 2 to 1" not in world.events


def test_a_number_of_nodes_that_changed_is_told_once_it_is_so() -> None:
    world = created(replicated(2))
    assert not [event for event in world.events if "number of nodes" in event]
    world.desired = replicated(4)
    world.step()
    assert not [event for event in world.events if "number of nodes" in event]
    world.settle()
    world.settle()
    assert [event for event in world.events if "number of nodes" in event] == ["Finished modifying number of nodes from 2 to 4"]


def test_a_memory_from_before_counts_silently() -> None:
    world = created(replicated(2))
    world.memory = msgspec.structs.replace(world.memory, settled_nodes=0)
    world.step()
    assert world.memory.settled_nodes == 2
    assert not [event for event in world.events if "number of nodes" in event]
