"""The cost report: hours and prices of spans, with what reservations take off."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachefleet.costs.report import CostReport, cost_report
from cachefleet.model.reserved import YEAR_S, ReservedNodesDesired
from cachefleet.model.resource import Kind, Scope
from cachefleet.model.usage import Span, Use
from cachefleet.settings import PriceSettings, Settings

HOUR = 3600.0
LARGE, XLARGE = "cache.r7g.large", "cache.r7g.xlarge"
SETTINGS = Settings(prices=PriceSettings(hourly={LARGE: 0.5, XLARGE: 1.0}))
SCOPE = Scope("000000000000", "local-1")


def span(
    name: str, nodes: int, begin_h: float, end_h: float, node_type: str = LARGE, engine: str = "valkey", **tags: str
) -> Span:
    key = SCOPE.key(Kind.REPLICATION_GROUP, name)
    return Span(key, f"uid-{name}", Use(engine, node_type, nodes, tags), begin_h * HOUR, end_h * HOUR)


def bought(count: int = 1, node_type: str = LARGE, product: str = "valkey", at: float = 0.0) -> ReservedNodesDesired:
    return ReservedNodesDesired(
        offering_id="x",
        node_type=node_type,
        product=product,
        offering_type="Partial Upfront",
        duration_s=YEAR_S,
        fixed_price=876.0,
        hourly_price=0.1,
        count=count,
        started_at=at,
    )


def told(
    spans: list[Span], reservations: dict[str, ReservedNodesDesired] | None = None, end_h: float = 10.0, tag: str = ""
) -> CostReport:
    return cost_report(spans, reservations or {}, SETTINGS, 0.0, end_h * HOUR, tag=tag)


def test_hours_are_nodes_times_time_within_the_report() -> None:
    report = told([span("a", 2, -5, 4), span("a", 1, 4, 20), span("b", 1, 9, 10, XLARGE), span("c", 9, 10, 11)])
    assert [(one.name, one.node_type, one.hours.node_hours, one.hours.on_demand_cost) for one in report.groups] == [
        ("a", LARGE, 14.0, 7.0),
        ("b", XLARGE, 1.0, 1.0),
    ]
    assert (report.total.node_hours, report.total.on_demand_cost, report.cost) == (15.0, 8.0, 8.0)


def test_a_reservation_takes_hours_off_and_costs_what_it_was_bought_for() -> None:
    report = told([span("a", 3, 0, 10), span("b", 1, 0, 5)], {"r": bought(count=2)})
    assert report.total.node_hours == 35.0
    assert report.total.reserved_hours == 20.0
    assert report.total.on_demand_hours == 15.0
    assert report.total.full_cost == 17.5
    assert report.total.on_demand_cost == 7.5
    (one,) = report.reservations
    assert (one.node_hours, one.used_hours, one.unused_hours, one.state) == (20.0, 20.0, 0.0, "active")
    assert one.cost == pytest.approx(20 * (0.1 + 876 / 8760))
    assert report.cost == pytest.approx(7.5 + 4.0)


def test_what_is_reserved_and_does_not_run_is_told() -> None:
    report = told(
        [span("a", 1, 0, 5)], {"ended": bought(at=-2 * YEAR_S), "now": bought(node_type=XLARGE), "later": bought(at=11 * HOUR)}
    )
    (one,) = report.reservations
    assert (one.id, one.node_hours, one.used_hours, one.unused_hours) == ("now", 10.0, 2.5, 7.5)
    assert report.total.on_demand_hours == 0.0


def test_hours_are_told_by_the_tag_that_groups_had_then() -> None:
    spans = [span("a", 1, 0, 4, team="x"), span("a", 1, 4, 10, team="y"), span("b", 1, 0, 10), span("c", 1, 0, 1, team="")]
    report = told(spans, tag="team")
    assert [(one.value, one.hours.node_hours) for one in report.tags] == [("", 1.0), ("x", 4.0), ("y", 6.0), (None, 10.0)]
    assert told(spans).tags == []
    assert len(report.groups) == 3


def test_a_node_type_that_is_gone_has_hours_and_no_price() -> None:
    (one,) = told([span("a", 1, 0, 10, "cache.gone")]).groups
    assert (one.price_per_hour, one.hours.node_hours, one.hours.on_demand_cost) == (None, 10.0, 0.0)


def test_nothing_is_told_of_no_time() -> None:
    report = told([span("a", 1, 0, 10)], {"r": bought()}, end_h=0.0)
    assert (report.groups, report.reservations, report.cost) == ([], [], 0.0)


lengths = st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 5), st.integers(0, 9), st.integers(1, 9)), max_size=8)


@given(lengths, st.integers(0, 6))
def test_groups_come_to_the_total_and_reserved_hours_are_never_more(found: list[tuple[str, int, int, int]], count: int) -> None:
    spans = [span(name, nodes, begin, begin + length, team=name) for name, nodes, begin, length in found]
    report = told(spans, {"r": bought(count=count)} if count else {}, tag="team")
    total = report.total
    assert 0.0 <= total.reserved_hours <= total.node_hours + 1e-6
    assert math.isclose(total.node_hours, total.reserved_hours + total.on_demand_hours, abs_tol=0.01)
    for parts in ([one.hours for one in report.groups], [one.hours for one in report.tags]):
        assert math.isclose(total.node_hours, sum(one.node_hours for one in parts), abs_tol=0.05)
        assert math.isclose(total.reserved_hours, sum(one.reserved_hours for one in parts), abs_tol=0.05)
    assert math.isclose(sum(one.used_hours for one in report.reservations), total.reserved_hours, abs_tol=0.05)


def test_what_is_used_to_the_last_is_not_a_hair_more_than_that() -> None:
    today_h = 498_625.35
    for second in range(60):
        report = told([span("a", 3, today_h, today_h + 1)], {"r": bought(at=today_h * HOUR + second)}, today_h + 1)
        assert str(report.reservations[0].unused_hours) == "0.0", second
