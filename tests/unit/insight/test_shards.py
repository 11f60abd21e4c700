"""The curve from a sample against a full simulation; reuse distances against a list."""

from __future__ import annotations

import bisect
import itertools
import random
from collections import OrderedDict
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachefleet.insight.recency import Recency
from cachefleet.insight.shards import CHANGED, ERASED, FULL, KEY_OVERHEAD_BYTES, READ, STORED, Shards

ITEM = 100 + KEY_OVERHEAD_BYTES


def zipf(keys: int, length: int, exponent: float, seed: int) -> list[int]:
    steps = list(itertools.accumulate(1 / rank**exponent for rank in range(1, keys + 1)))
    chance = random.Random(seed)
    return [bisect.bisect(steps, chance.random() * steps[-1]) for _ in range(length)]


def hashed(key: int, salt: int = 0) -> int:
    """As uniform as the module's."""
    number = (key + 1 + salt * 0x10001) * 0x9E3779B97F4A7C15 % (1 << 64)
    number = (number ^ number >> 29) * 0xBF58476D1CE4E5B9 % (1 << 64)
    return number ^ number >> 32


def simulated(trace: Sequence[int], items: int) -> float:
    """Hit rate of an LRU cache for so many items."""
    cache: OrderedDict[int, None] = OrderedDict()
    hits = 0
    for key in trace:
        if key in cache:
            hits += 1
            cache.move_to_end(key)
        else:
            cache[key] = None
            if len(cache) > items:
                cache.popitem(last=False)
    return hits / len(trace)


def sampled(trace: Sequence[int], threshold: int, most_keys: int = 8192, salt: int = 0) -> Shards:
    shards = Shards(threshold, ITEM, most_keys)
    for key in trace:
        if hashed(key, salt) % FULL < shards.threshold:
            shards.take(hashed(key, salt), 0, READ)
    return shards


@pytest.mark.parametrize("exponent", [0.7, 0.9, 1.1])
def test_the_curve_of_a_sample_is_that_of_a_simulation_at_every_size(exponent: float) -> None:
    trace = zipf(20_000, 80_000, exponent, 1)
    curve = sampled(trace, FULL, most_keys=8192).curve(len(trace))
    assert curve.keys > 8192  # so it was a sample
    for items in (100, 300, 1000, 3000, 10_000, 20_000):
        assert abs(curve.hit_rate(items * ITEM * 1.001) - simulated(trace, items)) < 0.03, items


def test_a_fixed_share_of_the_keys_shows_the_sizes_that_are_not_very_small() -> None:
    trace = zipf(40_000, 80_000, 0.9, 3)
    curve = sampled(trace, FULL // 5, most_keys=1 << 20).curve(len(trace))
    for items in (4000, 8000, 16_000, 32_000):
        assert abs(curve.hit_rate(items * ITEM * 1.001) - simulated(trace, items)) < 0.03, items


def test_a_key_that_is_used_very_often_does_not_bend_it_whether_it_is_sampled_or_not() -> None:
    trace = zipf(20_000, 100_000, 1.1, 2)
    expected = simulated(trace, 2000)
    popular = [hashed(0, salt) % FULL < FULL // 5 for salt in range(40)]
    chosen = [popular.index(True), popular.index(False)]
    for salt in chosen:
        curve = sampled(trace, FULL // 5, salt=salt).curve(len(trace))
        assert abs(curve.hit_rate(2000 * ITEM * 1.001) - expected) < 0.03


def test_values_count_by_their_size() -> None:
    shards = Shards(FULL, ITEM)
    for key, size in ((1, 1000), (2, 100_000), (3, 50)):
        shards.take(key, size, STORED)
    shards.take(1, 0, READ)
    curve = shards.curve()
    needed = 1000 + 100_000 + 50 + 3 * KEY_OVERHEAD_BYTES
    assert curve.hit_rate(needed * 0.97) == 0
    assert curve.hit_rate(needed * 1.03) == 1
    assert curve.seen_bytes == needed


def test_what_was_erased_is_read_for_the_first_time_again() -> None:
    shards = Shards(FULL, ITEM)
    for use in (STORED, ERASED, READ, CHANGED, READ):
        shards.take(7, 100 if use == STORED else 0, use)
    assert shards.curve().hit_rate(1e9) == 0.5


def test_no_more_keys_are_kept_than_asked_for() -> None:
    shards = Shards(FULL, ITEM, most_keys=100)
    for key in range(5000):
        shards.take(hashed(key), 0, READ)
    assert 0 < shards.threshold < FULL // 30
    assert abs(shards.curve().seen_bytes / (5000 * ITEM) - 1) < 0.35


def test_nothing_is_known_of_nothing() -> None:
    curve = Shards(FULL, ITEM).curve(0)
    assert (curve.steps, curve.hit_rate(1e12), curve.seen_bytes) == ((), 0.0, 0.0)


Uses = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 9), st.booleans()), max_size=300)


@given(Uses)
def test_distances_are_those_of_a_list(uses: list[tuple[int, int, bool]]) -> None:
    recency, order = Recency(), list[tuple[int, int]]()
    for key, weight, forgotten in uses:
        at = next((place for place, (other, _) in enumerate(order) if other == key), None)
        expected = None if at is None else sum(weight for _, weight in order[at + 1 :])
        if at is not None:
            del order[at]
        if forgotten:
            recency.forget(key)
        else:
            assert recency.use(key, weight) == expected
            order.append((key, weight))
        assert (len(recency), recency.total) == (len(order), sum(weight for _, weight in order))


@given(st.lists(st.tuples(st.integers(0, FULL * 4), st.integers(0, 500), st.integers(0, 3)), max_size=200), st.integers(1, 20))
def test_a_curve_rises_within_bounds(uses: list[tuple[int, int, int]], most_keys: int) -> None:
    shards = Shards(FULL, ITEM, most_keys)
    for use in uses:
        shards.take(*use)
    for reads in (None, 10, 10_000):
        rates = [share for _, share in shards.curve(reads).steps]
        assert rates == sorted(rates)
        assert all(0 <= share <= 1 for share in rates)


def test_more_uses_than_places_do_not_disturb_the_order() -> None:
    recency = Recency()
    for number in range(5000):
        assert recency.use(number % 3, 1.0) == (None if number < 3 else 2.0)
