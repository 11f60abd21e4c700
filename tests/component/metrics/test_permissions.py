"""Who may use the metrics API: actions begin with cloudwatch, whatever the service is signed as."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from cachefleet.policies.credential import Credential
from cachefleet.policies.document import read_policy
from tests.component.metrics.stage import NOW, Refused, Stage, metric, on_stage
from tests.fakes.api import ACCOUNT
from tests.fixtures.gateway import KEY


def allowed(*actions: str, **condition: Any) -> Credential:
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
    document = {"Version": "2012-10-17", "Statement": [{**statement, "Condition": condition} if condition else statement]}
    return msgspec.structs.replace(
        KEY,
        arn=f"arn:aws:iam::{ACCOUNT}:user/ann",
        is_root=False,
        user_name="ann",
        policies=(read_policy(json.dumps(document)),),
    )


async def outcome(stage: Stage, name: str, **request: Any) -> str:
    try:
        await stage.call(name, **request)
    except Refused as refusal:
        assert refusal.status == 403
        assert f"cloudwatch:{name} on resource: *" in refusal.message
        return refusal.code
    return "done"


@on_stage
async def test_each_operation_needs_its_action(stage: Stage) -> None:
    times = {"StartTime": NOW - 60, "EndTime": NOW}
    statistics = {"Namespace": "mine", "MetricName": "Jobs", "Period": 60, "Statistics": ["Sum"]}
    calls: dict[str, dict[str, Any]] = {
        "PutMetricData": {"Namespace": "mine", "MetricData": [{"MetricName": "Jobs", "Value": 1.0}]},
        "GetMetricData": {**times, "MetricDataQueries": [metric("m1", "Jobs")]},
        "GetMetricStatistics": {**times, **statistics},
        "ListMetrics": {},
    }
    for name, request in calls.items():
        stage.caller = allowed(f"cloudwatch:{name}")
        assert {other: await outcome(stage, other, **asked) for other, asked in calls.items()} == {
            other: "done" if other == name else "AccessDenied" for other in calls
        }
        stage.caller = allowed("monitoring:*", "elasticache:*")
        assert await outcome(stage, name, **request) == "AccessDenied"
        stage.caller = allowed("cloudwatch:*")
        assert await outcome(stage, name, **request) == "done"


@on_stage
async def test_a_policy_may_name_the_namespace_that_values_are_put_into(stage: Stage) -> None:
    stage.caller = allowed("cloudwatch:PutMetricData", StringEquals={"cloudwatch:namespace": "mine"})
    data = [{"MetricName": "Jobs", "Value": 1.0}]
    assert await outcome(stage, "PutMetricData", Namespace="mine", MetricData=data) == "done"
    assert await outcome(stage, "PutMetricData", Namespace="other", MetricData=data) == "AccessDenied"
