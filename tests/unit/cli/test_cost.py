"""What caches cost, in sentences and tables."""

from __future__ import annotations

from typing import Any

import pytest

from cachefleet.cli.cost import Asked, lines_of, parameters_of, tables_of
from cachefleet.cli.failure import Failure

HOURS = {"node_hours": 1344.0, "reserved_hours": 672.0, "on_demand_hours": 672.0, "on_demand_cost": 336.0, "full_cost": 672.0}
REPORT: dict[str, Any] = {
    "from": "2026-11-01T00:00:00.000Z",
    "to": "2026-11-29T00:00:00.000Z",
    "counted_from": "2026-11-01T00:00:00.000Z",
    "counted_to": "2026-11-28T23:59:30.000Z",
    "currency": "EUR",
    "tag": "team",
    "groups": [
        {
            "kind": "replicationgroup",
            "name": "shop",
            "engine": "valkey",
            "node_type": "cache.r7g.large",
            "price_per_hour": 0.5,
            "hours": HOURS,
        }
    ],
    "tags": [{"value": "[bold]a", "hours": HOURS}, {"value": None, "hours": HOURS}],
    "reservations": [
        {
            "id": "mine",
            "node_type": "cache.r7g.large",
            "product": "valkey",
            "offering_type": "No Upfront",
            "count": 1,
            "state": "active",
            "node_hours": 700.0,
            "used_hours": 672.0,
            "unused_hours": 28.0,
            "cost": 280.0,
        }
    ],
    "total": HOURS,
    "reserved_cost": 280.0,
    "cost": 616.0,
}


def test_what_it_comes_to_is_said_in_sentences() -> None:
    assert list(lines_of(REPORT)) == [
        "Node hours from 2026-11-01 00:00 to 2026-11-28 23:59 UTC.",
        "1,344.0 node hours: 672.0 paid by reserved nodes, 672.0 on demand for 336.00 EUR.",
        "Reserved nodes cost 280.00 EUR: 616.00 EUR in all, instead of 672.00 EUR without them.",
    ]


def test_what_was_not_counted_is_said() -> None:
    late = {**REPORT, "counted_from": "2026-11-03T10:00:00.000Z", "reservations": []}
    assert "Nodes are counted since 2026-11-03 10:00 only." in list(lines_of(late))
    assert len(list(lines_of(late))) == 3
    nothing = {**REPORT, "counted_from": None, "counted_to": None}
    assert list(lines_of(nothing)) == ["No node was counted in that time: the service counts once a minute, while it runs."]
    gone = {**REPORT, "groups": [{**REPORT["groups"][0], "price_per_hour": None}]}
    assert "A price of - is one of a node type that is not there any more; it counts as 0." in list(lines_of(gone))
    assert next(tables_of(gone))[2][0][-2:] == ("-", "336.00")


def test_tables_have_a_row_for_each() -> None:
    by_group, by_tag, reserved = tables_of(REPORT)
    assert by_group[2] == [("shop", "valkey", "cache.r7g.large", "1,344.0", "672.0", "672.0", "0.5000", "336.00")]
    assert by_tag[0] == "By the tag team"
    assert [row[0] for row in by_tag[2]] == ["[bold]a", "(without)"]
    assert reserved[2] == [
        ("mine", "1 x cache.r7g.large", "valkey", "No Upfront", "active", "700.0", "672.0", "28.0", "280.00")
    ]
    for _, headings, rows in tables_of(REPORT):
        assert all(len(row) == len(headings) for row in rows)
    assert list(tables_of({**REPORT, "groups": [], "tags": [], "reservations": []})) == []


def test_what_is_asked_for_goes_to_the_service() -> None:
    assert parameters_of(Asked(), 0.0) == {}
    assert parameters_of(Asked("2026-11-01", "2026-12-01", None, "team"), 0.0) == {
        "from": "2026-11-01",
        "to": "2026-12-01",
        "tag": "team",
    }
    assert parameters_of(Asked(days=2), 1_700_000_000.0) == {"from": "2023-11-12T22:13:20.000Z"}
    with pytest.raises(Failure, match="stands alone"):
        parameters_of(Asked("2026-11-01", days=2), 0.0)
