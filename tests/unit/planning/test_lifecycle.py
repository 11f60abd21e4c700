"""What all shapes share, against a model world: starts that fail, reboots, members that come and go, deletion."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest

from cachefleet.model.group import EndpointRole, GroupDesired, Shape
from tests.unit.planning.groups import clustered, created, holder, memcached, rebooting, replicated
from tests.unit.planning.world import World


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


def test_a_primary_that_dies_during_the_creation_is_started_again() -> None:
    world = World(replicated(3))
    while "demo-003" not in world.memory.nodes or not world.memory.nodes["demo-003"].became_ready:
        world.step()
    world.memory.provisioned = False
    world.memory.nodes["demo-003"].lagging_since = world.now - 10
    world.kill("demo-001")
    world.kill("demo-002")
    world.settle()
    assert world.status.state == "available"
    assert world.memory.shards["0001"].primary == "demo-001"


def test_a_clock_that_is_set_forward_makes_no_start_late() -> None:
    world = World(replicated(2))
    world.step()
    world.step()
    world.of("demo-002").frozen = True
    world.watched_s = 1.0
    world.now += 3600
    world.step()
    assert world.runs("demo-002")


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


def test_memcached_nodes_are_published() -> None:
    world = created(memcached(3), replication_group=False)
    endpoint = world.of("demo.discovery")
    assert endpoint.published == str(world.memory.node_list_version)
    assert world.memory.node_list == ("demo.0001", "demo.0002", "demo.0003")
    version = world.memory.node_list_version
    world.kill("demo.0002")
    world.settle()
    assert world.memory.node_list_version == version, "a replacement has the same address"


def test_a_memcached_node_that_moved_to_another_address_is_published_anew() -> None:
    world = created(memcached(2), replication_group=False)
    version, before = world.memory.node_list_version, world.memory.nodes["demo.0002"].address
    world.failing_starts = {"demo.0002"}
    world.kill("demo.0002")
    while world.memory.nodes["demo.0002"].address in ("", before):
        world.step()
    world.failing_starts = set()
    world.now += 60
    world.settle()
    assert world.memory.node_list_version > version
    assert world.memory.node_list_hosts == tuple(world.memory.nodes[name].address for name in world.memory.node_list)
    assert world.of("demo.discovery").published == str(world.memory.node_list_version)


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
