"""What a node costs by the hour, and what is offered for one or three years (reference 13.11), from the price list in settings.

The numbers are the operator's own: none of them is a price of AWS. Called by the operations on reserved nodes and by the cost
report.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from functools import cache

import msgspec

from cachefleet.model.reserved import YEAR_S
from cachefleet.model.usage import Use
from cachefleet.reference.node_types import NodeType, all_node_types, node_type
from cachefleet.settings import PriceSettings, Settings

PRODUCTS = ("memcached", "redis", "valkey")
NO_UPFRONT, PARTIAL_UPFRONT, ALL_UPFRONT = "No Upfront", "Partial Upfront", "All Upfront"
OFFERING_TYPES = (ALL_UPFRONT, NO_UPFRONT, PARTIAL_UPFRONT)
YEARS = (1, 3)
_UPFRONT = {NO_UPFRONT: 0.0, PARTIAL_UPFRONT: 0.5, ALL_UPFRONT: 1.0}  # which part of the price is paid at once
_HOURS_OF_YEAR = YEAR_S / 3600
_GIB = 1 << 30
_NAMESPACE = uuid.UUID("5f3f6a0e-3f0a-5b5e-9a57-6f3b8a0c7c11")


class Offering(msgspec.Struct, frozen=True):
    """Prices are for one node."""

    id: str
    node_type: str
    product: str
    offering_type: str
    duration_s: int
    fixed_price: float
    hourly_price: float

    @property
    def order(self) -> str:
        return f"{self.node_type}/{self.product}/{self.duration_s:09}/{self.offering_type}"


def price_per_hour(kind: NodeType, prices: PriceSettings) -> float:
    """Of one node on demand: what the price list has for its type, else by its processors and memory."""
    own = prices.hourly.get(kind.name)
    if own is not None:
        return own
    by_size = kind.vcpu * prices.per_vcpu_hour + kind.maxmemory_bytes / _GIB * prices.per_gib_hour
    return round(by_size, 6)


def offerings(settings: Settings) -> list[Offering]:
    """Everything that is offered, in a stable order."""
    found: list[Offering] = []
    reserved = {
        (years, kind): 1 - _discount_percent(settings.prices, years, kind) / 100 for years in YEARS for kind in OFFERING_TYPES
    }
    for one in all_node_types(settings.node_types):
        price = price_per_hour(one, settings.prices)
        for product in PRODUCTS:
            found += [
                _offering(one.name, product, years, offering_type, price * part)
                for (years, offering_type), part in reserved.items()
            ]
    return sorted(found, key=lambda offering: offering.order)


def cost_per_hour(uses: Iterable[Use], settings: Settings) -> float:
    """Of all their nodes on demand; those of a node type that is not there any more cost nothing."""
    found = ((use.nodes, node_type(use.node_type, settings.node_types)) for use in uses)
    return sum(nodes * price_per_hour(known, settings.prices) for nodes, known in found if known is not None)


def strange_prices(settings: Settings) -> list[str]:
    """Names on the price list that no node type has."""
    return sorted(set(settings.prices.hourly) - {one.name for one in all_node_types(settings.node_types)})


def _offering(node_type: str, product: str, years: int, offering_type: str, per_hour: float) -> Offering:
    """per_hour: of a node, less the discount."""
    upfront = _UPFRONT[offering_type]
    return Offering(
        id=_identity(node_type, product, years, offering_type),
        node_type=node_type,
        product=product,
        offering_type=offering_type,
        duration_s=years * YEAR_S,
        fixed_price=round(per_hour * upfront * years * _HOURS_OF_YEAR, 2),
        hourly_price=round(per_hour * (1 - upfront), 6),
    )


def _discount_percent(prices: PriceSettings, years: int, offering_type: str) -> float:
    return {
        (1, NO_UPFRONT): prices.no_upfront_1y_percent,
        (1, PARTIAL_UPFRONT): prices.partial_upfront_1y_percent,
        (1, ALL_UPFRONT): prices.all_upfront_1y_percent,
        (3, NO_UPFRONT): prices.no_upfront_3y_percent,
        (3, PARTIAL_UPFRONT): prices.partial_upfront_3y_percent,
        (3, ALL_UPFRONT): prices.all_upfront_3y_percent,
    }[years, offering_type]


@cache
def _identity(node_type: str, product: str, years: int, offering_type: str) -> str:
    """The same for ever, whatever it costs."""
    return str(uuid.uuid5(_NAMESPACE, f"{node_type}/{product}/{years}/{offering_type}"))
