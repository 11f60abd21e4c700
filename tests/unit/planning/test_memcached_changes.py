"""Memcached nodes that are launched anew or get another size: who goes when, what the list says, who waits."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from cachefleet.model.pending import ScaleConfig
from cachefleet.model.plan import PublishNodes
from tests.unit.planning.groups import memcached
from tests.unit.planning.world import World

MB = 1024 * 1024
LARGE = "cache.r6g.large"


def cluster(nodes: int) -> World:
    world = World(memcached(nodes), replication_group=False)
    world.data_bytes, world.seen["threads"] = 100 * MB, 2
    world.settle()
    return world


def until_settled(world: World, passes: int = 3000) -> list[tuple[set[str], set[str]]]:
    """Which nodes were listed and which ran, after each pass. Nodes that are ended are out of the list for the grace."""
    course = []
    left: dict[str, float] = {}
    for _ in range(passes):
        world.step()
        listed = set(world.memory.node_list)
        for name in {name for name in world.memory.nodes if world.runs(name)} - listed:
            left.setdefault(name, world.now)
        course.append((listed, {name for name in world.memory.nodes if world.runs(name) and "disc" not in name}))
        if world.status.state == "available" and world.desired.scale is None:
            return course
    raise AssertionError(f"did not settle: {world.status}")


def versions(world: World) -> list[str]:
    return [known.form.version for node in world.desired.nodes if (known := world.memory.nodes[node.name]).form is not None]


@pytest.mark.parametrize("nodes", [1, 2, 5])
def test_another_version_node_by_node(nodes: int) -> None:
    world = cluster(nodes)
    addresses = [world.memory.nodes[node.name].address for node in world.desired.nodes]
    version = world.memory.node_list_version
    world.desired = replace(world.desired, engine_version="9.2.0")
    course = until_settled(world)
    assert versions(world) == ["9.2.0"] * nodes
    for listed, running in course:
        assert listed <= running, "a node that is listed runs"
        assert len(listed) >= max(1, nodes - 1)
    assert [world.memory.nodes[node.name].address for node in world.desired.nodes] == addresses
    assert set(world.memory.node_list) == {node.name for node in world.desired.nodes}
    assert world.memory.node_list_version >= version + 2 * nodes
    assert {known.launches for name, known in world.memory.nodes.items() if "disc" not in name} == {2}
    assert not [message for message in world.events if "Removed" in message or "temporary" in message]


def test_another_number_of_threads_needs_a_launch_and_another_size_none() -> None:
    world = cluster(3)
    world.desired = replace(world.desired, node_type=LARGE)
    world.data_bytes = 300 * MB
    until_settled(world)
    assert {world.memory.nodes[node.name].launches for node in world.desired.nodes} == {1}
    assert {world.of(node.name).size_bytes for node in world.desired.nodes} == {300 * MB}
    world.desired = replace(world.desired, node_type="cache.r6g.xlarge")
    world.seen["threads"] = 4
    until_settled(world)
    assert {world.memory.nodes[node.name].launches for node in world.desired.nodes} == {2}
    assert {world.of(node.name).threads for node in world.desired.nodes} == {4}


def test_a_node_is_not_ended_before_clients_have_heard() -> None:
    world = cluster(2)
    world.desired = replace(world.desired, engine_version="9.2.0")
    left_at = 0.0
    for _ in range(500):
        world.step()
        gone = {node.name for node in world.desired.nodes} - set(world.memory.node_list)
        if gone and not left_at:
            left_at = world.now
        if left_at and not all(world.runs(node.name) for node in world.desired.nodes):
            assert world.now - left_at >= world.rules.discovery_grace_s
            return
    raise AssertionError("none was ended")


def test_none_is_ended_while_another_is_away_or_the_endpoint_is() -> None:
    world = cluster(3)
    world.silence("demo.0003", 0.5)
    world.desired = replace(world.desired, engine_version="9.2.0")
    for _ in range(200):
        world.step()
        assert world.runs("demo.0001") and world.runs("demo.0002")
    world.of("demo.0003").frozen = False
    world.failing_starts = {"demo.discovery"}
    world.kill("demo.discovery")
    for _ in range(300):
        world.step()
        assert world.runs("demo.0001") and world.runs("demo.0002")
    world.failing_starts.clear()
    until_settled(world)
    assert versions(world) == ["9.2.0"] * 3


def test_a_version_that_does_not_start_is_taken_back() -> None:
    world = cluster(2)
    world.broken_versions.add("9.2.0")
    world.desired = replace(world.desired, engine_version="9.2.0")
    until_settled(world)
    assert (world.desired.engine_version, versions(world)) == ("9.1.2", ["9.1.2"] * 2)
    assert world.memory.nodes["demo.0002"].launches == 1


# --- portions ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("percentage", "portions"), [(34, [1, 1, 1, 1]), (50, [2, 2]), (1, [1, 1, 1, 1]), (100, [4])])
@pytest.mark.parametrize("threads", [2, 4])
def test_portions_with_an_interval_between(percentage: int, portions: list[int], threads: int) -> None:
    world = cluster(4)
    world.desired = replace(world.desired, node_type=LARGE, scale=ScaleConfig(percentage, 10))
    world.data_bytes, world.seen["threads"] = 300 * MB, threads
    done, times = [0], [0.0]
    for _ in range(20_000):
        world.step()
        new = sum(world.runs(n.name) and world.of(n.name).size_bytes == 300 * MB for n in world.desired.nodes)
        if new > done[-1]:
            done.append(new)
            times.append(world.now)
        if world.status.state == "available" and world.desired.scale is None:
            break
    assert world.desired.scale is None and done[-1] == 4
    assert (world.memory.scaling, world.memory.scaled_at) == ((), 0.0)
    bounds = [sum(portions[:number]) for number in range(len(portions) + 1)]
    for number in range(2, len(done)):
        if done[number - 1] in bounds:
            assert times[number] - times[number - 1] >= 600
        else:
            assert times[number] - times[number - 1] < 60, "within a portion nobody waits"
    assert sum(message.startswith("Succeeded applying") for message in world.events) == 1


def test_portions_go_on_after_a_crash_of_a_node() -> None:
    """One that has to be launched anew anyway gets the new size."""
    world = cluster(2)
    world.desired = replace(world.desired, node_type=LARGE, scale=ScaleConfig(50, 60))
    world.data_bytes = 300 * MB
    for _ in range(50):
        world.step()
    assert [world.of(node.name).size_bytes // MB for node in world.desired.nodes] == [300, 100]
    world.kill("demo.0002")
    until_settled(world)
    assert [world.of(node.name).size_bytes // MB for node in world.desired.nodes] == [300, 300]


def test_a_clock_that_is_set_back_makes_no_interval_longer() -> None:
    world = cluster(2)
    world.desired = replace(world.desired, node_type=LARGE, scale=ScaleConfig(50, 10))
    world.data_bytes = 300 * MB
    for _ in range(50):
        world.step()
    world.now -= 500
    until_settled(world, 400)


def test_a_cluster_without_a_scale_config_changes_at_once() -> None:
    world = cluster(3)
    world.data_bytes = 300 * MB
    world.desired = replace(world.desired, node_type=LARGE)
    world.step()
    world.step()
    assert {world.of(node.name).size_bytes for node in world.desired.nodes} == {300 * MB}


def test_another_port_is_told_node_by_node_and_the_endpoint_moves_last() -> None:
    world = cluster(2)
    world.desired = replace(world.desired, port=11311)
    published: list[tuple[int, ...]] = []
    told = len(world.events)
    for _ in range(2000):
        plan = world.step()
        serves = world.memory.nodes["demo.discovery"].became_ready
        assert serves or world.status.state == "modifying", "done before the endpoint serves its clients again"
        assert serves or not any("port to" in event for event in world.events[told:])
        published += [
            tuple(sorted(port for _, port in action.nodes)) for action in plan.actions if isinstance(action, PublishNodes)
        ]
        if world.status.state == "available":
            break
    assert list(dict.fromkeys(published)) == [(6379,), (6379, 11311), (11311,), (11311, 11311)]
    endpoint = world.memory.nodes["demo.discovery"]
    assert (endpoint.launches, endpoint.form.port if endpoint.form else 0) == (2, 11311)


@given(nodes=st.integers(1, 4), portion=st.sampled_from([0, 30, 50]), data=st.data())
@settings(max_examples=40, deadline=None)
def test_any_death_of_a_control_plane_or_of_a_node_only_delays(nodes: int, portion: int, data: st.DataObject) -> None:
    """A plan that was saved and not carried out, and nodes that crash, at any moment of such a change."""
    world = cluster(nodes)
    scale = ScaleConfig(portion, 1) if portion else None
    world.desired = replace(world.desired, node_type=LARGE, engine_version="9.2.0", scale=scale)
    world.data_bytes, world.seen["threads"] = 300 * MB, 4
    for _ in range(data.draw(st.integers(0, 60), label="passes")):
        names = [name for name in world.memory.nodes if world.runs(name)]
        what = data.draw(st.sampled_from(["go on"] * 6 + ["die", "crash"]), label="what")
        if what == "crash" and names:
            world.kill(data.draw(st.sampled_from(sorted(names)), label="node"))
        world.step(apply=what != "die")
    until_settled(world, 6000)
    assert versions(world) == [world.desired.engine_version] * nodes
    taken_back = any(message.startswith("Failed applying") for message in world.events)  # it crashed before it was ever ready
    assert world.desired.engine_version == ("9.1.2" if taken_back else "9.2.0")
    assert {(world.of(node.name).threads, world.of(node.name).size_bytes) for node in world.desired.nodes} == {(4, 300 * MB)}
    assert set(world.memory.node_list) == {node.name for node in world.desired.nodes}
    assert {name for name in world.memory.nodes if not name.endswith("discovery")} == set(world.memory.node_list)
