"""Nodes that are launched anew in another form, against a model world: in which order, what users see, that nothing is lost."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cachefleet.model.group import EndpointRole, GroupDesired, Shape
from cachefleet.model.group import Engine as EngineName
from cachefleet.model.plan import Stop, Switch, TakeOver
from cachefleet.model.temporary import is_temporary
from cachefleet.planning.rolling import STEADY_S
from cachefleet.settings import ControlSettings
from tests.unit.planning.groups import clustered, created, cut_off, holder, replicated
from tests.unit.planning.world import World

OLD, NEW = "8.1.8", "9.1.2"


def old(desired: GroupDesired) -> GroupDesired:
    return msgspec.structs.replace(desired, engine_version=OLD)


def upgrade(world: World, **more: object) -> None:
    world.desired = msgspec.structs.replace(world.desired, engine_version=NEW, **more)


def versions(world: World) -> dict[str, str]:
    return {name: known.form.version for name, known in world.memory.nodes.items() if known.form is not None}


def watch(world: World, passes: int = 400) -> list[object]:
    """Settle; checks after every pass what must hold in each of them. Returns all actions."""
    actions: list[object] = []
    for _ in range(passes):
        plan = world.step()
        actions += plan.actions
        assert not any(is_temporary(name) for name in world.status.nodes)
        assert not any(is_temporary(node.name) for node in world.desired.nodes)
        assert sum(engine.running and engine.primary for engine in world.engines.values()) <= 1
        quiet = not plan.actions and world.status.state == "available"
        if quiet and all(node.state == "available" for node in world.status.nodes.values()):
            return actions
    raise AssertionError(f"did not settle: {world.status}")


def test_replicas_go_first_then_the_role_then_the_old_primary() -> None:
    world = created(old(replicated(3)))
    assert world.write(1)
    upgrade(world)
    order: list[str] = []
    for _ in range(400):
        plan = world.step()
        ready = {name for name, node in world.status.nodes.items() if node.state == "available"}
        for action in plan.actions:
            if isinstance(action, Stop) and action.node.startswith("demo-0"):
                order.append(action.node)
                assert len(ready | {action.node}) == 3  # all others are in sync
            if isinstance(action, Switch):
                order.append("switch")
        assert world.write(len(order) + 2)
        if world.status.state == "available":
            break
        assert world.status.state == "modifying"
    assert order == ["demo-002", "demo-003", "switch", "demo-001"]
    assert set(versions(world).values()) == {NEW}
    assert world.lost == set()
    assert world.of("demo-001").data == world.of("demo-002").data == world.of("demo-003").data
    assert holder(world, EndpointRole.PRIMARY) == world.of("demo-002").host
    assert world.events[-3:] == [f"Succeeded applying modification to engine version to valkey {NEW}."] * 3
    assert not any("ecover" in event or "shutdown" in event for event in world.events)


def test_the_next_replica_is_ended_only_when_the_last_one_has_been_in_sync_for_a_while() -> None:
    """Redis 7.0 lists a replica as in sync up to a second before it streams to it: a kill then would find no copy."""
    world = created(old(replicated(3)))
    upgrade(world)
    for _ in range(400):
        plan = world.step()
        if any(isinstance(action, Stop) and action.node == "demo-003" for action in plan.actions):
            first = world.memory.nodes["demo-002"]
            assert first.became_ready and world.now - first.ready_at >= STEADY_S
            return
    raise AssertionError("the second replica was never launched anew")


def test_replicas_that_are_behind_for_a_moment_are_not_ended_together() -> None:
    """As after a failover, when all of them attach to the new primary."""
    world = created(old(replicated(4)))
    upgrade(world)
    for _ in range(400):
        world.step()
        if versions(world)["demo-001"] == NEW or world.memory.shards["0001"].primary != "demo-001":
            break
    outdated = [name for name, version in versions(world).items() if version == OLD]
    assert outdated == ["demo-001"]
    for name in ("demo-003", "demo-004"):
        known = world.memory.nodes[name]
        known.form = msgspec.structs.replace(known.form, version=OLD) if known.form is not None else None
        world.of(name).synced = False
    plan = world.step(apply=False)
    assert not any(plan.memory.nodes[name].roll_of for name in ("demo-003", "demo-004"))


def test_a_group_with_one_node_has_another_one_for_that_time_that_nobody_sees() -> None:
    world = created(old(replicated(1, failover=False)))
    assert world.write(1)
    told = len(world.events)
    upgrade(world)
    addresses = {role: world.memory.endpoints[role] for role in world.memory.endpoints}
    own = world.memory.nodes["demo-001"].address
    actions = watch(world)
    assert sum(isinstance(action, Switch) for action in actions) == 2  # there and back
    assert set(world.memory.nodes) == {"demo-001"}
    assert versions(world) == {"demo-001": NEW}
    assert world.of("demo-001").data == {1}
    assert (world.memory.endpoints, world.memory.nodes["demo-001"].address) == (addresses, own)
    assert world.status.nodes["demo-001"].role == "primary"
    assert world.events[told:] == [f"Succeeded applying modification to engine version to valkey {NEW}."] * 2, "cluster, group"
    assert world.memory.settled_nodes == 1


def test_a_lone_node_waits_with_a_reason_where_there_is_no_address_for_a_second_one() -> None:
    world = created(old(replicated(1, failover=False)))
    assert world.write(1)
    world.no_addresses = "all addresses are in use"
    upgrade(world)
    for _ in range(10):
        world.step()
    assert versions(world)["demo-001"] == OLD
    assert world.write(2)
    assert (world.status.state, "all addresses are in use" in world.status.why) == ("modifying", True)
    world.no_addresses = ""
    watch(world)
    assert world.of("demo-001").data == {1, 2}


def test_a_standalone_node_keeps_its_address_and_its_data() -> None:
    world = created(old(replicated(1, failover=False)), replication_group=False)
    (address,) = world.addresses_held()
    world.of("demo-001").data = {1, 2}
    upgrade(world)
    watch(world)
    node = world.of("demo-001")
    assert node.data == {1, 2}
    assert world.memory.endpoints == {"node": address} == world.status.endpoints
    assert address in node.bound
    assert set(world.memory.nodes) == {"demo-001"}
    world.desired = msgspec.structs.replace(world.desired, port=6380)
    world.step()
    assert world.status.ports == {"node": 6379}
    watch(world)
    assert world.of("demo-001").data == {1, 2}
    assert address in world.of("demo-001").bound
    assert world.status.ports == {}


@pytest.mark.parametrize("replicas", [0, 1, 2])
def test_shards_of_a_cluster_in_parallel_and_roles_one_after_another(replicas: int) -> None:
    world = created(old(clustered(3, replicas)))
    for engine in world.engines.values():
        engine.data = {1}
    before = {shard.shard_id: world.memory.shards[shard.shard_id].primary for shard in world.desired.shards}
    slots = {shard.shard_id: world.of(before[shard.shard_id]).slots for shard in world.desired.shards}
    upgrade(world)
    for _ in range(600):
        plan = world.step()
        assert sum(isinstance(action, TakeOver) for action in plan.actions) <= 1
        if world.status.state == "available":
            break
    assert set(versions(world).values()) == {NEW}
    assert set(world.memory.nodes) == {node.name for node in world.desired.nodes}
    for shard in world.desired.shards:
        primary = world.memory.shards[shard.shard_id].primary
        assert (primary == before[shard.shard_id]) == (replicas == 0)
        assert world.of(primary).slots == slots[shard.shard_id]
        assert world.of(primary).data == {1}


def test_a_failover_in_the_middle_goes_on_from_there() -> None:
    world = created(old(replicated(3)))
    assert world.write(1)
    upgrade(world)
    while versions(world)["demo-002"] != NEW or world.status.nodes["demo-002"].state != "available":
        world.step()
    world.kill("demo-001")
    watch(world)
    assert set(versions(world).values()) == {NEW}
    assert all(world.of(name).data == {1} for name in ("demo-001", "demo-002", "demo-003"))


def test_a_primary_that_dies_just_before_its_last_replica_ends_keeps_its_data_there() -> None:
    world = created(old(replicated(2)))
    assert world.write(1)
    upgrade(world)
    world.step()
    assert world.memory.nodes["demo-002"].roll_of == 1 and world.runs("demo-002")
    world.kill("demo-001")
    watch(world)
    assert all(world.of(name).data == {1} for name in ("demo-001", "demo-002"))


def test_nothing_is_ended_while_a_zone_is_out() -> None:
    world = created(old(replicated(3)))
    world.zones_out = frozenset("a")
    for _ in range(20):
        world.step()
    upgrade(world)
    ran = {name for name, engine in world.engines.items() if engine.running}
    for _ in range(20):
        world.step()
    assert {name for name, engine in world.engines.items() if engine.running} == ran
    world.zones_out = frozenset()
    watch(world)
    assert set(versions(world).values()) == {NEW}


@pytest.mark.parametrize("nodes", [1, 2, 3])
def test_a_version_that_does_not_start_is_taken_back(nodes: int) -> None:
    world = created(old(replicated(nodes, failover=nodes > 1)))
    assert world.write(1)
    told = len(world.events)
    world.broken_versions = {NEW}
    upgrade(world, engine=EngineName.VALKEY, parameter_group="other")
    watch(world)
    assert (world.desired.engine_version, world.desired.parameter_group) == (OLD, "default")
    assert set(versions(world).values()) == {OLD}
    assert set(world.memory.nodes) == {node.name for node in world.desired.nodes}
    assert world.memory.shards["0001"].primary == "demo-001"
    assert world.write(2)
    assert all(world.of(node.name).data == {1, 2} for node in world.desired.nodes)
    failed = [event for event in world.events[told:] if event.startswith("Failed applying modification")]
    assert len(failed) == nodes + 1
    assert "valkey 9.1.2" in failed[0] and "ended at its start" in failed[0]
    addresses = [world.memory.nodes[node.name].address for node in world.desired.nodes]
    assert len(set(addresses)) == nodes


@pytest.mark.parametrize("nodes", [1, 2])
def test_the_module_for_config_comes_and_goes_by_a_roll(nodes: int) -> None:
    world = created(replicated(nodes, failover=nodes > 1))
    assert world.write(1)
    for config in ("get", "set", ""):
        before = {name: known.launches for name, known in world.memory.nodes.items()}
        world.desired = msgspec.structs.replace(world.desired, config=config)
        watch(world)
        forms = {known.form.config for known in world.memory.nodes.values() if known.form is not None}
        assert forms == {bool(config)} and world.status.state == "available"
        launched = {name for name, known in world.memory.nodes.items() if known.launches != before[name]}
        assert launched == (set() if config == "set" else set(before)), "what is only of rules needs no launch"
        assert world.write(2) and all(world.of(node.name).data >= {1} for node in world.desired.nodes)
    told = "".join(world.events)
    assert all(f"applying modification to CONFIG for clients to {config}" in told for config in ("get", "set", "off"))


def test_a_version_is_not_taken_back_once_a_primary_has_it() -> None:
    world = created(old(replicated(2)))
    upgrade(world)
    while world.memory.shards["0001"].primary != "demo-002" or not world.memory.shards["0001"].taken:
        world.step()
    world.broken_versions = {NEW}
    for _ in range(60):
        world.step()
    assert world.desired.engine_version == NEW
    world.broken_versions = set()
    watch(world)
    assert set(versions(world).values()) == {NEW}


def test_a_node_whose_zone_is_not_the_groups_any_more_moves() -> None:
    world = created(replicated(2))
    assert world.write(1)
    before = {name: known.address for name, known in world.memory.nodes.items()}
    (shard,) = world.desired.shards
    moved = msgspec.structs.replace(shard.nodes[0], zone="local-1f")
    world.desired = msgspec.structs.replace(
        world.desired, shards=(msgspec.structs.replace(shard, nodes=(moved, shard.nodes[1])),), subnet_group="other"
    )
    watch(world)
    known = world.memory.nodes
    assert known["demo-001"].zone == "local-1f" and known["demo-001"].address != before["demo-001"]
    assert known["demo-002"].address == before["demo-002"]
    assert known["demo-002"].launches == 1
    assert world.of("demo-001").data == {1}
    assert world.events[-1] == "Succeeded applying modification to cache subnet group to other."


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_death_of_a_control_plane_or_of_one_node_loses_nothing(data: st.DataObject) -> None:
    nodes = data.draw(st.integers(1, 3))
    shape = data.draw(st.sampled_from(["replicated", "standalone", "clustered"]))
    if shape == "clustered":
        world = created(old(clustered(2, nodes - 1)))
        for engine in world.engines.values():
            engine.data = {1}
    else:
        alone = shape == "standalone"
        world = created(old(replicated(1 if alone else nodes, failover=nodes > 1 and not alone)), replication_group=not alone)
        for engine in world.engines.values():
            engine.data = {1}
    world.rules = ControlSettings()
    upgrade(world)
    killed = False
    for _ in range(data.draw(st.integers(1, 60))):
        world.step(apply=data.draw(st.integers(0, 9)) > 0)
        others = [name for name in world.memory.nodes if world.whole(name) and world.of(name).data]
        shard_of = {node.name: shard for shard in world.desired.shards for node in shard.nodes}
        spare = [
            name
            for name in others
            if name in shard_of
            and not world.memory.nodes[name].roll_of
            and sum(other in others and not world.memory.nodes[other].roll_of for other in _mates(world, name)) > 1
        ]
        if spare and not killed and data.draw(st.integers(0, 19)) == 0:
            world.kill(data.draw(st.sampled_from(sorted(spare))))
            killed = True
    for _ in range(1500):
        world.step()
        if world.status.state == "available" and all(node.state == "available" for node in world.status.nodes.values()):
            break
    assert world.status.state == "available", world.status
    assert set(versions(world).values()) == {NEW}
    assert set(world.memory.nodes) == {node.name for node in world.desired.nodes}
    assert all(world.of(name).data == {1} for name in world.memory.nodes)


def test_a_lone_node_that_ends_in_its_new_form_gets_no_second_one() -> None:
    """It comes back by itself; a second one would leave in the moment in which the first one is back."""
    world = created(old(clustered(2, 0)))
    (shard, other) = world.desired.shards
    name, late = shard.nodes[0].name, other.nodes[0].name
    world.failing_starts = {late}
    upgrade(world)
    killed = False
    for _ in range(1500):
        world.step()
        memory = world.memory.shards[shard.shard_id]
        if not killed and versions(world)[name] == NEW and memory.primary == name and not memory.temporary:
            world.kill(name)
            killed = True
            continue
        assert not (killed and memory.temporary)
        if killed and name in {node for node, view in world.status.nodes.items() if view.state == "available"}:
            world.failing_starts = set()
        if world.status.state == "available":
            break
    assert killed
    assert world.status.state == "available", world.status


@pytest.mark.parametrize("desired", [replicated(1, failover=False), clustered(2, 0)], ids=["disabled", "enabled"])
def test_who_stands_in_for_a_lone_node_succeeds_it_whatever_it_lacks(desired: GroupDesired) -> None:
    """Nobody could ask for that: users do not see it."""
    world = created(old(desired))
    assert world.write(1) or desired.shape is Shape.CLUSTERED
    name = world.desired.nodes[0].name
    second = f"{name}.temporary"
    upgrade(world)
    while second not in world.memory.nodes or not world.memory.nodes[second].became_ready:
        world.step()
    cut_off(world, second, 5)
    world.kill(name)
    for _ in range(600):
        world.step()
        if world.status.state == "available":
            break
    assert world.status.state == "available", world.status
    assert set(versions(world).values()) == {NEW}
    assert set(world.memory.nodes) == {node.name for node in world.desired.nodes}
    assert world.of(name).data == {1} or desired.shape is Shape.CLUSTERED


def _mates(world: World, name: str) -> list[str]:
    """All nodes of its shard, a temporary one included."""
    shard = next(shard for shard in world.desired.shards if any(node.name == name for node in shard.nodes))
    names = [node.name for node in shard.nodes]
    return [other for other in world.memory.nodes if other in names or other.removesuffix(".temporary") in names]
