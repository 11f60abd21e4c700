"""Alarms through the gateway, and their states as time passes and values come or stay away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cachefleet.api.metrics import alarm_listing
from cachefleet.metrics.values import single
from cachefleet.model.metric import NODES, MetricName, Series
from tests.component.metrics.stage import CBOR, JSON, QUERY, Refused, Stage, on_stage
from tests.component.metrics.watched import HEAT, RULE, Watched
from tests.fakes.api import ACCOUNT, REGION

TRIMMED = {"Statistic": None, "ExtendedStatistic": "tm90"}
TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:alerts"


@pytest.mark.parametrize("wire", [QUERY, JSON, CBOR])
def test_an_alarm_comes_back_as_it_was_put(tmp_path: Path, wire: str) -> None:
    @on_stage
    async def run(stage: Stage) -> None:
        await an_alarm_comes_back_as_it_was_put(stage, wire)

    run(tmp_path)


async def an_alarm_comes_back_as_it_was_put(stage: Stage, wire: str) -> None:
    stage.wire = wire
    await stage.call("PutMetricAlarm", AlarmName="hot", AlarmDescription="too hot", TreatMissingData="breaching", **RULE)
    (found,) = (await stage.call("DescribeAlarms"))["MetricAlarms"]
    assert {name: found[name] for name in RULE} == RULE
    assert (found["AlarmDescription"], found["TreatMissingData"]) == ("too hot", "breaching")
    assert (found["StateValue"], found["ActionsEnabled"]) == ("INSUFFICIENT_DATA", True)
    assert found["AlarmArn"] == f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:hot"
    assert (await stage.call("DescribeAlarmsForMetric", **HEAT))["MetricAlarms"] == [found]
    assert (await stage.call("DescribeAlarmsForMetric", **HEAT, Period=300))["MetricAlarms"] == []


@on_stage
async def test_two_of_three_bad_minutes_make_an_alarm_and_two_good_ones_end_it(stage: Stage) -> None:
    watched = Watched(stage)
    await stage.call("PutMetricAlarm", AlarmName="hot", **RULE)
    assert await watched.state() == "INSUFFICIENT_DATA"
    states = [await watched.minute(value) for value in (10.0, 90.0, 10.0, 90.0, 90.0, 10.0, 10.0, 10.0)]
    assert states == ["OK", "OK", "OK", "ALARM", "ALARM", "ALARM", "OK", "OK"]
    history = (await stage.call("DescribeAlarmHistory", AlarmName="hot"))["AlarmHistoryItems"]
    assert [item["HistorySummary"] for item in history] == [
        "Alarm updated from ALARM to OK",
        "Alarm updated from OK to ALARM",
        "Alarm updated from INSUFFICIENT_DATA to OK",
        'Alarm "hot" created',
    ]
    changes = await stage.call("DescribeAlarmHistory", HistoryItemType="StateUpdate", MaxRecords=2, ScanBy="TimestampAscending")
    assert len(changes["AlarmHistoryItems"]) == 2
    rest = await stage.call(
        "DescribeAlarmHistory",
        HistoryItemType="StateUpdate",
        MaxRecords=2,
        ScanBy="TimestampAscending",
        NextToken=changes["NextToken"],
    )
    assert [item["HistorySummary"] for item in rest["AlarmHistoryItems"]] == ["Alarm updated from ALARM to OK"]


@on_stage
async def test_a_leader_that_was_away_evaluates_the_present(stage: Stage) -> None:
    watched = Watched(stage)
    await stage.call("PutMetricAlarm", AlarmName="hot", **RULE)
    assert await watched.minute(10.0) == "OK"
    for _ in range(60):
        watched.measure(90.0)
        stage.clock.pass_time(60.0)
    for _ in range(5):
        watched.measure(10.0)
        stage.clock.pass_time(60.0)
    assert await watched.state() == "OK"
    assert len(await watched.history("hot", "StateUpdate")) == 1


@on_stage
async def test_percentiles_of_few_measurements_are_ignored_where_that_is_asked_for(stage: Stage) -> None:
    watched = Watched(stage)
    rule = {**RULE, "EvaluationPeriods": 1, "DatapointsToAlarm": 1, "Statistic": None, "ExtendedStatistic": "p90"}
    asked = {name: value for name, value in rule.items() if value is not None}
    await stage.call("PutMetricAlarm", AlarmName="hot", EvaluateLowSampleCountPercentile="ignore", **asked)
    await stage.call("PutMetricAlarm", AlarmName="evaluated", **asked)
    for _ in range(99):
        watched.measure(90.0)
    assert (await watched.minute(None), await watched.states("evaluated")) == ("INSUFFICIENT_DATA", ["ALARM"])
    for _ in range(100):
        watched.measure(90.0)
    assert await watched.minute(None) == "ALARM"


@on_stage
async def test_alarms_are_found_by_their_actions(stage: Stage) -> None:
    policy = (
        f"arn:aws:autoscaling:{REGION}:{ACCOUNT}:scalingPolicy:1b:resource/elasticache/replication-group/demo:policyName/cpu"
    )
    actions = {"AlarmActions": [policy, TOPIC], "OKActions": [TOPIC], "InsufficientDataActions": [TOPIC, TOPIC]}
    await stage.call("PutMetricAlarm", AlarmName="hot", **RULE, **actions)
    await stage.call("PutMetricAlarm", AlarmName="silent", **RULE)
    (found,) = (await stage.call("DescribeAlarms", ActionPrefix=policy[:20]))["MetricAlarms"]
    assert {name: found[name] for name in actions} == {**actions, "InsufficientDataActions": [TOPIC]}
    assert len((await stage.call("DescribeAlarms", ActionPrefix="arn:aws:sns"))["MetricAlarms"]) == 1
    assert (await stage.call("DescribeAlarms", ActionPrefix="arn:aws:ec2"))["MetricAlarms"] == []


@pytest.mark.parametrize(
    ("missing", "states"),
    [
        ("missing", ["OK", "OK", "OK", "OK", "OK", "INSUFFICIENT_DATA"]),
        ("ignore", ["OK", "OK", "OK", "OK", "OK", "OK"]),
        ("notBreaching", ["OK", "OK", "OK", "OK", "OK", "OK"]),
        ("breaching", ["ALARM", "ALARM", "ALARM", "ALARM", "ALARM", "ALARM"]),
    ],
)
def test_what_becomes_of_an_alarm_without_values(tmp_path: Path, missing: str, states: list[str]) -> None:
    @on_stage
    async def run(stage: Stage) -> None:
        await what_becomes_of_an_alarm_without_values(stage, missing, states)

    run(tmp_path)


async def what_becomes_of_an_alarm_without_values(stage: Stage, missing: str, states: list[str]) -> None:
    watched = Watched(stage)
    await stage.call("PutMetricAlarm", AlarmName="hot", TreatMissingData=missing, **{**RULE, "DatapointsToAlarm": 2})
    found = [await watched.minute(value) for value in (10.0, None, None, None, None, None)]
    assert found == states


@on_stage
async def test_a_state_that_was_set_holds_until_the_next_evaluation(stage: Stage) -> None:
    watched = Watched(stage)
    await stage.call("PutMetricAlarm", AlarmName="hot", **RULE)
    assert await watched.minute(10.0) == "OK"
    await stage.call(
        "SetAlarmState", AlarmName="hot", StateValue="ALARM", StateReason="a drill", StateReasonData='{"by": "me"}'
    )
    (found,) = (await stage.call("DescribeAlarms", StateValue="ALARM"))["MetricAlarms"]
    assert (found["StateReason"], found["StateReasonData"]) == ("a drill", '{"by": "me"}')
    assert await watched.state() == "OK"
    state = {"AlarmName": "hot", "StateValue": "ALARM"}
    await stage.refused("InvalidParameterValue", "1023", "SetAlarmState", StateReason="x" * 1024, **state)
    long = {"StateReason": "x", "StateReasonData": '"' + "x" * 3999 + '"'}
    await stage.refused("InvalidParameterValue", "4000", "SetAlarmState", **long, **state)
    deep = {"StateReason": "x", "StateReasonData": "[" * 1990 + "]" * 1990}
    await stage.refused("InvalidFormat", "not JSON", "SetAlarmState", **deep, **state)
    await stage.refused("InvalidParameterValue", "at most 100", "DescribeAlarms", AlarmNames=[str(n) for n in range(101)])


@on_stage
async def test_an_alarm_on_a_cluster_takes_its_nodes_together(stage: Stage) -> None:
    watched = Watched(stage)
    rule = {**RULE, "Namespace": NODES, "MetricName": "Evictions", "Statistic": "Sum", "EvaluationPeriods": 1}
    rule |= {"DatapointsToAlarm": 1, "Dimensions": [{"Name": "CacheClusterId", "Value": "mem"}]}
    await stage.call("PutMetricAlarm", AlarmName="hot", **rule)
    nodes = [
        Series(ACCOUNT, REGION, NODES, (("CacheClusterId", "mem"), ("CacheNodeId", number))) for number in ("0001", "0002")
    ]
    stage.recorder.record(nodes[0], stage.clock.now(), {MetricName("Evictions", "Count"): single(30.0)})
    stage.recorder.record(nodes[1], stage.clock.now(), {MetricName("Evictions", "Count"): single(30.0)})
    assert await watched.minute(None) == "ALARM"


@on_stage
async def test_names_prefixes_states_and_pages(stage: Stage) -> None:
    for number in range(7):
        await stage.call("PutMetricAlarm", AlarmName=f"alarm-{number}", **RULE)
    await stage.call("PutMetricAlarm", AlarmName="other", **RULE)
    first = await stage.call("DescribeAlarms", AlarmNamePrefix="alarm-", MaxRecords=5)
    second = await stage.call("DescribeAlarms", AlarmNamePrefix="alarm-", MaxRecords=5, NextToken=first["NextToken"])
    names = [alarm["AlarmName"] for page in (first, second) for alarm in page["MetricAlarms"]]
    assert names == [f"alarm-{number}" for number in range(7)] and "NextToken" not in second
    found = await stage.call("DescribeAlarms", AlarmNames=["other", "alarm-3", "none"])
    assert [alarm["AlarmName"] for alarm in found["MetricAlarms"]] == ["alarm-3", "other"]
    assert (await stage.call("DescribeAlarms", StateValue="OK"))["MetricAlarms"] == []
    assert (await stage.call("DescribeAlarms", AlarmTypes=["CompositeAlarm"]))["MetricAlarms"] == []
    await stage.call("DisableAlarmActions", AlarmNames=["other"])
    assert not (await stage.call("DescribeAlarms", AlarmNames=["other"]))["MetricAlarms"][0]["ActionsEnabled"]
    with pytest.raises(Refused, match=r"no alarm 'none'; the others are deleted") as refusal:
        await stage.call("DeleteAlarms", AlarmNames=["other", "none"])
    assert (refusal.value.code, refusal.value.status) == ("ResourceNotFound", 404)
    await stage.call("DeleteAlarms", AlarmNames=["alarm-0"])
    assert len((await stage.call("DescribeAlarms"))["MetricAlarms"]) == 6


@pytest.mark.parametrize("at_once", [0, 10_000])
def test_pages_of_the_history_of_all_alarms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    """However few of them are sorted in one go."""
    monkeypatch.setattr(alarm_listing, "_MOST_AT_ONCE", at_once)
    on_stage(pages_of_the_history_of_all_alarms)(tmp_path)


async def pages_of_the_history_of_all_alarms(stage: Stage) -> None:
    names = [f"alarm-{number}" for number in range(6)]
    expected: list[tuple[float, str]] = []
    for name in names:
        await stage.call("PutMetricAlarm", AlarmName=name, **RULE)
        expected.append((stage.clock.now(), name))
        stage.clock.pass_time(1.0)
    for number in range(60):
        name, value = names[number % 6], ("OK", "ALARM")[number // 6 % 2]
        await stage.call("SetAlarmState", AlarmName=name, StateValue=value, StateReason="x")
        expected.append((stage.clock.now(), name))
        stage.clock.pass_time(1.0)
    for order, wanted in (("TimestampAscending", expected), ("TimestampDescending", expected[::-1])):
        found: list[tuple[float, str]] = []
        token: dict[str, str] = {}
        while True:
            page = await stage.call("DescribeAlarmHistory", ScanBy=order, MaxRecords=17, **token)
            found += [(item["Timestamp"], item["AlarmName"]) for item in page["AlarmHistoryItems"]]
            if "NextToken" not in page:
                break
            token = {"NextToken": page["NextToken"]}
        assert found == wanted


@pytest.mark.parametrize(
    ("code", "rule", "changes"),
    [
        ("MissingParameter", "MetricName", {"MetricName": None}),
        ("MissingParameter", "Threshold", {"Threshold": None}),
        ("InvalidParameterCombination", "Exactly one", {"Statistic": None}),
        ("InvalidParameterCombination", "Exactly one", {"ExtendedStatistic": "p99"}),
        ("InvalidParameterValue", "ExtendedStatistic", {"Statistic": None, "ExtendedStatistic": "p101"}),
        ("InvalidParameterValue", "Period", {"Period": 45}),
        ("InvalidParameterValue", "EvaluationPeriods", {"EvaluationPeriods": 0}),
        ("InvalidParameterValue", "86400", {"EvaluationPeriods": 1441}),
        ("InvalidParameterValue", "DatapointsToAlarm", {"DatapointsToAlarm": 4}),
        ("InvalidParameterValue", "DatapointsToAlarm", {"DatapointsToAlarm": 0}),
        ("InvalidParameterValue", "ComparisonOperator", {"ComparisonOperator": "Equal"}),
        ("InvalidParameterValue", "TreatMissingData", {"TreatMissingData": "zero"}),
        ("InvalidParameterValue", "Unit", {"Unit": "Parsec"}),
        ("InvalidParameterCombination", "EvaluateLowSampleCountPercentile", {"EvaluateLowSampleCountPercentile": "ignore"}),
        ("InvalidParameterCombination", "only for percentiles", {**TRIMMED, "EvaluateLowSampleCountPercentile": "ignore"}),
        ("ValidationError", "region and account", {"AlarmActions": ["arn:aws:sns:local-1:0:topic"]}),
        ("ValidationError", "OKActions.member.2", {"OKActions": [TOPIC, "topic"]}),
        ("ValidationError", "scaling policy", {"AlarmActions": [f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"]}),
        ("ValidationError", "syntax", {"InsufficientDataActions": [f"{TOPIC}:{'x' * 36}"]}),
        ("ValidationError", "at most 5", {"OKActions": [f"{TOPIC}{number}" for number in range(6)]}),
        ("InvalidParameterCombination", "Metrics", {"Metrics": [{"Id": "m1", "Expression": "1"}]}),
        ("InvalidParameterValue", "AlarmName", {"AlarmName": "x" * 256}),
        ("InvalidParameterValue", "AlarmName", {"AlarmName": "  "}),
        ("InvalidParameterValue", "AlarmName", {"AlarmName": "a\x7fb"}),
    ],
)
def test_what_cannot_be_evaluated_is_refused(tmp_path: Path, code: str, rule: str, changes: dict[str, Any]) -> None:
    @on_stage
    async def run(stage: Stage) -> None:
        await what_cannot_be_evaluated_is_refused(stage, code, rule, changes)

    run(tmp_path)


async def what_cannot_be_evaluated_is_refused(stage: Stage, code: str, rule: str, changes: dict[str, Any]) -> None:
    request = {key: value for key, value in {"AlarmName": "hot", **RULE, **changes}.items() if value is not None}
    await stage.refused(code, rule, "PutMetricAlarm", **request)
    assert (await stage.call("DescribeAlarms"))["MetricAlarms"] == []


@pytest.mark.parametrize("wire", [QUERY, JSON, CBOR])
def test_names_of_alarms_are_in_any_script(tmp_path: Path, wire: str) -> None:
    @on_stage
    async def run(stage: Stage) -> None:
        stage.wire, name = wire, "Überlast ☃ 高負荷"
        await stage.call("PutMetricAlarm", AlarmName=name, **RULE)
        await stage.call("PutCompositeAlarm", AlarmName="all: Überlast", AlarmRule=f'ALARM("{name}")')
        await stage.call("SetAlarmState", AlarmName=name, StateValue="ALARM", StateReason="x")
        found = await stage.call("DescribeAlarms", AlarmNamePrefix="Ü")
        assert [(alarm["AlarmName"], alarm["StateValue"]) for alarm in found["MetricAlarms"]] == [(name, "ALARM")]

    run(tmp_path)


@on_stage
async def test_choices_that_there_are_not_are_refused(stage: Stage) -> None:
    for operation, member, value in (
        ("DescribeAlarms", "StateValue", "Alarm"),
        ("DescribeAlarms", "AlarmTypes", ["Metric"]),
        ("DescribeAlarmHistory", "AlarmTypes", ["Metric"]),
        ("DescribeAlarmHistory", "HistoryItemType", "State"),
        ("DescribeAlarmHistory", "ScanBy", "Newest"),
    ):
        await stage.refused("InvalidParameterValue", member, operation, **{member: value})
