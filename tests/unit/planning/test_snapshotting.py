"""A group that a snapshot is made of: of which nodes, what it looks like meanwhile, and what waits for the end of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from cachefleet.model.group import Form, GroupDesired, NodeMemory, SlotMove
from cachefleet.model.observed import Address
from cachefleet.model.pending import PendingChange
from cachefleet.model.plan import CountLoad, TakeOver
from cachefleet.model.resource import Key, Kind
from cachefleet.model.row import GroupRow
from cachefleet.planning.balance import QUIET_S
from cachefleet.planning.snapshotting import Source, sources
from cachefleet.reference.windows import WEEK_MINUTES, WeeklyWindow
from tests.unit.planning.groups import asked, clustered, created, memcached, replicated
from tests.unit.planning.world import World

KEY = Key(Kind.REPLICATION_GROUP, "0", "local-1", "demo")
FIRST, SECOND, THIRD = "demo-001", "demo-002", "demo-003"


def row_of(world: World) -> GroupRow:
    return GroupRow(key=KEY, desired=world.desired, memory=world.memory, status=world.status)


def taken_of(row: GroupRow, node: str = "", avoid: tuple[str, ...] = ()) -> list[str] | str:
    found = sources(row, node, avoid)
    return found if isinstance(found, str) else [source.node for source in found]


def snapshotting(desired: GroupDesired) -> World:
    """Available, and a snapshot is begun."""
    world = created(desired)
    world.desired = replace(world.desired, snapshotting="daily")
    return world


# --- of which nodes ----------------------------------------------------------------------------------------------------


def test_a_source_is_told_with_all_that_a_snapshot_says_of_it() -> None:
    row = row_of(created(clustered(2, 1)))
    known = row.memory.nodes["demo-0001-002"]
    assert isinstance(found := sources(row), list)
    assert found[0] == Source("0001", ((0, 8191),), "demo-0001-002", Address(known.address, 6379), known.zone, 0.0)
    assert [(source.shard_id, source.slots) for source in found[1:]] == [("0002", ((8192, 16383),))]


def test_the_port_is_that_of_the_current_launch() -> None:
    row = row_of(created(replicated(1)))
    known = row.memory.nodes[FIRST]
    known.form = replace(known.form or Form(row.desired.engine, "9.1.2", 0), port=7000)
    assert isinstance(found := sources(row), list)
    assert found[0].address.port == 7000


def test_without_cluster_mode_a_source_has_no_slots() -> None:
    assert isinstance(found := sources(row_of(created(replicated(2)))), list)
    assert found[0].slots == ()


@pytest.mark.parametrize(("avoid", "node"), [
    ((), SECOND), ((SECOND,), THIRD), ((SECOND, THIRD), FIRST), ((FIRST, SECOND, THIRD), SECOND), ((FIRST,), SECOND),
])  # fmt: skip
def test_replicas_come_first_and_those_that_failed_last(avoid: tuple[str, ...], node: str) -> None:
    assert taken_of(row_of(created(replicated(3))), avoid=avoid) == [node]


def test_a_node_alone_is_taken_as_it_is() -> None:
    row = row_of(created(replicated(1)))
    assert taken_of(row) == taken_of(row, avoid=(FIRST,)) == [FIRST]


def _lags(known: NodeMemory) -> None:
    known.lagging_since = 5.0


def _is_unready(known: NodeMemory) -> None:
    known.ready = False


def _has_ended(known: NodeMemory) -> None:
    known.ended_at = 5.0


def _is_given_up(known: NodeMemory) -> None:
    known.given_up = known.launches


def _rolls(known: NodeMemory) -> None:
    known.roll_of = known.launches


def _reboots(known: NodeMemory) -> None:
    known.reboot_of = known.launches


@pytest.mark.parametrize("trouble", [_lags, _is_unready, _has_ended, _is_given_up, _rolls, _reboots])
def test_a_replica_that_is_not_fit_is_not_taken(trouble: Callable[[NodeMemory], None]) -> None:
    row = row_of(created(replicated(2)))
    trouble(row.memory.nodes[SECOND])
    assert taken_of(row) == [FIRST]
    assert taken_of(row, SECOND) == f"{SECOND} is not ready, or lags behind its primary"
    row.memory.nodes[FIRST].ready = False
    assert taken_of(row) == "every node of node group 0001 is not ready, or lags behind its primary"


def test_the_node_that_is_asked_for_is_taken_whatever_it_is() -> None:
    row = row_of(created(replicated(2)))
    assert taken_of(row, FIRST) == taken_of(row, FIRST, (FIRST,)) == [FIRST]
    assert taken_of(row, "demo-009") == "there is no node demo-009 in it"


@pytest.mark.parametrize(("spoil", "why"), [
    (lambda world: world.memory.moves.append(SlotMove(((0, 5),), "0001", "0002", 0.0)), "slots are on their way"),
    (lambda world: setattr(world.memory.shards["0001"], "taken", False), "role of node group 0001 is on its way"),
    (lambda world: setattr(world.memory.shards["0001"], "handing_from", "demo-0001-001"), "is on its way"),
    (lambda world: setattr(world.memory.shards["0002"], "headless", True), "role of node group 0002 is on its way"),
    (lambda world: setattr(world, "desired", asked(world.desired)), "is on its way"),
    (lambda world: setattr(world.memory, "provisioned", False), "has not been available yet"),
    (lambda world: setattr(world, "desired", replace(world.desired, deleting=True)), "is being deleted"),
])  # fmt: skip
def test_nothing_is_taken_of_a_group_that_is_on_its_way(spoil: Callable[[World], None], why: str) -> None:
    world = created(clustered(2, 1))
    assert taken_of(row_of(world)) == ["demo-0001-002", "demo-0002-002"]
    spoil(world)
    assert why in taken_of(row_of(world))


def test_of_memcached_it_is_taken_of_every_node() -> None:
    world = created(memcached(2))
    names = [node.name for node in world.desired.nodes]
    assert taken_of(row_of(world)) == names
    world.kill(names[1])
    world.step()
    assert taken_of(row_of(world)) == f"{names[1]} is not ready"


@given(passes=st.integers(0, 12), dead=st.sampled_from(["demo-0001-001", "demo-0001-002", "demo-0002-001"]))
def test_whoever_is_taken_has_everything_and_runs(passes: int, dead: str) -> None:
    world = created(clustered(2, 1))
    world.kill(dead)
    world.step()
    for _ in range(passes):
        world.step()
    names = taken_of(row_of(world))
    if isinstance(names, list):
        assert all(world.whole(name) for name in names)


# --- what it looks like ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("desired", [replicated(2), clustered(2, 1)])
def test_a_group_and_its_members_are_shown_as_what_they_are_in(desired: GroupDesired) -> None:
    world = snapshotting(desired)
    world.step()
    assert world.status.state == "snapshotting"
    assert {node.state for node in world.status.nodes.values()} == {"snapshotting"}
    assert world.status.endpoints
    world.desired = replace(world.desired, snapshotting="")
    world.settle()


def test_a_failover_does_not_wait() -> None:
    world = snapshotting(replicated(3))
    world.write(1)
    world.kill(FIRST)
    world.step()
    assert world.memory.shards["0001"].primary == SECOND
    for _ in range(30):
        world.step()
    assert world.status.state == "snapshotting"
    assert world.whole(FIRST)
    assert world.lost == set()


# --- what waits --------------------------------------------------------------------------------------------------------


def test_what_is_pending_does_not_begin_in_its_window() -> None:
    world = snapshotting(replicated(2))
    change = PendingChange(node_type="cache.t4g.small")
    window = str(WeeklyWindow(int(world.now // 60 + 3 * 24 * 60) % WEEK_MINUTES, 60))
    world.desired = replace(world.desired, pending=change, maintenance_window=window)
    world.seen["pending_bytes"] = 1 << 30
    for _ in range(20):
        world.step()
    assert world.desired.pending == change
    world.desired = replace(world.desired, snapshotting="")
    world.settle()
    assert world.desired.node_type == "cache.t4g.small"


def test_roles_are_not_balanced_over_zones() -> None:
    world = snapshotting(replace(clustered(3, 1), multi_az=True))

    def moves() -> int:
        world.now += QUIET_S + 10
        return sum(isinstance(action, TakeOver) for _ in range(5) for action in world.step().actions)

    assert moves() == 0
    world.desired = replace(world.desired, snapshotting="")
    assert moves() == 1


def test_slots_are_not_rebalanced_by_load() -> None:
    world = snapshotting(replace(clustered(2, 0), rebalances=0))
    world.desired = replace(world.desired, rebalances=1)
    for _ in range(5):
        assert not any(isinstance(action, CountLoad) for action in world.step().actions)
    world.desired = replace(world.desired, snapshotting="")
    assert any(isinstance(action, CountLoad) for action in world.step(apply=False).actions)
