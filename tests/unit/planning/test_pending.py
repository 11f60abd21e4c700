"""When pending changes begin, with what, and which are dropped."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from cachefleet.model.group import Engine, GroupDesired
from cachefleet.model.pending import PendingChange, PendingNode, ScaleConfig
from cachefleet.planning.pending import applied, nodes_after
from cachefleet.reference.windows import WEEK_MINUTES, WeeklyWindow
from tests.unit.planning.groups import clustered, created, memcached, rebooting, replicated
from tests.unit.planning.world import World

MB = 1024 * 1024
TYPE = PendingChange(node_type="cache.t4g.small")
VERSION = PendingChange(engine_version="9.2.0", parameter_group="default.valkey9")


def waiting(world: World, pending: PendingChange, *, opens_in_s: float = 7200.0) -> World:
    """A window of one hour; opens_in_s negative: it has been open for so long."""
    minute = int((world.now + opens_in_s) // 60 + 3 * 24 * 60) % WEEK_MINUTES
    world.desired = replace(world.desired, pending=pending, maintenance_window=str(WeeklyWindow(minute, 60)))
    world.seen["pending_bytes"] = 1000 * MB
    return world


def passes(world: World, count: int = 20) -> World:
    for _ in range(count):
        world.step()
    return world


# --- what it becomes -----------------------------------------------------------------------------------------------


def test_every_member_replaces_what_the_group_has() -> None:
    before = replicated(2)
    change = PendingChange(
        node_type="cache.r6g.large",
        engine="redis",
        engine_version="7.1.0",
        parameter_group="default.redis7",
        cluster_mode="compatible",
        scale=ScaleConfig(50, 5),
    )
    after = applied(replace(before, pending=change), change, 5.0)
    assert (after.node_type, after.engine, after.engine_version) == ("cache.r6g.large", Engine.REDIS, "7.1.0")
    assert (after.parameter_group, after.cluster_mode, after.scale) == ("default.redis7", "compatible", ScaleConfig(50, 5))
    assert (after.pending, after.shards, after.az_mode) == (None, before.shards, before.az_mode)
    assert applied(replace(before, pending=change), PendingChange(), 5.0) == before


def test_memcached_nodes() -> None:
    before = memcached(3)
    change = PendingChange(
        more_nodes=(PendingNode("0004", "local-1b"), PendingNode("0005", "local-1c")), fewer_nodes=("0002",), az_mode="cross-az"
    )
    nodes = nodes_after(before, change, 7.0)
    assert [node.name for node in nodes] == ["demo.0001", "demo.0003", "demo.0004", "demo.0005"]
    assert [(node.zone, node.created_at) for node in nodes[2:]] == [("local-1b", 7.0), ("local-1c", 7.0)]
    after = applied(before, change, 7.0)
    assert (after.nodes, after.az_mode) == (nodes, "cross-az")


def test_what_is_empty_is_nothing() -> None:
    assert not PendingChange() and TYPE and PendingChange(fewer_nodes=("0001",))


# --- when ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("desired", [replicated(2), replicated(1, failover=False), clustered(2, 1), memcached(2)])
def test_it_begins_when_the_window_opens(desired: GroupDesired) -> None:
    world = waiting(created(desired), TYPE)
    passes(world)
    assert (world.desired.node_type, world.desired.pending) == ("cache.t4g.micro", TYPE)
    world.now += 7200
    passes(world)
    assert (world.desired.node_type, world.desired.pending) == ("cache.t4g.small", None)
    assert "Succeeded applying modification to cache node type to cache.t4g.small." in world.events
    assert world.status.state == "available"


def test_an_open_window_lets_it_begin_at_once_and_a_closed_one_never() -> None:
    assert passes(waiting(created(replicated(2)), TYPE, opens_in_s=-1800)).desired.pending is None
    assert passes(waiting(created(replicated(2)), TYPE, opens_in_s=-3700), 50).desired.pending == TYPE


def test_it_shows_modifying_from_its_own_write_on() -> None:
    world = waiting(created(replicated(2)), TYPE, opens_in_s=-60)
    world.step()
    assert (world.desired.node_type, world.status.state) == ("cache.t4g.small", "modifying")


def _killed(world: World) -> None:
    world.failing_starts.add("demo-002")
    world.kill("demo-002")


def _without_a_zone(world: World) -> None:
    world.zones_out = frozenset("c")


def _silent(world: World) -> None:
    world.silence("demo-001", 0.3)


@pytest.mark.parametrize("trouble", [_killed, _without_a_zone, _silent])
def test_it_waits_for_a_group_that_is_not_whole(trouble: Any) -> None:
    world = waiting(created(replicated(2)), TYPE, opens_in_s=-60)
    trouble(world)
    world.step()
    assert world.desired.pending == TYPE


def test_what_is_under_way_comes_first() -> None:
    world = waiting(created(replicated(3)), TYPE, opens_in_s=-60)
    world.desired = rebooting(world.desired, 1)
    world.step()
    assert world.desired.pending == TYPE
    after = passes(world, 60).desired
    assert (after.pending, after.node_type) == (None, "cache.t4g.small")


# --- failure reboot ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("desired", [replicated(1, failover=False), replicated(3), clustered(2, 1), memcached(2)])
def test_nodes_that_all_have_ended_take_along_what_is_pending(desired: GroupDesired) -> None:
    world = waiting(created(desired), replace(TYPE, engine_version="9.2.0"))
    for node in desired.nodes:
        world.kill(node.name)
    world.step()
    assert world.desired.pending is None
    world.settle()
    assert {known.form.version for name, known in world.memory.nodes.items() if known.form and "disc" not in name} == {"9.2.0"}
    assert {known.launches for name, known in world.memory.nodes.items() if "disc" not in name} == {2}, "launched once, anew"


def test_one_that_ends_alone_takes_nothing_along() -> None:
    world = waiting(created(replicated(3)), VERSION)
    world.kill("demo-002")
    world.settle()
    assert world.desired.pending == VERSION
    assert world.memory.nodes["demo-002"].form == world.memory.nodes["demo-001"].form


# --- what has become impossible ------------------------------------------------------------------------------------


def test_data_that_do_not_fit_any_more() -> None:
    world = created(replicated(2))
    world.memory.nodes["demo-002"].used_bytes = 1200 * MB
    passes(waiting(world, replace(TYPE, engine_version="9.2.0"), opens_in_s=-60), 200)
    assert (world.desired.node_type, world.desired.engine_version) == ("cache.t4g.micro", "9.2.0"), "the rest holds"
    told = [message for message in world.events if message.startswith("Failed applying modification to cache node type")]
    assert told[0] == (
        "Failed applying modification to cache node type to cache.t4g.small. The data of demo-002 take 1200 MB, and it has "
        "1000 MB for data"
    )
    assert len(told) == 3, "of both clusters and of the group, once"


def test_an_engine_that_is_gone() -> None:
    world = waiting(created(replicated(2)), VERSION, opens_in_s=-60)
    world.seen["pending_build"] = False
    passes(world)
    assert (world.desired.pending, world.desired.engine_version) == (None, "9.1.2")
    assert "Failed applying modification to engine version 9.2.0: it is not installed any more" in world.events
    assert world.status.state == "available"


def test_a_node_type_that_is_not_declared_any_more() -> None:
    world = waiting(created(replicated(2)), TYPE, opens_in_s=-60)
    world.seen["pending_bytes"] = 0
    passes(world)
    assert (world.desired.pending, world.desired.node_type) == (None, "cache.t4g.micro")
