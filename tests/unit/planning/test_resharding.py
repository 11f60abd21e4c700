"""Slots move to where they are to be, whatever is cut short: every slot has one owner, and no value is lost or doubled."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from cachefleet.model import plan as actions
from cachefleet.model.group import SLOTS
from cachefleet.model.slots import common, contains, count
from cachefleet.planning.pacing import BY_KEYS_AFTER
from tests.unit.planning.groups import asked, clustered
from tests.unit.planning.moving_world import MovingWorld, growing, shrinking

WAYS = pytest.mark.parametrize("atomic", [True, False])


def moving(shards: int, replicas: int, atomic: bool) -> tuple[MovingWorld, set[int]]:
    world = MovingWorld(clustered(shards, replicas), atomic)
    world.settle()
    return world, world.fill()


@WAYS
@pytest.mark.parametrize("replicas", [0, 1])
def test_shards_are_added(atomic: bool, replicas: int) -> None:
    world, values = moving(2, replicas, atomic)
    world.events.clear()
    world.desired = growing(world.desired, 4, replicas)
    world.run()
    world.assert_whole(values)
    assert [count(shard.slots) for shard in world.desired.shards] == [4096] * 4
    assert world.progress[0] == 0.0 and world.progress == sorted(world.progress)
    assert atomic or world.progress[-1] > 50  # slot by slot
    told = [event for event in world.events if event.startswith("Slot migration")]
    assert told == [
        "Slot migration of replication group demo started: 8192 slots",
        "Slot migration of replication group demo finished",
    ]
    assert not any("Failover" in event or "Recovering" in event for event in world.events)


@WAYS
def test_shards_leave(atomic: bool) -> None:
    world, values = moving(4, 1, atomic)
    world.events.clear()
    world.desired = shrinking(world.desired, {"0002", "0003"})
    world.run()
    world.assert_whole(values)
    assert [shard.shard_id for shard in world.desired.shards] == ["0001", "0004"]
    assert set(world.memory.slots) == set(world.memory.shards) == {"0001", "0004"}
    assert sum(engine.running for engine in world.engines.values()) == 4
    assert not any("Failover" in event or "Recovering" in event for event in world.events)


@WAYS
def test_a_hand_over_that_is_asked_for_while_a_move_is_begun_again_waits_for_it(atomic: bool) -> None:
    world, values = moving(2, 1, atomic)
    world.desired = growing(world.desired, 3, 1)
    while not world.memory.moves:
        world.step()
    world.of(world.memory.shards["0003"].primary).running = False
    first, *others = world.desired.shards
    world.desired = replace(world.desired, shards=(replace(first, handovers=1), *others))
    world.run()
    world.assert_whole(values)
    assert world.memory.shards["0001"].handovers == 1


# --- cut short -----------------------------------------------------------------------------------------------------

CHANGES = {
    "grow": lambda desired: growing(desired, 3, 1),
    "shrink": lambda desired: shrinking(desired, {"0002"}),
}
VICTIMS = ("0001", "0002", "0003", "nobody")


@WAYS
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("victim", VICTIMS)
@pytest.mark.parametrize("what", ["primary", "replica"])
def test_a_node_that_dies_at_any_moment_costs_nothing(atomic: bool, change: str, victim: str, what: str) -> None:
    """And the control plane dies in that moment, too: after it has saved, before it acts."""
    for moment in range(2, 38, 7):
        world, values = moving(2 if change == "grow" else 3, 1, atomic)
        world.desired = CHANGES[change](world.desired)
        for _ in range(moment):
            world.step()
        for shard in world.desired.shards:
            if shard.shard_id == victim and world.can_spare(shard):
                names = [node.name for node in shard.nodes]
                names.sort(key=lambda name: (name == world.memory.shards[victim].primary) is (what == "replica"))
                world.kill(names[0])
        world.step(apply=False)
        world.run()
        world.assert_whole(values)
        assert len(world.desired.shards) == (3 if change == "grow" else 2), moment


@settings(max_examples=25, deadline=None)
@given(st.data(), st.booleans())
def test_any_order_of_deaths_and_of_shards_that_come_and_go(data: st.DataObject, atomic: bool) -> None:
    """One node of a shard at a time, and only while the other has all the data."""
    world, values = moving(data.draw(st.integers(1, 3)), 1, atomic)
    for _ in range(data.draw(st.integers(1, 3))):
        shards = [shard.shard_id for shard in world.desired.shards]
        if len(shards) > 1 and data.draw(st.booleans()):
            leaving = data.draw(st.sets(st.sampled_from(shards), min_size=1, max_size=len(shards) - 1))
            world.desired = shrinking(world.desired, leaving)
        else:
            world.desired = growing(world.desired, int(shards[-1]) + data.draw(st.integers(1, 2)), 1)
        for _ in range(data.draw(st.integers(0, 5))):
            for _ in range(data.draw(st.integers(0, 15))):
                world.step(apply=data.draw(st.integers(0, 9)) > 0)
            shard = data.draw(st.sampled_from(world.desired.shards))
            if world.can_spare(shard):
                world.kill(data.draw(st.sampled_from(shard.nodes)).name)
        world.run(2000)
        world.assert_whole(values)


def begun(shards: int, replicas: int, atomic: bool, leaving: str = "") -> tuple[MovingWorld, set[int]]:
    """A change under way: one shard more, or one that leaves."""
    world, values = moving(shards, replicas, atomic)
    world.desired = shrinking(world.desired, {leaving}) if leaving else growing(world.desired, shards + 1, replicas)
    for _ in range(60):
        if world.memory.moves and (world.jobs or world.half):
            return world, values
        world.step()
    raise AssertionError("no move began")


@WAYS
@pytest.mark.parametrize("shard", ["0002", "0003"])
def test_a_shard_that_is_lost_with_all_its_nodes_owns_its_slots_again(atomic: bool, shard: str) -> None:
    """Its values are gone with it; those of others are not, nor is any slot."""
    world, _ = begun(2, 1, atomic)
    for number in (1, 2):
        world.kill(f"demo-{shard}-00{number}")
    lost = {value for slots in (world.memory.slots[shard],) for value in range(0, SLOTS) if contains(slots, value)}
    lost |= set(world.half)
    kept = set().union(*(engine.data for engine in world.engines.values() if engine.running)) - lost
    world.run(2000)
    world.assert_whole(set().union(*(engine.data for engine in world.engines.values())))
    assert kept <= set().union(*(engine.data for engine in world.engines.values()))


def test_a_target_that_ended_before_its_successor_heard_what_it_took() -> None:
    """Nobody claims the slots; the source has deleted their keys and says who owns them. They are the target's to claim."""
    world, values = begun(2, 1, True)
    world.step()
    source, target = world.of("demo-0001-001"), world.of("demo-0003-001")
    (move,) = [move for move in world.memory.moves if move.source == "0001"]
    world.jobs = [job for job in world.jobs if job.source != source.engine_id]
    taken = move.slots
    world._give(source, target, taken)
    world._hand(source, target, taken)
    world.kill("demo-0003-001")
    heir = world.of("demo-0003-002")
    heir.primary, heir.primary_id, heir.follows, heir.epoch = True, "", "", target.epoch - 1  # by the engines, with old slots
    world.run()
    world.assert_whole(values)


def test_what_a_source_has_given_away_it_does_not_claim_again() -> None:
    world, _ = begun(2, 1, True)
    source, target = world.of("demo-0001-001"), world.of("demo-0003-001")
    (move,) = [move for move in world.memory.moves if move.source == "0001"]
    world.jobs = [job for job in world.jobs if job.source != source.engine_id]
    world._give(source, target, move.slots)
    world._hand(source, target, move.slots)
    world.silence("demo-0003-001", 0.1)
    for _ in range(5):
        plan = world.step(apply=False)
        assert not any(isinstance(action, actions.OwnSlots) for action in plan.actions)
    assert common(move.slots, world.memory.slots["0003"]) == move.slots


def test_a_replica_that_has_not_heard_what_its_primary_gave_away_does_not_take_it_back() -> None:
    world, values = begun(2, 1, True)
    source, target, heir = (world.of(f"demo-{name}") for name in ("0001-001", "0003-001", "0001-002"))
    before = source.slots
    (move,) = [move for move in world.memory.moves if move.source == "0001"]
    world.jobs = [job for job in world.jobs if job.source != source.engine_id]
    world._give(source, target, move.slots)
    world._hand(source, target, move.slots)
    world.kill("demo-0001-001")
    world.old_words[heir.engine_id] = {source.engine_id: before}
    for _ in range(3):
        plan = world.step()
        assert not any(isinstance(action, actions.TakeOver) for action in plan.actions)
    world.old_words.clear()
    world.run()
    world.assert_whole(values)


def test_a_job_that_gets_nowhere_is_begun_anew_and_then_done_by_keys() -> None:
    world, values = begun(2, 0, True)
    world.stuck = True
    world.run(4000)
    world.assert_whole(values)
    assert len(world.jobs) == 2 * BY_KEYS_AFTER
    assert {job.state for job in world.jobs} == {"cancelled"}


@pytest.mark.parametrize("leaving", ["", "0002"])
def test_a_slot_that_cannot_be_moved_stays_where_it_is(leaving: str) -> None:
    world, values = begun(2 if not leaving else 3, 1, False, leaving)
    source = world.memory.moves[0].source
    stubborn = world.memory.moves[0].slots[-1][1]
    world.refusing = {stubborn}
    world.run(4000)
    world.assert_whole(values)
    assert contains(world.memory.slots[source], stubborn)
    assert len(world.desired.shards) == 3
    assert not any(shard.leaving for shard in world.desired.shards)
    if leaving:
        assert world.memory.slots[leaving] == ((stubborn, stubborn),)
    assert any(f"Slot {stubborn} of node group {source} could not be moved" in event for event in world.events)


def test_slots_wait_for_room_and_then_stay() -> None:
    world, values = moving(3, 0, True)
    world.maxmemory_bytes = 10**9
    world.used_bytes = {f"demo-000{number}-001": 10**9 - 1000 for number in (1, 2, 3)}
    world.desired = shrinking(world.desired, {"0002"})
    for _ in range(40):
        world.step()
    assert world.status.state == "modifying"
    assert "has no room for more data" in world.status.why
    world.run(2000)
    assert any("was given up: node group" in event for event in world.events)
    assert len(world.desired.shards) == 3
    world.assert_whole(values)


@WAYS
def test_what_a_full_target_refuses_stays_at_once_and_not_slot_by_slot(atomic: bool) -> None:
    """It had room when the move began, and was filled by clients meanwhile."""
    world, values = begun(3, 1, atomic, "0002")
    world.maxmemory_bytes = 10**9
    world.used_bytes = {f"demo-000{number}-001": 10**9 - 10**6 for number in (1, 2, 3)}
    world.stuck, world.refusing = True, set(range(SLOTS))
    begun_s = world.now
    world.run(4000)
    world.assert_whole(values)
    assert [shard.shard_id for shard in world.desired.shards] == ["0001", "0002", "0003"]
    assert not any("could not be moved" in event for event in world.events)
    told = [event for event in world.events if "has no room for more data" in event]
    assert len(told) == 2, told
    assert world.now - begun_s < 600


def test_room_that_comes_is_used() -> None:
    world, values = moving(3, 0, True)
    world.maxmemory_bytes = 10**9
    world.used_bytes = {f"demo-000{number}-001": 10**9 - 1000 for number in (1, 2, 3)}
    world.desired = shrinking(world.desired, {"0002"})
    for _ in range(40):
        world.step()
    world.used_bytes = {}
    world.run()
    world.assert_whole(values)
    assert len(world.desired.shards) == 2


def test_nothing_moves_while_a_member_is_not_ready() -> None:
    world, values = moving(2, 1, True)
    world.silence("demo-0002-002", 0.1)
    world.desired = growing(world.desired, 3, 1)
    for _ in range(40):
        world.step()
        assert not any(move.source == "0002" for move in world.memory.moves)
    assert "demo-0002-002 is not ready" in world.status.why
    world.of("demo-0002-002").frozen = False
    world.silences.clear()
    world.run()
    world.assert_whole(values)


def test_a_hand_over_that_is_asked_for_waits_for_moves() -> None:
    world, values = begun(2, 1, True)
    world.desired = asked(world.desired)
    while world.memory.moves:
        assert world.memory.shards["0001"].primary == "demo-0001-001"
        world.step()
    world.run()
    world.assert_whole(values)
    assert world.memory.shards["0001"].primary == "demo-0001-002"


# --- what others do ------------------------------------------------------------------------------------------------


def test_slots_that_were_moved_by_hand_stay_there() -> None:
    world, values = moving(2, 1, False)
    first, second = world.of("demo-0001-001"), world.of("demo-0002-001")
    world._give(first, second, ((0, 99),))
    world._hand(first, second, ((0, 99),))
    world.run()
    world.assert_whole(values)
    assert world.desired.shards[1].slots == ((0, 99), (8192, 16383))


def test_a_slot_that_somebody_left_half_moved_is_finished() -> None:
    world, values = moving(2, 1, False)
    first, second = world.of("demo-0001-001"), world.of("demo-0002-001")
    world._give(first, second, ((97, 97),))
    world.half[97] = (first.engine_id, second.engine_id)
    assert not any(isinstance(action, actions.MoveKeys) for action in world.step().actions)
    world.now += 20.0
    for _ in range(200):
        world.step()
    world.run()
    world.assert_whole(values)


def test_marks_of_a_node_that_is_no_more_are_taken_away() -> None:
    world, values = moving(2, 1, False)
    world.half[5] = (world.of("demo-0001-001").engine_id, "id-of-nobody")
    world.step()
    world.now += 20.0
    world.run()
    world.assert_whole(values)


def test_books_of_an_older_group_begin_with_what_primaries_own() -> None:
    world, values = moving(2, 1, True)
    world.memory.slots = {}
    world.desired = growing(world.desired, 3, 1)
    world.step()
    assert world.memory.slots == {"0001": ((0, 8191),), "0002": ((8192, 16383),), "0003": ()}
    world.run()
    world.assert_whole(values)
