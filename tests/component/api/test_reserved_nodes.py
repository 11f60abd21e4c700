"""Reserved nodes: offerings and their filters, purchases, what was bought, and every error that the operations declare."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

import cachefleet.api.operations  # noqa: F401  (registers them)
from cachefleet.model.errors import AwsError
from cachefleet.model.reserved import PAYMENT_S, YEAR_S
from cachefleet.settings import ApiSettings, NodeTypeSetting, PriceSettings, Settings
from tests.component.api.stage import Stage, on_each_store
from tests.component.iam.stage import allow, arn, user
from tests.fakes.api import call

OFFERINGS, NODES = "DescribeReservedCacheNodesOfferings", "DescribeReservedCacheNodes"
PURCHASE = "PurchaseReservedCacheNodesOffering"
LARGE = "cache.r7g.large"
ONE: dict[str, Any] = {
    "CacheNodeType": LARGE,
    "Duration": "1",
    "ProductDescription": "valkey",
    "OfferingType": "Partial Upfront",
}


async def offering_id(stage: Stage, **changes: str) -> str:
    (found,) = (await stage.call(OFFERINGS, **{**ONE, **changes}))["ReservedCacheNodesOfferings"]
    return str(found["ReservedCacheNodesOfferingId"])


async def buy(stage: Stage, **request: Any) -> dict[str, Any]:
    offered = request.pop("offering", None) or await offering_id(stage)
    reply = await stage.call(PURCHASE, ReservedCacheNodesOfferingId=offered, **request)
    return dict(reply["ReservedCacheNode"])


async def ids(stage: Stage, **filters: Any) -> list[str]:
    return [one["ReservedCacheNodeId"] for one in (await stage.call(NODES, **filters))["ReservedCacheNodes"]]


@on_each_store
async def test_offerings_are_filtered_by_everything(stage: Stage) -> None:
    stage.use(Settings(prices=PriceSettings(hourly={LARGE: 1.0})))
    (one,) = (await stage.call(OFFERINGS, **ONE))["ReservedCacheNodesOfferings"]
    assert one.pop("ReservedCacheNodesOfferingId")
    assert one == {
        "CacheNodeType": LARGE,
        "Duration": YEAR_S,
        "FixedPrice": 3285.0,
        "UsagePrice": 0.0,
        "ProductDescription": "valkey",
        "OfferingType": "Partial Upfront",
        "RecurringCharges": [{"RecurringChargeAmount": 0.375, "RecurringChargeFrequency": "Hourly"}],
    }
    for member, many in (("CacheNodeType", 97), ("Duration", 2), ("ProductDescription", 3), ("OfferingType", 3)):
        found = await all_offerings(stage, **{name: text for name, text in ONE.items() if name != member})
        assert len(found) >= many, member
    assert await offering_id(stage, Duration="31536000") == await offering_id(stage)
    assert await offering_id(stage, Duration="P1Y") == await offering_id(stage)
    assert await offering_id(stage, Duration="94608000") == await offering_id(stage, Duration="3") != await offering_id(stage)
    by_id = await stage.call(OFFERINGS, ReservedCacheNodesOfferingId=(await offering_id(stage)).upper())
    assert len(by_id["ReservedCacheNodesOfferings"]) == 1
    former = await stage.call(OFFERINGS, OfferingType="Heavy Utilization")
    assert former == {"ReservedCacheNodesOfferings": []}
    mismatch = await stage.call(OFFERINGS, ReservedCacheNodesOfferingId=await offering_id(stage), Duration="3")
    assert mismatch == {"ReservedCacheNodesOfferings": []}


async def all_offerings(stage: Stage, **filters: Any) -> list[str]:
    found: list[str] = []
    marker: dict[str, str] = {}
    while True:
        reply = await stage.call(OFFERINGS, **filters, **marker)
        found += [one["ReservedCacheNodesOfferingId"] for one in reply["ReservedCacheNodesOfferings"]]
        if "Marker" not in reply:
            return found
        marker = {"Marker": reply["Marker"]}


@on_each_store
async def test_offerings_come_in_pages_each_once(stage: Stage) -> None:
    everything = await all_offerings(stage)
    assert len(everything) == len(set(everything)) > 1000
    assert len(everything) % 100 != 0
    stage.use(Settings(node_types={"cache.tiny": NodeTypeSetting(1 << 20)}))
    assert len(await all_offerings(stage, CacheNodeType="cache.tiny")) == 18
    assert len((await stage.call(OFFERINGS, MaxRecords=20))["ReservedCacheNodesOfferings"]) == 20


@on_each_store
async def test_what_is_bought_is_read_back(stage: Stage) -> None:
    tags = [{"Key": "team", "Value": "x"}]
    offered = await offering_id(stage)
    bought = await buy(stage, ReservedCacheNodeId="My-Nodes", CacheNodeCount=3, Tags=tags)
    (offer,) = (await stage.call(OFFERINGS, **ONE))["ReservedCacheNodesOfferings"]
    assert bought == {
        **offer,
        "ReservedCacheNodeId": "my-nodes",
        "StartTime": stage.clock.now(),
        "CacheNodeCount": 3,
        "State": "payment-pending",
        "ReservationARN": "arn:aws:elasticache:local-1:000000000000:reserved-instance:my-nodes",
    }
    stage.clock.pass_time(PAYMENT_S)
    (read,) = (await stage.call(NODES, ReservedCacheNodeId="MY-NODES"))["ReservedCacheNodes"]
    assert read == {**bought, "State": "active"}
    assert (await stage.call("ListTagsForResource", ResourceName=bought["ReservationARN"])) == {"TagList": tags}
    stage.use(Settings(prices=PriceSettings(per_vcpu_hour=9.0)))  # it keeps the price at which it was bought
    assert (await stage.call(NODES))["ReservedCacheNodes"] == [read]
    stage.clock.pass_time(YEAR_S)
    (read,) = (await stage.call(NODES, ReservedCacheNodesOfferingId=offered))["ReservedCacheNodes"]
    assert read["State"] == "retired"


@on_each_store
async def test_an_id_is_made_where_none_is_given(stage: Stage) -> None:
    first, second = await buy(stage), await buy(stage)
    assert first["CacheNodeCount"] == 1
    assert first["ReservedCacheNodeId"].startswith("ri-2023-11-14-22-13-20-")
    assert sorted(await ids(stage)) == sorted({first["ReservedCacheNodeId"], second["ReservedCacheNodeId"]})


@on_each_store
async def test_reservations_are_filtered_and_paged(stage: Stage) -> None:
    longer, redis = await offering_id(stage, Duration="3"), await offering_id(stage, ProductDescription="redis")
    for number in range(21):
        await buy(stage, ReservedCacheNodeId=f"r{number:02}")
    await buy(stage, ReservedCacheNodeId="long", offering=longer)
    await buy(stage, ReservedCacheNodeId="redis", offering=redis)
    first = await stage.call(NODES, MaxRecords=20)
    rest = await stage.call(NODES, MaxRecords=20, Marker=first["Marker"])
    both = [one["ReservedCacheNodeId"] for one in (*first["ReservedCacheNodes"], *rest["ReservedCacheNodes"])]
    assert both == await ids(stage) == ["long", *(f"r{number:02}" for number in range(21)), "redis"]
    assert await ids(stage, Duration="3") == ["long"]
    assert await ids(stage, ProductDescription="redis") == await ids(stage, ReservedCacheNodesOfferingId=redis) == ["redis"]
    assert await ids(stage, OfferingType="No Upfront") == await ids(stage, CacheNodeType="cache.t4g.micro") == []
    assert await ids(stage, ReservedCacheNodeId="long", Duration="1") == []
    other = replace(stage.context, caller=replace(stage.context.caller, region="local-2"))
    assert await call(other, NODES) == {"ReservedCacheNodes": []}


@on_each_store
async def test_what_is_refused_when_it_is_bought(stage: Stage) -> None:
    offered = await offering_id(stage)
    good = {"ReservedCacheNodesOfferingId": offered, "ReservedCacheNodeId": "mine"}
    await stage.refused("ReservedCacheNodesOfferingNotFound", "no offering", PURCHASE, ReservedCacheNodesOfferingId="nope")
    for count in (0, -1):
        await stage.refused("InvalidParameterValue", "at least 1", PURCHASE, **good, CacheNodeCount=count)
    for name in ("", "a b", "a_b", "x" * 256):
        wrong = {**good, "ReservedCacheNodeId": name}
        await stage.refused("InvalidParameterValue", "not a valid identifier", PURCHASE, **wrong)
    too_many = [{"Key": f"k{number}", "Value": ""} for number in range(51)]
    await stage.refused("TagQuotaPerResourceExceeded", "50", PURCHASE, **good, Tags=too_many)
    assert await ids(stage) == []
    await buy(stage, ReservedCacheNodeId="mine")
    with pytest.raises(AwsError) as refusal:
        await call(stage.context, PURCHASE, **{**good, "ReservedCacheNodeId": "MINE"})
    assert (refusal.value.code, refusal.value.http_status) == ("ReservedCacheNodeAlreadyExists", 404)


@on_each_store
async def test_the_quota_counts_nodes_of_reservations_that_have_not_ended(stage: Stage) -> None:
    stage.use(Settings(api=ApiSettings(reserved_nodes=5)))
    offered = {"ReservedCacheNodesOfferingId": await offering_id(stage)}
    await stage.refused("ReservedCacheNodeQuotaExceeded", "quota of 5", PURCHASE, **offered, CacheNodeCount=6)
    await stage.refused("ReservedCacheNodeQuotaExceeded", "quota of 5", PURCHASE, **offered, CacheNodeCount=2**31 - 1)
    await buy(stage, CacheNodeCount=3)
    await stage.refused("ReservedCacheNodeQuotaExceeded", "there are 3 reserved", PURCHASE, **offered, CacheNodeCount=3)
    await buy(stage, CacheNodeCount=2)
    stage.clock.pass_time(YEAR_S)
    await buy(stage, CacheNodeCount=5)


@on_each_store
async def test_what_is_refused_when_it_is_listed(stage: Stage) -> None:
    for name in (OFFERINGS, NODES):
        for member, value in (
            ("Duration", "2"),
            ("Duration", "31536001"),
            ("ProductDescription", "postgres"),
            ("OfferingType", "Free"),
            ("CacheNodeType", "cache.nope"),
            ("MaxRecords", 19),
            ("MaxRecords", 101),
            ("Marker", "nonsense"),
        ):
            await stage.refused("InvalidParameterValue", member[:5], name, **{member: value})
    await stage.refused("ReservedCacheNodesOfferingNotFound", "no offering", OFFERINGS, ReservedCacheNodesOfferingId="nope")
    await stage.refused("ReservedCacheNodeNotFound", "no reservation", NODES, ReservedCacheNodeId="nope")
    assert await ids(stage, ReservedCacheNodesOfferingId="nope") == []
    assert (await stage.call(OFFERINGS, Marker="", Duration=""))["ReservedCacheNodesOfferings"]


@on_each_store
async def test_tags_of_a_reservation_are_changed(stage: Stage) -> None:
    bought = (await buy(stage, ReservedCacheNodeId="mine"))["ReservationARN"]
    await stage.call("AddTagsToResource", ResourceName=bought, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    await stage.call("RemoveTagsFromResource", ResourceName=bought, TagKeys=["a"])
    assert await stage.call("ListTagsForResource", ResourceName=bought) == {"TagList": [{"Key": "b", "Value": "2"}]}
    (found,) = (await stage.call("GetResources", "tagging", TagFilters=[{"Key": "b"}]))["ResourceTagMappingList"]
    assert found["ResourceARN"] == bought
    gone = bought.replace("mine", "gone")
    await stage.refused("ReservedCacheNodeNotFound", "no reservation", "ListTagsForResource", ResourceName=gone)


@on_each_store
async def test_a_user_buys_under_the_names_that_a_policy_allows(stage: Stage) -> None:
    offered = {"ReservedCacheNodesOfferingId": await offering_id(stage)}
    root = stage.context
    rules = allow(f"elasticache:{PURCHASE}", arn("reserved-instance", "team-*")), allow("elasticache:Describe*")
    stage.context = replace(root, caller=user("ann", *rules))
    await stage.call(PURCHASE, **offered, ReservedCacheNodeId="TEAM-a")
    await stage.refused("AccessDenied", "reserved-instance:other", PURCHASE, **offered, ReservedCacheNodeId="other")
    await stage.refused("AccessDenied", r"reserved-instance:\*", PURCHASE, **offered)
    tags = [{"Key": "a", "Value": "b"}]
    await stage.refused("AccessDenied", "AddTagsToResource", PURCHASE, **offered, ReservedCacheNodeId="team-b", Tags=tags)
    assert await ids(stage) == ["team-a"]
