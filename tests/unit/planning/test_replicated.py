"""Cluster mode disabled, against a model world: roles, failover, endpoints, and any order of kills."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cachefleet.model.group import DesiredNode, DesiredShard, EndpointRole, GroupDesired, Shape
from tests.unit.planning.groups import ZONES, clustered, created, holder, memcached, replicated


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


def test_a_failover_is_told_before_the_recovery_of_the_old_primary() -> None:
    world = created(replicated(2))
    told = len(world.events)
    world.kill("demo-001")
    world.settle()
    failover = "Failover from primary node demo-001 to replica node demo-002 completed"
    recovery = ["Recovering cache nodes 0001", "Finished recovery for cache nodes 0001"]
    assert world.events[told:] == [failover, failover, *recovery]


def test_the_promotion_comes_in_the_first_pass_after_the_kill() -> None:
    world = created(replicated(2))
    world.write(1)
    world.kill("demo-001")
    world.step()
    assert world.write(2), "the endpoint must lead to the new primary after one pass"
    assert world.of("demo-002").data == {1, 2}


def test_a_primary_that_feeds_its_replica_keeps_its_sockets_until_the_child_has_ended() -> None:
    world = created(replicated(2))
    world.kill("demo-001")
    world.step()
    primary = world.of("demo-002")
    primary.has_child = True
    for _ in range(20):
        world.step()
    assert world.of("demo-001").synced
    assert holder(world, EndpointRole.READER) == primary.host, "the reader endpoint is served meanwhile"
    primary.has_child = False
    world.settle()
    assert holder(world, EndpointRole.READER) == world.of("demo-001").host


def test_the_reader_endpoint_is_never_without_a_server_once_it_was_given_out() -> None:
    world = created(replicated(2))
    for victim in ("demo-001", "demo-002", "demo-001"):
        world.kill(victim)
        world.step()
        for _ in range(30):
            world.step()
            assert holder(world, EndpointRole.READER)
        world.settle()


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


def test_a_hand_over_that_was_saved_but_not_done_does_not_make_two_primaries() -> None:
    world = created(replicated(2))
    world.write(1)
    world.memory.shards["0001"].primary = "demo-002"
    world.memory.shards["0001"].taken = False
    world.settle()
    assert world.of("demo-002").primary
    assert not world.of("demo-001").primary
    assert world.of("demo-002").data == {1}


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
