"""What reservations pay: never more than runs, never more than was bought, whatever the order."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachefleet.costs.coverage import VALKEY_FACTOR, Portion, cover, normalised
from cachefleet.reference.node_types import NODE_TYPES
from cachefleet.settings import NodeTypeSetting

FAMILIES = ("cache.r7g", "cache.t4g")
PRODUCTS = ("redis", "valkey", "memcached")


@st.composite
def portions(draw: st.DrawFn) -> Portion:
    begin = draw(st.integers(0, 20))
    return Portion(
        draw(st.sampled_from(PRODUCTS)),
        draw(st.sampled_from(FAMILIES)),
        draw(st.integers(1, 40)) / 2,
        float(begin),
        float(begin + draw(st.integers(0, 20))),
    )


some = st.lists(portions(), max_size=12)


def running(found: list[Portion], product: str, family: str, at: float) -> float:
    return sum(one.units for one in found if (one.product, one.family) == (product, family) and one.begin <= at < one.end)


def expected(used: list[Portion], reserved: list[Portion], family: str, product: str) -> float:
    """Unit-seconds of a product that are covered, second by second: everything begins and ends at whole ones."""
    covered = 0.0
    for second in range(40):
        now = {one: running(used, one, family, second) for one in PRODUCTS}
        bought = {one: running(reserved, one, family, second) for one in PRODUCTS}
        own = min(now[product], bought[product])
        if product == "valkey":
            left = bought["redis"] - min(now["redis"], bought["redis"])
            own = min(now["valkey"], own + left * VALKEY_FACTOR)
        covered += own
    return covered


@given(some, some)
def test_never_more_is_paid_than_runs_nor_used_than_was_bought(used: list[Portion], reserved: list[Portion]) -> None:
    found = cover(used, reserved)
    for portion, covered in [*zip(used, found.used, strict=True), *zip(reserved, found.reserved, strict=True)]:
        assert 0.0 <= covered <= portion.unit_seconds


@given(some, some)
def test_it_comes_to_what_counting_every_second_comes_to(used: list[Portion], reserved: list[Portion]) -> None:
    found = cover(used, reserved)
    for family in FAMILIES:
        for product in PRODUCTS:
            of_it = [(one.product, one.family) == (product, family) for one in used]
            covered = sum(value for value, is_it in zip(found.used, of_it, strict=True) if is_it)
            assert math.isclose(covered, expected(used, reserved, family, product), abs_tol=1e-6)


@given(some, some, st.randoms(use_true_random=False))
def test_no_order_matters(used: list[Portion], reserved: list[Portion], chance: object) -> None:
    numbers, others = list(range(len(used))), list(range(len(reserved)))
    for shuffled in (numbers, others):
        chance.shuffle(shuffled)  # type: ignore[attr-defined]
    first = cover(used, reserved)
    second = cover([used[number] for number in numbers], [reserved[number] for number in others])
    assert second.used == [first.used[number] for number in numbers]
    assert second.reserved == [first.reserved[number] for number in others]


def test_a_reservation_covers_any_size_of_its_family() -> None:
    one_xlarge, two_large = normalised("cache.r7g.xlarge", {}), normalised("cache.r7g.large", {})
    assert (one_xlarge, two_large) == (("cache.r7g", 8.0), ("cache.r7g", 4.0))
    found = cover([Portion("valkey", *two_large, 0, 10)] * 2, [Portion("valkey", *one_xlarge, 0, 10)])
    assert (found.used, found.reserved) == ([40.0, 40.0], [80.0])
    other = cover([Portion("valkey", *normalised("cache.r6g.large", {}), 0, 10)], [Portion("valkey", *one_xlarge, 0, 10)])
    assert (other.used, other.reserved) == ([0.0], [0.0])


def test_what_redis_leaves_covers_valkey_with_a_fifth_more() -> None:
    redis, valkey = Portion("redis", "cache.r7g", 4.0, 0, 10), Portion("valkey", "cache.r7g", 12.0, 0, 10)
    bought = Portion("redis", "cache.r7g", 8.0, 0, 10)
    found = cover([redis, valkey], [bought])
    assert found.used == pytest.approx([40.0, 48.0])
    assert found.reserved == pytest.approx([80.0])
    backwards = cover([redis], [Portion("valkey", "cache.r7g", 8.0, 0, 10)])
    assert (backwards.used, backwards.reserved) == ([0.0], [0.0])


def test_too_little_is_spread_over_everything_by_its_size() -> None:
    found = cover([Portion("redis", "f", 4.0, 0, 10), Portion("redis", "f", 12.0, 0, 10)], [Portion("redis", "f", 4.0, 0, 10)])
    assert found.used == pytest.approx([10.0, 30.0])


def test_every_node_type_of_the_reference_has_units() -> None:
    families = {name: normalised(name, {}) for name in NODE_TYPES}
    assert all(name.startswith(f"{family}.") for name, (family, _) in families.items())
    assert families["cache.t4g.micro"] == ("cache.t4g", 0.5)
    assert families["cache.m5.24xlarge"] == ("cache.m5", 192.0)


def test_a_node_type_of_ones_own_is_covered_by_itself_alone() -> None:
    own = {"cache.tiny": NodeTypeSetting(1 << 20), "cache.r7g.large": NodeTypeSetting(1 << 20)}
    assert normalised("cache.tiny", own) == ("cache.tiny", 1.0)
    assert normalised("cache.r7g.large", own) == ("cache.r7g.large", 1.0)
    assert normalised("cache.gone.large", {}) == ("cache.gone.large", 1.0)
