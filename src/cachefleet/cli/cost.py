"""What caches cost, asked of the running service and shown as tables. Called by `cachefleet cost`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from cachefleet.cli.failure import Failure
from cachefleet.cli.public_api import Refused, cost, running_service
from cachefleet.cli.table import Shown, show_report
from cachefleet.clock import Clock
from cachefleet.protocol.timestamp import format_timestamp
from cachefleet.settings import Settings

_DAY_S = 86_400.0


class Asked(msgspec.Struct, frozen=True):
    """begin, end: times as they were typed, "" for the usual. days: until now, instead of both."""

    begin: str = ""
    end: str = ""
    days: int | None = None
    tag: str = ""


def show_cost(settings: Settings, asked: Asked, clock: Clock, *, as_json: bool) -> None:
    """Raises Failure, and what the client of the API raises."""
    parameters = parameters_of(asked, clock.now())
    service, keys = running_service(settings)
    try:
        report = cost(service, keys, parameters)
    except Refused as error:
        raise Failure(str(error)) from None
    if as_json:
        print(json.dumps(report, indent=2))
        return
    show_report(lines_of(report), tables_of(report))


def parameters_of(asked: Asked, now: float) -> dict[str, str]:
    """Of GET /cost. Raises Failure."""
    if asked.days is not None and (asked.begin or asked.end):
        raise Failure("--days stands alone: give either --days, or --from and --to")
    begin = asked.begin if asked.days is None else format_timestamp(now - asked.days * _DAY_S)
    given = {"from": begin, "to": asked.end, "tag": asked.tag}
    return {name: text for name, text in given.items() if text}


def lines_of(report: Mapping[str, Any]) -> Iterator[str]:
    """Pure: what it is about, and what it comes to."""
    if report["counted_from"] is None:
        yield "No node was counted in that time: the service counts once a minute, while it runs."
        return
    total, currency = report["total"], report["currency"]
    yield f"Node hours from {_time(report['counted_from'])} to {_time(report['counted_to'])} UTC."
    if report["counted_from"] > report["from"]:
        yield f"Nodes are counted since {_time(report['counted_from'])} only."
    yield (
        f"{_hours(total['node_hours'])} node hours: {_hours(total['reserved_hours'])} paid by reserved nodes, "
        f"{_hours(total['on_demand_hours'])} on demand for {_money(total['on_demand_cost'])} {currency}."
    )
    if report["reservations"]:
        yield (
            f"Reserved nodes cost {_money(report['reserved_cost'])} {currency}: {_money(report['cost'])} {currency} in all, "
            f"instead of {_money(total['full_cost'])} {currency} without them."
        )
    if any(one["price_per_hour"] is None for one in report["groups"]):
        yield "A price of - is one of a node type that is not there any more; it counts as 0."


def tables_of(report: Mapping[str, Any]) -> Iterator[Shown]:
    """Pure: those that have something to show."""
    of_hours = ("NODE HOURS", "RESERVED", "ON DEMAND")
    if report["groups"]:
        price = [_money(one["price_per_hour"], 4) if one["price_per_hour"] is not None else "-" for one in report["groups"]]
        named = [(one["name"], one["engine"], one["node_type"]) for one in report["groups"]]
        rows = [
            (*name, *_row(one["hours"])[:3], paid, _row(one["hours"])[3])
            for name, paid, one in zip(named, price, report["groups"], strict=True)
        ]
        yield "By group", ("NAME", "ENGINE", "NODE TYPE", *of_hours, "PER HOUR", "COST"), rows
    if report["tags"]:
        rows = [(one["value"] if one["value"] is not None else "(without)", *_row(one["hours"])) for one in report["tags"]]
        yield f"By the tag {report['tag']}", ("VALUE", *of_hours, "COST"), rows
    if report["reservations"]:
        rows = [
            (
                one["id"],
                f"{one['count']} x {one['node_type']}",
                one["product"],
                one["offering_type"],
                one["state"],
                *(_hours(one[name]) for name in ("node_hours", "used_hours", "unused_hours")),
                _money(one["cost"]),
            )
            for one in report["reservations"]
        ]
        headings = ("ID", "NODES", "PRODUCT", "OFFERING", "STATE", "HOURS", "USED", "UNUSED", "COST")
        yield "Reserved nodes", headings, rows


def _row(hours: Mapping[str, float]) -> tuple[str, ...]:
    counted = (_hours(hours[name]) for name in ("node_hours", "reserved_hours", "on_demand_hours"))
    return (*counted, _money(hours["on_demand_cost"]))


def _hours(count: float) -> str:
    return f"{count:,.1f}"


def _money(amount: float, digits: int = 2) -> str:
    return f"{amount:,.{digits}f}"


def _time(text: str) -> str:
    """2026-11-22T12:00:00.123Z -> 2026-11-22 12:00"""
    return text[:16].replace("T", " ")
