"""GetMetricData: points, expressions, searches, labels, pages, and what is refused."""

from __future__ import annotations

import itertools
from typing import Any
from unittest import mock

import pytest

from cachefleet.metrics.lines import Work
from cachefleet.model.metric import DAY_S
from tests.component.metrics.stage import CBOR, NOW, Stage, hidden, math, metric, on_stage, pairs


async def jobs(stage: Stage, name: str, numbers: dict[int, float], **dimensions: str) -> None:
    """Time after NOW -> value."""
    for at, number in numbers.items():
        await stage.put(name, Value=number, Timestamp=NOW + at, Dimensions=pairs(**dimensions))


@on_stage
async def test_points_are_a_period_apart_from_the_start_on_and_gaps_stay_gaps(stage: Stage) -> None:
    await jobs(stage, "Jobs", {-900: 1, -840: 2, -600: 4, -1: 8, 0: 16})
    assert await stage.values(metric("m1", "Jobs")) == {"Jobs": {-900: 1, -840: 2, -600: 4, -60: 8, 0: 16}}
    assert await stage.values(metric("m1", "Jobs", "Sum", 300)) == {"Jobs": {-900: 3, -600: 4, -300: 8, 0: 16}}
    # From a start that is no multiple of the period: 22:01, 22:06 ...
    assert await stage.values(metric("m1", "Jobs", "Sum", 300), start=NOW - 840) == {"Jobs": {-840: 6, -240: 24}}
    assert await stage.values(metric("m1", "Jobs", "Sum", 300), start=NOW - 840.5) == {
        "Jobs": {-900: 3, -600: 4, -300: 8, 0: 16}
    }
    assert await stage.values(metric("m1", "Jobs"), end=NOW) == {"Jobs": {-900: 1, -840: 2, -600: 4, -60: 8}}
    assert await stage.values(metric("m1", "Jobs", "Maximum", 3600), start=NOW - 900) == {"Jobs": {-900: 16}}


@on_stage
async def test_the_order_is_what_was_asked_for(stage: Stage) -> None:
    await jobs(stage, "Jobs", {-120: 1, -60: 2, 0: 4})
    (newest,) = (await stage.data(metric("m1", "Jobs")))["MetricDataResults"]
    assert newest == {
        "Id": "m1",
        "Label": "Jobs",
        "Timestamps": [NOW, NOW - 60, NOW - 120],
        "Values": [4, 2, 1],
        "StatusCode": "Complete",
    }
    (oldest,) = (await stage.data(metric("m1", "Jobs"), ScanBy="TimestampAscending"))["MetricDataResults"]
    assert (oldest["Timestamps"][0], oldest["Values"]) == (NOW - 120, [1, 2, 4])


@on_stage
async def test_old_values_are_there_in_coarser_periods_only(stage: Stage) -> None:
    old = NOW - 13 * DAY_S
    await jobs(stage, "Jobs", {-13 * DAY_S: 5})
    await stage.recorder.flush()
    asked = (metric("m1", "Jobs"), {**metric("m2", "Jobs", "Sum", 300), "Label": "5 min"})
    assert await stage.values(*asked, start=old, end=old + 600) == {"Jobs": {-13 * DAY_S: 5}, "5 min": {-13 * DAY_S: 5}}
    stage.clock.pass_time(10 * DAY_S)
    assert await stage.values(*asked, start=old, end=old + 600) == {"Jobs": {}, "5 min": {-13 * DAY_S: 5}}
    stage.clock.pass_time(50 * DAY_S)
    hour = {**metric("m3", "Jobs", "Sum", 3600), "Label": "1 h"}
    found = await stage.values(*asked, hour, start=old - 7200, end=old + 7200)
    assert (found["Jobs"], found["5 min"], list(found["1 h"].values())) == ({}, {}, [5])


@on_stage
async def test_expressions_over_metrics_and_each_other(stage: Stage) -> None:
    await jobs(stage, "Hits", {-120: 6, -60: 8, 0: 0})
    await jobs(stage, "Misses", {-120: 2, 0: 0})
    hits, misses = hidden(metric("m1", "Hits")), hidden(metric("m2", "Misses"))
    found = await stage.values(
        hits,
        misses,
        math("rate", "100 * m1 / total", Label="hit rate"),
        hidden(math("total", "m1 + FILL(m2, 0)")),
        math("all", "SUM(METRICS())"),
        math("change", "RATE(m1)"),
        math("some", "IF(m1 > 6, m1)"),
        math("wide", "m1 - AVG(m1)"),
    )
    assert found == {
        "hit rate": {-120: 75, -60: 100},
        "all": {-120: 8, -60: 8, 0: 0},
        "change": {-60: 2 / 60, 0: -8 / 60},
        "some": {-60: 8},
        "wide": {-120: 6 - 14 / 3, -60: 8 - 14 / 3, 0: -14 / 3},
    }


@on_stage
async def test_filling_goes_from_the_start_to_now(stage: Stage) -> None:
    await jobs(stage, "Jobs", {-120: 6})
    found = await stage.values(
        hidden(metric("m1", "Jobs")), math("e1", "FILL(m1, 0)"), math("e2", "TIME_SERIES(1)"), start=NOW - 180, end=NOW + 600
    )
    assert found["e1"] == {-180: 0, -120: 6, -60: 0}
    assert found["e2"] == dict.fromkeys((-180, -120, -60), 1)
    short = await stage.values(hidden(metric("m1", "Jobs")), math("e1", "TIME_SERIES(1)", Period=300), start=NOW - 900, end=NOW)
    assert short == {"e1": {-900: 1, -600: 1, -300: 1}}


@on_stage
async def test_searches(stage: Stage) -> None:
    for queue, number in {"mail": 1, "print": 2, "scan": 3}.items():
        await jobs(stage, "Jobs", {-60: number}, Queue=queue)
        await jobs(stage, "Errors", {-60: number * 10}, Queue=queue)
    await jobs(stage, "Jobs", {-60: 100}, Host="a")
    search = "SEARCH('{mine,Queue} MetricName=\"Jobs\"', 'Sum', 60)"
    assert await stage.values(math("e1", search)) == {"mail": {-60: 1}, "print": {-60: 2}, "scan": {-60: 3}}
    assert await stage.values(math("e1", search, Label="jobs")) == {
        "jobs mail": {-60: 1}, "jobs print": {-60: 2}, "jobs scan": {-60: 3}
    }  # fmt: skip
    assert "mail at 22:14" in {
        label.replace("2023-11-14T", "").replace(":00+00:00", "")
        for label in await stage.values(math("e1", search, Label="${PROP('Dim.Queue')} at ${LAST_TIME}"))
    }
    assert await stage.values(math("e1", f"SUM({search})")) == {"e1": {-60: 6}}
    assert await stage.values(math("e1", f"SORT({search}, SUM, DESC, 1)")) == {"e1": {-60: 3}}
    both = await stage.values(math("e1", "SEARCH('{mine,Queue} Queue=(mail OR scan) NOT Errors', 'Sum', 60)"))
    assert both == {"mail": {-60: 1}, "scan": {-60: 3}}
    assert await stage.values(math("e1", "SEARCH('nothing', 'Sum')")) == {}
    stage.clock.pass_time(15 * DAY_S)
    assert await stage.values(math("e1", search), start=NOW + 14 * DAY_S, end=NOW + 15 * DAY_S) == {}


@on_stage
async def test_a_search_of_too_much_says_so(stage: Stage) -> None:
    stage.wire = CBOR
    for first in (0, 400):
        data = [
            {"MetricName": "Jobs", "Value": 1.0, "Timestamp": NOW - 60, "Dimensions": pairs(Queue=f"{number:03}")}
            for number in range(first, first + 400)
        ]
        await stage.call("PutMetricData", Namespace="mine", MetricData=data)
    reply = await stage.data(math("e1", "SUM(SEARCH('{mine,Queue}', 'Sum', 60))"))
    assert reply["MetricDataResults"][0]["Values"] == [500]
    assert reply["Messages"][0]["Code"] == "MaxMetricsExceeded"


@on_stage
async def test_metrics_of_nodes_are_there_for_the_cluster_too(stage: Stage) -> None:
    for node, number in (("0001", 3.0), ("0002", 5.0)):
        stage.measure("CacheHits", number, NOW - 60, "cached", node)
        stage.measure("ErrorCount", number, NOW - 60, "cached", node)
    one = metric("m1", "CacheHits", "Sum", 60, "AWS/ElastiCache", CacheNodeId="0002", CacheClusterId="cached")
    assert await stage.values(one) == {"CacheHits": {-60: 5}}
    whole = [
        metric(f"m{n}", "CacheHits", stat, 60, "AWS/ElastiCache", CacheClusterId="cached")
        for n, stat in enumerate(("Sum", "Average"))
    ]
    assert await stage.values(whole[0]) == {"CacheHits": {-60: 8}}
    assert await stage.values(whole[1]) == {"CacheHits": {-60: 4}}
    newer = metric("m1", "ErrorCount", "Sum", 60, "AWS/ElastiCache", CacheClusterId="cached")
    assert await stage.values(newer) == {"ErrorCount": {}}
    found = await stage.values(math("e1", "SEARCH('{AWS/ElastiCache,CacheClusterId} MetricName=\"CacheHits\"', 'Sum', 60)"))
    assert list(found.values()) == [{-60: 8}]


@on_stage
async def test_pages_are_all_of_it_once(stage: Stage) -> None:
    for name in ("One", "Two", "Three"):
        await jobs(stage, name, {-60 * minute: float(minute) for minute in range(7)})
    asked = [
        metric("m1", "One"),
        metric("m2", "Two"),
        metric("none", "Nothing"),
        math("e1", "METRICS('m') * 1"),
        hidden(metric("m3", "Three")),
    ]
    whole = (await stage.data(*asked))["MetricDataResults"]
    for order, size in itertools.product(("TimestampDescending", "TimestampAscending"), (1, 5, 7, 100)):
        points: dict[tuple[str, str], list[tuple[float, float]]] = {}
        more: dict[str, Any] = {}
        for _ in range(100):
            stage.clock.pass_time(7)  # time and new values do not move what later pages show
            stage.measure("Other", 1, NOW)
            reply = await stage.data(*asked, ScanBy=order, MaxDatapoints=size, **more)
            assert sum(len(one["Values"]) for one in reply["MetricDataResults"]) <= size
            for one in reply["MetricDataResults"]:
                found = points.setdefault((one["Id"], one["Label"]), [])
                found += zip(one["Timestamps"], one["Values"], strict=True)
                assert one["StatusCode"] == "Complete" or "NextToken" in reply
            if "NextToken" not in reply:
                break
            more = {"NextToken": reply["NextToken"]}
        assert "NextToken" not in reply
        for one in whole:
            told = list(zip(one["Timestamps"], one["Values"], strict=True))
            assert points.pop((one["Id"], one["Label"])) == (told if order == "TimestampDescending" else told[::-1])
        assert points == {}


@on_stage
async def test_tokens_belong_to_their_request(stage: Stage) -> None:
    await jobs(stage, "Jobs", {-120: 1, -60: 2})
    token = (await stage.data(metric("m1", "Jobs"), MaxDatapoints=1))["NextToken"]
    assert "NextToken" not in await stage.data(metric("m1", "Jobs"), NextToken=token)
    for other, query in ((token, metric("m1", "Other")), (token + "x", metric("m1", "Jobs")), ("x", metric("m1", "Jobs"))):
        await stage.refused(
            "InvalidNextToken",
            "start anew",
            "GetMetricData",
            MetricDataQueries=[query],
            StartTime=NOW - 3600,
            EndTime=NOW + 60,
            NextToken=other,
        )


JOBS = metric("m1", "Jobs")
WRONG: list[tuple[str, list[dict[str, Any]]]] = [
    ("1 to 500 members", [{**JOBS, "Id": f"m{number}"} for number in range(501)]),
    ("expected pattern", [{**JOBS, "Id": "M1"}]),
    ("expected pattern", [{**JOBS, "Id": "1m"}]),
    ("not unique", [JOBS, JOBS]),
    ("mutually exclusive", [{**JOBS, "Expression": "1"}]),
    ("MetricStat is required", [{"Id": "m1"}]),
    ("ReturnData true", [hidden(JOBS)]),
    ("not a valid statistic", [metric("m1", "Jobs", "Median")]),
    ("multiple of 60", [metric("m1", "Jobs", "Sum", 61)]),
    ("multiple of 60", [math("e1", "TIME_SERIES(1)", Period=7)]),
    ("set \\[ Seconds", [metric("m1", "Jobs", unit="Apples")]),
    ("own account", [{**JOBS, "AccountId": "111111111111"}]),
    ("dynamic label", [{**JOBS, "Label": "${WHAT}"}]),
    ("differ", [{**JOBS, "Period": 300}]),
    ("Error in expression 'e1': Unexpected", [JOBS, math("e1", "m1 +")]),
    ("Error in expression 'e1': There is no query with the id 'm2'", [JOBS, math("e1", "m1 + m2")]),
    ("Error in expression 'e1': .*circle", [math("e1", "e2"), math("e2", "FILL(e1, 0)")]),
    ("Error in expression 'e1': It comes to a single value", [JOBS, math("e1", "MAX(m1)")]),
    ("Error in expression 'e1': Two arrays", [JOBS, math("e1", "METRICS() * METRICS()")]),
    ("Error in expression 'e1': .*not a valid statistic", [math("e1", "SEARCH('x', 'Median', 60)")]),
    ("Error in expression 'e1': .*not a valid period", [math("e1", "SEARCH('x', 'Sum', 61)")]),
    ("Error in expression 'e1': .*in a search", [math("e1", "SEARCH('(', 'Sum', 60)")]),
    ("Error in expression 'e1': .*nested", [math("e1", "-" * 90 + "1")]),
]


@pytest.mark.parametrize(("rule", "queries"), WRONG, ids=range(len(WRONG)))
def test_refusals(rule: str, queries: list[dict[str, Any]], tmp_path: Any) -> None:
    @on_stage
    async def run(stage: Stage) -> None:
        stage.wire = CBOR
        await stage.refused(
            "ValidationError", rule, "GetMetricData", MetricDataQueries=queries, StartTime=NOW - 60, EndTime=NOW
        )

    run(tmp_path)


@on_stage
async def test_refusals_of_the_request(stage: Stage) -> None:
    asked: dict[str, Any] = {"MetricDataQueries": [JOBS], "StartTime": NOW - 60, "EndTime": NOW}
    for rule, change in (
        ("StartTime must be less", {"EndTime": NOW - 60}),
        ("ScanBy", {"ScanBy": "Newest"}),
        ("MaxDatapoints", {"MaxDatapoints": 0}),
        ("MaxDatapoints", {"MaxDatapoints": 100_801}),
        ("Timezone", {"LabelOptions": {"Timezone": "CET"}}),
    ):
        await stage.refused("ValidationError", rule, "GetMetricData", **{**asked, **change})


@on_stage
async def test_reading_ends_where_it_is_too_much(stage: Stage) -> None:
    for number in range(5):
        await jobs(stage, "Jobs", {-60 * minute: 1.0 for minute in range(5)}, Queue=str(number))
    metrics = [hidden(metric(f"m{number}", "Jobs", Queue=str(number))) for number in range(5)]
    with mock.patch.object(Work.__init__, "__defaults__", (20,)):
        asked = {"MetricDataQueries": [*metrics, math("e1", "SUM(METRICS())")], "StartTime": NOW - 600, "EndTime": NOW + 60}
        await stage.refused("ValidationError", "Error in expression 'e1': Too much data", "GetMetricData", **asked)
    assert (await stage.values(*metrics, math("e1", "SUM(METRICS())")))["e1"][0] == 5


@on_stage
async def test_too_much_is_refused_and_not_read(stage: Stage) -> None:
    stage.wire = CBOR
    many = [hidden(metric(f"m{number}", "Jobs", "Sum", 1)) for number in range(499)]
    await stage.refused(
        "ValidationError",
        "Error in expression 'e1': Too much data",
        "GetMetricData",
        MetricDataQueries=[*many, math("e1", "SUM(FILL(METRICS(), 0))")],
        StartTime=NOW - 86400,
        EndTime=NOW,
    )
