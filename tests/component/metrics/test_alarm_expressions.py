"""Alarms on expressions: what they take, how they come back, and in which state they are."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.component.metrics.stage import CBOR, JSON, QUERY, Stage, hidden, math, metric, on_stage
from tests.component.metrics.watched import Watched

COMPARED: dict[str, Any] = {
    "EvaluationPeriods": 2,
    "Threshold": 50.0,
    "ComparisonOperator": "LessThanThreshold",
}


def heat(query_id: str, name: str = "hits", period: int = 60) -> dict[str, Any]:
    return hidden(metric(query_id, name, "Sum", period, place="attic"))


RATE = [math("rate", "100 * hits / (hits + misses)", Label="hit rate"), heat("hits"), heat("misses", "misses")]


async def minute(watched: Watched, hits: float | None, misses: float | None) -> str:
    for name, value in (("hits", hits), ("misses", misses)):
        if value is not None:
            watched.measure(value, name)
    return await watched.minute(None)


@pytest.mark.parametrize("wire", [QUERY, JSON, CBOR])
def test_an_alarm_on_an_expression_comes_back_as_it_was_put(tmp_path: Any, wire: str) -> None:
    @on_stage
    async def run(stage: Stage) -> None:
        stage.wire = wire
        await stage.call("PutMetricAlarm", AlarmName="hot", Metrics=RATE, **COMPARED)
        (found,) = (await stage.call("DescribeAlarms"))["MetricAlarms"]
        expression, hits, _ = found["Metrics"]
        assert expression == {**RATE[0], "ReturnData": True}
        assert hits == RATE[1]
        assert not {"MetricName", "Namespace", "Period", "Statistic", "Dimensions"} & {key for key in found if found[key]}
        assert {name: found[name] for name in COMPARED} == COMPARED

    run(tmp_path)


@on_stage
async def test_the_state_follows_from_what_the_expression_comes_to(stage: Stage) -> None:
    watched = Watched(stage)
    topic = await watched.topic("alerts")
    await stage.call("PutMetricAlarm", AlarmName="hot", Metrics=RATE, AlarmActions=[topic], **COMPARED)
    assert await watched.state() == "INSUFFICIENT_DATA"
    traffic = [(70.0, 30.0), (70.0, 30.0), (20.0, 80.0), (20.0, 80.0), (90.0, 10.0), (0.0, 0.0), (20.0, None)]
    states = [await minute(watched, *one) for one in traffic]
    assert states == ["OK", "OK", "OK", "ALARM", "OK", "OK", "OK"]
    (notice,) = await watched.told()
    trigger = json.loads(notice.message)["Trigger"]
    assert trigger["Metrics"][0] == {
        "Id": "rate",
        "ReturnData": True,
        "Label": "hit rate",
        "Expression": "100 * hits / (hits + misses)",
    }
    assert trigger["Metrics"][1] == {
        "Id": "hits",
        "ReturnData": False,
        "MetricStat": {
            "Metric": {"MetricName": "hits", "Namespace": "mine", "Dimensions": [{"value": "attic", "name": "place"}]},
            "Period": 60,
            "Stat": "Sum",
        },
    }
    assert "MetricName" not in trigger and trigger["Period"] == 60


@on_stage
async def test_one_metric_in_metrics_is_watched_as_such(stage: Stage) -> None:
    watched = Watched(stage)
    asked = {**metric("m1", "heat", "Average", 60, place="attic"), "ReturnData": True}
    compared = {**COMPARED, "EvaluationPeriods": 1, "ComparisonOperator": "GreaterThanThreshold"}
    await stage.call("PutMetricAlarm", AlarmName="hot", Metrics=[asked], **compared)
    assert [await watched.minute(value) for value in (10.0, 90.0)] == ["OK", "ALARM"]


@on_stage
async def test_expressions_on_expressions_and_filled_gaps(stage: Stage) -> None:
    watched = Watched(stage)
    queries = [
        heat("m1", "hits"),
        hidden(math("filled", "FILL(m1, 0)")),
        math("high", "IF(filled > 10, 100, 0)"),
    ]
    compared = {**COMPARED, "EvaluationPeriods": 1}
    await stage.call("PutMetricAlarm", AlarmName="hot", Metrics=queries, **compared)
    assert [await minute(watched, hits, None) for hits in (20.0, 5.0, None, 20.0)] == ["OK", "ALARM", "ALARM", "OK"]


@on_stage
async def test_a_metric_alarm_may_become_one_on_an_expression_and_back(stage: Stage) -> None:
    one = {"MetricName": "hits", "Namespace": "mine", "Statistic": "Sum", "Period": 60}
    await stage.call("PutMetricAlarm", AlarmName="hot", Metrics=RATE, **COMPARED)
    await stage.call("PutMetricAlarm", AlarmName="hot", **one, **COMPARED)
    (found,) = (await stage.call("DescribeAlarms"))["MetricAlarms"]
    assert found["MetricName"] == "hits" and not found.get("Metrics")
    await stage.call("PutMetricAlarm", AlarmName="hot", Metrics=RATE, **COMPARED)
    (found,) = (await stage.call("DescribeAlarms"))["MetricAlarms"]
    assert not found.get("MetricName") and len(found["Metrics"]) == 3
    assert len(await Watched(stage).history("hot", "ConfigurationUpdate")) == 3


@pytest.mark.parametrize(
    ("code", "rule", "queries", "more"),
    [
        ("InvalidParameterCombination", "Namespace and Metrics", RATE, {"Namespace": "mine"}),
        ("InvalidParameterCombination", "Period and Metrics", RATE, {"Period": 60}),
        ("MissingParameter", "Threshold", RATE, {"Threshold": None}),
        ("InvalidParameterValue", "7 days|1 days", RATE, {"EvaluationPeriods": 1441}),
        (
            "ValidationError",
            "must have 1 to 10 metrics; it has 11",
            [math("e", "SUM(METRICS())")] + [heat(f"m{n}") for n in range(11)],
            {},
        ),
        ("ValidationError", "must have 1 to 10 metrics; it has 0", [math("e", "TIME_SERIES(1)")], {}),
        ("ValidationError", "1 to 20 members", [math(f"e{n}", "TIME_SERIES(1)") for n in range(21)], {}),
        ("ValidationError", "ReturnData true", [hidden(query) for query in RATE], {}),
        ("ValidationError", "Exactly one element", [*RATE, math("more", "rate * 2")], {}),
        ("ValidationError", "same Period", [*RATE[:2], heat("misses", "misses", 300)], {}),
        ("ValidationError", "SEARCH", [math("e", "SUM(SEARCH('{mine,place}', 'Sum', 60)) + m1"), heat("m1")], {}),
        ("ValidationError", "array", [math("e", "METRICS()"), heat("m1")], {}),
        ("ValidationError", "array", [math("e", "[m1, m1]"), heat("m1")], {}),
        ("ValidationError", "single value", [math("e", "SUM(m1)"), heat("m1")], {}),
        ("ValidationError", "circle", [math("e", "f + m1"), hidden(math("f", "e")), heat("m1")], {}),
        ("ValidationError", "no query with the id", [math("e", "m1 + m2"), heat("m1")], {}),
        ("ValidationError", "Metrics.member.1.Id", [math("E", "m1"), heat("m1")], {}),
        ("ValidationError", "not unique", [math("e", "m1"), heat("m1"), heat("m1")], {}),
    ],
)
def test_what_cannot_be_watched_is_refused(
    tmp_path: Any, code: str, rule: str, queries: list[dict[str, Any]], more: dict[str, Any]
) -> None:
    @on_stage
    async def run(stage: Stage) -> None:
        asked = {name: value for name, value in {**COMPARED, **more}.items() if value is not None}
        await stage.refused(code, rule, "PutMetricAlarm", AlarmName="hot", Metrics=queries, **asked)
        assert (await stage.call("DescribeAlarms"))["MetricAlarms"] == []

    run(tmp_path)
