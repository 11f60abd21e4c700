"""ListMetrics: what is listed, under which filters, a page at a time."""

from __future__ import annotations

from typing import Any

from cachefleet.model.metric import DAY_S
from tests.component.metrics.stage import CBOR, NOW, Stage, on_stage, pairs

Found = list[tuple[str, str, tuple[tuple[str, str], ...]]]


async def listed(stage: Stage, **request: Any) -> Found:
    """All pages: (namespace, name, dimensions)."""
    found: Found = []
    more: dict[str, Any] = {}
    while True:
        reply = await stage.call("ListMetrics", **request, **more)
        assert len(reply["Metrics"]) <= 500
        for one in reply["Metrics"]:
            dimensions = tuple((pair["Name"], pair["Value"]) for pair in one["Dimensions"])
            found.append((one["Namespace"], one["MetricName"], dimensions))
        if "NextToken" not in reply:
            return found
        more = {"NextToken": reply["NextToken"]}


@on_stage
async def test_filters(stage: Stage) -> None:
    for queue in ("mail", "print"):
        await stage.put("Jobs", Value=1, Dimensions=pairs(Queue=queue, Host="a"))
        await stage.put("Errors", Value=1, Unit="Count", Dimensions=pairs(Queue=queue, Host="a"))
        await stage.put("Errors", Value=1, Unit="Percent", Dimensions=pairs(Queue=queue, Host="a"))
    await stage.put("Jobs", "other", Value=1)
    mail, print_ = ((("Host", "a"), ("Queue", queue)) for queue in ("mail", "print"))
    everything = [
        ("mine", "Errors", mail),
        ("mine", "Jobs", mail),
        ("mine", "Errors", print_),
        ("mine", "Jobs", print_),
        ("other", "Jobs", ()),
    ]
    assert await listed(stage) == everything
    assert await listed(stage, Namespace="other") == everything[4:]
    assert await listed(stage, MetricName="Errors") == [everything[0], everything[2]]
    assert await listed(stage, Dimensions=[{"Name": "Queue"}]) == everything[:4]
    assert await listed(stage, Dimensions=[{"Name": "Host"}, {"Name": "Queue", "Value": "mail"}]) == everything[:2]
    assert await listed(stage, Dimensions=pairs(Queue="scan")) == []
    assert await listed(stage, OwningAccount="000000000000") == everything
    assert await listed(stage, OwningAccount="111111111111") == []
    reply = await stage.call("ListMetrics", Namespace="other", IncludeLinkedAccounts=True)
    assert reply["OwningAccounts"] == ["000000000000"]


@on_stage
async def test_what_had_no_values_for_long_is_not_listed(stage: Stage) -> None:
    await stage.put("Old", Value=1)
    stage.clock.pass_time(4 * 3600)
    await stage.put("New", Value=1, Dimensions=pairs(a="b"))
    assert {name for _, name, _ in await listed(stage)} == {"Old", "New"}
    assert [name for _, name, _ in await listed(stage, RecentlyActive="PT3H")] == ["New"]
    stage.clock.pass_time(14 * DAY_S - 3 * 3600)
    assert [name for _, name, _ in await listed(stage)] == ["New"]


@on_stage
async def test_nodes_are_listed_under_both_dimension_sets(stage: Stage) -> None:
    for node in ("0001", "0002"):
        for name in ("CacheHits", "ErrorCount"):
            stage.measure(name, 1, NOW, "demo-001", node)
    nodes = [(("CacheClusterId", "demo-001"), ("CacheNodeId", node)) for node in ("0001", "0002")]
    assert await listed(stage, Namespace="AWS/ElastiCache") == [
        ("AWS/ElastiCache", "CacheHits", nodes[0][:1]),
        *(("AWS/ElastiCache", name, node) for node in nodes for name in ("CacheHits", "ErrorCount")),
    ]
    assert len(await listed(stage, Dimensions=pairs(CacheClusterId="demo-001"))) == 5
    assert len(await listed(stage, Dimensions=[{"Name": "CacheNodeId"}], MetricName="ErrorCount")) == 2


@on_stage
async def test_pages_are_all_of_it_once(stage: Stage) -> None:
    stage.wire = CBOR
    for cluster in range(7):
        for name in range(130):
            stage.measure(f"M{name:03}", 1, NOW, f"c-{cluster}")
    found = await listed(stage)
    assert len(found) == len(set(found)) == 7 * 130 * 2
    half = await listed(stage, Dimensions=[{"Name": "CacheNodeId"}])
    assert half == [one for one in found if len(one[2]) == 2]
    first = await stage.call("ListMetrics")
    assert (len(first["Metrics"]), "NextToken" in first) == (500, True)


@on_stage
async def test_refusals(stage: Stage) -> None:
    for rule, request in (
        ("NextToken", {"NextToken": "x"}),
        ("NextToken", {"NextToken": "bWV0cmljcy9bInhcIl0="}),
        ("NextToken", {"NextToken": "bWV0cmljcy9bMSwgMl0="}),
        ("PT3H", {"RecentlyActive": "PT1H"}),
        ("Namespace", {"Namespace": ""}),
        ("size greater than 10", {"Dimensions": [{"Name": f"d{number}"} for number in range(11)]}),
        ("Value", {"Dimensions": pairs(a="x" * 1025)}),
    ):
        await stage.refused("InvalidParameterValue", rule, "ListMetrics", **request)
