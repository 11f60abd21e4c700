"""Which shard is to own which slots: equal numbers, fewest moved, every slot once."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from cachefleet.model.group import SLOTS, SlotRanges
from cachefleet.model.slots import common, count, first_of, union, without
from cachefleet.planning.slot_targets import balanced, grown, shrunk

slot_sets = st.lists(st.tuples(st.integers(0, SLOTS - 1), st.integers(0, 3000)), max_size=12).map(
    lambda pairs: tuple((first, min(SLOTS - 1, first + more)) for first, more in pairs)
)


@st.composite
def books(draw: st.DrawFn) -> dict[str, SlotRanges]:
    """Every slot once, in up to 40 pieces over up to 8 shards."""
    shards = [f"{number:04}" for number in range(1, draw(st.integers(1, 8)) + 1)]
    cuts = sorted(draw(st.sets(st.integers(1, SLOTS - 1), max_size=40)))
    owned: dict[str, SlotRanges] = dict.fromkeys(shards, ())
    for first, after in zip([0, *cuts], [*cuts, SLOTS], strict=True):
        shard = draw(st.sampled_from(shards))
        owned[shard] = union(owned[shard], ((first, after - 1),))
    return owned


def as_set(slots: SlotRanges) -> set[int]:
    return {slot for first, last in slots for slot in range(first, last + 1)}


def check(before: dict[str, SlotRanges], after: dict[str, SlotRanges], staying: list[str]) -> None:
    slots = [pair for owned in after.values() for pair in owned]
    assert union(tuple(slots)) == ((0, SLOTS - 1),) and count(tuple(slots)) == SLOTS
    sizes = [count(after[shard]) for shard in staying]
    assert sum(sizes) == SLOTS and max(sizes) - min(sizes) <= 1
    had = {shard: count(before.get(shard, ())) for shard in after}
    moved = sum(count(without(after[shard], before.get(shard, ()))) for shard in after)
    assert moved == sum(max(0, count(after[shard]) - had[shard]) for shard in after)  # nobody gives and takes
    size, remainder = divmod(SLOTS, len(staying))
    largest = sorted((had[shard] for shard in staying), reverse=True)
    fewest = sum(max(0, size + (rank < remainder) - number) for rank, number in enumerate(largest))
    assert moved == fewest


@given(books())
def test_balanced(owned: dict[str, SlotRanges]) -> None:
    after = balanced(owned)
    check(owned, after, sorted(owned))
    assert balanced(after) == after


@given(books(), st.integers(1, 5))
def test_grown(owned: dict[str, SlotRanges], more: int) -> None:
    new = [f"{number:04}" for number in range(100, 100 + more)]
    after = grown(owned, new)
    check(owned, after, sorted(owned) + new)


@given(books(), st.data())
def test_shrunk(owned: dict[str, SlotRanges], data: st.DataObject) -> None:
    leaving = data.draw(st.sets(st.sampled_from(sorted(owned)), max_size=len(owned) - 1))
    after = shrunk(owned, leaving)
    check(owned, after, [shard for shard in owned if shard not in leaving])
    assert all(after[shard] == () for shard in leaving)


def test_even_shards_stay_in_one_piece_each() -> None:
    two = {"0001": ((0, 8191),), "0002": ((8192, 16383),)}
    three = grown(two, ["0003"])
    assert three == {"0001": ((0, 5461),), "0002": ((8192, 13652),), "0003": ((5462, 8191), (13653, 16383))}
    assert shrunk(three, {"0003"}) == {**two, "0003": ()}
    assert shrunk({"0001": ((0, 5461),), "0002": ((5462, 10922),), "0003": ((10923, 16383),)}, {"0002"}) == {
        "0001": ((0, 8191),),
        "0002": (),
        "0003": ((8192, 16383),),
    }


@given(slot_sets, slot_sets)
def test_arithmetic_of_ranges(one: SlotRanges, other: SlotRanges) -> None:
    assert as_set(union(one, other)) == as_set(one) | as_set(other)
    assert as_set(without(one, other)) == as_set(one) - as_set(other)
    assert as_set(common(one, other)) == as_set(one) & as_set(other)
    for made in (union(one, other), without(one, other), common(one, other)):
        assert all(last + 1 < first for (_, last), (first, _) in pairwise(made))
        assert count(made) == len(as_set(made))


@given(slot_sets, st.integers(0, SLOTS))
def test_the_first_of_some_slots(slots: SlotRanges, number: int) -> None:
    whole = union(slots)
    assert as_set(first_of(whole, number)) == set(sorted(as_set(whole))[:number])
