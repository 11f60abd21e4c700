"""Slots by load: the busiest shard comes down to an even part, few slots move, and what cannot be done is left alone."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from cachefleet.model.group import SLOTS, SlotRanges
from cachefleet.model.observed import SlotLoad
from cachefleet.model.slots import count, union, without
from cachefleet.planning.slot_loads import EVEN, LEAST_GAIN, by_load, charged, hottest, shares

THREE: dict[str, SlotRanges] = {"0001": ((0, 5461),), "0002": ((5462, 10922),), "0003": ((10923, SLOTS - 1),)}


def cpu(loads: dict[int, int], keys: int = 1) -> dict[int, SlotLoad]:
    """All other slots cost nothing."""
    return {slot: SlotLoad(keys, loads.get(slot, 0), 0, 0) for slot in range(SLOTS)}


def busiest(books: dict[str, SlotRanges], loads: dict[int, SlotLoad]) -> float:
    return max(shares(books, loads).values())


def moved(before: dict[str, SlotRanges], after: dict[str, SlotRanges]) -> int:
    return sum(count(without(after[shard], before[shard])) for shard in after)


def check_whole(after: dict[str, SlotRanges]) -> None:
    pairs = tuple(pair for slots in after.values() for pair in slots)
    assert count(pairs) == SLOTS and union(pairs) == ((0, SLOTS - 1),)
    assert all(after.values())


def zipf(exponent: float, unit: int = 100_000) -> dict[int, int]:
    """The heavier half of the popular slots stands in the first shard."""
    order = [*range(0, 5462, 2), *range(5462, SLOTS), *range(1, 5462, 2)]
    return {slot: int(unit / (rank + 1) ** exponent) for rank, slot in enumerate(order)}


def test_skewed_load_becomes_even_with_few_moves() -> None:
    loads = cpu(zipf(0.99))
    assert busiest(THREE, loads) > 0.75
    after = by_load(THREE, loads)
    check_whole(after)
    assert busiest(after, loads) < EVEN / 3 + 0.01
    assert moved(THREE, after) < 150
    assert by_load(after, loads) == after
    assert by_load(THREE, loads) == after


def test_even_load_moves_nothing() -> None:
    loads = cpu(dict.fromkeys(range(SLOTS), 10))
    assert by_load(THREE, loads) == THREE
    assert by_load(THREE, cpu({})) == THREE
    assert shares(THREE, cpu({})) == {"0001": 1 / 3, "0002": 1 / 3, "0003": 1 / 3}


def test_one_hot_slot_stays_and_others_leave_it() -> None:
    loads = cpu({7: 700, 8: 100, 9: 100, 6000: 50, 12_000: 50})
    after = by_load(THREE, loads)
    assert busiest(after, loads) == 0.7
    assert moved(THREE, after) == 2
    assert hottest(loads) == (7, 0.7)


def test_others_are_evened_out_though_one_slot_is_too_hot() -> None:
    crowded: dict[str, SlotRanges] = {f"{number}": ((4096 * number, 4096 * number + 4095),) for number in range(4)}
    costs = {0: 500, **dict.fromkeys(range(5000, 5010), 30), 9000: 10, 13_000: 10}
    found = shares(by_load(crowded, cpu(costs)), cpu(costs))
    assert found["0"] == 500 / 820 and max(part for shard, part in found.items() if shard != "0") <= 220 / 820


def test_a_slot_that_is_more_than_half_of_the_difference_moves_when_that_helps() -> None:
    loads = cpu({0: 35, 1: 35, 6000: 40, 12_000: 10})
    after = by_load(THREE, loads)
    assert busiest(after, loads) == 45 / 120
    assert moved(THREE, after) == 1


def test_memory_is_respected() -> None:
    loads = cpu(dict.fromkeys(range(100), 100), keys=10)
    after = by_load(THREE, loads, {"0001": math.inf, "0002": 55.0, "0003": 0.0})
    assert moved(THREE, after) == 5
    assert count(without(after["0002"], THREE["0002"])) == 5
    free = by_load(THREE, loads)
    assert busiest(free, loads) < 0.35
    assert by_load(THREE, loads, dict.fromkeys(THREE, 9.0)) == THREE


def test_of_slots_that_cost_the_same_those_with_few_keys_move() -> None:
    loads = {slot: SlotLoad(1000 - slot if slot < 100 else 0, 100 if slot < 100 else 0, 0, 0) for slot in range(SLOTS)}
    after = by_load(THREE, loads)
    assert without(THREE["0001"], after["0001"]) == ((34, 99),)


def test_a_shard_keeps_a_slot() -> None:
    books: dict[str, SlotRanges] = {"0001": ((0, 1),), "0002": ((2, SLOTS - 1),)}
    loads = {slot: SlotLoad(1, 100 if slot < 2 else 0) for slot in range(SLOTS)}
    after = by_load(books, loads)
    assert [count(after["0001"]), count(after["0002"])] == [1, SLOTS - 1]
    only = {slot: SlotLoad(1, 100 if slot == 0 else 0) for slot in range(SLOTS)}
    assert by_load({"0001": ((0, 0),), "0002": ((1, SLOTS - 1),)}, only) == {"0001": ((0, 0),), "0002": ((1, SLOTS - 1),)}


def test_what_is_known_decides() -> None:
    by_bytes = {slot: SlotLoad(keys=slot, in_bytes=3, out_bytes=slot == 5) for slot in range(SLOTS)}
    assert hottest(by_bytes)[0] == 5
    assert hottest({slot: SlotLoad(keys=slot) for slot in range(SLOTS)})[0] == SLOTS - 1
    partly = {slot: SlotLoad(keys=slot, cpu_us=-1 if slot == 9 else 1000 - slot) for slot in range(SLOTS)}
    assert hottest(partly)[0] == SLOTS - 1


def test_what_connections_take_is_laid_on_slots_by_their_traffic() -> None:
    loads = {0: SlotLoad(1, 10, 30, 60), 1: SlotLoad(1, 50, 10, 0), 2: SlotLoad(1, 5, 0, 0)}
    assert [load.cpu_us for load in charged(loads, 1000.0).values()] == [910, 150, 5]
    assert charged(loads, 0.0) == loads
    assert charged({0: SlotLoad(1, 10, 0, 0)}, 1000.0) == {0: SlotLoad(1, 10, 0, 0)}
    assert charged({0: SlotLoad(1)}, 1000.0) == {0: SlotLoad(1)}


def test_shards_that_share_no_load_and_slots_that_nobody_told_of() -> None:
    loads = {0: SlotLoad(1, 10), 1: SlotLoad(1, 10)}
    after = by_load(THREE, loads)
    check_whole(after)
    assert busiest(after, loads) == 0.5


@given(
    st.dictionaries(st.integers(0, SLOTS - 1), st.integers(0, 10_000), max_size=200),
    st.sets(st.integers(1, SLOTS - 1), min_size=1, max_size=6),
    st.lists(st.one_of(st.just(math.inf), st.floats(0, 50)), min_size=7, max_size=7),
)
def test_never_worse_always_whole_within_memory(weights: dict[int, int], cuts: set[int], rooms: list[float]) -> None:
    ends = sorted(cuts)
    books: dict[str, SlotRanges] = {
        f"{number:04}": ((first, after - 1),)
        for number, (first, after) in enumerate(zip([0, *ends], [*ends, SLOTS], strict=True), 1)
    }
    loads = cpu(weights, keys=2)
    room = dict(zip(books, rooms, strict=False))
    after = by_load(books, loads, room)
    check_whole(after)
    assert by_load(books, loads, room) == after
    assert all(2 * (count(after[shard]) - count(books[shard])) <= room[shard] for shard in books)
    if after == books:
        return
    gain = busiest(books, loads) - busiest(after, loads)
    assert gain >= 0 and any(weights.values())
    if len(books) == 2:
        assert gain >= LEAST_GAIN / len(books) - 1e-9
