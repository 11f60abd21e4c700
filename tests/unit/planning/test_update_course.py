"""Service updates against a model world: begun by users or by themselves, stopped, gone on with, taken back; what is noted."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from cachefleet.model.group import GroupDesired, Shape
from cachefleet.model.service_update import AskedUpdate, OfferedUpdate, UpdateCourse
from cachefleet.planning.update_course import SHOWN_S
from cachefleet.reference.engines import version_numbers
from cachefleet.reference.windows import WEEK_MINUTES, WeeklyWindow
from tests.unit.planning.groups import clustered, created, memcached, replicated
from tests.unit.planning.world import World

OLD, NEW, NEWER = "9.1.1", "9.1.2", "9.1.3"


def old(desired: GroupDesired) -> World:
    return created(replace(desired, engine_version=OLD))


def apply(world: World, version: str = NEW) -> None:
    update = AskedUpdate(version, "customer", world.now)
    world.desired = replace(world.desired, engine_version=version, update=update)


def stop(world: World) -> None:
    assert world.desired.update is not None
    world.desired = replace(world.desired, update=replace(world.desired.update, stopped_at=world.now))


def versions(world: World) -> dict[str, str]:
    return {node.name: form.version for node in world.desired.nodes if (form := world.memory.nodes[node.name].form) is not None}


def step_until(world: World, name: str, version: str = NEW) -> None:
    """Until that node is ready with it."""
    for _ in range(400):
        world.step()
        known = world.memory.nodes[name]
        if known.form is not None and known.form.version == version and known.ready:
            return
    raise AssertionError(f"{name} never had {version}: {world.status}")


def stop_after(world: World, name: str, version: str = NEW) -> None:
    """Begun, and stopped when that node is ready with it."""
    apply(world, version)
    step_until(world, name, version)
    stop(world)
    world.settle()


def course(world: World) -> UpdateCourse:
    (found,) = world.memory.updates
    return found


def safe(world: World) -> bool:
    """No replica is older than its primary."""
    if world.desired.shape is Shape.MEMCACHED:
        return True
    found = versions(world)
    return all(
        version_numbers(found[node.name]) >= version_numbers(found[world.memory.shards[shard.shard_id].primary])
        for shard in world.desired.shards
        for node in shard.nodes
    )


def test_what_is_noted_of_an_update_that_is_applied() -> None:
    world = old(replicated(3))
    assert world.memory.updates == []
    apply(world)
    asked_at = world.now
    world.step()
    assert (course(world).version, course(world).from_version) == (NEW, OLD)
    assert (course(world).by, course(world).asked_at) == ("customer", asked_at)
    step_until(world, "demo-002")
    assert {name: node.ended_at > 0 for name, node in course(world).nodes.items()} == {"demo-002": True}
    world.settle()
    noted = course(world)
    assert noted.ended_at >= max(node.ended_at for node in noted.nodes.values()) > noted.asked_at
    assert list(noted.nodes) == ["demo-002", "demo-003", "demo-001"]
    world.now += SHOWN_S
    world.step()
    assert world.memory.updates == []


def test_a_version_that_was_asked_for_counts_as_the_update_that_brings_it() -> None:
    world = old(replicated(2))
    world.desired = replace(world.desired, engine_version=NEW)
    world.step()
    assert (course(world).by, course(world).version) == ("customer", NEW)
    world.settle()
    assert course(world).ended_at


def test_another_engine_is_no_update() -> None:
    world = created(replace(replicated(2), engine="redis", engine_version="7.0.15"))
    world.desired = replace(world.desired, engine="valkey", engine_version=NEW)
    world.settle()
    assert world.memory.updates == []


def test_stopped_after_the_first_replica_all_others_stay_as_they_are() -> None:
    world = old(replicated(3))
    assert world.write(1)
    stop_after(world, "demo-002")
    assert versions(world) == {"demo-001": OLD, "demo-002": NEW, "demo-003": OLD}
    assert course(world).stopped_at
    assert not course(world).ended_at
    told = len(world.events)
    for _ in range(50):
        plan = world.step()
        assert not plan.actions
        assert world.status.state == "available"
        assert plan.memory.updates == world.memory.updates
    assert world.write(2)
    assert world.events[told:] == []
    apply(world)
    world.settle()
    assert set(versions(world).values()) == {NEW}
    assert world.events[-4:] == [f"Succeeded applying modification to engine version to valkey {NEW}."] * 4
    assert course(world).stopped_at == 0
    assert course(world).ended_at
    assert world.lost == set()


def test_a_node_that_is_under_way_when_it_is_stopped_is_finished() -> None:
    world = old(replicated(3))
    apply(world)
    while not world.memory.nodes["demo-002"].roll_of:
        world.step()
    stop(world)
    world.settle()
    assert versions(world) == {"demo-001": OLD, "demo-002": NEW, "demo-003": OLD}


def test_a_shard_whose_primary_is_new_is_finished() -> None:
    """An old replica might not understand what a newer primary sends."""
    world = old(replicated(3))
    apply(world)
    while world.memory.shards["0001"].primary == "demo-001":
        world.step()
    stop(world)
    world.settle()
    assert set(versions(world).values()) == {NEW}
    assert course(world).ended_at


def test_a_failover_to_a_newer_replica_takes_the_rest_of_the_shard_along() -> None:
    world = old(replicated(3))
    stop_after(world, "demo-002")
    world.of("demo-003").synced = False
    world.kill("demo-001")
    world.settle()
    assert world.memory.shards["0001"].primary == "demo-002"
    assert set(versions(world).values()) == {NEW}


def test_stopped_before_it_began_nothing_happens() -> None:
    world = old(replicated(2))
    apply(world)
    stop(world)
    world.settle()
    assert set(versions(world).values()) == {OLD}
    assert course(world).stopped_at
    assert course(world).nodes == {}


@pytest.mark.parametrize("passes", range(1, 60, 4))
def test_a_lone_node_keeps_its_data_and_has_no_temporary_one_in_the_end(passes: int) -> None:
    world = old(replicated(1, failover=False))
    assert world.write(1)
    apply(world)
    for _ in range(passes):
        world.step()
    stop(world)
    world.settle()
    assert set(world.memory.nodes) == {"demo-001"}
    assert world.of("demo-001").data == {1}
    apply(world)
    world.settle()
    assert versions(world) == {"demo-001": NEW}
    assert world.of("demo-001").data == {1}


def test_shards_that_were_not_begun_stay_and_others_are_finished() -> None:
    world = old(clustered(3, 1))
    apply(world)
    while all(world.memory.shards[f"000{number}"].primary.endswith("-001") for number in (1, 2, 3)):
        world.step()
    stop(world)
    world.settle()
    assert safe(world)
    found = versions(world)
    assert {found["demo-0001-001"], found["demo-0001-002"]} == {NEW}
    assert found["demo-0003-001"] == OLD
    apply(world)
    world.settle()
    assert set(versions(world).values()) == {NEW}


def test_memcached_nodes_stay_one_by_one() -> None:
    world = created(replace(memcached(3), engine_version="1.6.18"))
    stop_after(world, "demo.0001", "1.6.40")
    assert sorted(versions(world).values()) == ["1.6.18", "1.6.18", "1.6.40"]
    apply(world, "1.6.40")
    world.settle()
    assert set(versions(world).values()) == {"1.6.40"}


def test_a_newer_update_after_one_that_was_stopped() -> None:
    """Three versions in one shard, the primary's being the oldest."""
    world = old(replicated(4))
    stop_after(world, "demo-002")
    world.kill("demo-003")
    world.settle()
    stop_after(world, "demo-002", NEWER)
    assert versions(world) == {"demo-001": OLD, "demo-002": NEWER, "demo-003": NEW, "demo-004": OLD}
    assert course(world).version == NEWER
    assert world.memory.settled is not None
    assert world.memory.settled.form.version == OLD
    apply(world, NEWER)
    world.settle()
    assert set(versions(world).values()) == {NEWER}


def test_a_node_that_is_launched_anew_while_it_stands_still_gets_the_update() -> None:
    world = old(replicated(3))
    stop_after(world, "demo-002")
    world.kill("demo-003")
    world.settle()
    assert versions(world) == {"demo-001": OLD, "demo-002": NEW, "demo-003": NEW}


@settings(max_examples=60, deadline=None)
@given(
    shape=st.sampled_from(["one", "three", "clustered"]),
    before_stop=st.integers(0, 80),
    killed=st.integers(0, 5),
    before_kill=st.integers(0, 30),
    kill=st.booleans(),
    die=st.booleans(),
)
def test_wherever_it_is_stopped_the_group_is_whole_and_safe(
    shape: str, before_stop: int, killed: int, before_kill: int, kill: bool, die: bool
) -> None:
    world = old({"one": replicated(2), "three": replicated(3), "clustered": clustered(2, 1)}[shape])
    apply(world)
    for _ in range(before_stop):
        world.step()
    stop(world)
    if die:
        world.step(apply=False)  # saved, and not done
    for _ in range(before_kill):
        world.step()
    if kill:
        node = world.desired.nodes[killed % len(world.desired.nodes)].name
        if world.runs(node) and all(world.whole(other.name) for other in world.desired.nodes):
            world.kill(node)
    world.settle(600)
    assert safe(world)
    assert bool(course(world).ended_at) is (set(versions(world).values()) == {NEW})
    assert bool(course(world).stopped_at) is not bool(course(world).ended_at)
    apply(world)
    world.settle(600)
    assert set(versions(world).values()) == {NEW}
    assert world.lost == set()


# --- by itself -----------------------------------------------------------------------------------------------------


def window(world: World, opens_in_s: float) -> None:
    minute = int((world.now + opens_in_s) // 60 + 3 * 24 * 60) % WEEK_MINUTES
    world.desired = replace(world.desired, maintenance_window=str(WeeklyWindow(minute, 60)))


def offer(world: World, *offers: tuple[str, float]) -> None:
    world.seen["updates"] = tuple(OfferedUpdate(f"valkey-{version}", version, 0.0, due) for version, due in offers)


def quiet(world: World, passes: int = 5) -> None:
    for _ in range(passes):
        world.step()
    assert set(versions(world).values()) == {OLD}
    assert world.desired.engine_version == OLD


def test_what_is_due_begins_in_the_window_and_not_before() -> None:
    world = old(replicated(2))
    window(world, 7200.0)
    offer(world, (NEW, world.now + 3600.0))
    quiet(world)
    world.now += 7210.0
    world.settle()
    assert set(versions(world).values()) == {NEW}
    assert (course(world).by, course(world).asked_at > 0) == ("system", True)
    assert f"Service update valkey-{NEW} is being applied in the maintenance window" in world.events


def test_what_is_not_due_does_not_begin_in_the_window() -> None:
    world = old(replicated(2))
    window(world, -60.0)
    offer(world, (NEW, world.now + 7200.0), (NEWER, math.inf))
    quiet(world)


def test_of_several_that_are_due_the_newest_begins() -> None:
    world = old(replicated(2))
    window(world, -60.0)
    offer(world, (NEW, 0.0), (NEWER, 0.0))
    world.settle()
    assert set(versions(world).values()) == {NEWER}


def test_one_that_was_stopped_does_not_go_on_by_itself_but_a_newer_one_does() -> None:
    world = old(replicated(3))
    window(world, -60.0)
    offer(world, (NEW, 0.0))
    step_until(world, "demo-002")
    stop(world)
    world.settle()
    for _ in range(20):
        world.step()
    assert sorted(versions(world).values()) == [OLD, OLD, NEW]
    offer(world, (NEW, 0.0), (NEWER, 0.0))
    world.settle()
    assert set(versions(world).values()) == {NEWER}


def test_one_that_does_not_start_is_taken_back_and_not_tried_again_by_itself() -> None:
    world = old(replicated(2))
    window(world, -60.0)
    offer(world, (NEW, 0.0))
    world.broken_versions = {NEW}
    for _ in range(400):
        world.step()
        if world.memory.updates and world.memory.updates[0].failed_at and world.status.state == "available":
            break
    assert world.desired.update is None
    told = len(world.events)
    world.settle()
    quiet(world, 30)
    assert world.events[told:] == []
    assert any(event.startswith(f"Failed applying modification to valkey {NEW}") for event in world.events)
    world.broken_versions = set()
    apply(world)
    world.settle()
    assert course(world).ended_at


def test_users_hear_once_of_an_update_that_came_after_their_cache() -> None:
    world = old(replicated(2))
    world.seen["updates"] = (OfferedUpdate("new", NEW, world.now, math.inf),)
    for _ in range(5):
        world.step()
    told = [draft for draft in world.drafts if "Service update is available" in draft.message]
    assert [(draft.source_id, draft.message, draft.notice) for draft in told] == [
        (name, "Service update is available for cache node 0001.", "ServiceUpdateAvailableForNode")
        for name in ("demo-001", "demo-002")
    ]


def test_users_hear_nothing_of_one_that_there_was_when_they_made_it() -> None:
    world = old(replicated(2))
    world.desired = replace(world.desired, created_at=world.now)
    offer(world, (NEW, math.inf))
    for _ in range(5):
        world.step()
    assert not any("Service update" in event for event in world.events)
