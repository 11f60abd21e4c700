"""Hand-overs of the primary role that were asked for, against a model world: once, to whom, and what becomes of broken ones."""

from __future__ import annotations

import msgspec
import pytest

from cachefleet.model.plan import Switch
from tests.unit.planning.groups import asked, clustered, created, replicated


@pytest.mark.parametrize("to", ["", "demo-003"])
def test_a_role_that_is_asked_for_is_handed_over_once(to: str) -> None:
    world = created(replicated(3))
    world.write(1)
    before = {engine.incarnation for engine in world.engines.values()}
    told = len(world.events)
    world.desired = asked(world.desired, to)
    world.settle()
    shard = world.memory.shards["0001"]
    assert shard.primary == (to or "demo-002")
    assert (shard.handovers, shard.handing_from) == (1, "")
    assert {engine.incarnation for engine in world.engines.values()} == before
    assert world.lost == set()
    failover = f"Failover from primary node demo-001 to replica node {shard.primary} completed"
    assert world.events[told:] == [
        failover, failover, "Recovering cache nodes 0001", "Finished recovery for cache nodes 0001"
    ]  # fmt: skip
    world.settle()
    assert world.memory.shards["0001"].primary == shard.primary


def test_a_primary_that_is_chosen_by_hand_keeps_the_role_that_it_had_for_a_while() -> None:
    world = created(msgspec.structs.replace(replicated(2), automatic_failover=False))
    world.kill("demo-001")
    for _ in range(3):
        world.step()
    shard = world.memory.shards["0001"]
    assert (shard.primary, shard.return_to) == ("demo-002", "demo-001")
    world.desired = asked(world.desired, "demo-002")
    world.settle()
    shard = world.memory.shards["0001"]
    assert (shard.primary, shard.return_to, shard.handovers) == ("demo-002", "", 1)
    assert world.of("demo-001").follows == world.of("demo-002").host


def test_a_hand_over_waits_for_a_replica_in_sync() -> None:
    world = created(replicated(2))
    world.of("demo-002").synced = False
    world.step()
    world.desired = asked(world.desired)
    for _ in range(5):
        assert not any(isinstance(action, Switch) for action in world.step().actions)
    world.of("demo-002").synced = True
    world.settle()
    assert world.memory.shards["0001"].primary == "demo-002"


def test_a_hand_over_that_failed_is_tried_again() -> None:
    world = created(replicated(2))
    world.desired = asked(world.desired)
    world.step(apply=False)
    assert world.memory.shards["0001"].handing_from == "demo-001"
    world.settle()
    assert world.memory.shards["0001"].primary == "demo-002"
    assert world.memory.shards["0001"].handovers == 1


def test_an_heir_that_dies_before_it_has_the_role_leaves_it_where_it_was() -> None:
    world = created(replicated(2))
    world.write(1)
    world.desired = asked(world.desired)
    world.step(apply=False)
    world.kill("demo-002")
    world.step()
    assert world.memory.shards["0001"].primary == "demo-001"
    assert world.write(2)
    world.settle()
    assert world.of("demo-001").data == {1, 2} == world.of("demo-002").data


@pytest.mark.parametrize("shards", [1, 2, 3])
def test_a_cluster_hands_over_by_agreement(shards: int) -> None:
    world = created(clustered(shards, 1))
    world.desired = asked(world.desired)
    world.step(apply=False)  # the engines take their time
    world.step()
    assert world.memory.shards["0001"].primary == "demo-0001-002"
    world.kill("demo-0001-002")
    world.settle()
    assert world.memory.shards["0001"].primary == "demo-0001-001", "its heir is no more"
    world.step()
    world.settle()
    assert world.of("demo-0001-002").slots == world.desired.shards[0].slots
    assert world.memory.shards["0001"].handovers == 1
