"""What alarms do when their state changes: topics are told once, and the history says how it went."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager, suppress
from random import Random
from typing import Any

import pytest

from cachefleet.interfaces import StoreError
from cachefleet.model.resource import Kind
from cachefleet.model.row import Row
from cachefleet.model.scaling import policy_arn, row_name
from cachefleet.telemetry.alarm_watch import AlarmWatch
from tests.component.metrics.stage import Stage, on_stage
from tests.component.metrics.watched import AT_ONCE, HEAT, Watched
from tests.fakes.api import ACCOUNT, REGION
from tests.unit.scaling.targets import stepping, target


@on_stage
async def test_a_topic_is_told_in_the_form_of_cloudwatch(stage: Stage) -> None:
    watched = Watched(stage)
    topic = await watched.topic("alerts")
    await stage.call("PutMetricAlarm", AlarmName="hot", AlarmDescription="too hot", AlarmActions=[topic], **AT_ONCE)
    configured_at = stage.clock.now()
    assert await watched.minute(10.0) == "OK"
    assert await watched.told() == []
    assert await watched.minute(90.0) == "ALARM"
    (notice,) = await watched.told()
    assert (notice.topic_arn, notice.subject) == (topic, f'ALARM: "hot" in {REGION}')
    changed_at = stage.clock.now() + 5
    assert notice.at == changed_at and configured_at == 1_700_000_100
    told = json.loads(notice.message)
    reason = told.pop("NewStateReason")
    assert reason.startswith("Threshold Crossed: 1 out of the last 1 datapoints [90.0 (")
    assert told == {
        "AlarmName": "hot",
        "AlarmDescription": "too hot",
        "AWSAccountId": ACCOUNT,
        "AlarmConfigurationUpdatedTimestamp": "2023-11-14T22:15:00.000+0000",
        "NewStateValue": "ALARM",
        "StateChangeTime": "2023-11-14T22:17:05.000+0000",
        "Region": REGION,
        "AlarmArn": f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:hot",
        "OldStateValue": "OK",
        "OKActions": [],
        "AlarmActions": [topic],
        "InsufficientDataActions": [],
        "Trigger": {
            "MetricName": "heat",
            "Namespace": "mine",
            "StatisticType": "Statistic",
            "Statistic": "AVERAGE",
            "Unit": None,
            "Dimensions": [{"value": "attic", "name": "place"}],
            "Period": 60,
            "EvaluationPeriods": 1,
            "DatapointsToAlarm": 1,
            "ComparisonOperator": "GreaterThanThreshold",
            "Threshold": 50.0,
            "TreatMissingData": "missing",
            "EvaluateLowSampleCountPercentile": "",
        },
    }
    done, change = (await watched.history("hot"))[:2]
    assert (done["HistoryItemType"], done["HistorySummary"]) == ("Action", f"Successfully executed action {topic}")
    assert change["HistorySummary"] == "Alarm updated from OK to ALARM"
    assert json.loads(done["HistoryData"]) == {
        "actionState": "Succeeded",
        "stateUpdateTimestamp": changed_at * 1000,
        "notificationResource": topic,
    }
    oldest = await watched.history("hot", ScanBy="TimestampAscending")
    assert oldest == list(reversed(await watched.history("hot")))


@on_stage
async def test_each_state_has_its_topics(stage: Stage) -> None:
    watched = Watched(stage)
    bad, good, unknown = [await watched.topic(name) for name in ("bad", "good", "unknown")]
    actions = {"AlarmActions": [bad, good], "OKActions": [good], "InsufficientDataActions": [unknown]}
    await stage.call("PutMetricAlarm", AlarmName="hot", **AT_ONCE, **actions)
    for value in (10.0, 90.0, None, None, None):
        await watched.minute(value)
    told = [(notice.topic_arn, notice.subject.partition(":")[0]) for notice in await watched.told()]
    assert told == [(good, "OK"), (bad, "ALARM"), (good, "ALARM"), (unknown, "INSUFFICIENT_DATA")]


@on_stage
async def test_a_state_that_is_set_is_told_and_the_way_back_as_well(stage: Stage) -> None:
    watched = Watched(stage)
    topic = await watched.topic("alerts")
    await stage.call("PutMetricAlarm", AlarmName="hot", AlarmActions=[topic], OKActions=[topic], **AT_ONCE)
    await watched.minute(10.0)
    drill = {"AlarmName": "hot", "StateValue": "ALARM", "StateReason": "a drill"}
    await stage.call("SetAlarmState", **drill)
    await stage.call("SetAlarmState", **drill)  # the same state again is no change
    assert await watched.state() == "OK"
    told = [json.loads(notice.message) for notice in await watched.told()]
    assert [one["NewStateValue"] for one in told] == ["OK", "ALARM", "OK"]
    assert told[1]["NewStateReason"] == "a drill"


@on_stage
async def test_switched_off_actions_are_not_done(stage: Stage) -> None:
    watched = Watched(stage)
    topic = await watched.topic("alerts")
    await stage.call("PutMetricAlarm", AlarmName="hot", ActionsEnabled=False, AlarmActions=[topic], **AT_ONCE)
    assert await watched.minute(90.0) == "ALARM"
    await stage.call("EnableAlarmActions", AlarmNames=["hot"])
    assert await watched.minute(90.0) == "ALARM"
    assert await watched.told() == [] and await watched.history("hot", "Action") == []


@on_stage
async def test_a_topic_that_is_not_there_is_a_failed_action(stage: Stage) -> None:
    watched = Watched(stage)
    there = await watched.topic("alerts")
    gone = f"arn:aws:sns:{REGION}:{ACCOUNT}:gone"
    await stage.call("PutMetricAlarm", AlarmName="hot", AlarmActions=[gone, there], **AT_ONCE)
    await watched.minute(90.0)
    assert [notice.topic_arn for notice in await watched.told()] == [there]
    done, failed = await watched.history("hot", "Action")
    assert done["HistorySummary"] == f"Successfully executed action {there}"
    error = f"Resource: {gone} does not exist"
    assert failed["HistorySummary"] == f'Failed to execute action {gone}. Received error: "{error}"'
    data = json.loads(failed["HistoryData"])
    assert (data["actionState"], data["error"]) == ("Failed", error)


@on_stage
async def test_the_history_says_of_policies_whether_they_are_there(stage: Stage) -> None:
    watched = Watched(stage)
    policy = stepping((0.0, None, 1))
    group = target(policy)
    scope = stage.context.scope
    async with watched.store.transaction() as transaction:
        key = scope.key(Kind.SCALABLE_TARGET, row_name(group.dimension, group.resource))
        await transaction.insert(Row(key=key, desired=group))
    there = policy_arn(scope, group, policy)
    gone = there.replace(":steps:", ":others:")
    await stage.call("PutMetricAlarm", AlarmName="hot", AlarmActions=[there, gone], **AT_ONCE)
    await watched.minute(90.0)
    failed, done = [item["HistorySummary"] for item in await watched.history("hot", "Action")]
    assert done == f"Successfully executed action {there}"
    assert failed == f'Failed to execute action {gone}. Received error: "Resource: {gone} does not exist"'
    assert await watched.told() == []
    await stage.refused(
        "ValidationError", "only for AlarmActions", "PutMetricAlarm", AlarmName="x", OKActions=[there], **AT_ONCE
    )


@on_stage
async def test_two_leaders_tell_a_transition_once(stage: Stage) -> None:
    watched = Watched(stage)
    topic = await watched.topic("alerts")
    await stage.call("PutMetricAlarm", AlarmName="hot", AlarmActions=[topic], **AT_ONCE)
    other = AlarmWatch(stage.context.store, stage.recorder, stage.clock, 40)
    watched.measure(90.0)
    stage.clock.pass_time(65.0)
    await asyncio.gather(watched.watch.look(), other.look())
    await asyncio.gather(watched.watch.look(), other.look())
    assert len(await watched.told()) == 1
    assert len(await watched.history("hot", "StateUpdate")) == 1


@on_stage
async def test_a_leader_that_dies_before_the_commit_leaves_all_to_the_next(stage: Stage) -> None:
    watched = Watched(stage)
    topic = await watched.topic("alerts")
    await stage.call("PutMetricAlarm", AlarmName="hot", AlarmActions=[topic], **AT_ONCE)
    dying = AlarmWatch(_Trouble(stage.context.store, Random(0), 1.0), stage.recorder, stage.clock, 40)
    watched.measure(90.0)
    stage.clock.pass_time(65.0)
    with pytest.raises(StoreError):
        await dying.look()
    assert await watched.told() == [] and await watched.states("hot") == ["INSUFFICIENT_DATA"]
    await watched.watch.look()
    assert len(await watched.told()) == 1 and await watched.states("hot") == ["ALARM"]


@on_stage
async def test_subjects_are_never_too_long(stage: Stage) -> None:
    watched = Watched(stage)
    topic = await watched.topic("alerts")
    await stage.call("PutMetricAlarm", AlarmName="x" * 255, AlarmActions=[topic], **AT_ONCE)
    watched.measure(90.0)
    stage.clock.pass_time(60.0)
    await watched.look()
    (notice,) = await watched.told()
    assert notice.subject == f'ALARM: "{"x" * (100 - 13 - len(REGION) - 3)}..." in {REGION}' and len(notice.subject) == 100
    assert json.loads(notice.message)["Trigger"]["MetricName"] == HEAT["MetricName"]


class _Trouble:
    """A store of which that share of the commits fails, and of as many the answer gets lost."""

    def __init__(self, store: Any, chance: Random, share: float) -> None:
        self._store, self._chance, self._share = store, chance, share

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    @asynccontextmanager
    async def transaction(self) -> Any:
        async with self._store.transaction() as transaction:
            yield transaction
            if self._chance.random() < self._share:
                raise StoreError("the commit failed")
        if self._chance.random() < self._share:
            raise StoreError("the answer to the commit is lost")


async def _tried(look: Any) -> None:
    with suppress(StoreError):
        await look()


@pytest.mark.parametrize("seed", range(8))
def test_whatever_fails_each_transition_is_told_once(tmp_path: Any, seed: int) -> None:
    """Two leaders at the same time, a caller that sets states, and a database in trouble."""

    @on_stage
    async def run(stage: Stage) -> None:
        chance = Random(seed)
        watched = Watched(stage)
        topic = await watched.topic("alerts")
        actions = {key: [topic] for key in ("AlarmActions", "OKActions", "InsufficientDataActions")}
        await stage.call("PutMetricAlarm", AlarmName="hot", **AT_ONCE, **actions)
        await stage.call("PutCompositeAlarm", AlarmName="top", AlarmRule="NOT ALARM(hot)", **actions)
        troubled = _Trouble(stage.context.store, chance, 0.3)
        leaders = [AlarmWatch(troubled, stage.recorder, stage.clock, 40) for _ in range(2)]
        for _ in range(15):  # so few that the history keeps them all
            watched.measure(chance.choice((10.0, 90.0)))
            stage.clock.pass_time(chance.choice((5.0, 60.0)))
            if chance.random() < 0.2:
                state = chance.choice(("OK", "ALARM"))
                await stage.call("SetAlarmState", AlarmName="hot", StateValue=state, StateReason="a drill")
            await asyncio.gather(*(_tried(leader.look) for leader in leaders if chance.random() < 0.8))
        assert [await watched.minute(value) for value in (10.0, 90.0, 10.0)] == ["OK", "ALARM", "OK"]
        told = [json.loads(notice.message) for notice in await watched.told()]
        for name in ("hot", "top"):
            history = await watched.history(name, "StateUpdate", AlarmTypes=["MetricAlarm", "CompositeAlarm"], MaxRecords=100)
            assert [
                f"Alarm updated from {one['OldStateValue']} to {one['NewStateValue']}"
                for one in told
                if one["AlarmName"] == name
            ] == [item["HistorySummary"] for item in reversed(history)]
            assert len(history) >= 2
        assert len({notice.notice_id for notice in await watched.told()}) == len(told)

    run(tmp_path)
