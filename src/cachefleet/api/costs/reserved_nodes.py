"""Reserved nodes: what is offered, purchases, what was bought (reference 13.11). Nothing is cancelled or paid back.

What a reservation does is told by the cost report (api.costs): it takes nodes off that would be paid by the hour.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cachefleet.api import names
from cachefleet.api.context import Context
from cachefleet.api.paging import page_of, page_sequence, reply
from cachefleet.api.registry import operation
from cachefleet.api.tag_rules import read_other_tags
from cachefleet.clock import Clock, Entropy
from cachefleet.costs.offerings import OFFERING_TYPES, PRODUCTS, Offering, offerings
from cachefleet.interfaces import NameTaken, Transaction
from cachefleet.model.errors import AwsError, invalid_value
from cachefleet.model.reserved import RETIRED, YEAR_S, ReservedNodesDesired
from cachefleet.model.resource import Kind, Scope
from cachefleet.model.row import ReservedNodesRow, Row
from cachefleet.protocol.timestamp import format_timestamp
from cachefleet.reference.node_types import node_type

if TYPE_CHECKING:
    from types_boto3_elasticache.type_defs import (
        DescribeReservedCacheNodesMessageTypeDef,
        DescribeReservedCacheNodesOfferingsMessageTypeDef,
        PurchaseReservedCacheNodesOfferingMessageTypeDef,
    )

_ID, _OFFERING = "ReservedCacheNodeId", "ReservedCacheNodesOfferingId"
_FILTERS = (_OFFERING, "CacheNodeType", "Duration", "ProductDescription", "OfferingType", "MaxRecords", "Marker")
_YEARS = (1, 3)
# The last form is not in the documentation: Terraform's data source sends what its user has to write, P1Y.
_DURATIONS = {text: years * YEAR_S for years in _YEARS for text in (str(years), str(years * YEAR_S), f"P{years}Y")}
_FORMER_TYPES = ("Light Utilization", "Medium Utilization", "Heavy Utilization")  # which nothing has any more


@operation("DescribeReservedCacheNodesOfferings", effective=_FILTERS)
async def describe_reserved_cache_nodes_offerings(
    context: Context, request: DescribeReservedCacheNodesOfferingsMessageTypeDef
) -> dict[str, Any]:
    page = page_of(request, "reserved-offerings")
    wanted = _Filters(context, request)
    found = [one for one in offerings(context.settings) if wanted.let_pass(one)]
    if not found and request.get("ReservedCacheNodesOfferingId"):
        find_offering(context, request["ReservedCacheNodesOfferingId"])
    shown, marker = page_sequence(found, page, lambda one: one.order)
    return reply("ReservedCacheNodesOfferings", [_offering_view(one) for one in shown], marker)


@operation("DescribeReservedCacheNodes", effective=(_ID, *_FILTERS))
async def describe_reserved_cache_nodes(context: Context, request: DescribeReservedCacheNodesMessageTypeDef) -> dict[str, Any]:
    page = page_of(request, "reserved-nodes")
    wanted = _Filters(context, request)
    rows: list[ReservedNodesRow] = await context.store.rows(Kind.RESERVED_NODES, context.scope)
    if request.get("ReservedCacheNodeId"):
        rows = [await load_reserved_nodes(context, request["ReservedCacheNodeId"], _ID)]
    shown, marker = page_sequence([row for row in rows if wanted.let_pass(row.desired)], page, lambda row: row.key.name)
    now = context.clock.now()
    return reply("ReservedCacheNodes", [_view(context.scope, row, now) for row in shown], marker)


@operation("PurchaseReservedCacheNodesOffering", effective=(_OFFERING, _ID, "CacheNodeCount", "Tags"))
async def purchase_reserved_cache_nodes_offering(
    context: Context, request: PurchaseReservedCacheNodesOfferingMessageTypeDef
) -> dict[str, Any]:
    offering = find_offering(context, request["ReservedCacheNodesOfferingId"])
    given = request.get("ReservedCacheNodeId")
    name = _drawn_id(context.clock, context.entropy) if given is None else names.group_name(given, _ID)
    count = request.get("CacheNodeCount", 1)
    if count < 1:
        raise invalid_value(f"CacheNodeCount is {count}; at least 1 node must be reserved.")
    bought = ReservedNodesDesired(
        offering_id=offering.id,
        node_type=offering.node_type,
        product=offering.product,
        offering_type=offering.offering_type,
        duration_s=offering.duration_s,
        fixed_price=offering.fixed_price,
        hourly_price=offering.hourly_price,
        count=count,
        started_at=context.clock.now(),
    )
    row: ReservedNodesRow = Row(
        key=context.scope.key(Kind.RESERVED_NODES, name),
        desired=bought,
        tags=read_other_tags(request.get("Tags", ()), "a reservation"),
    )
    if await context.store.get(row.key) is not None:
        raise _already_exists(name)
    try:
        async with context.store.transaction() as transaction:
            await _check_quota(context, transaction, count)
            row = await transaction.insert(row)
    except NameTaken:
        raise _already_exists(name) from None
    return {"ReservedCacheNode": _view(context.scope, row, context.clock.now())}


# --- for other operations ------------------------------------------------------------------------------------------


async def load_reserved_nodes(context: Context, name: str, field: str = "ResourceName") -> ReservedNodesRow:
    """Raises ReservedCacheNodeNotFound."""
    row: ReservedNodesRow | None = await context.store.get(context.scope.key(Kind.RESERVED_NODES, names.folded(name)))
    if row is None:
        raise AwsError("ReservedCacheNodeNotFound", f"{field}: there is no reservation {names.quoted(name)}.")
    return row


def find_offering(context: Context, offering_id: str) -> Offering:
    """Raises ReservedCacheNodesOfferingNotFound."""
    for one in offerings(context.settings):
        if one.id == names.folded(offering_id):
            return one
    raise AwsError(
        "ReservedCacheNodesOfferingNotFound",
        f"{_OFFERING}: there is no offering {names.quoted(offering_id)}; DescribeReservedCacheNodesOfferings lists them.",
    )


# --- rules ---------------------------------------------------------------------------------------------------------


class _Filters:
    """What a Describe operation asks for; a member that is missing or empty asks for everything."""

    def __init__(self, context: Context, request: Mapping[str, Any]) -> None:
        """Raises InvalidParameterValue."""
        self._offering = names.folded(request.get(_OFFERING) or "")
        self._node_type = request.get("CacheNodeType") or ""
        self._product = request.get("ProductDescription") or ""
        self._offering_type = request.get("OfferingType") or ""
        duration = request.get("Duration") or ""
        _check_one_of(duration, "Duration", tuple(_DURATIONS))
        _check_one_of(self._product, "ProductDescription", PRODUCTS)
        _check_one_of(self._offering_type, "OfferingType", (*OFFERING_TYPES, *_FORMER_TYPES))
        self._duration_s = _DURATIONS.get(duration, 0)
        if self._node_type and node_type(self._node_type, context.settings.node_types) is None:
            raise invalid_value(f"CacheNodeType: there is no node type {names.quoted(self._node_type)}.")

    def let_pass(self, one: Offering | ReservedNodesDesired) -> bool:
        offering_id = one.id if isinstance(one, Offering) else one.offering_id
        wanted = (
            (self._offering, offering_id),
            (self._node_type, one.node_type),
            (self._product, one.product),
            (self._offering_type, one.offering_type),
            (self._duration_s, one.duration_s),
        )
        return all(not asked or asked == there for asked, there in wanted)


def _check_one_of(given: str, field: str, known: tuple[str, ...]) -> None:
    if given and given not in known:
        raise invalid_value(f"{field} {names.quoted(given)} is not valid; it is one of {', '.join(known)}.")


def _drawn_id(clock: Clock, entropy: Entropy) -> str:
    """As ElastiCache makes them: by the time, and here by chance, too, since two may buy at once."""
    moment = format_timestamp(clock.now())[:19].replace("T", "-").replace(":", "-")
    return f"ri-{moment}-{entropy.hex(4)}"


async def _check_quota(context: Context, transaction: Transaction, more: int) -> None:
    """Before the first write. Raises ReservedCacheNodeQuotaExceeded."""
    await transaction.take_turn()
    rows: list[ReservedNodesRow] = await context.store.rows(Kind.RESERVED_NODES, context.scope)
    now, quota = context.clock.now(), context.settings.api.reserved_nodes
    there = sum(row.desired.count for row in rows if row.desired.state(now) != RETIRED)
    if there + more > quota:
        raise AwsError(
            "ReservedCacheNodeQuotaExceeded",
            f"CacheNodeCount: there are {there} reserved nodes, and {more} more would be over the quota of {quota} (setting "
            "api.reserved_nodes). Ask who runs this service for more.",
        )


def _already_exists(name: str) -> AwsError:
    return AwsError("ReservedCacheNodeAlreadyExists", f"{_ID}: there is a reservation {name} already; choose another id.")


# --- views ---------------------------------------------------------------------------------------------------------


def _offering_view(one: Offering) -> dict[str, Any]:
    return {
        _OFFERING: one.id,
        "CacheNodeType": one.node_type,
        "Duration": one.duration_s,
        "FixedPrice": one.fixed_price,
        "UsagePrice": 0.0,
        "ProductDescription": one.product,
        "OfferingType": one.offering_type,
        "RecurringCharges": _recurring(one.hourly_price),
    }


def _view(scope: Scope, row: ReservedNodesRow, now: float) -> dict[str, Any]:
    bought = row.desired
    return {
        _ID: row.key.name,
        _OFFERING: bought.offering_id,
        "CacheNodeType": bought.node_type,
        "StartTime": bought.started_at,
        "Duration": bought.duration_s,
        "FixedPrice": bought.fixed_price,
        "UsagePrice": 0.0,
        "CacheNodeCount": bought.count,
        "ProductDescription": bought.product,
        "OfferingType": bought.offering_type,
        "State": bought.state(now),
        "RecurringCharges": _recurring(bought.hourly_price),
        "ReservationARN": scope.arn(Kind.RESERVED_NODES, row.key.name),
    }


def _recurring(hourly_price: float) -> list[dict[str, Any]]:
    return [{"RecurringChargeAmount": hourly_price, "RecurringChargeFrequency": "Hourly"}]
