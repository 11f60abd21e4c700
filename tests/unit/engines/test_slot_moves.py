"""What is to be done for slots on their way, how they are cut into jobs, and keys into batches."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachefleet.engine_interfaces import EngineRefused
from cachefleet.engines.key_batches import batch_keys, patience_ms
from cachefleet.engines.slot_ends import slots_left
from cachefleet.engines.slot_jobs import JOB_KEYS, JOB_SLOTS, slot_jobs
from cachefleet.model.group import SlotRanges
from cachefleet.model.observed import Address, ClusterNodeView, ClusterView, OpenSlot
from cachefleet.model.pace import FAST, GENTLE

AT, TO = Address("127.0.0.1", 6379), Address("127.0.0.2", 6379)


def node(
    engine_id: str, slots: SlotRanges = (), *, primary: bool = True, primary_id: str = "", failed: bool = False
) -> ClusterNodeView:
    return ClusterNodeView(engine_id, "127.0.0.9", primary, primary_id=primary_id, failed=failed, slots=slots)


def view(my_id: str, *nodes: ClusterNodeView, marks: tuple[OpenSlot, ...] = ()) -> ClusterView:
    return ClusterView(my_id, ok=True, nodes={known.engine_id: known for known in nodes}, open_slots=marks)


def test_fresh_half_open_and_moved_slots_are_told_apart() -> None:
    marks = (OpenSlot(1, "t", importing=False), OpenSlot(2, "old", importing=False))
    source = view("s", node("s", ((0, 9),)), node("t"), marks=marks)
    target = view("t", node("s", ((0, 3), (5, 9))), node("t", ((4, 4),)), marks=(OpenSlot(1, "s", importing=True),))
    left = slots_left(((0, 4),), AT, source, TO, target)
    assert left.fresh == (0, 3)
    assert left.half_open == (1, 2, 4)
    assert left.unmarked_source == {0, 2, 3, 4}
    assert left.unmarked_target == {0, 2, 3}
    assert left.given == ()


def test_slots_that_both_say_have_moved_are_done() -> None:
    nodes = (node("s", ((5, 9),)), node("t", ((0, 4),)))
    left = slots_left(((0, 4),), AT, view("s", *nodes), TO, view("t", *nodes))
    assert (left.fresh, left.half_open, left.given) == ((), (), ())


@pytest.mark.parametrize(
    "owner",
    [node("x", ((0, 0),), failed=True), node("x", ((0, 0),), primary=False, primary_id="t"), node("y")],
    ids=["dead", "its replica by now", "nobody"],
)
def test_a_slot_that_was_given_to_a_dead_predecessor_is_its_heir_s(owner: ClusterNodeView) -> None:
    source = view("s", node("s", ((1, 9),)), node("t"), owner)
    target = view("t", node("s", ((0, 9),)), node("t"))
    assert slots_left(((0, 1),), AT, source, TO, target).given == (0,)


def test_a_slot_of_a_third_is_left_alone() -> None:
    source = view("s", node("s"), node("t"), node("x", ((0, 0),)))
    target = view("t", node("s"), node("t"), node("x", ((0, 0),)))
    with pytest.raises(EngineRefused, match=r"slot 0 is not moved: .* belongs to x"):
        slots_left(((0, 0),), AT, source, TO, target)
    dead = node("x", ((0, 0),), failed=True)
    heir = node("z", primary=False, primary_id="x")
    with pytest.raises(EngineRefused, match="belongs to x"):
        slots_left(((0, 0),), AT, view("s", node("s"), node("t"), dead), TO, view("t", node("s"), node("t"), dead, heir))


def test_ends_that_are_no_primaries_or_strangers_are_refused() -> None:
    source = view("s", node("s", ((0, 9),)), node("t"))
    with pytest.raises(EngineRefused, match="does not know t as a primary"):
        slots_left(((0, 0),), AT, source, TO, view("t", node("s"), node("t", primary=False, primary_id="x")))
    with pytest.raises(EngineRefused, match="does not know s as a primary"):
        slots_left(((0, 0),), AT, source, TO, view("t", node("t")))


@given(st.lists(st.integers(0, 2 * JOB_KEYS), max_size=60))
def test_jobs_have_every_slot_once_and_few_keys(counts: list[int]) -> None:
    jobs = slot_jobs(enumerate(counts))
    assert [slot for job in jobs for first, last in job for slot in range(first, last + 1)] == list(range(len(counts)))
    for job in jobs:
        slots = [slot for first, last in job for slot in range(first, last + 1)]
        assert len(slots) == 1 or sum(counts[slot] for slot in slots) <= JOB_KEYS


def test_empty_slots_are_cut_into_jobs_too() -> None:
    assert slot_jobs((slot, 0) for slot in range(2 * JOB_SLOTS)) == [((0, JOB_SLOTS - 1),), ((JOB_SLOTS, 2 * JOB_SLOTS - 1),)]
    assert slot_jobs([(1, 5), (3, 5), (4, 5)]) == [((1, 1), (3, 4))]


def test_large_keys_go_by_fewer_and_get_more_time() -> None:
    for pace in (FAST, GENTLE):
        assert batch_keys(1_000_000, 10_000, pace) == pace.batch_keys
        assert batch_keys(100 * pace.batch_bytes, 1000, pace) == 10
        assert batch_keys(10**12, 3, pace) == 1
        assert batch_keys(0, 0, pace) == pace.batch_keys
    assert patience_ms(0) < patience_ms(FAST.batch_bytes * 1000) < 1000
