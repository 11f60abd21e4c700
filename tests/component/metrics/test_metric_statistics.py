"""GetMetricStatistics: points of one metric."""

from __future__ import annotations

from typing import Any

from cachefleet.model.metric import DAY_S
from tests.component.metrics.stage import NOW, Stage, on_stage, pairs

ASK: dict[str, Any] = {
    "Namespace": "mine",
    "MetricName": "Jobs",
    "StartTime": NOW - 600,
    "EndTime": NOW,
    "Period": 300,
    "Statistics": ["Sum"],
}


@on_stage
async def test_several_statistics_of_each_period(stage: Stage) -> None:
    for at, number in ((-600, 1), (-400, 3), (-300, 5), (-1, 7), (0, 100)):
        await stage.put("Jobs", Value=number, Unit="Count", Timestamp=NOW + at)
    every = ["SampleCount", "Average", "Sum", "Minimum", "Maximum"]
    assert await stage.call("GetMetricStatistics", **{**ASK, "Statistics": every}) == {
        "Label": "Jobs",
        "Datapoints": [
            {"Timestamp": NOW - 600, "Unit": "Count", "SampleCount": 2, "Average": 2, "Sum": 4, "Minimum": 1, "Maximum": 3},
            {"Timestamp": NOW - 300, "Unit": "Count", "SampleCount": 2, "Average": 6, "Sum": 12, "Minimum": 5, "Maximum": 7},
        ],
    }
    assert (await stage.call("GetMetricStatistics", **ASK, Unit="Bytes"))["Datapoints"] == []
    assert (await stage.call("GetMetricStatistics", **ASK, Dimensions=pairs(a="b")))["Datapoints"] == []


@on_stage
async def test_extended_statistics(stage: Stage) -> None:
    await stage.put("Jobs", Values=list(range(1, 101)), Timestamp=NOW - 60)
    asked = {name: value for name, value in ASK.items() if name != "Statistics"}
    reply = await stage.call("GetMetricStatistics", **asked, ExtendedStatistics=["p50", "p99.9", "TM(10%:90%)", "PR(:50)"])
    (point,) = reply["Datapoints"]
    assert {name: round(value, -1) for name, value in point["ExtendedStatistics"].items()} == {
        "p50": 50, "p99.9": 100, "TM(10%:90%)": 50, "PR(:50)": 50
    }  # fmt: skip
    await stage.put("Sums", StatisticValues={"SampleCount": 2, "Sum": 3, "Minimum": 1, "Maximum": 2}, Timestamp=NOW - 60)
    reply = await stage.call("GetMetricStatistics", **{**asked, "MetricName": "Sums"}, ExtendedStatistics=["p50"])
    assert reply["Datapoints"] == []


@on_stage
async def test_a_whole_day_of_minutes_is_the_most(stage: Stage) -> None:
    await stage.put("Jobs", Value=1, Timestamp=NOW - 86400)
    day = {**ASK, "StartTime": NOW - 86400, "Period": 60}
    assert len((await stage.call("GetMetricStatistics", **day))["Datapoints"]) == 1
    await stage.refused(
        "InvalidParameterCombination",
        "requested up to 1441 datapoints, which exceeds the limit of 1440",
        "GetMetricStatistics",
        **{**day, "EndTime": NOW + 1},
    )


@on_stage
async def test_long_times_are_read_in_portions(stage: Stage) -> None:
    for day in range(1, 14):
        await stage.put("Jobs", Value=day, Timestamp=NOW - day * DAY_S)
        await stage.put("Jobs", Value=day, Timestamp=NOW - day * DAY_S + 3600)
    asked = {**ASK, "StartTime": NOW - 14 * DAY_S - 60, "Period": 86400}  # a minute off: read by the minute
    reply = await stage.call("GetMetricStatistics", **asked)
    assert [point["Sum"] for point in reply["Datapoints"]] == [day * 2 for day in range(13, 0, -1)]


@on_stage
async def test_refusals(stage: Stage) -> None:
    for code, rule, change in (
        ("InvalidParameterValue", "StartTime must be less", {"EndTime": NOW - 600}),
        ("InvalidParameterValue", "multiple of 60", {"Period": 7}),
        ("InvalidParameterValue", "multiple of 60", {"Period": 0}),
        ("InvalidParameterValue", "set \\[ SampleCount", {"Statistics": ["Median"]}),
        ("InvalidParameterValue", "set \\[ SampleCount", {"Statistics": ["p50"]}),
        ("InvalidParameterCombination", "At least one", {"Statistics": []}),
        ("InvalidParameterCombination", "exclusive", {"ExtendedStatistics": ["p50"]}),
        ("InvalidParameterValue", "not a valid statistic", {"Statistics": [], "ExtendedStatistics": ["p500"]}),
        ("InvalidParameterValue", "give it in Statistics", {"Statistics": [], "ExtendedStatistics": ["Sum"]}),
        ("InvalidParameterValue", "than 10", {"Statistics": [], "ExtendedStatistics": [f"p{n}" for n in range(11)]}),
        ("InvalidParameterValue", "Unit", {"Unit": "Apples"}),
        ("InvalidParameterValue", "twice", {"Dimensions": [*pairs(a="1"), *pairs(a="2")]}),
    ):
        await stage.refused(code, rule, "GetMetricStatistics", **{**ASK, **change})
    await stage.refused(
        "MissingParameter", "Namespace", "GetMetricStatistics", **{k: v for k, v in ASK.items() if k != "Namespace"}
    )
