"""Who succeeds a primary, and when nobody does, against a model world."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cachefleet.model.group import DesiredShard, EndpointRole, GroupDesired
from tests.unit.planning.groups import asked, clustered, created, cut_off, holder, replicated

# --- choice ---


@settings(max_examples=60, deadline=None)
@given(
    offsets=st.lists(st.integers(0, 3), min_size=3, max_size=3),
    zones=st.lists(st.sampled_from("abc"), min_size=4, max_size=4),
)
def test_the_heir_has_the_highest_offset_then_the_zone_of_the_old_primary_then_the_smallest_name(
    offsets: list[int], zones: list[str]
) -> None:
    desired = replicated(4)
    nodes = tuple(msgspec.structs.replace(node, zone=f"local-1{zone}") for node, zone in zip(desired.nodes, zones, strict=True))
    world = created(msgspec.structs.replace(desired, shards=(DesiredShard("0001", nodes),)))
    replicas = [node.name for node in nodes[1:]]
    for name, offset in zip(replicas, offsets, strict=True):
        world.of(name).data = set(range(offset))
    world.kill("demo-001")
    world.step()
    best = max(offsets)
    equal = [name for name, offset in zip(replicas, offsets, strict=True) if offset == best]
    near = [name for name in equal if world.memory.nodes[name].zone == nodes[0].zone]
    assert world.memory.shards["0001"].primary == min(near or equal)


def test_cluster_primaries_are_spread_over_zones_where_offsets_are_equal() -> None:
    world = created(clustered(3, 2))
    world.kill("demo-0001-001")
    world.settle()
    zones = {name: world.memory.nodes[name].zone for name in ("demo-0001-002", "demo-0001-003")}
    others = [world.memory.nodes[world.memory.shards[shard].primary].zone for shard in ("0002", "0003")]
    chosen = world.memory.shards["0001"].primary
    assert others.count(zones[chosen]) == min(others.count(zone) for zone in zones.values())


def test_a_replica_that_was_cut_off_is_not_promoted_and_reads_go_on() -> None:
    world = created(replicated(2))
    world.write(1)
    cut_off(world, "demo-002", 5)
    world.write(2)
    world.kill("demo-001")
    for _ in range(100):
        world.step()
        world.now += 1
    assert not world.of("demo-002").primary
    assert not world.runs("demo-001"), "an empty primary would empty the replica"
    assert world.memory.shards["0001"].headless
    assert holder(world, EndpointRole.READER) == world.of("demo-002").host
    told = [event for event in world.events if "without losing writes" in event]
    assert len(told) == 1
    assert "promote one all the same" in world.status.why


def test_the_other_replica_is_promoted_when_one_was_cut_off() -> None:
    world = created(replicated(3))
    cut_off(world, "demo-002", 5)
    world.of("demo-002").data = set(range(100))  # whatever it says of itself
    world.write(1)
    world.kill("demo-001")
    world.settle()
    assert world.memory.shards["0001"].primary == "demo-003"


def test_a_replica_that_only_we_did_not_see_is_as_good_as_before() -> None:
    world = created(replicated(2))
    world.write(1)
    world.silence("demo-002", 0.6)
    for _ in range(5):
        world.step()
        world.now += 1
    world.kill("demo-001")
    world.step()
    world.of("demo-002").frozen = False
    world.settle()
    assert world.memory.shards["0001"].primary == "demo-002"


def test_a_replica_that_woke_up_with_more_than_the_qualified_one_is_preferred() -> None:
    world = created(replicated(3))
    world.write(1)
    for node in ("demo-002", "demo-003"):
        world.of(node).history = "one"
    cut_off(world, "demo-002", 5)
    world.of("demo-002").data = {1, 2, 3}
    world.kill("demo-001")
    world.settle()
    assert world.memory.shards["0001"].primary == "demo-002"
    assert world.of("demo-003").data == {1, 2, 3}


@pytest.mark.parametrize("to", ["", "demo-002"])
def test_a_replica_that_lacks_writes_is_promoted_when_somebody_asks_for_it(to: str) -> None:
    world = created(replicated(2))
    world.write(1)
    cut_off(world, "demo-002", 5)
    world.kill("demo-001")
    world.step()
    world.desired = asked(world.desired, to)
    world.settle()
    assert world.memory.shards["0001"].primary == "demo-002"
    assert world.of("demo-001").data == {1}
    assert world.memory.shards["0001"].handovers == 1
    assert not world.memory.shards["0001"].headless


def test_an_end_that_could_not_be_saved_for_long_is_as_old_as_it_is() -> None:
    world = created(replicated(2))
    world.write(1)
    world.kill("demo-001")
    world.of("demo-001").ended_s = world.of("demo-002").link_down_s = 60
    world.settle()
    assert world.memory.shards["0001"].primary == "demo-002"


# --- ends that nobody saw ---


def test_a_replica_whose_link_broke_long_before_the_end_was_told_is_stale_only_if_somebody_saw_the_end() -> None:
    for seen in (True, False):
        world = created(replicated(2))
        world.write(1)
        world.kill("demo-001", seen)
        world.of("demo-002").link_down_s = 600
        world.step()
        world.step()
        assert world.of("demo-002").primary is not seen
        assert world.memory.shards["0001"].headless is seen


def test_of_replicas_of_a_primary_whose_end_nobody_saw_only_the_furthest_is_promoted() -> None:
    world = created(replicated(3))
    world.write(1)
    world.of("demo-002").synced = False  # frozen while more was written
    world.write(2)
    world.kill("demo-001", seen=False)
    world.of("demo-002").link_down_s, world.of("demo-003").link_down_s = 0, 60
    world.settle()
    assert world.memory.shards["0001"].primary == "demo-003"
    assert world.of("demo-002").data == {1, 2}


def test_nobody_is_promoted_after_an_unseen_end_while_a_replica_that_may_be_ahead_is_silent() -> None:
    world = created(replicated(3))
    world.write(1)
    world.of("demo-002").synced = False
    world.write(2)
    world.kill("demo-001", seen=False)
    world.silence("demo-003", 1.0, stopped=True)
    for _ in range(5):
        world.step()
    assert not world.of("demo-002").primary
    assert not world.memory.shards["0001"].headless
    assert "waits for word from demo-003" in world.status.why
    world.of("demo-003").frozen = False
    world.settle()
    assert world.memory.shards["0001"].primary == "demo-003"


def test_no_other_replica_is_promoted_than_the_one_that_was_named() -> None:
    world = created(replicated(3))
    for node in ("demo-002", "demo-003"):
        world.of(node).synced = False
    cut_off(world, "demo-002", 5)
    world.kill("demo-001")
    world.kill("demo-003")
    world.failing_starts = {"demo-003"}
    world.step()
    world.desired = asked(world.desired, "demo-003")
    for _ in range(20):
        world.step()
    assert not world.of("demo-002").primary


def test_a_second_end_right_after_a_failover_finds_the_other_replica_fit() -> None:
    """Its link broke with the first end: a moment ago, which the engine calls 1 second."""
    world = created(replicated(3))
    world.write(1)
    world.failing_starts.add("demo-001")
    world.kill("demo-001")
    world.of("demo-002").link_down_s = world.of("demo-003").link_down_s = 1
    world.step()
    heir = world.memory.shards["0001"].primary
    other = "demo-002" if heir == "demo-003" else "demo-003"
    world.step()  # the heir is seen in its role; the other one does not follow it yet
    world.kill(heir)
    world.failing_starts.add(heir)
    for _ in range(5):
        world.step()
    assert world.of(other).primary


def test_a_link_that_breaks_with_the_primary_s_end_is_no_obstacle() -> None:
    world = created(replicated(2))
    world.write(1)
    world.of("demo-002").synced = False  # seen broken an instant before the end of the process is seen
    world.step()
    world.now += 0.2
    world.kill("demo-001")
    world.settle()
    assert world.memory.shards["0001"].primary == "demo-002"


def test_a_cluster_shard_without_an_heir_waits_for_a_word() -> None:
    world = created(clustered(3, 1))
    cut_off(world, "demo-0001-002", 5)
    world.kill("demo-0001-001")
    for _ in range(50):
        world.step()
        world.now += 1
    assert world.memory.shards["0001"].headless
    assert not world.of("demo-0001-002").primary
    world.desired = asked(world.desired)
    world.settle()
    assert world.memory.shards["0001"].primary == "demo-0001-002"


def test_a_replica_that_wakes_after_the_end_of_its_primary_does_not_know_how_long_it_was_cut_off() -> None:
    world = created(replicated(2))
    cut_off(world, "demo-002", 5)
    world.write(1)
    world.kill("demo-001")
    world.of("demo-002").link_down_s = 0
    for _ in range(5):
        world.step()
    assert not world.of("demo-002").primary
    assert world.memory.shards["0001"].headless


def test_a_replica_that_was_synchronised_while_nobody_looked_is_no_empty_one() -> None:
    world = created(replicated(2))
    world.write(1)
    world.memory.nodes["demo-002"].became_ready = world.memory.nodes["demo-002"].ready = False
    world.memory.nodes["demo-002"].lagging_since = world.now - 3
    world.of("demo-002").link_down_s = 0
    world.kill("demo-001", seen=False)
    world.settle()
    assert world.memory.shards["0001"].primary == "demo-002"
    assert world.of("demo-001").data == {1}


def test_a_replica_keeps_its_data_through_a_full_synchronisation_that_is_broken_off() -> None:
    world = created(replicated(2))
    world.write(1)
    replica = world.of("demo-002")
    world.memory.nodes["demo-002"].became_ready = world.memory.nodes["demo-002"].ready = False
    replica.synced = False
    world.step()
    data, replica.data = replica.data, set()  # that is what it says meanwhile
    replica.link_down_s = 30
    world.kill("demo-001")
    for _ in range(5):
        world.step()
        world.now += 1
    assert not any(engine.primary and engine.running for engine in world.engines.values()), "it would begin empty"
    replica.data = data


def test_a_replica_that_has_only_said_that_it_is_busy_since_it_was_empty_is_waited_for() -> None:
    world = created(replicated(2))
    world.write(1)
    replica = world.of("demo-002")
    world.memory.nodes["demo-002"].became_ready = world.memory.nodes["demo-002"].ready = False
    replica.synced, data = False, replica.data
    replica.data = set()
    world.busy.add(replica.incarnation)  # what it last said stays: that it had nothing
    world.kill("demo-001", seen=False)
    for _ in range(5):
        world.step()
        world.now += 1
    assert not world.runs("demo-001"), "it would begin empty"
    world.busy.clear()
    replica.data, replica.link_down_s = data, 5
    world.settle()
    assert world.memory.shards["0001"].primary == "demo-002"
    assert world.of("demo-001").data == {1}


@pytest.mark.parametrize("desired", [replicated(2), clustered(3, 1)], ids=["replicated", "clustered"])
def test_a_replica_that_speaks_up_late_has_what_the_new_primary_would_lack(desired: GroupDesired) -> None:
    world = created(desired)
    first, second = [node.name for node in desired.shards[0].nodes]
    world.of(second).data = {7}
    world.of(second).frozen = True
    world.kill(first)
    world.now += 1
    world.step()
    world.now += world.rules.busy_limit_s
    world.step()
    assert world.runs(first), "after so long it is started without word from the other"
    world.of(second).frozen = False
    world.settle()
    assert world.memory.shards["0001"].primary == second
    assert world.of(first).data == {7}


@pytest.mark.parametrize(("link_down_s", "promoted"), [(4, True), (5, True), (2, False), (9, False)])
def test_a_new_replica_whose_link_broke_with_the_primary_s_end_had_been_in_touch(link_down_s: int, promoted: bool) -> None:
    world = created(replicated(2))
    world.write(1)
    world.of("demo-002").frozen = True
    world.kill("demo-001")
    world.step(apply=False)
    world.memory.nodes["demo-002"].became_ready = world.memory.nodes["demo-002"].ready = False
    world.memory.nodes["demo-002"].lagging_since = world.now - 20
    world.now += 5
    world.of("demo-002").frozen = False
    world.of("demo-002").link_down_s = link_down_s
    world.step()
    assert (world.memory.shards["0001"].primary == "demo-002") is promoted


def test_the_reader_endpoint_is_not_taken_from_a_replica_that_does_not_answer() -> None:
    world = created(replicated(2))
    world.silence("demo-002", 2, busy=True)
    for _ in range(5):
        world.step()  # binding an address that is in use fails
    assert holder(world, EndpointRole.READER) == world.of("demo-002").host
