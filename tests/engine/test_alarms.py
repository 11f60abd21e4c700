"""Alarms of a real service, by boto3: a state goes through a composite alarm and a topic to whoever listens."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.service import Service, running_service, wait_for

BOTH = ["MetricAlarm", "CompositeAlarm"]


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with tempfile.TemporaryDirectory(prefix="cachefleet-test-") as folder, running_service(Path(folder)) as running:
        yield running


def test_a_state_goes_through_a_composite_alarm_to_a_topic(service: Service) -> None:
    api, sns = service.client("cloudwatch"), service.client("sns")
    topic = sns.create_topic(Name="alerts")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="file", Endpoint="alarms.jsonl", Attributes={"RawMessageDelivery": "true"})
    rate: list[dict[str, Any]] = [
        {"Id": "rate", "Expression": "100 * hits / (hits + misses)"},
        *({"Id": name, "MetricStat": stat(name), "ReturnData": False} for name in ("hits", "misses")),
    ]
    api.put_metric_alarm(
        AlarmName="hit-rate",
        Metrics=rate,
        EvaluationPeriods=1,
        Threshold=50.0,
        ComparisonOperator="LessThanThreshold",
        TreatMissingData="ignore",
        Tags=[{"Key": "team", "Value": "web"}],
    )
    api.put_composite_alarm(
        AlarmName="bad", AlarmRule='ALARM("hit-rate") AND NOT OK("hit-rate")', AlarmActions=[topic], OKActions=[topic]
    )
    api.set_alarm_state(AlarmName="hit-rate", StateValue="ALARM", StateReason="a drill")
    file = Path(service.data) / "notifications" / "alarms.jsonl"

    def told() -> list[dict[str, Any]]:
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def is_told() -> bool:
        return any(json.dumps(one).find("hit-rate transitioned to ALARM") >= 0 for one in told())

    wait_for("the topic hears of the composite alarm", is_told, 40)
    history = api.describe_alarm_history(AlarmName="bad", AlarmTypes=BOTH, HistoryItemType="Action")["AlarmHistoryItems"]
    assert history[0]["HistorySummary"] == f"Successfully executed action {topic}"
    (child,) = api.describe_alarms(ChildrenOfAlarmName="bad")["MetricAlarms"]
    assert (child["AlarmName"], child["StateValue"]) == ("hit-rate", "ALARM")
    assert api.list_tags_for_resource(ResourceARN=child["AlarmArn"])["Tags"] == [{"Key": "team", "Value": "web"}]
    with pytest.raises(api.exceptions.ClientError, match="composite alarm"):
        api.delete_alarms(AlarmNames=["hit-rate"])
    api.delete_alarms(AlarmNames=["hit-rate", "bad"])
    assert api.describe_alarms(AlarmTypes=BOTH)["CompositeAlarms"] == []


def stat(name: str) -> dict[str, Any]:
    return {"Metric": {"Namespace": "mine", "MetricName": name}, "Period": 60, "Stat": "Sum"}
