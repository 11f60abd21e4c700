"""Tags of alarms, and policies on single ones."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from cachefleet.policies.credential import Credential
from cachefleet.policies.document import read_policy
from tests.component.metrics.stage import CBOR, JSON, QUERY, Refused, Stage, on_stage
from tests.component.metrics.watched import AT_ONCE
from tests.fakes.api import ACCOUNT, REGION
from tests.fixtures.gateway import KEY

ARN = f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:"
BOTH = ["MetricAlarm", "CompositeAlarm"]


def pairs(**tags: str) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def ann(*statements: tuple[str, str, dict[str, Any]]) -> Credential:
    """A user who may do these actions on these resources, under these conditions."""
    document = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": action, "Resource": resource, **({"Condition": condition} if condition else {})}
            for action, resource, condition in statements
        ],
    }
    policy = read_policy(json.dumps(document))
    arn = f"arn:aws:iam::{ACCOUNT}:user/ann"
    return msgspec.structs.replace(KEY, arn=arn, is_root=False, user_name="ann", policies=(policy,))


async def denied(stage: Stage, resource: str, name: str, /, **request: Any) -> None:
    with pytest.raises(Refused) as refusal:
        await stage.call(name, **request)
    assert (refusal.value.code, refusal.value.status) == ("AccessDenied", 403)
    assert f"on resource: {resource} because" in refusal.value.message


@pytest.mark.parametrize("wire", [QUERY, JSON, CBOR])
def test_tags_are_given_at_creation_added_and_removed(tmp_path: Any, wire: str) -> None:
    @on_stage
    async def run(stage: Stage) -> None:
        stage.wire = wire
        await stage.call("PutMetricAlarm", AlarmName="hot: 1", Tags=pairs(team="a", stage="test"), **AT_ONCE)
        await stage.call("PutCompositeAlarm", AlarmName="both", AlarmRule="TRUE", Tags=pairs(team="b"))
        hot, both = f"{ARN}hot: 1", f"{ARN}both"
        await stage.call("TagResource", ResourceARN=hot, Tags=pairs(team="c", more=""))
        await stage.call("UntagResource", ResourceARN=hot, TagKeys=["stage", "none"])
        await stage.call("PutMetricAlarm", AlarmName="hot: 1", Tags=pairs(other="x"), **AT_ONCE)  # ignored, it is there
        assert (await stage.call("ListTagsForResource", ResourceARN=hot))["Tags"] == pairs(more="", team="c")
        assert (await stage.call("ListTagsForResource", ResourceARN=both))["Tags"] == pairs(team="b")

    run(tmp_path)


@on_stage
async def test_tags_that_cannot_be(stage: Stage) -> None:
    await stage.call("PutMetricAlarm", AlarmName="hot", Tags=pairs(team="a"), **AT_ONCE)
    many = pairs(**{f"k{number}": "" for number in range(50)})
    for tags, rule in (
        ([{"Key": "aws:x", "Value": ""}], "reserved"),
        ([{"Key": "", "Value": ""}], "1 to 128"),
        ([{"Key": "x" * 129, "Value": ""}], "1 to 128"),
        ([{"Key": "x", "Value": "y" * 257}], "256"),
        (pairs(x="") * 2, "twice"),
        (many, "51 tags"),
    ):
        await stage.refused("InvalidParameterValue", rule, "TagResource", ResourceARN=f"{ARN}hot", Tags=tags)
    await stage.refused("InvalidParameterValue", "twice", "PutMetricAlarm", AlarmName="new", Tags=pairs(x="") * 2, **AT_ONCE)
    wrong = f"arn:aws:cloudwatch:us-east-1:{ACCOUNT}:alarm:hot"
    await stage.refused("InvalidParameterValue", "region and account", "ListTagsForResource", ResourceARN=wrong)
    with pytest.raises(Refused, match="no alarm") as refusal:
        await stage.call("ListTagsForResource", ResourceARN=f"{ARN}none")
    assert refusal.value.status == 404
    assert (await stage.call("ListTagsForResource", ResourceARN=f"{ARN}hot"))["Tags"] == pairs(team="a")


@on_stage
async def test_policies_may_name_single_alarms(stage: Stage) -> None:
    for name in ("prod-1", "test-1"):
        await stage.call("PutMetricAlarm", AlarmName=name, **AT_ONCE)
    state = {"StateValue": "OK", "StateReason": "x"}
    stage.caller = ann(("cloudwatch:*", f"{ARN}test-*", {}))
    await stage.call("SetAlarmState", AlarmName="test-1", **state)
    await denied(stage, f"{ARN}prod-1", "SetAlarmState", AlarmName="prod-1", **state)
    await stage.call("PutMetricAlarm", AlarmName="test-2", **AT_ONCE)
    await denied(stage, f"{ARN}prod-2", "PutMetricAlarm", AlarmName="prod-2", **AT_ONCE)
    await denied(stage, f"{ARN}prod-2", "PutCompositeAlarm", AlarmName="prod-2", AlarmRule="TRUE")
    for name in ("DeleteAlarms", "DisableAlarmActions", "EnableAlarmActions", "DescribeAlarms"):
        await denied(stage, f"{ARN}prod-1", name, AlarmNames=["test-1", "prod-1"])
    await denied(stage, f"{ARN}*", "DescribeAlarms", AlarmNamePrefix="test")
    await denied(stage, f"{ARN}*", "DescribeAlarmHistory")
    await stage.call("DescribeAlarmHistory", AlarmName="test-1")
    await stage.call("TagResource", ResourceARN=f"{ARN}test-1", Tags=pairs(team="a"))
    await denied(stage, f"{ARN}prod-1", "UntagResource", ResourceARN=f"{ARN}prod-1", TagKeys=["a"])
    await stage.call("DeleteAlarms", AlarmNames=["test-1", "test-2"])
    stage.caller = ann(("cloudwatch:Describe*", "*", {}))
    assert len((await stage.call("DescribeAlarms"))["MetricAlarms"]) == 1


@on_stage
async def test_policies_may_go_by_tags(stage: Stage) -> None:
    for name, team in (("a", "red"), ("b", "blue")):
        await stage.call("PutMetricAlarm", AlarmName=name, Tags=pairs(team=team), **AT_ONCE)
    stage.caller = ann(("cloudwatch:SetAlarmState", "*", {"StringEquals": {"aws:ResourceTag/team": "red"}}))
    state = {"StateValue": "OK", "StateReason": "x"}
    await stage.call("SetAlarmState", AlarmName="a", **state)
    await denied(stage, f"{ARN}b", "SetAlarmState", AlarmName="b", **state)
    stage.caller = ann(("cloudwatch:PutMetricAlarm", "*", {}))
    await stage.call("PutMetricAlarm", AlarmName="c", **AT_ONCE)
    await denied(stage, f"{ARN}d", "PutMetricAlarm", AlarmName="d", Tags=pairs(team="red"), **AT_ONCE)
    stage.caller = ann(
        ("cloudwatch:PutMetricAlarm", "*", {}),
        ("cloudwatch:TagResource", "*", {"StringEquals": {"aws:RequestTag/team": "red"}}),
    )
    await stage.call("PutMetricAlarm", AlarmName="d", Tags=pairs(team="red"), **AT_ONCE)
    await denied(stage, f"{ARN}e", "PutMetricAlarm", AlarmName="e", Tags=pairs(team="blue"), **AT_ONCE)
