"""Cluster mode enabled, against a model world: slots, succession, forgotten identities, and any order of kills."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cachefleet.model.group import EndpointRole
from cachefleet.model.plan import Replicate
from cachefleet.model.slots import without
from tests.unit.planning.groups import clustered, created, holder
from tests.unit.planning.world import World


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


def test_a_cluster_is_available_only_when_every_node_has_heard_of_all_slots() -> None:
    world = World(clustered(2, 0))
    while len(world.engines) < 2:
        world.step()
    world.of("demo-0001-001").unheard = {world.of("demo-0002-001").engine_id}
    for _ in range(30):
        world.step()
    assert world.status.state == "creating"
    assert "has not heard of 1 of the other nodes" in world.status.why
    world.of("demo-0001-001").unheard = set()
    world.settle()
    assert world.status.state == "available"


def test_an_heir_that_was_synchronised_while_nobody_looked_is_told_again_to_take_over() -> None:
    world = created(clustered(3, 1))
    world.of("demo-0001-002").data = {7}
    world.memory.nodes["demo-0001-002"].became_ready = world.memory.nodes["demo-0001-002"].ready = False
    world.kill("demo-0001-001")
    world.step(apply=False)  # the vote came to nothing
    world.settle()
    assert world.memory.shards["0001"].primary == "demo-0001-002"
    assert world.of("demo-0001-001").data == {7}


def test_an_election_among_engines_is_adopted() -> None:
    world = created(clustered(3, 1))
    first, second = world.of("demo-0001-001"), world.of("demo-0001-002")
    second.slots, first.slots = first.slots, ()
    second.primary, second.primary_id, second.follows, second.epoch = True, "", "", 9
    first.primary, first.primary_id, first.follows, first.synced = False, second.engine_id, second.host, True
    world.settle()
    assert world.memory.shards["0001"].primary == "demo-0001-002"


@pytest.mark.parametrize("behind", ["demo-0001-001", "demo-0001-003"])
def test_one_that_was_elected_and_ended_before_anybody_saw_it_is_succeeded_by_who_has_most(behind: str) -> None:
    """It was the primary for a moment while no control plane watched; the old one had been frozen and follows it by now."""
    world = created(clustered(3, 2))
    first, second, third = (world.of(f"demo-0001-00{number}") for number in (1, 2, 3))
    second.slots, first.slots = first.slots, ()
    second.primary, second.primary_id, second.follows, second.epoch = True, "", "", 9
    for other in (first, third):
        other.primary, other.primary_id, other.follows, other.synced = False, second.engine_id, second.host, True
    world.write(1)
    for engine in (first, third):
        engine.data = set() if engine is world.of(behind) else {1}
    world.kill("demo-0001-002")
    world.settle()
    heir = {"demo-0001-001": "demo-0001-003", "demo-0001-003": "demo-0001-001"}[behind]
    assert world.memory.shards["0001"].primary == heir
    assert world.of(heir).slots == world.desired.shards[0].slots
    assert all(world.of(f"demo-0001-00{number}").data == {1} for number in (1, 2, 3))


def test_a_whole_shard_that_died_comes_back_with_its_slots() -> None:
    world = created(clustered(3, 1))
    world.kill("demo-0002-001")
    world.kill("demo-0002-002")
    world.settle()
    owned = sorted(pair for engine in world.engines.values() if engine.running for pair in engine.slots)
    assert owned == sorted(pair for shard in world.desired.shards for pair in shard.slots)


@pytest.mark.parametrize("provisioned", [True, False])
def test_a_fresh_identity_claims_slots_with_an_epoch_above_its_predecessor_s(provisioned: bool) -> None:
    world = created(clustered(3, 0))
    world.memory.provisioned = provisioned
    for _ in range(2):
        before = world.of("demo-0001-001").epoch
        world.kill("demo-0001-001")
        world.settle()
        assert world.of("demo-0001-001").epoch > before


def test_slots_that_a_primary_gave_up_are_claimed_again() -> None:
    world = created(clustered(3, 1))
    first = world.of("demo-0001-001")
    first.slots = without(first.slots, ((100, 199), (5000, 5000)))  # a client said CLUSTER DELSLOTS
    world.settle()
    assert first.slots == world.desired.shards[0].slots


def test_slots_that_a_client_moved_to_another_shard_are_not_taken_back() -> None:
    world = created(clustered(3, 0))
    first, second = world.of("demo-0001-001"), world.of("demo-0002-001")
    first.slots, second.slots = moved = (without(first.slots, ((0, 0),)), ((0, 0), *second.slots))
    world.settle()
    assert (first.slots, second.slots) == moved


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


def test_a_replica_without_data_begins_empty_when_its_primary_ended_and_the_zone_is_out() -> None:
    world = created(clustered(1, 1))
    first, second = "demo-0001-001", "demo-0001-002"
    world.kill(first)
    world.kill(second)
    for _ in range(100):
        world.step()
        if world.runs(second) and world.of(second).primary_id and not world.memory.nodes[second].became_ready:
            break
    assert world.of(second).primary_id == world.of(first).engine_id
    world.zones_out = frozenset(world.memory.nodes[first].zone[-1])
    world.kill(first)
    for _ in range(60):
        world.step()
    assert world.memory.shards["0001"].primary == second
    assert world.of(second).slots == world.desired.shards[0].slots
    world.zones_out = frozenset()
    world.settle()


def test_a_newcomer_that_has_heard_of_the_dead_owner_begins_empty() -> None:
    """It believes that the slots are that one's until it forgets it; and that one begins anew only when somebody owns them."""
    world = created(clustered(3, 1))
    first, second = "demo-0001-001", "demo-0001-002"
    world.kill(second)
    for _ in range(100):
        plan = world.step(apply=False)
        for action in plan.actions:
            if not isinstance(action, Replicate):
                world.apply(action)
        if world.runs(second) and world.of(first).engine_id in world.of(second).knows:
            break
    assert world.of(second).primary and not world.of(second).slots
    world.zones_out = frozenset(world.memory.nodes[first].zone[-1])
    world.kill(first)
    for _ in range(60):
        world.step()
    assert world.memory.shards["0001"].primary == second
    assert world.of(second).slots == world.desired.shards[0].slots
    world.zones_out = frozenset()
    world.settle()
