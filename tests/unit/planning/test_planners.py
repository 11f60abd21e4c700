"""The planners against a model world: creation, failover, restarts, deletion, and any order of kills."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cachefleet.model.group import DesiredNode, DesiredShard, EndpointRole, Engine, GroupDesired, Shape
from tests.unit.planning.world import World

ZONES = ("local-1a", "local-1b", "local-1c")


def replicated(nodes: int, failover: bool = True, **more: object) -> GroupDesired:
    members = tuple(DesiredNode(f"demo-{number:03}", "0001", ZONES[number % 3], 0.0) for number in range(1, nodes + 1))
    return _desired(Shape.REPLICATED, (DesiredShard("0001", members),), automatic_failover=failover, **more)


def clustered(shards: int, replicas: int) -> GroupDesired:
    size = 16384 // shards
    made = []
    for shard in range(shards):
        last = 16383 if shard == shards - 1 else (shard + 1) * size - 1
        members = tuple(
            DesiredNode(f"demo-{shard + 1:04}-{number:03}", "0001", ZONES[number % 3], 0.0) for number in range(1, replicas + 2)
        )
        made.append(DesiredShard(f"{shard + 1:04}", members, ((shard * size, last),)))
    return _desired(Shape.CLUSTERED, tuple(made), automatic_failover=True, cluster_mode="enabled")


def memcached(nodes: int) -> GroupDesired:
    members = tuple(DesiredNode(f"demo.{number:04}", f"{number:04}", ZONES[0], 0.0) for number in range(1, nodes + 1))
    return _desired(Shape.MEMCACHED, (DesiredShard("0001", members),))


def _desired(shape: Shape, shards: tuple[DesiredShard, ...], **more: object) -> GroupDesired:
    engine = Engine.MEMCACHED if shape is Shape.MEMCACHED else Engine.VALKEY
    return GroupDesired(
        uid="u1", shape=shape, engine=engine, engine_version="9.1.2", node_type="cache.t4g.micro", port=6379, shards=shards,
        parameter_group="default", subnet_group="default", **more,  # type: ignore[arg-type]
    )  # fmt: skip


def created(desired: GroupDesired, replication_group: bool = True) -> World:
    world = World(desired, replication_group=replication_group)
    world.settle()
    assert world.status.state == "available"
    return world


def holder(world: World, role: EndpointRole) -> str:
    address = world.memory.endpoints[role]
    (found,) = [engine.host for engine in world.engines.values() if engine.running and address in engine.bound]
    return found


@pytest.mark.parametrize("nodes", [1, 2, 6])
def test_a_new_group_gets_one_primary_and_replicas_in_sync(nodes: int) -> None:
    world = created(replicated(nodes))
    roles = sorted(engine.primary for engine in world.engines.values())
    assert roles == [False] * (nodes - 1) + [True]
    assert holder(world, EndpointRole.PRIMARY) == world.of("demo-001").host
    assert holder(world, EndpointRole.READER) == world.of("demo-002" if nodes > 1 else "demo-001").host
    assert "Replication group demo created" in world.events


def test_a_standalone_cluster_has_its_own_address_only() -> None:
    world = created(replicated(1), replication_group=False)
    assert world.memory.endpoints == {}
    assert world.of("demo-001").primary


def test_a_killed_primary_is_replaced_by_the_most_advanced_replica_and_returns_as_its_replica() -> None:
    world = created(replicated(3))
    assert world.write(1)
    world.of("demo-002").synced = False  # it lags behind from now on
    assert world.write(2)
    world.kill("demo-001")
    world.settle()
    assert world.memory.shards["0001"].primary == "demo-003"
    assert world.of("demo-003").data == {1, 2}
    assert world.of("demo-001").follows == world.of("demo-003").host
    assert world.lost == set()
    assert any("Failover from primary node demo-001 to replica node demo-003" in event for event in world.events)


def test_the_promotion_comes_in_the_first_pass_after_the_kill() -> None:
    world = created(replicated(2))
    world.write(1)
    world.kill("demo-001")
    world.step()
    assert world.write(2), "the endpoint must lead to the new primary after one pass"
    assert world.of("demo-002").data == {1, 2}


def test_a_primary_without_replicas_comes_back_empty_with_its_endpoint() -> None:
    world = created(replicated(1))
    world.write(1)
    world.kill("demo-001")
    world.settle()
    assert world.write(2)
    assert world.of("demo-001").data == {2}


def test_an_empty_primary_never_starts_while_silent_replicas_may_hold_its_data() -> None:
    world = created(replicated(2))
    world.write(1)
    world.of("demo-002").frozen = True
    world.kill("demo-001")
    for _ in range(20):
        world.step()
    assert not any(engine.running and engine.primary for engine in world.engines.values())
    world.of("demo-002").frozen = False
    world.settle()
    assert world.of("demo-002").data == {1}


def test_without_failover_the_data_survives_and_the_role_returns() -> None:
    world = created(replicated(2, failover=False))
    world.write(1)
    world.kill("demo-001")
    world.settle()
    assert world.memory.shards["0001"].primary == "demo-001"
    assert world.of("demo-001").data == {1}


def test_a_rebooted_primary_keeps_its_data_by_handing_its_role_over_for_the_time() -> None:
    world = created(replicated(2))
    world.write(1)
    shard = world.desired.shards[0]
    first = DesiredNode("demo-001", "0001", ZONES[0], 0.0, reboots=1)
    world.desired = msgspec.structs.replace(world.desired, shards=(DesiredShard("0001", (first, shard.nodes[1])),))
    before = world.of("demo-001").incarnation
    world.step()
    world.settle()
    assert world.of("demo-001").incarnation != before
    assert world.memory.shards["0001"].primary == "demo-001"
    assert world.of("demo-001").data == {1}


def rebooting(desired: GroupDesired, node: int) -> GroupDesired:
    """A reboot of the node with that index is asked for."""
    (shard,) = desired.shards
    nodes = list(shard.nodes)
    nodes[node] = msgspec.structs.replace(nodes[node], reboots=nodes[node].reboots + 1)
    return msgspec.structs.replace(desired, shards=(DesiredShard("0001", tuple(nodes)),))


@pytest.mark.parametrize("desired", [replicated(1), replicated(3), memcached(3)], ids=["alone", "replicated", "memcached"])
def test_a_reboot_is_shown_until_it_is_done_and_told_with_its_own_words(desired: GroupDesired) -> None:
    world = created(desired, replication_group=desired.shape is not Shape.MEMCACHED)
    rebooted = desired.nodes[-1].name
    before = world.of(rebooted).incarnation
    told = len(world.events)
    world.desired = rebooting(desired, -1)
    world.step()
    while world.of(rebooted).incarnation == before or not world.memory.nodes[rebooted].ready:
        assert world.status.nodes[rebooted].state == "rebooting"
        assert world.status.state == "rebooting"
        world.step()
    world.settle()
    node_id = desired.nodes[-1].node_id
    assert world.events[told:] == [f"Cache node {node_id} shutdown", f"Cache node {node_id} restarted"]
    world.kill(rebooted)
    world.step()
    assert world.status.nodes[rebooted].state == "recovering"


@pytest.mark.parametrize("desired", [replicated(1), replicated(2), memcached(2)], ids=["alone", "replicated", "memcached"])
def test_a_reboot_that_was_saved_but_not_done_is_done_afterwards(desired: GroupDesired) -> None:
    world = created(desired, replication_group=desired.shape is not Shape.MEMCACHED)
    rebooted = desired.nodes[-1].name
    before = world.of(rebooted).incarnation
    world.desired = rebooting(desired, -1)
    world.step(apply=False)
    world.settle()
    assert world.of(rebooted).incarnation != before
    assert world.status.nodes[rebooted].state == "available"


@pytest.mark.parametrize(
    "desired",
    [replicated(1), replicated(3), clustered(2, 1), memcached(2)],
    ids=["alone", "replicated", "clustered", "memcached"],
)
@pytest.mark.parametrize("passes", [0, 1, 2, 3])
def test_a_clock_that_is_set_back_holds_nothing_up(desired: GroupDesired, passes: int) -> None:
    world = created(desired, replication_group=desired.shape is not Shape.MEMCACHED)
    for node in desired.nodes:
        world.kill(node.name)
    for _ in range(passes):
        world.step(apply=False)
    world.now -= 900
    world.settle()
    assert world.status.state == "available"


def test_a_clock_that_is_set_back_keeps_the_pause_between_failing_starts() -> None:
    world = created(replicated(1))
    world.failing_starts = {"demo-001"}
    world.kill("demo-001")
    while world.memory.nodes["demo-001"].failures < 3:
        world.step()
    launches = world.memory.nodes["demo-001"].launches
    world.now -= 900
    world.step()
    assert world.memory.nodes["demo-001"].launches == launches
    assert 1 < world.memory.nodes["demo-001"].retry_at - world.now <= 2
    world.failing_starts = set()
    world.settle()


def test_a_hand_over_that_was_saved_but_not_done_does_not_make_two_primaries() -> None:
    world = created(replicated(2))
    world.write(1)
    world.memory.shards["0001"].primary = "demo-002"
    world.memory.shards["0001"].taken = False
    world.settle()
    assert world.of("demo-002").primary
    assert not world.of("demo-001").primary
    assert world.of("demo-002").data == {1}


@pytest.mark.parametrize(("shards", "replicas"), [(1, 0), (1, 1), (2, 1), (3, 1), (5, 2)])
def test_a_new_cluster_owns_every_slot_once(shards: int, replicas: int) -> None:
    world = created(clustered(shards, replicas))
    owned = sorted(pair for engine in world.engines.values() for pair in engine.slots)
    assert owned == sorted(pair for shard in world.desired.shards for pair in shard.slots)
    assert len({engine.epoch for engine in world.engines.values() if engine.slots}) == shards
    holder(world, EndpointRole.CONFIGURATION)


@pytest.mark.parametrize("shards", [1, 2, 3])
def test_a_killed_cluster_primary_is_succeeded_and_its_old_identity_forgotten(shards: int) -> None:
    world = created(clustered(shards, 1))
    old = world.of("demo-0001-001").engine_id
    world.of("demo-0001-002").data = {7}
    world.kill("demo-0001-001")
    world.settle()
    assert world.memory.shards["0001"].primary == "demo-0001-002"
    assert world.of("demo-0001-001").data == {7}
    assert not any(old in engine.knows for engine in world.engines.values() if engine.running)


def test_an_election_among_engines_is_adopted() -> None:
    world = created(clustered(3, 1))
    first, second = world.of("demo-0001-001"), world.of("demo-0001-002")
    second.slots, first.slots = first.slots, ()
    second.primary, second.primary_id, second.follows, second.epoch = True, "", "", 9
    first.primary, first.primary_id, first.follows, first.synced = False, second.engine_id, second.host, True
    world.settle()
    assert world.memory.shards["0001"].primary == "demo-0001-002"


def test_a_whole_shard_that_died_comes_back_with_its_slots() -> None:
    world = created(clustered(3, 1))
    world.kill("demo-0002-001")
    world.kill("demo-0002-002")
    world.settle()
    owned = sorted(pair for engine in world.engines.values() if engine.running for pair in engine.slots)
    assert owned == sorted(pair for shard in world.desired.shards for pair in shard.slots)


def test_memcached_nodes_are_published() -> None:
    world = created(memcached(3), replication_group=False)
    endpoint = world.of("demo.discovery")
    assert endpoint.published == str(world.memory.node_list_version)
    assert world.memory.node_list == ("demo.0001", "demo.0002", "demo.0003")
    version = world.memory.node_list_version
    world.kill("demo.0002")
    world.settle()
    assert world.memory.node_list_version == version, "a replacement has the same address"


def test_a_creation_that_cannot_succeed_ends_with_a_reason_and_leaves_nothing() -> None:
    world = World(replicated(2))
    world.failing_starts = {"demo-002"}
    world.settle(400)
    assert world.status.state == "create-failed"
    assert "demo-002" in world.status.why
    for _ in range(5):
        world.step()
    assert world.engines == {}
    assert world.addresses_held() == []
    assert any(event.startswith("Failed to create replication group demo") for event in world.events)


def test_a_node_that_answers_but_takes_long_to_join_is_not_given_up() -> None:
    world = World(replicated(2))
    for _ in range(6):
        world.step()
    world.memory.nodes["demo-002"].became_ready = world.memory.nodes["demo-002"].ready = False
    world.of("demo-002").synced = False
    world.now += 100
    world.step()
    assert world.runs("demo-002")


def test_starts_that_are_refused_are_repeated_with_growing_pauses_and_a_reason() -> None:
    world = World(replicated(1))
    world.step(apply=False)
    launched = []
    for _ in range(400):
        launches = world.memory.nodes["demo-001"].launches
        world.step(apply=False)
        if world.memory.nodes["demo-001"].launches > launches:
            launched.append(world.now)
        world.now += 0.1
    pauses = [after - before for before, after in pairwise(launched)]
    assert len(pauses) >= 3
    assert pauses[-1] > 2 * pauses[0]
    assert "could not be started" in world.status.why
    world.now += 100
    world.settle()
    assert world.status.state == "available"


def test_a_node_that_never_answers_is_started_again() -> None:
    world = World(replicated(2))
    world.step()
    world.step()
    first = world.of("demo-002")
    first.frozen = True
    for _ in range(3):
        world.now += 25
        world.step()
    assert not first.running


def test_a_removed_replica_is_stopped_and_forgotten() -> None:
    world = created(replicated(3))
    address = world.memory.nodes["demo-003"].address
    world.desired = replicated(2)
    world.step()
    assert world.status.state == "modifying"
    world.settle()
    assert set(world.memory.nodes) == {"demo-001", "demo-002"}
    assert address not in world.addresses_held()
    assert not any(".demo-003." in name for name in world.engines)
    assert "Cache cluster deleted" in world.events


def test_an_added_replica_is_synchronised_and_told() -> None:
    world = created(replicated(2))
    world.write(1)
    world.desired = replicated(3)
    world.step()
    assert world.status.state == "modifying"
    world.settle()
    assert world.of("demo-003").data == {1}
    assert any(event.startswith("Added cache node 0001") for event in world.events)


def test_a_cluster_that_becomes_a_replication_group_is_modifying_until_it_has_its_endpoints() -> None:
    world = created(replicated(1), replication_group=False)
    world.replication_group = True
    world.no_addresses = "none for now"
    world.step()
    assert world.status.state == "modifying"
    world.no_addresses = ""
    world.settle()
    assert world.status.state == "available"
    assert holder(world, EndpointRole.PRIMARY) == world.of("demo-001").host


def test_used_up_addresses_fail_a_creation() -> None:
    world = World(replicated(2))
    world.no_addresses = "the range is used up"
    world.settle()
    assert world.status.state == "create-failed"
    assert "used up" in world.status.why


@pytest.mark.parametrize("desired", [replicated(3), clustered(2, 1), memcached(2)])
def test_deletion_leaves_no_process(desired: GroupDesired) -> None:
    world = created(desired, replication_group=desired.shape is not Shape.MEMCACHED)
    world.desired = msgspec.structs.replace(world.desired, deleting=True)
    world.settle()
    assert world.finished
    assert world.engines == {}


@settings(max_examples=60, deadline=None)
@given(
    nodes=st.integers(2, 4),
    script=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4), st.booleans()), max_size=12),
)
def test_replicated_groups_lose_nothing_that_a_living_replica_had(nodes: int, script: list[tuple[int, int, bool]]) -> None:
    world = created(replicated(nodes))
    for value, (victim, passes, dies) in enumerate(script):
        world.write(value)
        name = f"demo-{victim % nodes + 1:03}"
        if world.runs(name) and any(world.whole(node.name) for node in world.desired.nodes if node.name != name):
            world.kill(name)
        for number in range(passes):
            world.step(apply=not (dies and number == 0))
    world.settle()
    assert world.write(10_000)
    assert all(10_000 in engine.data for engine in world.engines.values() if engine.running)
    primaries = [engine for engine in world.engines.values() if engine.running and engine.primary]
    assert len(primaries) == 1
    assert world.lost == set()


@settings(max_examples=40, deadline=None)
@given(
    shards=st.integers(1, 4),
    script=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 1), st.integers(0, 5), st.booleans()), max_size=8),
)
def test_clusters_converge_with_every_slot_owned_once(shards: int, script: list[tuple[int, int, int, bool]]) -> None:
    world = created(clustered(shards, 1))
    for shard, member, passes, dies in script:
        name = f"demo-{shard % shards + 1:04}-{member + 1:03}"
        if world.runs(name):
            world.kill(name)
        for number in range(passes):
            world.step(apply=not (dies and number == 0))
    world.settle(600)
    owned = sorted(pair for engine in world.engines.values() if engine.running for pair in engine.slots)
    assert owned == sorted(pair for shard in world.desired.shards for pair in shard.slots)
