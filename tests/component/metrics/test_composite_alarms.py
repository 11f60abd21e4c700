"""Composite alarms: their rules, the states that follow from their children, and what may be deleted when."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from msgspec.structs import replace

from cachefleet.model.resource import Kind
from tests.component.metrics.stage import CBOR, JSON, QUERY, Refused, Stage, on_stage
from tests.component.metrics.watched import AT_ONCE, Watched
from tests.fakes.api import ACCOUNT, REGION

ARN = f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:"
BOTH = ["MetricAlarm", "CompositeAlarm"]


async def children(stage: Stage, *names: str) -> None:
    for name in names:
        await stage.call("PutMetricAlarm", AlarmName=name, **{**AT_ONCE, "MetricName": name, "TreatMissingData": "ignore"})


async def compose(stage: Stage, name: str, rule: str, **more: Any) -> None:
    await stage.call("PutCompositeAlarm", AlarmName=name, AlarmRule=rule, **more)


async def put(stage: Stage, name: str, state: str) -> None:
    await stage.call("SetAlarmState", AlarmName=name, StateValue=state, StateReason="a test")


@pytest.mark.parametrize("wire", [QUERY, JSON, CBOR])
def test_a_composite_alarm_comes_back_as_it_was_put(tmp_path: Any, wire: str) -> None:
    @on_stage
    async def run(stage: Stage) -> None:
        stage.wire = wire
        await children(stage, "a", "b")
        rule = f'ALARM("a") AND NOT OK({ARN}b)'
        await compose(stage, "both", rule, AlarmDescription="it is bad", ActionsEnabled=False)
        found = await stage.call("DescribeAlarms", AlarmTypes=["CompositeAlarm"])
        (alarm,) = found["CompositeAlarms"]
        assert found["MetricAlarms"] == []
        assert (alarm["AlarmName"], alarm["AlarmRule"], alarm["AlarmArn"]) == ("both", rule, f"{ARN}both")
        assert (alarm["AlarmDescription"], alarm["ActionsEnabled"]) == ("it is bad", False)
        assert alarm["StateValue"] == "INSUFFICIENT_DATA"
        assert (await stage.call("DescribeAlarms", AlarmNames=["both"]))["CompositeAlarms"] == []  # metric ones, if not asked
        shown = await stage.call("DescribeAlarms", AlarmTypes=BOTH, MaxRecords=2)
        rest = await stage.call("DescribeAlarms", AlarmTypes=BOTH, MaxRecords=2, NextToken=shown["NextToken"])
        assert [one["AlarmName"] for one in shown["MetricAlarms"]] == ["a", "b"]
        assert [one["AlarmName"] for one in rest["CompositeAlarms"]] == ["both"]

    run(tmp_path)


@on_stage
async def test_the_state_follows_the_children_through_all_levels_in_one_look(stage: Stage) -> None:
    watched = Watched(stage)
    topic = await watched.topic("alerts")
    await children(stage, "a", "b", "c")
    await compose(stage, "two", "ALARM(a) AND ALARM(b)")
    await compose(stage, "top", "ALARM(two) OR ALARM(c)", AlarmActions=[topic], OKActions=[topic])
    names = ("a", "b", "two", "top")
    await watched.look()
    assert await watched.states(*names) == ["INSUFFICIENT_DATA", "INSUFFICIENT_DATA", "OK", "OK"]
    for name in ("a", "b"):
        watched.measure(90.0, name)
    stage.clock.pass_time(60.0)
    await watched.look()
    assert await watched.states(*names) == ["ALARM"] * 4
    watched.measure(10.0, "b")
    stage.clock.pass_time(60.0)
    await watched.look()
    assert await watched.states(*names) == ["ALARM", "OK", "OK", "OK"]
    told = [json.loads(notice.message) for notice in await watched.told()]
    assert [one["NewStateValue"] for one in told] == ["OK", "ALARM", "OK"]
    assert told[1]["AlarmRule"] == "ALARM(two) OR ALARM(c)" and "Trigger" not in told[1]
    (child,) = told[1]["TriggeringChildren"]
    assert (child["Arn"], child["State"]["Value"]) == (f"{ARN}two", "ALARM")
    assert told[1]["NewStateReason"].startswith(f"{ARN}two transitioned to ALARM at Tuesday 14 November, 2023 22:16:05 UTC")
    assert [item["HistorySummary"] for item in await watched.history("top", AlarmTypes=["CompositeAlarm"])][:2] == [
        f"Successfully executed action {topic}",
        "Alarm updated from ALARM to OK",
    ]
    assert await watched.history("top") == []


@on_stage
async def test_a_look_without_changes_writes_nothing(stage: Stage) -> None:
    watched = Watched(stage)
    await children(stage, "a")
    await compose(stage, "one", "ALARM(a)")
    await watched.look()
    before = await watched.store.versions(Kind.ALARM)
    for _ in range(3):
        await watched.look()
    assert await watched.store.versions(Kind.ALARM) == before


@on_stage
async def test_a_state_that_was_set_holds_until_a_child_changes(stage: Stage) -> None:
    watched = Watched(stage)
    await children(stage, "a")
    await compose(stage, "one", "ALARM(a)")
    assert await watched.state("one") == "OK"
    await put(stage, "one", "ALARM")
    assert await watched.state("one") == "ALARM"
    stage.clock.pass_time(1.0)
    await compose(stage, "one", "ALARM(a)")
    assert await watched.state("one") == "OK"
    await put(stage, "one", "ALARM")
    watched.measure(10.0, "a")
    stage.clock.pass_time(60.0)
    assert await watched.state("one") == "OK"


@pytest.mark.parametrize("data", ["5", "[]", '{"triggeringAlarms": 5}', '{"triggeringAlarms": [{"arn": 1}]}', '{"more": 1}'])
def test_a_state_may_be_set_with_any_data(tmp_path: Any, data: str) -> None:
    @on_stage
    async def run(stage: Stage) -> None:
        watched = Watched(stage)
        topic = await watched.topic("alerts")
        await compose(stage, "one", "TRUE", AlarmActions=[topic])
        drill = {"StateValue": "ALARM", "StateReason": "a drill", "StateReasonData": data}
        await stage.call("SetAlarmState", AlarmName="one", **drill)
        (notice,) = await watched.told()
        assert json.loads(notice.message)["TriggeringChildren"] == []

    run(tmp_path)


@on_stage
async def test_constants_and_rules_that_change(stage: Stage) -> None:
    watched = Watched(stage)
    await compose(stage, "one", "TRUE")
    assert await watched.state("one") == "ALARM"
    await compose(stage, "one", "NOT TRUE OR FALSE")
    assert await watched.state("one") == "OK"


@on_stage
async def test_relatives(stage: Stage) -> None:
    await children(stage, "a", "b", "c")
    await compose(stage, "two", "ALARM(b) OR ALARM(a) OR OK(a)")
    await compose(stage, "top", "ALARM(two) AND ALARM(a)")
    found = await stage.call("DescribeAlarms", ChildrenOfAlarmName="top")
    assert [one["AlarmName"] for one in found["MetricAlarms"]] == ["a"]
    (two,) = found["CompositeAlarms"]
    assert set(two) == {"AlarmName", "AlarmArn", "StateValue", "StateUpdatedTimestamp"}
    parents = await stage.call("DescribeAlarms", ParentsOfAlarmName="a")
    assert parents["MetricAlarms"] == []
    assert parents["CompositeAlarms"] == [{"AlarmName": name, "AlarmArn": f"{ARN}{name}"} for name in ("top", "two")]
    assert (await stage.call("DescribeAlarms", ChildrenOfAlarmName="c"))["MetricAlarms"] == []
    assert (await stage.call("DescribeAlarms", ParentsOfAlarmName="top"))["CompositeAlarms"] == []
    await stage.refused("ValidationError", "AlarmTypes", "DescribeAlarms", ChildrenOfAlarmName="top", AlarmTypes=BOTH)
    with pytest.raises(Refused, match="no alarm"):
        await stage.call("DescribeAlarms", ParentsOfAlarmName="none")


@on_stage
async def test_a_child_cannot_be_deleted_before_its_parents(stage: Stage) -> None:
    await children(stage, "a", "b")
    await compose(stage, "one", "ALARM(a)")
    await compose(stage, "top", "ALARM(one) OR ALARM(b)")
    rule = "Cannot delete a as there are composite"
    await stage.refused("ValidationError", rule, "DeleteAlarms", AlarmNames=["a", "b"])
    await stage.refused("ValidationError", "depending on it: top", "DeleteAlarms", AlarmNames=["one", "a"])
    await stage.refused("ValidationError", "At most one composite", "DeleteAlarms", AlarmNames=["one", "top"])
    assert len((await stage.call("DescribeAlarms"))["MetricAlarms"]) == 2
    await stage.call("DeleteAlarms", AlarmNames=["b", "top"])
    await stage.call("DeleteAlarms", AlarmNames=["a", "one"])
    assert (await stage.call("DescribeAlarms", AlarmTypes=BOTH))["CompositeAlarms"] == []


@on_stage
async def test_circles_are_refused(stage: Stage) -> None:
    await children(stage, "a")
    for name, rule in (("one", "ALARM(a)"), ("two", "ALARM(one)"), ("three", "OK(two)")):
        await compose(stage, name, rule)
    for rule in ("ALARM(three)", "ALARM(one)", "NOT OK(two) AND ALARM(a)"):
        await stage.refused("ValidationError", "depend on itself", "PutCompositeAlarm", AlarmName="one", AlarmRule=rule)
    assert (await stage.call("DescribeAlarms", AlarmNames=["one"], AlarmTypes=BOTH))["CompositeAlarms"][0][
        "AlarmRule"
    ] == "ALARM(a)"


@on_stage
async def test_of_two_that_want_each_other_at_once_only_one_gets_it(stage: Stage) -> None:
    await compose(stage, "one", "TRUE")
    await compose(stage, "two", "TRUE")
    outcomes = await asyncio.gather(
        compose(stage, "one", "ALARM(two)"), compose(stage, "two", "ALARM(one)"), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes if outcome is not None] == [Refused]


@on_stage
async def test_a_child_that_is_gone_and_a_circle_that_came_about_stop_nothing(stage: Stage) -> None:
    """Neither can come about by the API; a restored database may have them."""
    watched = Watched(stage)
    await children(stage, "a")
    for name in ("one", "two", "three"):
        await compose(stage, name, "ALARM(a)")
    async with watched.store.transaction() as transaction:
        for name, rule in (("one", "ALARM(two)"), ("two", "ALARM(one)"), ("three", "NOT ALARM(gone)")):
            row = await stage.context.store.get(stage.context.scope.key(Kind.ALARM, name))
            assert row is not None
            await transaction.update(replace(row, desired=replace(row.desired, rule=rule)))
    await watched.look()
    assert await watched.states("one", "two", "three") == ["INSUFFICIENT_DATA", "INSUFFICIENT_DATA", "ALARM"]


@pytest.mark.parametrize(
    ("rule", "request_"),
    [
        ("do not exist", {"AlarmRule": "ALARM(none)"}),
        ("do not exist", {"AlarmRule": "ALARM(new)"}),
        ("unexpected end", {"AlarmRule": "ALARM(a) AND"}),
        ("region and account", {"AlarmRule": "ALARM(arn:aws:cloudwatch:us-east-1:1:alarm:a)"}),
        ("other type", {"AlarmName": "a", "AlarmRule": "TRUE"}),
        (
            "only notify",
            {
                "AlarmActions": [
                    f"arn:aws:autoscaling:{REGION}:{ACCOUNT}:scalingPolicy:1:resource/elasticache/replication-group/g:policyName/p"
                ]
            },
        ),
    ],
)
def test_what_cannot_be_composed_is_refused(tmp_path: Any, rule: str, request_: dict[str, Any]) -> None:
    @on_stage
    async def run(stage: Stage) -> None:
        await children(stage, "a")
        await stage.refused(
            "ValidationError", rule, "PutCompositeAlarm", **{"AlarmName": "new", "AlarmRule": "ALARM(a)", **request_}
        )
        suppressed = {"AlarmName": "new", "AlarmRule": "ALARM(a)", "ActionsSuppressor": "a"}
        await stage.refused("InvalidParameterValue", "NOT ALARM", "PutCompositeAlarm", **suppressed)
        await compose(stage, "one", "ALARM(a)")
        await stage.refused("ValidationError", "other type", "PutMetricAlarm", AlarmName="one", **AT_ONCE)
        assert len((await stage.call("DescribeAlarms", AlarmTypes=BOTH))["CompositeAlarms"]) == 1

    run(tmp_path)
