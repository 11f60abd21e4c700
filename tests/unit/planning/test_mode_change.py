"""From cluster mode disabled to compatible and enabled, and back, in the model world: what is done in which order, and what
becomes of it when nodes or the controller end at any moment."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cachefleet.model.group import EndpointRole, Shape
from cachefleet.model.plan import ChangeMode, Erase, Launch, Stop
from tests.unit.planning.groups import replicated
from tests.unit.planning.mode_world import ModeWorld

PASSES = 400
MODES = ("compatible", "disabled")


def made(nodes: int = 3) -> ModeWorld:
    world = ModeWorld(replicated(nodes))
    world.settle()
    assert all(world.put(value) for value in range(5))
    return world


def changed(world: ModeWorld, mode: str) -> ModeWorld:
    """Changed and settled; one write before each pass."""
    world.ask(mode)
    for number in range(PASSES):
        world.put(1000 + number)
        world.step()
        if world.memory.mode == mode and world.status.state == "available":
            return world
    raise AssertionError(f"did not settle: {world.status}, {world.memory}")


def endpoints(world: ModeWorld) -> set[str]:
    return set(world.status.endpoints)


@pytest.mark.parametrize("nodes", [2, 3])
def test_there_and_back_without_losing_a_write(nodes: int) -> None:
    world = made(nodes)
    where = dict(world.memory.endpoints)
    compatible = changed(world, "compatible").desired
    assert compatible.shape is Shape.CLUSTERED
    assert compatible.shards[0].slots == ((0, 16383),) == world.memory.slots["0001"]
    assert all(world.clustered[world.of(node.name).incarnation] for node in world.desired.nodes)
    assert endpoints(world) == {"primary", "reader", "configuration"}
    assert {role: world.memory.endpoints[role] for role in where} == where  # clients need not learn new ones
    assert world.acknowledged <= world.reached()
    disabled = changed(world, "disabled").desired
    assert disabled.shape is Shape.REPLICATED
    assert disabled.shards[0].slots == () and not world.memory.slots
    assert not any(world.clustered[world.of(node.name).incarnation] for node in world.desired.nodes)
    assert endpoints(world) == {"primary", "reader"}
    assert world.acknowledged <= world.reached()
    assert "Cluster mode of replication group demo has been changed to disabled" in world.events


def test_replicas_first_then_the_role_then_the_old_primary() -> None:
    world = made(3)
    old = world.memory.shards["0001"].primary
    world.ask("compatible")
    order: list[str] = []
    for _ in range(PASSES):
        plan = world.step()
        for action in plan.actions:
            if isinstance(action, Launch):
                order.append(action.node)
            elif isinstance(action, ChangeMode):
                order.append("hand-over")
        if world.status.state == "available":
            break
    assert order.index("hand-over") == 2 and order[-1] == old and len(order) == 4


def test_clients_without_cluster_mode_are_served_by_the_primary_while_compatible() -> None:
    world = changed(made(3), "compatible")
    primary = world.of(world.memory.shards["0001"].primary)
    assert {world.memory.endpoints[EndpointRole.PRIMARY], world.memory.endpoints[EndpointRole.READER]} <= primary.bound
    world.kill(world.memory.shards["0001"].primary)
    world.settle()
    heir = world.of(world.memory.shards["0001"].primary)
    assert heir is not primary
    assert {world.memory.endpoints[EndpointRole.PRIMARY], world.memory.endpoints[EndpointRole.READER]} <= heir.bound
    assert world.acknowledged <= heir.data


def test_enabled_keeps_only_the_configuration_endpoint() -> None:
    world = changed(made(2), "compatible")
    configuration = world.memory.endpoints[EndpointRole.CONFIGURATION]
    launches = {name: known.launches for name, known in world.memory.nodes.items()}
    changed(world, "enabled")
    assert world.memory.endpoints == {EndpointRole.CONFIGURATION: configuration}
    assert {name: known.launches for name, known in world.memory.nodes.items()} == launches  # nothing is restarted
    bound = {address for engine in world.engines.values() for address in engine.bound}
    assert bound == {configuration}


def test_a_pass_that_hands_over_moves_nothing_else() -> None:
    world = made(3)
    world.ask("compatible")
    for _ in range(PASSES):
        plan = world.step()
        if any(isinstance(action, ChangeMode) for action in plan.actions):
            assert all(isinstance(action, ChangeMode | Launch | Stop | Erase) for action in plan.actions)
            assert plan.memory.shards["0001"].primary != world.of("demo-001").incarnation.split(".")[1]  # saved before
            return
    raise AssertionError("no hand-over")


def test_a_node_without_cluster_mode_follows_whoever_succeeds_the_clusters_primary() -> None:
    """It was just launched and has no data yet when the primary ends; a cluster node has them all."""
    world = changed(made(3), "compatible")
    world.ask("disabled")
    while not (fresh := [engine for name, engine in world.engines.items() if not world.clustered[name]]):
        world.step()
    (plain,) = fresh
    plain.data, plain.synced = set(), False
    world.kill(world.memory.shards["0001"].primary)
    for number in range(PASSES):
        world.put(7000 + number)
        world.step()
        if world.memory.mode == "disabled" and world.status.state == "available":
            break
    assert world.memory.mode == "disabled" and world.acknowledged <= world.reached()


# --- what cannot be done -------------------------------------------------------------------------------------------


def test_keys_outside_database_0_take_the_change_back() -> None:
    world = made(2)
    primary = world.of(world.memory.shards["0001"].primary)
    world.other_databases.add(primary.host)
    world.step()
    assert world.memory.other_databases  # the API refuses from now on
    world.ask("compatible")
    world.settle()
    assert (world.desired.cluster_mode, world.desired.parameter_group) == ("disabled", "default")
    assert any("outside database 0" in message and "It stays disabled" in message for message in world.events)
    assert primary.running and primary.primary and world.acknowledged <= world.reached()


def test_a_client_that_used_another_database_meanwhile_takes_it_back() -> None:
    world = made(3)
    world.ask("compatible")
    for _ in range(PASSES):
        world.step()
        fresh = [name for name, clustered in world.clustered.items() if clustered]
        if fresh:
            world.polluted.update(fresh)
            break
    world.settle()
    assert world.desired.cluster_mode == world.memory.mode == "disabled"
    assert not any(world.clustered[world.of(node.name).incarnation] for node in world.desired.nodes)
    assert any("used a database other than 0" in message for message in world.events)
    assert world.acknowledged <= world.reached()


def test_nodes_that_do_not_start_take_it_back() -> None:
    world = made(2)
    world.failing_starts.add("demo-002")
    world.ask("compatible")
    for _ in range(PASSES):
        world.step()
        if world.desired.cluster_mode == "disabled":
            break
    world.failing_starts.clear()
    world.settle()
    assert any(
        message.startswith("Failed changing cluster mode of replication group demo to compatible") for message in world.events
    )
    assert world.memory.mode == "disabled" and world.acknowledged <= world.reached()


# --- ends at any moment --------------------------------------------------------------------------------------------


@settings(max_examples=100)
@given(st.data())
def test_whatever_ends_the_change_is_finished_and_no_write_is_lost(data: st.DataObject) -> None:
    """Up to two ends (after three of a new node the change is taken back): of a node, never of all that hold everything, or of
    the controller in the middle of a pass."""
    world = made(data.draw(st.integers(2, 3)))
    mode = data.draw(st.sampled_from(MODES))
    if mode == "disabled":
        changed(world, "compatible")
    moments = data.draw(st.lists(st.integers(0, 40), min_size=1, max_size=2, unique=True))
    world.ask(mode)
    for number in range(PASSES):
        world.put(5000 + number)
        if number in moments:
            _end_something(data, world)
        else:
            world.step()
        if number > max(moments) and world.memory.mode == mode and world.status.state == "available":
            break
    else:
        raise AssertionError(f"did not settle: {world.status} {world.memory} {world.desired}")
    world.settle()  # the last end may have come after the change was done
    assert world.acknowledged <= world.reached()
    assert len(world.primaries()) == 1
    assert world.put(9999)


@settings(max_examples=100)
@given(st.data())
def test_whatever_ends_the_group_comes_back(data: st.DataObject) -> None:
    """Up to four ends of any node, also of the last that holds data: then what is left is served, in the mode asked for or,
    after several ends of a new node, in the one before."""
    world = made(data.draw(st.integers(2, 3)))
    mode = data.draw(st.sampled_from(MODES))
    if mode == "disabled":
        changed(world, "compatible")
    moments = data.draw(st.lists(st.integers(0, 60), min_size=1, max_size=4, unique=True))
    world.ask(mode)
    for number in range(3 * PASSES):
        running = [node.name for node in world.desired.nodes if world.runs(node.name)]
        if number in moments and running:
            world.kill(data.draw(st.sampled_from(running)))
        world.step()
        if number > max(moments):
            break
    world.settle(3 * PASSES)
    if not world.memory.shards["0001"].headless:
        assert world.memory.mode == world.desired.cluster_mode
        assert len(world.primaries()) == 1 and world.put(9999)


def test_a_cluster_node_that_was_just_launched_is_not_taken_for_the_primary() -> None:
    """Its primary ended before it had anything: who holds the data succeeds, in the old mode."""
    world = made(3)
    world.ask("compatible")
    ends = {0: "demo-002", 2: "demo-001", 57: "demo-001", 59: "demo-002"}
    for number in range(60):
        if number in ends and world.runs(ends[number]):
            world.kill(ends[number])
        world.step()
    world.settle(3 * PASSES)
    assert world.acknowledged <= world.reached()


def _end_something(data: st.DataObject, world: ModeWorld) -> None:
    running = [node.name for node in world.desired.nodes if world.runs(node.name)]
    whole = [name for name in running if world.acknowledged <= world.of(name).data]
    mortal = [
        name for name in running if set(whole) - {name} and all(world.memory.nodes[other].became_ready for other in whole)
    ]
    what = data.draw(st.sampled_from(["controller", *mortal]))
    if what == "controller":
        world.step(only=data.draw(st.integers(0, 2)))
    else:
        world.kill(what)


def test_a_role_whose_heir_has_ended_goes_back_to_who_gave_it() -> None:
    """The heir ended as it took the role, and the old primary, a cluster node, had given its slots up by then."""
    world = made(2)
    changed(world, "compatible")
    world.ask("disabled")
    for _ in range(57):
        world.step()
    world.kill("demo-001")
    world.settle(3 * PASSES)
    assert world.memory.mode == "disabled"
    assert len(world.primaries()) == 1
    assert world.acknowledged <= world.reached()
