"""PutMetricData: what it keeps, and what it refuses."""

from __future__ import annotations

from typing import Any
from unittest import mock

import msgspec
import pytest

from cachefleet.model.metric import DAY_S
from cachefleet.telemetry import recorder
from tests.component.metrics.stage import CBOR, JSON, NOW, QUERY, Refused, Stage, hidden, math, metric, on_stage, pairs


@on_stage
async def test_each_wire_form_puts_and_gets(stage: Stage) -> None:
    for wire in (QUERY, JSON, CBOR):
        stage.wire = wire
        await stage.put("Jobs", Value=2.5, Dimensions=pairs(Form=wire), Timestamp=NOW - 60, Unit="Count")
        assert await stage.values(metric("m1", "Jobs", Form=wire)) == {"Jobs": {-60: 2.5}}
        (found,) = (await stage.call("ListMetrics", Dimensions=pairs(Form=wire)))["Metrics"]
        assert found == {"Namespace": "mine", "MetricName": "Jobs", "Dimensions": pairs(Form=wire)}
        ask = {"Namespace": "mine", "MetricName": "Jobs", "Dimensions": pairs(Form=wire), "Period": 60}
        reply = await stage.call("GetMetricStatistics", **ask, StartTime=NOW - 600, EndTime=NOW, Statistics=["Sum"])
        assert reply == {"Label": "Jobs", "Datapoints": [{"Timestamp": NOW - 60, "Sum": 2.5, "Unit": "Count"}]}


@on_stage
async def test_values_of_one_minute_come_together(stage: Stage) -> None:
    for number in (1, 2, 6):
        await stage.put("Jobs", Value=number)
    await stage.put("Jobs", Values=[1, 2, 1], Counts=[1, 2, 3])
    await stage.put("Jobs", StatisticValues={"SampleCount": 2, "Sum": 30, "Minimum": 10, "Maximum": 20})
    stats = ("Sum", "SampleCount", "Minimum", "Maximum", "Average")
    found = await stage.values(*({**metric(f"m{n}", "Jobs", stat), "Label": stat} for n, stat in enumerate(stats)))
    assert found == {
        "Sum": {0: 47}, "SampleCount": {0: 11}, "Minimum": {0: 1}, "Maximum": {0: 20}, "Average": {0: 47 / 11}
    }  # fmt: skip


@on_stage
async def test_percentiles_need_values_and_no_sums(stage: Stage) -> None:
    await stage.put("Spread", Values=list(range(1, 101)))
    asked = (metric("m1", "Spread", "p90"), metric("m2", "Spread", "tm50"))
    found = await stage.values(*({**one, "Label": "${PROP('Stat')}"} for one in asked))
    assert abs(found["p90"][0] - 90) < 0.91 and abs(found["tm50"][0] - 25.5) < 0.26
    await stage.put("Sums", StatisticValues={"SampleCount": 2, "Sum": 30, "Minimum": 10, "Maximum": 20})
    assert await stage.values(metric("m1", "Sums", "p90")) == {"Sums": {}}


@on_stage
async def test_seconds_are_kept_where_they_are_asked_for(stage: Stage) -> None:
    for second in range(12):
        await stage.put("Fine", Value=second, Timestamp=NOW - 12 + second, StorageResolution=1)
        await stage.put("Coarse", Value=second, Timestamp=NOW - 12 + second)
    assert (await stage.values(metric("m1", "Fine", "Sum", 1)))["Fine"] == {second - 12: second for second in range(12)}
    assert (await stage.values(metric("m1", "Fine", "Sum", 5)))["Fine"] == {-15: 1, -10: 20, -5: 45}
    assert (await stage.values(metric("m1", "Coarse", "Sum", 1)))["Coarse"] == {}
    assert (await stage.values(metric("m1", "Coarse", "Sum", 60)))["Coarse"] == {-60: 66}


@on_stage
async def test_late_values_join_what_was_stored_before(stage: Stage) -> None:
    late = NOW - 10 * DAY_S
    for number in (1, 2, 4):
        await stage.put("Late", Value=number, Timestamp=late)
        await stage.recorder.flush()  # which lets go of the block, since its time is over
        await stage.put("Late", Value=number * 10, Timestamp=late)
    ask = {"start": late - 600, "end": late + 600}
    assert await stage.values(metric("m1", "Late"), **ask) == {"Late": {-10 * DAY_S: 77}}
    await stage.recorder.flush()
    assert await stage.values(metric("m1", "Late"), **ask) == {"Late": {-10 * DAY_S: 77}}


@on_stage
async def test_the_same_name_with_another_unit_is_another_metric(stage: Stage) -> None:
    await stage.put("Size", Value=1, Unit="Bytes")
    await stage.put("Size", Value=2, Unit="Kilobytes")
    assert await stage.values(metric("m1", "Size", unit="Bytes")) == {"Size": {0: 1}}
    assert await stage.values(metric("m1", "Size", unit="Percent")) == {"Size": {}}
    assert await stage.values(metric("m1", "Size")) == {"Size": {0: 3}}
    ask = {"Namespace": "mine", "MetricName": "Size", "Period": 60, "StartTime": NOW - 60, "EndTime": NOW + 60}
    reply = await stage.call("GetMetricStatistics", **ask, Statistics=["Sum"])
    assert [(point["Unit"], point["Sum"]) for point in reply["Datapoints"]] == [("Bytes", 1), ("Kilobytes", 2)]


@on_stage
async def test_accounts_and_regions_do_not_see_each_other(stage: Stage) -> None:
    await stage.put("Jobs", Value=1)
    stage.caller = msgspec.structs.replace(stage.caller, account="111111111111")
    assert await stage.values(metric("m1", "Jobs")) == {"Jobs": {}}
    assert (await stage.call("ListMetrics"))["Metrics"] == []
    assert await stage.values(hidden(metric("m1", "Jobs")), math("e1", "SEARCH('Jobs', 'Sum', 60)")) == {}


DATUM: dict[str, Any] = {"MetricName": "Jobs", "Value": 1.0}
SETS = {"SampleCount": 1.0, "Sum": 1.0, "Minimum": 1.0, "Maximum": 1.0}
WRONG: list[tuple[str, str, dict[str, Any]]] = [
    ("InvalidParameterCombination", "At least one of", {"Value": None}),
    ("InvalidParameterCombination", r"member\.2\.Value and MetricData\.member\.2\.StatisticValues", {"StatisticValues": SETS}),
    ("InvalidParameterCombination", "mutually exclusive", {"Values": [1.0]}),
    ("InvalidParameterCombination", "needs", {"Counts": [1.0]}),
    ("InvalidParameterCombination", "same number", {"Value": None, "Values": [1.0, 2.0], "Counts": [1.0]}),
    ("InvalidParameterValue", "greater than 0", {"Value": None, "Values": [1.0], "Counts": [0.0]}),
    ("InvalidParameterValue", "size greater than 150", {"Value": None, "Values": [1.0] * 151}),
    ("InvalidParameterValue", "greater than 0", {"Value": None, "StatisticValues": {**SETS, "SampleCount": -1.0}}),
    ("InvalidParameterValue", "must not be greater", {"Value": None, "StatisticValues": {**SETS, "Minimum": 2.0}}),
    ("InvalidParameterValue", "in size", {"Value": 1e109}),
    ("InvalidParameterValue", "in size", {"Value": 1e-120}),
    ("InvalidParameterValue", "two weeks", {"Timestamp": NOW - 15 * DAY_S}),
    ("InvalidParameterValue", "two hours", {"Timestamp": NOW + 7201}),
    ("InvalidParameterValue", "must be 1 or 60", {"StorageResolution": 5}),
    ("InvalidParameterValue", r"value in the set \[ Seconds", {"Unit": "Parsecs"}),
    ("InvalidParameterValue", "same dimension name twice", {"Dimensions": [*pairs(a="1"), *pairs(a="2")]}),
    ("InvalidParameterValue", "at most 30", {"Dimensions": pairs(**{f"d{n}": "x" for n in range(31)})}),
    ("InvalidParameterValue", "colon", {"Dimensions": [{"Name": ":a", "Value": "x"}]}),
    ("InvalidParameterValue", "ASCII", {"Dimensions": pairs(a="ü")}),
    ("InvalidParameterValue", "ASCII", {"MetricName": " "}),
    ("InvalidParameterValue", "1 to 255", {"MetricName": "x" * 256}),
]


@on_stage
async def test_what_is_wrong_with_one_keeps_all_out(stage: Stage) -> None:
    for code, rule, change in WRONG:
        wrong = {name: value for name, value in {**DATUM, **change}.items() if value is not None}
        await stage.refused(code, rule, "PutMetricData", Namespace="mine", MetricData=[DATUM, wrong])
    stage.wire = CBOR
    for value in (float("nan"), float("inf"), float("-inf")):
        wrong = {**DATUM, "Value": value}
        await stage.refused("InvalidParameterValue", "Value", "PutMetricData", Namespace="mine", MetricData=[wrong])
    assert (await stage.call("ListMetrics"))["Metrics"] == []


@on_stage
async def test_namespaces_and_numbers_of_metrics(stage: Stage) -> None:
    for namespace in ("AWS/ElastiCache", "AWS/X", "a;b", "ü", ":a"):
        await stage.refused("InvalidParameterValue", "Namespace", "PutMetricData", Namespace=namespace, MetricData=[DATUM])
    await stage.refused("MissingParameter", "MetricData", "PutMetricData", Namespace="mine")
    stage.wire = CBOR
    await stage.refused("InvalidParameterValue", "1000", "PutMetricData", Namespace="mine", MetricData=[DATUM] * 1001)
    await stage.refused(
        "InvalidParameterValue", "entities", "PutMetricData", Namespace="mine", EntityMetricData=[{"MetricData": [DATUM]}]
    )
    await stage.call("PutMetricData", Namespace="my own/space", MetricData=[DATUM] * 1000, StrictEntityValidation=False)
    assert await stage.values(metric("m1", "Jobs", namespace="my own/space")) == {"Jobs": {0: 1000}}


@on_stage
async def test_what_could_not_be_stored_is_not_taken(stage: Stage) -> None:
    taken = 0
    with mock.patch.multiple(recorder, _MAX_HEADS=30, _RESERVED_HEADS=10):
        with pytest.raises(Refused, match="try again") as refusal:
            for taken in range(100):
                await stage.put("Jobs", Value=1, Dimensions=pairs(Queue=f"{taken:02}"))
        assert (refusal.value.code, refusal.value.status) == ("ServiceUnavailable", 503)
        assert await stage.values(math("e1", "SUM(SEARCH('{mine,Queue}', 'Sum', 60))")) == {"e1": {0: taken}}
        assert 0 < taken < 10
