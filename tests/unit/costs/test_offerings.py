"""What is offered, by the price list."""

from __future__ import annotations

import uuid

import pytest

from cachefleet.costs.offerings import offerings, price_per_hour, strange_prices
from cachefleet.model.reserved import YEAR_S
from cachefleet.reference.node_types import NODE_TYPES
from cachefleet.settings import NodeTypeSetting, PriceSettings, Settings, SettingsError, load

LARGE = "cache.r7g.large"
HOURS = 8760


def of(settings: Settings, node_type: str = LARGE, product: str = "valkey") -> dict[tuple[int, str], tuple[float, float]]:
    """(years, type) -> (at once, by the hour)"""
    return {
        (one.duration_s // YEAR_S, one.offering_type): (one.fixed_price, one.hourly_price)
        for one in offerings(settings)
        if (one.node_type, one.product) == (node_type, product)
    }


def test_every_node_type_is_offered_for_every_product_and_term() -> None:
    found = offerings(Settings())
    assert len(found) == len({one.id for one in found}) == len(NODE_TYPES) * 3 * 2 * 3
    assert all(str(uuid.UUID(one.id)) == one.id for one in found)
    assert [one.order for one in found] == sorted(one.order for one in found)


def test_an_offering_keeps_its_id_when_its_price_changes() -> None:
    dearer = Settings(prices=PriceSettings(per_vcpu_hour=1.0), node_types={"cache.tiny": NodeTypeSetting(1 << 20)})
    ids = {one.order: one.id for one in offerings(dearer)}
    assert all(ids[one.order] == one.id for one in offerings(Settings()))
    (known,) = [one for one in offerings(Settings()) if one.order == f"{LARGE}/valkey/031536000/No Upfront"]
    assert known.id == "932e8f3f-47bc-5827-bd26-f403a11d7bcd"


def test_the_three_ways_to_pay_come_to_the_price_less_the_discount() -> None:
    found = of(Settings(prices=PriceSettings(hourly={LARGE: 1.0})))
    assert found[1, "No Upfront"] == (0.0, 0.8)
    assert found[1, "Partial Upfront"] == pytest.approx((0.75 * HOURS / 2, 0.375))
    assert found[1, "All Upfront"] == pytest.approx((0.72 * HOURS, 0.0))
    assert found[3, "No Upfront"] == (0.0, 0.65)
    assert found[3, "Partial Upfront"] == pytest.approx((0.6 * 3 * HOURS / 2, 0.3))
    assert found[3, "All Upfront"] == pytest.approx((0.55 * 3 * HOURS, 0.0))


def test_a_node_costs_by_its_processors_and_memory_or_as_the_list_says() -> None:
    large = NODE_TYPES[LARGE]
    by_size = 2 * 0.02 + large.maxmemory_bytes / 2**30 * 0.01
    assert price_per_hour(large, PriceSettings()) == pytest.approx(by_size, abs=1e-6)
    assert price_per_hour(large, PriceSettings(hourly={LARGE: 0.0})) == 0.0
    settings = Settings(prices=PriceSettings(hourly={LARGE: 1.0, "cache.tiny": 1.0}))
    assert strange_prices(settings) == ["cache.tiny"]


@pytest.mark.parametrize(
    ("setting", "value", "why"),
    [
        ("CURRENCY", "dollars", "three capital letters"),
        ("PER_GIB_HOUR", "-1", "0 or more"),
        ("PER_GIB_HOUR", "nan", "0 or more"),
        ("NO_UPFRONT_1Y_PERCENT", "101", "100 percent"),
    ],
)
def test_prices_that_cannot_be_meant_are_refused(setting: str, value: str, why: str) -> None:
    with pytest.raises(SettingsError, match=why):
        load({f"CACHEFLEET_PRICES_{setting}": value})
    assert load({"CACHEFLEET_PRICES_PER_VCPU_HOUR": "0.5"}).prices.per_vcpu_hour == 0.5
