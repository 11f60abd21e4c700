"""Nodes that run and do not answer, and zones that are out: who is given up when, and that nobody succeeds a living primary."""

from __future__ import annotations

import pytest

from cachefleet.model.group import EndpointRole, GroupDesired
from cachefleet.model.observed import Silence
from cachefleet.model.plan import Promote, Stop, TakeOver
from cachefleet.settings import ControlSettings
from tests.unit.planning.groups import asked, clustered, created, memcached, replicated
from tests.unit.planning.world import World

RULES = ControlSettings()
SOON_S = RULES.silence_budget_s - 2 * RULES.pulse_interval_s
PATIENT_S = RULES.busy_limit_s


def given_up(world: World, node: str) -> bool:
    """Whether the next pass ends it; nobody is given a role before it is gone."""
    plan = world.step(apply=False)
    assert not any(isinstance(action, Promote | TakeOver) for action in plan.actions)
    return any(isinstance(action, Stop) and action.node == node for action in plan.actions)


@pytest.mark.parametrize("seconds", [0.5, SOON_S - 0.01])
def test_a_short_silence_is_borne(seconds: float) -> None:
    world = created(replicated(2))
    world.silence("demo-001", seconds, stopped=True)
    assert not given_up(world, "demo-001")


@pytest.mark.parametrize(
    ("stopped", "busy", "heard_s", "limit_s"),
    [
        (True, False, 0, SOON_S),
        (False, False, 2, SOON_S),
        (False, False, 1, PATIENT_S),
        (False, True, 5, PATIENT_S),
        (True, True, 0, SOON_S),
    ],
    ids=["stopped", "cut off from all", "its replica hears it", "busy", "stopped while busy"],
)
def test_a_silent_primary_is_given_up_by_cause(stopped: bool, busy: bool, heard_s: int, limit_s: float) -> None:
    world = created(replicated(2))
    world.heard_s = heard_s
    world.silence("demo-001", limit_s - 0.01, stopped, busy)
    assert not given_up(world, "demo-001")
    world.silence("demo-001", limit_s, stopped, busy)
    assert given_up(world, "demo-001")
    assert any("does not answer and is replaced" in event for event in world.events)


def test_a_frozen_primary_is_ended_before_its_replica_is_promoted_and_comes_back_as_a_replica() -> None:
    world = created(replicated(2))
    world.write(1)
    frozen = world.of("demo-001")
    world.silence("demo-001", SOON_S, stopped=True)
    world.step()
    assert not frozen.running
    world.step()
    assert world.write(2)
    world.settle()
    assert world.memory.shards["0001"].primary == "demo-002"
    assert world.of("demo-001").data == {1, 2}


def test_the_heir_of_a_hand_over_waits_until_a_frozen_holder_of_the_role_has_ended() -> None:
    world = created(replicated(2))
    world.write(1)
    world.desired = asked(world.desired)
    world.step(apply=False)  # the hand-over is saved, and broken off
    world.silence("demo-001", 0.6, stopped=True)
    for _ in range(5):
        assert not given_up(world, "demo-001")
    world.silence("demo-001", SOON_S, stopped=True)
    assert given_up(world, "demo-001")
    world.settle()
    assert world.memory.shards["0001"].primary == "demo-002"
    assert world.of("demo-001").data == {1}


def test_an_heir_that_freezes_before_it_was_seen_in_its_role_is_given_up_as_soon_as_any_primary() -> None:
    world = created(replicated(2))
    world.write(1)
    world.desired = asked(world.desired)
    world.step()
    assert not world.memory.shards["0001"].taken
    world.silence("demo-002", SOON_S, stopped=True)
    assert not given_up(world, "demo-002"), "it is learned in this look that it has the role"
    assert given_up(world, "demo-002")
    world.settle()
    assert world.memory.shards["0001"].primary == "demo-001"
    assert world.of("demo-002").data == {1}


def test_what_was_given_up_stays_given_up_when_it_answers_again() -> None:
    world = created(replicated(2))
    world.silence("demo-001", SOON_S, stopped=True)
    world.step(apply=False)
    world.of("demo-001").frozen = False
    assert given_up(world, "demo-001")
    world.settle()
    assert world.memory.shards["0001"].primary == "demo-002"


def test_the_last_copy_is_given_up_late() -> None:
    for world, node in (
        (created(replicated(1)), "demo-001"),
        (created(clustered(1, 0)), "demo-0001-001"),
        (created(memcached(1), replication_group=False), "demo.0001"),
    ):
        world.silence(node, PATIENT_S - 0.01, stopped=True)
        assert not given_up(world, node)
        world.silence(node, PATIENT_S, stopped=True)
        assert given_up(world, node)
        world.settle()
        assert world.runs(node)


def test_the_process_behind_a_configuration_endpoint_holds_no_data_and_is_given_up_soon() -> None:
    world = created(memcached(1), replication_group=False)
    world.silence("demo.discovery", SOON_S - 0.01, stopped=True)
    assert not given_up(world, "demo.discovery")
    world.silence("demo.discovery", SOON_S, stopped=True)
    told = len(world.events)
    assert given_up(world, "demo.discovery")
    world.settle()
    assert world.runs("demo.discovery")
    assert len(world.events) == told, "it is nothing that users know of"


@pytest.mark.parametrize("nodes", [1, 2])
def test_a_node_that_says_for_too_long_that_it_is_busy_is_given_up_when_another_can_serve(nodes: int) -> None:
    world = created(replicated(nodes))
    busy = world.of("demo-001").incarnation
    world.busy = {busy}
    world.silences[busy] = Silence(PATIENT_S - 0.01, busy=True)
    assert not given_up(world, "demo-001")
    world.silences[busy] = Silence(PATIENT_S, busy=True)
    assert given_up(world, "demo-001") is (nodes == 2)


def test_replicas_of_a_primary_that_runs_a_script_are_as_good_as_before() -> None:
    world = created(replicated(2))
    world.write(1)
    bound = set(world.of("demo-002").bound)
    world.busy = {world.of("demo-001").incarnation}
    world.deaf = {"demo-002"}
    for _ in range(5):
        world.step()
        world.now += 2
    assert world.of("demo-002").bound == bound
    world.kill("demo-001")
    world.settle()
    assert world.memory.shards["0001"].primary == "demo-002"


def test_replicas_are_given_up_only_while_their_primary_lives() -> None:
    world = created(replicated(2))
    world.silence("demo-002", SOON_S, stopped=True)
    assert given_up(world, "demo-002")
    world = created(replicated(2))
    world.silence("demo-001", SOON_S, stopped=True)
    world.silence("demo-002", SOON_S, stopped=True)
    assert not given_up(world, "demo-001")
    assert not given_up(world, "demo-002")


def test_the_configuration_endpoint_is_not_taken_from_a_member_that_does_not_answer() -> None:
    world = created(clustered(2, 1))
    held = world.memory.endpoints[EndpointRole.CONFIGURATION]
    (member,) = [node.name for node in world.desired.nodes if held in world.of(node.name).bound]
    world.silence(member, 2, busy=True)
    for _ in range(5):
        world.step()  # binding an address that is in use fails
    assert held in world.of(member).bound


def test_the_reader_endpoint_stays_with_its_replica_while_the_primary_is_silent() -> None:
    world = created(replicated(2))
    bound = set(world.of("demo-002").bound)
    world.silence("demo-001", 0.6, stopped=True)
    for _ in range(5):
        world.step()
    assert world.of("demo-002").bound == bound


@pytest.mark.parametrize("shards", [1, 3])
def test_a_frozen_cluster_primary_is_ended_before_its_replica_takes_over(shards: int) -> None:
    world = created(clustered(shards, 1))
    world.of("demo-0001-002").data = {7}
    world.heard_s = 0
    world.silence("demo-0001-001", SOON_S, stopped=True)
    assert given_up(world, "demo-0001-001")
    world.settle()
    assert world.memory.shards["0001"].primary == "demo-0001-002"
    assert world.of("demo-0001-001").data == {7}


def test_a_zone_that_is_out_loses_its_nodes_and_gets_them_back() -> None:
    world = created(replicated(3))
    world.write(1)
    primary = world.memory.shards["0001"].primary
    zone = world.memory.nodes[primary].zone
    lost = [node.name for node in world.desired.nodes if node.zone == zone]
    world.zones_out = frozenset(zone[-1])
    for _ in range(30):
        world.step()
    assert not any(world.runs(node) for node in lost)
    assert world.memory.shards["0001"].primary not in lost
    assert world.write(2)
    assert f"waits for zone {zone}" in world.status.why
    launches = [world.memory.nodes[node].launches for node in lost]
    world.zones_out = frozenset()
    world.settle()
    assert [world.memory.nodes[node].launches for node in lost] == [count + 1 for count in launches]
    assert all(engine.data == {1, 2} for engine in world.engines.values() if engine.running)


@pytest.mark.parametrize("desired", [replicated(3), clustered(1, 2)], ids=["replicated", "clustered"])
def test_when_all_zones_were_out_the_first_that_is_back_serves(desired: GroupDesired) -> None:
    world = created(desired)
    primary = world.memory.shards["0001"].primary
    letter = world.memory.nodes[primary].zone[-1]
    world.zones_out = frozenset("abc")
    for _ in range(10):
        world.step()
    assert not any(engine.running for engine in world.engines.values())
    assert sum("is out" in event for event in world.events) == 3
    world.zones_out = frozenset(letter)
    for _ in range(60):
        world.step()
    new = world.memory.shards["0001"].primary
    assert world.runs(new)
    assert world.of(new).primary
    world.zones_out = frozenset()
    world.settle()


def test_every_shard_of_a_lost_zone_fails_over() -> None:
    world = created(clustered(3, 2))
    zone = "a"
    world.zones_out = frozenset(zone)
    for _ in range(60):
        world.step()
    for shard in world.memory.shards.values():
        assert world.runs(shard.primary)
        assert not world.memory.nodes[shard.primary].zone.endswith(zone)
    world.zones_out = frozenset()
    world.settle()
