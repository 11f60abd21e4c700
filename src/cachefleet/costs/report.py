"""The cost report: node hours by group and by tag, what reservations pay of them, what is left on demand. Pure.

Prices are those of the price list now, also for hours long ago; a reservation costs what it was bought for, its payment at once
spread evenly over its term. Called by api.costs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import msgspec

from cachefleet.costs.coverage import Coverage, Portion, cover, normalised
from cachefleet.costs.offerings import price_per_hour
from cachefleet.model.reserved import ReservedNodesDesired
from cachefleet.model.usage import Span
from cachefleet.reference.node_types import node_type
from cachefleet.settings import Settings

HOUR_S = 3600.0
K = TypeVar("K")


class Hours(msgspec.Struct, frozen=True):
    """Of nodes. on_demand_cost: of the hours that no reservation pays. full_cost: if there were no reservations."""

    node_hours: float = 0.0
    reserved_hours: float = 0.0
    on_demand_hours: float = 0.0
    on_demand_cost: float = 0.0
    full_cost: float = 0.0


class GroupHours(msgspec.Struct, frozen=True):
    """price_per_hour: of one node; None for a node type that is not there any more, which costs nothing here."""

    kind: str
    name: str
    engine: str
    node_type: str
    price_per_hour: float | None
    hours: Hours


class TagHours(msgspec.Struct, frozen=True):
    """value: of the tag that was asked for; None of groups without it."""

    value: str | None
    hours: Hours


class ReservationHours(msgspec.Struct, frozen=True):
    """node_hours: of its nodes within the time of the report. used_hours: of those, how many paid for something."""

    id: str
    node_type: str
    product: str
    offering_type: str
    count: int
    state: str
    node_hours: float
    used_hours: float
    unused_hours: float
    cost: float


class CostReport(msgspec.Struct, frozen=True):
    """cost: of what is left on demand and of all reservations."""

    groups: list[GroupHours]
    tags: list[TagHours]
    reservations: list[ReservationHours]
    total: Hours
    reserved_cost: float
    cost: float


class _Piece(msgspec.Struct, frozen=True):
    """A part of the report's time in which a group did not change. hours, reserved: of nodes."""

    span: Span
    price: float | None
    hours: float
    reserved: float


def cost_report(
    spans: Sequence[Span],
    reservations: Mapping[str, ReservedNodesDesired],
    settings: Settings,
    begin: float,
    end: float,
    *,
    tag: str = "",
) -> CostReport:
    """Of begin <= time < end (epoch seconds; only what was counted). spans: with their ends. reservations: by id. tag: whose
    values are told apart, "" none."""
    found = [one for one in spans if _overlap(one, begin, end)]
    terms = {name: one for name, one in reservations.items() if one.started_at < end and one.ends_at > begin}
    used = [_used(span, settings, begin, end) for span in found]
    reserved = [_reserved(one, settings, begin, end) for one in terms.values()]
    coverage = cover(used, reserved)
    pieces = _pieces(found, used, coverage, settings)
    bought = [
        _reservation(name, term, portion, taken, end)
        for (name, term), portion, taken in zip(terms.items(), reserved, coverage.reserved, strict=True)
    ]
    total, reserved_cost = _sum(pieces), round(sum(one.cost for one in bought), 2)
    return CostReport(
        groups=[
            GroupHours(*named, price_per_hour=some[0].price, hours=_sum(some))
            for named, some in sorted(_by(pieces, _group_of).items())
        ],
        tags=_by_tag(pieces, tag) if tag else [],
        reservations=sorted(bought, key=lambda one: one.id),
        total=total,
        reserved_cost=reserved_cost,
        cost=round(total.on_demand_cost + reserved_cost, 2),
    )


def _overlap(span: Span, begin: float, end: float) -> bool:
    return span.end is not None and max(span.begin, begin) < min(span.end, end)


def _used(span: Span, settings: Settings, begin: float, end: float) -> Portion:
    family, units = normalised(span.use.node_type, settings.node_types)
    until = span.end if span.end is not None else end
    return Portion(span.use.engine, family, units * span.use.nodes, max(span.begin, begin), min(until, end))


def _reserved(term: ReservedNodesDesired, settings: Settings, begin: float, end: float) -> Portion:
    family, units = normalised(term.node_type, settings.node_types)
    return Portion(term.product, family, units * term.count, max(term.started_at, begin), min(term.ends_at, end))


def _pieces(spans: Sequence[Span], used: Sequence[Portion], coverage: Coverage, settings: Settings) -> list[_Piece]:
    pieces: list[_Piece] = []
    for span, portion, covered in zip(spans, used, coverage.used, strict=True):
        hours = span.use.nodes * (portion.end - portion.begin) / HOUR_S
        known = node_type(span.use.node_type, settings.node_types)
        price = None if known is None else price_per_hour(known, settings.prices)
        pieces.append(_Piece(span, price, hours, hours * covered / portion.unit_seconds))
    return pieces


def _reservation(name: str, term: ReservedNodesDesired, portion: Portion, taken: float, end: float) -> ReservationHours:
    hours = term.count * (portion.end - portion.begin) / HOUR_S
    used = hours * taken / portion.unit_seconds
    per_hour = term.hourly_price + term.fixed_price * HOUR_S / term.duration_s
    return ReservationHours(
        id=name,
        node_type=term.node_type,
        product=term.product,
        offering_type=term.offering_type,
        count=term.count,
        state=term.state(end),
        node_hours=round(hours, 3),
        used_hours=round(used, 3),
        unused_hours=round(max(0.0, hours - used), 3),  # of equal ones, one may be a hair larger
        cost=round(hours * per_hour, 2),
    )


def _group_of(piece: _Piece) -> tuple[str, str, str, str]:
    group, use = piece.span.group, piece.span.use
    return str(group.kind), group.name, use.engine, use.node_type


def _by_tag(pieces: Sequence[_Piece], tag: str) -> list[TagHours]:
    """By value; groups without the tag last."""
    found = _by(pieces, lambda piece: (tag not in piece.span.use.tags, piece.span.use.tags.get(tag, "")))
    return [TagHours(None if lacks else value, _sum(some)) for (lacks, value), some in sorted(found.items())]


def _by(pieces: Sequence[_Piece], key: Callable[[_Piece], K]) -> dict[K, list[_Piece]]:
    found: dict[K, list[_Piece]] = {}
    for piece in pieces:
        found.setdefault(key(piece), []).append(piece)
    return found


def _sum(pieces: Sequence[_Piece]) -> Hours:
    hours, reserved = sum(one.hours for one in pieces), sum(one.reserved for one in pieces)
    left = sum((one.hours - one.reserved) * (one.price or 0.0) for one in pieces)
    return Hours(
        node_hours=round(hours, 3),
        reserved_hours=round(reserved, 3),
        on_demand_hours=round(max(0.0, hours - reserved), 3),
        on_demand_cost=round(max(0.0, left), 2),
        full_cost=round(sum(one.hours * (one.price or 0.0) for one in pieces), 2),
    )
