"""Reads metrics, sets an alarm and is refused, with the boto3 that Python finds: the same steps as in visit.js.

What is asked for comes on standard input as JSON, what came back goes to standard output. Run by tests, in a process of its
own.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError


def main() -> None:
    asked = json.load(sys.stdin)
    client = boto3.client(
        "cloudwatch",
        endpoint_url=asked["endpoint"],
        region_name=asked["region"],
        aws_access_key_id=asked["key"],
        aws_secret_access_key=asked["secret"],
        config=Config(retries={"total_max_attempts": 1}),
    )
    print(json.dumps(visit(client, asked)))


def visit(client: Any, asked: dict[str, Any]) -> dict[str, Any]:
    about = {"Namespace": asked["namespace"], "MetricName": asked["metrics"]["hits"], "Dimensions": _dimensions(asked)}
    points = client.get_metric_statistics(**about, **_times(asked), Period=3600, Statistics=["Sum"])["Datapoints"]
    listed = client.list_metrics(**about)["Metrics"]
    return {
        "sums": _sums(client, asked),
        "statistics": sum(point["Sum"] for point in points),
        "own": _own(client, asked),
        "listed": [sorted(pair["Value"] for pair in metric["Dimensions"]) for metric in listed],
        "alarm": _alarm(client, asked, about),
        "refusals": [
            _refusal(client.get_metric_data, MetricDataQueries=[{"Id": "e1", "Expression": "1 +"}], **_times(asked)),
            _refusal(client.set_alarm_state, AlarmName="nobody", StateValue="OK", StateReason="r"),
            _refusal(client.put_metric_data, Namespace="AWS/X", MetricData=[{"MetricName": "m", "Value": 1}]),
        ],
    }


def _dimensions(asked: dict[str, Any]) -> list[dict[str, str]]:
    return [{"Name": name, "Value": value} for name, value in asked["dimensions"].items()]


def _times(asked: dict[str, Any]) -> dict[str, datetime]:
    return {"StartTime": datetime.fromtimestamp(asked["start"], UTC), "EndTime": datetime.fromtimestamp(asked["end"], UTC)}


def _sums(client: Any, asked: dict[str, Any]) -> dict[str, float]:
    queries: list[dict[str, Any]] = []
    for query_id, name in asked["metrics"].items():
        metric = {"Namespace": asked["namespace"], "MetricName": name, "Dimensions": _dimensions(asked)}
        queries.append({"Id": query_id, "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Sum"}})
    queries.append({"Id": "reads", "Expression": "hits + misses"})
    found: dict[str, float] = {}
    paginator = client.get_paginator("get_metric_data")
    for page in paginator.paginate(MetricDataQueries=queries, MaxDatapoints=20, **_times(asked)):
        for one in page["MetricDataResults"]:
            found[one["Id"]] = found.get(one["Id"], 0) + sum(one["Values"])
    return found


def _own(client: Any, asked: dict[str, Any]) -> list[int]:
    values = [float(number) for number in range(1, 101)]
    at = _times(asked)["StartTime"]
    datum = {"MetricName": "Latency", "Values": values, "Unit": "Milliseconds", "Timestamp": at}
    client.put_metric_data(Namespace=asked["name"], MetricData=[datum])
    ask = {"Namespace": asked["name"], "MetricName": "Latency", "Period": 3600, "ExtendedStatistics": ["p50"]}
    return [
        round(point["ExtendedStatistics"]["p50"])
        for point in client.get_metric_statistics(**ask, **_times(asked))["Datapoints"]
    ]


def _alarm(client: Any, asked: dict[str, Any], about: dict[str, Any]) -> list[Any]:
    client.put_metric_alarm(
        AlarmName=asked["name"],
        **about,
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=3,
        DatapointsToAlarm=2,
        Threshold=1e9,
        ComparisonOperator="GreaterThanThreshold",
        TreatMissingData="ignore",
    )
    client.set_alarm_state(AlarmName=asked["name"], StateValue="ALARM", StateReason="a drill")
    (made,) = client.describe_alarms(AlarmNames=[asked["name"]])["MetricAlarms"]
    history = client.describe_alarm_history(AlarmName=asked["name"])["AlarmHistoryItems"]
    client.delete_alarms(AlarmNames=[asked["name"]])
    told = [made["Threshold"], made["DatapointsToAlarm"], made["TreatMissingData"], len(made["Dimensions"])]
    kinds = sorted({item["HistoryItemType"] for item in history})
    return [*told, isinstance(made["AlarmConfigurationUpdatedTimestamp"], datetime), kinds]


def _refusal(operation: Any, **parameters: Any) -> Any:
    try:
        operation(**parameters)
    except ClientError as error:
        told = error.response
        return [told["Error"]["Code"], told["ResponseMetadata"]["HTTPStatusCode"], told["Error"]["Message"][:20]]
    return "accepted"


if __name__ == "__main__":
    main()
