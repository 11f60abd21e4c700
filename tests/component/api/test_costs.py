"""GET /cost: which time it is about, whom it tells, and what it tells of what was counted and bought."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import urlencode

import pytest
from msgspec.structs import replace

from cachefleet.api.costs.costs import get_cost
from cachefleet.model.errors import AwsError
from cachefleet.model.resource import Kind
from cachefleet.model.usage import Span, Use
from cachefleet.settings import PriceSettings, Settings
from cachefleet.store import SqlStore, open_store
from tests.component.api.stage import Stage
from tests.component.iam.stage import allow, user
from tests.fakes.clock import ManualClock

NOW = 1_700_000_000.0  # 2023-11-14T22:13:20Z
MONTH = 1_698_796_800.0  # 2023-11-01T00:00:00Z
HOUR = 3600.0
LARGE = "cache.r7g.large"


def on_a_ledger(test: Callable[[Stage, SqlStore], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Two nodes of `demo` since before this month, and one of `old` in its first hour."""

    def run() -> None:
        async def body() -> None:
            clock = ManualClock(NOW)
            store = await open_store("sqlite+aiosqlite:///:memory:", clock)
            try:
                stage = Stage(store, clock)
                settings = Settings(prices=PriceSettings(hourly={LARGE: 0.5}, currency="EUR"))
                stage.context = replace(stage.context, usage=store.usage, settings=settings)
                await test(stage, store)
            finally:
                await store.close()

        asyncio.run(body())

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


async def count(stage: Stage, store: SqlStore) -> None:
    token = (await store.hold_lease("it", "us", 60.0)).token
    scope = stage.context.scope
    use = Use("valkey", LARGE, 2, {"team": "a"})
    spans = (
        Span(scope.key(Kind.REPLICATION_GROUP, "demo"), "1", use, MONTH - 24 * HOUR),
        Span(scope.key(Kind.CACHE_CLUSTER, "old"), "2", replace(use, nodes=1, tags={}), MONTH, MONTH + HOUR),
    )
    await store.usage.write("it", token, MONTH - 24 * HOUR, (), spans)
    await store.usage.write("it", token, NOW - 20.0, (), ())


async def told(stage: Stage, **asked: str) -> dict[str, Any]:
    return dict(await get_cost(stage.context, urlencode(asked)))


@on_a_ledger
async def test_it_is_about_this_month_until_the_last_look(stage: Stage, store: SqlStore) -> None:
    await count(stage, store)
    report = await told(stage)
    assert (report["from"], report["to"]) == ("2023-11-01T00:00:00.000Z", "2023-11-14T22:13:20.000Z")
    assert (report["counted_from"], report["counted_to"]) == ("2023-11-01T00:00:00.000Z", "2023-11-14T22:13:00.000Z")
    assert report["currency"] == "EUR"
    hours = 2 * (NOW - 20 - MONTH) / HOUR
    groups = {(one["kind"], one["name"]): one["hours"] for one in report["groups"]}
    assert groups["replicationgroup", "demo"]["node_hours"] == pytest.approx(hours, abs=0.001)
    assert groups["cluster", "old"]["node_hours"] == 1.0
    assert report["total"]["on_demand_cost"] == report["cost"] == pytest.approx((hours + 1) * 0.5, abs=0.01)


@on_a_ledger
async def test_it_is_about_the_time_that_is_asked_for(stage: Stage, store: SqlStore) -> None:
    await count(stage, store)
    report = await told(stage, **{"from": "2023-11-01", "to": "2023-11-01T01:00:00Z", "tag": "team"})
    assert report["total"]["node_hours"] == 3.0
    assert [(one["value"], one["hours"]["node_hours"]) for one in report["tags"]] == [("a", 2.0), (None, 1.0)]
    early = await told(stage, **{"from": "2023-01-01", "to": "2023-11-01"})
    assert (early["counted_from"], early["total"]["node_hours"]) == ("2023-10-31T00:00:00.000Z", 48.0)
    late = await told(stage, **{"from": str(NOW), "to": "2024-01-01"})
    assert (late["counted_from"], late["counted_to"], late["groups"], late["cost"]) == (None, None, [], 0.0)


@on_a_ledger
async def test_reserved_nodes_are_taken_off(stage: Stage, store: SqlStore) -> None:
    await count(stage, store)
    wanted = {"CacheNodeType": LARGE, "Duration": "1", "ProductDescription": "redis", "OfferingType": "No Upfront"}
    (offer,) = (await stage.call("DescribeReservedCacheNodesOfferings", **wanted))["ReservedCacheNodesOfferings"]
    stage.clock.jump(MONTH - NOW)
    offered = {"ReservedCacheNodesOfferingId": offer["ReservedCacheNodesOfferingId"], "ReservedCacheNodeId": "mine"}
    await stage.call("PurchaseReservedCacheNodesOffering", **offered)
    stage.clock.jump(NOW - MONTH)
    report = await told(stage, **{"from": "2023-11-01", "to": "2023-11-02"})
    assert report["total"]["node_hours"] == 49.0
    assert report["total"]["reserved_hours"] == pytest.approx(24 * 1.2)  # Valkey, by a reservation of Redis
    (one,) = report["reservations"]
    assert (one["id"], one["node_hours"], one["used_hours"], one["unused_hours"]) == ("mine", 24.0, 24.0, 0.0)
    assert report["reserved_cost"] == pytest.approx(24 * 0.4)
    assert report["cost"] == pytest.approx((49 - 28.8) * 0.5 + 24 * 0.4, abs=0.01)


@on_a_ledger
async def test_nothing_was_counted_yet(stage: Stage, store: SqlStore) -> None:
    report = await told(stage)
    assert (report["counted_from"], report["groups"], report["total"]["node_hours"]) == (None, [], 0.0)


@on_a_ledger
async def test_what_cannot_be_asked_is_refused(stage: Stage, store: SqlStore) -> None:
    for query, why in (
        ("from=yesterday", "ISO 8601"),
        ("to=2023-13-01", "ISO 8601"),
        ("from=", "ISO 8601"),
        ("to=9999-12-31T23:59:59.9999Z", "ISO 8601"),
        ("from=0001-01-01T00:00:00%2B14:00", "ISO 8601"),
        ("from=2023-11-02&to=2023-11-01", "must be before"),
        ("from=2023-11-01&from=2023-11-02", "given once"),
        ("month=1", "no parameter"),
    ):
        with pytest.raises(AwsError, match=why) as refusal:
            await get_cost(stage.context, query)
        assert refusal.value.code == "InvalidParameterValue", query


@on_a_ledger
async def test_a_user_needs_the_permission(stage: Stage, store: SqlStore) -> None:
    stage.context = replace(stage.context, caller=user("ann", allow("elasticache:*")))
    with pytest.raises(AwsError, match="cachefleet:GetCost") as refusal:
        await told(stage)
    assert refusal.value.code == "AccessDenied"
    stage.context = replace(stage.context, caller=user("ann", allow("cachefleet:GetCost")))
    assert (await told(stage))["groups"] == []
