"""Parameters reach running nodes, or wait for their reboot; nothing is set back that clients may set."""

from __future__ import annotations

import msgspec
import pytest

from cachefleet.model.group import APPLYING, IN_SYNC, PENDING_REBOOT, GroupDesired
from cachefleet.model.plan import Action, SetParameters
from tests.unit.planning.groups import clustered, memcached, replicated
from tests.unit.planning.parameter_world import ParameterWorld


def settled(nodes: int = 2) -> ParameterWorld:
    world = ParameterWorld(replicated(nodes))
    world.settle()
    return world


def statuses(world: ParameterWorld) -> set[str]:
    return {node.parameters for node in world.status.nodes.values()}


def told(actions: tuple[Action, ...]) -> dict[str, dict[str, str]]:
    return {action.node: action.values for action in actions if isinstance(action, SetParameters)}


@pytest.mark.parametrize("desired", [replicated(3), clustered(2, 1)], ids=["replicated", "clustered"])
def test_every_running_node_is_told_what_has_changed(desired: GroupDesired) -> None:
    world = ParameterWorld(desired)
    world.settle()
    world.parameters = {"timeout": "300"}
    plan = world.step()
    assert told(plan.actions) == {node.name: {"timeout": "300"} for node in world.desired.nodes}
    assert statuses(world) == {APPLYING} and world.status.state == "available"
    world.settle()
    assert statuses(world) == {IN_SYNC}
    assert all(world.has(node.name) == world.parameters for node in world.desired.nodes)
    assert world.events.count("Updated parameter timeout to 300") == len(world.desired.nodes)


def test_what_is_reset_goes_back_to_the_default() -> None:
    world = settled()
    world.parameters = {"timeout": "300"}
    world.settle()
    world.parameters = {}
    world.settle()
    assert all(not world.has(node.name) for node in world.desired.nodes)
    assert "Updated parameter timeout to 0" in world.events


def test_it_is_done_only_when_it_is_read_back() -> None:
    world = settled()
    world.parameters = {"timeout": "300"}
    for _ in range(3):
        assert set(told(world.step(apply=False).actions)) == {"demo-001", "demo-002"}
        assert statuses(world) == {APPLYING}
    assert world.memory.parameters == {}
    world.settle()
    assert world.memory.parameters == world.parameters


def test_a_node_that_does_not_run_holds_nobody_up() -> None:
    world = settled()
    world.parameters = {"timeout": "300"}
    world.failing_starts.add("demo-002")
    world.kill("demo-002")
    for _ in range(5):
        world.step()
    assert world.memory.parameters == world.parameters
    world.failing_starts.clear()
    world.settle()
    assert world.has("demo-002") == world.parameters


def test_what_only_a_launch_brings_waits_for_a_reboot() -> None:
    world = ParameterWorld(memcached(2), replication_group=False)
    world.at_launch = {"max_item_size"}
    world.settle()
    world.parameters = {"max_item_size": "2097152"}
    for _ in range(3):
        assert not world.step().actions
        assert statuses(world) == {PENDING_REBOOT} and world.status.state == "available"
    name = world.desired.nodes[0].name
    (shard,) = world.desired.shards
    nodes = (msgspec.structs.replace(shard.nodes[0], reboots=1), *shard.nodes[1:])
    world.desired = msgspec.structs.replace(world.desired, shards=(msgspec.structs.replace(shard, nodes=nodes),))
    world.settle()
    assert world.status.nodes[name].parameters == IN_SYNC
    assert statuses(world) == {IN_SYNC, PENDING_REBOOT}


def test_that_a_node_waits_is_remembered_while_it_does_not_answer() -> None:
    world = ParameterWorld(memcached(1), replication_group=False)
    world.at_launch = {"max_item_size"}
    world.settle()
    world.parameters = {"max_item_size": "2097152"}
    world.step()
    world.of(world.desired.nodes[0].name).frozen = True
    world.step()
    assert statuses(world) == {PENDING_REBOOT}


def test_what_somebody_changed_by_hand_is_set_back() -> None:
    world = settled()
    world.has("demo-002")["timeout"] = "1"
    assert set(told(world.step().actions)) == {"demo-002"}
    world.settle()
    assert world.has("demo-002") == {}
    assert not any(event.startswith("Updated parameter") for event in world.events)


def test_what_clients_may_set_stays_until_the_group_says_something_else() -> None:
    world = ParameterWorld(msgspec.structs.replace(replicated(2), config="set"))
    world.settle()
    world.has("demo-001")["notify-keyspace-events"] = "KEA"
    for _ in range(3):
        assert not world.step().actions
        assert statuses(world) == {IN_SYNC}
    world.parameters = {"timeout": "300"}
    world.settle()
    assert world.has("demo-001") == {"notify-keyspace-events": "KEA", "timeout": "300"}
    world.parameters = {"timeout": "300", "notify-keyspace-events": "Ex"}
    world.settle()
    assert world.has("demo-001") == world.parameters


def test_another_parameter_group_is_told_of_when_all_nodes_have_it() -> None:
    world = settled()
    world.desired = msgspec.structs.replace(world.desired, parameter_group="mine")
    world.parameters = {"timeout": "300"}
    world.step(apply=False)
    assert world.status.state == "modifying"
    assert "Updated to use a CacheParameterGroup mine" not in world.events
    world.settle()
    assert world.events.count("Updated to use a CacheParameterGroup mine") == 2
    assert not any(event.startswith("Updated parameter") for event in world.events)


def test_reserved_memory_is_applied_when_the_size_is() -> None:
    world = ParameterWorld(replicated(2))
    world.data_bytes = 4_000_000
    world.settle()
    world.data_bytes, world.parameters = 1_000_000, {"reserved-memory-percent": "80"}
    world.step(apply=False)
    assert statuses(world) == {APPLYING}
    world.settle()
    assert statuses(world) == {IN_SYNC}
