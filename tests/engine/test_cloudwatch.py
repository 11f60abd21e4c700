"""The CloudWatch API of a real service: boto3 and the AWS CLI put and read own metrics, and those of a node with traffic."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from botocore.exceptions import ClientError
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.fixtures.service import Service, running_service, wait_for

AWS = str(Path(sys.executable).with_name("aws"))
OWN = "my/jobs"
HITS, MISSES = 70, 30


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with tempfile.TemporaryDirectory(prefix="cachefleet-test-") as folder, running_service(Path(folder)) as running:
        yield running


def now() -> datetime:
    return datetime.now(UTC)


def lately(minutes: int = 30) -> dict[str, datetime]:
    return {"StartTime": now() - timedelta(minutes=minutes), "EndTime": now() + timedelta(minutes=1)}


def metric(query_id: str, namespace: str, name: str, stat: str, **dimensions: str) -> dict[str, Any]:
    pairs = [{"Name": key, "Value": value} for key, value in dimensions.items()]
    about = {"Namespace": namespace, "MetricName": name, "Dimensions": pairs}
    return {"Id": query_id, "MetricStat": {"Metric": about, "Period": 60, "Stat": stat}, "ReturnData": False}


def sums(api: Any, *queries: dict[str, Any]) -> dict[str, float]:
    """Label -> sum of all values, over all pages."""
    found: dict[str, float] = {}
    paginator = api.get_paginator("get_metric_data")
    for page in paginator.paginate(MetricDataQueries=list(queries), MaxDatapoints=2, **lately()):
        for one in page["MetricDataResults"]:
            found[one["Label"]] = found.get(one["Label"], 0.0) + sum(one["Values"])
    return found


def test_a_node_and_its_traffic(service: Service) -> None:
    caches, api = service.client(), service.client("cloudwatch")
    caches.create_cache_cluster(
        CacheClusterId="shop",
        Engine="valkey",
        CacheNodeType="cache.t4g.micro",
        NumCacheNodes=1,
        Tags=[{"Key": "cachefleet:metrics-interval-s", "Value": "1"}],
    )

    def endpoint() -> Any:
        (found,) = caches.describe_cache_clusters(CacheClusterId="shop", ShowCacheNodeInfo=True)["CacheClusters"]
        return found["CacheClusterStatus"] == "available" and found["CacheNodes"][0]["Endpoint"]

    where = wait_for("the cache is available", endpoint)
    client = redis.Redis(where["Address"], where["Port"], retry=Retry(NoBackoff(), 0))
    client.set("here", "x")
    for _ in range(HITS):
        client.get("here")
    for _ in range(MISSES):
        client.get("elsewhere")
    client.close()

    whole = metric("hits", "AWS/ElastiCache", "CacheHits", "Sum", CacheClusterId="shop")
    node = metric("misses", "AWS/ElastiCache", "CacheMisses", "Sum", CacheNodeId="0001", CacheClusterId="shop")
    queries = [
        {**whole, "ReturnData": True, "Label": "hits of ${PROP('Dim.CacheClusterId')}"},
        {**node, "ReturnData": True, "Label": "misses"},
        {"Id": "both", "Expression": "SUM(METRICS())", "Label": "both"},
        {"Id": "found", "Expression": "SUM(SEARCH('{AWS/ElastiCache,CacheClusterId} MetricName=\"CacheHits\"', 'Sum', 60))"},
    ]
    told: dict[str, float] = {}

    def agrees() -> bool:
        told.update(sums(api, *queries))
        return told == {"hits of shop": HITS, "misses": MISSES, "both": HITS + MISSES, "found": HITS}

    try:
        wait_for("the traffic is told", agrees, 40)
    except AssertionError:
        assert told == {"hits of shop": HITS, "misses": MISSES, "both": HITS + MISSES, "found": HITS}
        raise
    ask = {**whole["MetricStat"]["Metric"], **lately(), "Period": 3600}
    points = api.get_metric_statistics(**ask, Statistics=["Sum", "Maximum"])["Datapoints"]
    assert (sum(point["Sum"] for point in points), {point["Unit"] for point in points}) == (HITS, {"Count"})

    listed = [
        one for page in api.get_paginator("list_metrics").paginate(Namespace="AWS/ElastiCache") for one in page["Metrics"]
    ]
    hits = [tuple(pair["Name"] for pair in one["Dimensions"]) for one in listed if one["MetricName"] == "CacheHits"]
    assert hits == [("CacheClusterId",), ("CacheClusterId", "CacheNodeId")]
    with pytest.raises(ClientError, match="must not begin with AWS/"):
        api.put_metric_data(Namespace="AWS/ElastiCache", MetricData=[{"MetricName": "CacheHits", "Value": 1.0}])


def test_own_metrics_outlive_the_service(service: Service) -> None:
    api = service.client("cloudwatch")
    started = now()
    data = [
        {
            "MetricName": "Latency",
            "Values": [float(number) for number in range(1, 101)],
            "Unit": "Milliseconds",
            "Timestamp": started,
        },
        {"MetricName": "Jobs", "Value": 3.0, "Timestamp": started - timedelta(minutes=2)},
        {"MetricName": "Jobs", "Value": 4.0, "Timestamp": started, "StorageResolution": 1},
    ]
    api.put_metric_data(Namespace=OWN, MetricData=data * 40)  # so much that SDKs compress it
    service.kill(15)
    service.start()
    api = service.client("cloudwatch")
    extended = ["p50", "p99", "tm90"]
    ask = {"Namespace": OWN, "MetricName": "Latency", "Period": 60, **lately()}
    (point,) = api.get_metric_statistics(**ask, ExtendedStatistics=extended)["Datapoints"]
    for name, wanted in zip(extended, (50, 99, 45.5), strict=True):
        assert point["ExtendedStatistics"][name] == pytest.approx(wanted, rel=0.0101)
    (count,) = api.get_metric_statistics(**ask, Statistics=["SampleCount"])["Datapoints"]
    assert count["SampleCount"] == 4000
    assert sums(api, {**metric("m1", OWN, "Jobs", "Sum"), "ReturnData": True}) == {"Jobs": 40 * 7}
    with pytest.raises(ClientError) as refusal:
        api.get_metric_data(MetricDataQueries=[{"Id": "e1", "Expression": "m1 +"}], **lately())
    assert refusal.value.response["Error"]["Code"] == "ValidationError"
    assert "Error in expression 'e1'" in str(refusal.value)


def test_the_command_line(service: Service) -> None:
    def aws(*arguments: str) -> Any:
        command = [AWS, "cloudwatch", *arguments, "--output", "json"]
        done = subprocess.run(command, env=service.environment(), capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout else None

    times = (
        "--start-time",
        (now() - timedelta(minutes=5)).isoformat(),
        "--end-time",
        (now() + timedelta(minutes=1)).isoformat(),
    )
    aws("put-metric-data", "--namespace", "cli", "--metric-name", "Jobs", "--value", "5", "--dimensions", "Queue=mail")
    (listed,) = aws("list-metrics", "--namespace", "cli", "--recently-active", "PT3H")["Metrics"]
    assert listed == {"Namespace": "cli", "MetricName": "Jobs", "Dimensions": [{"Name": "Queue", "Value": "mail"}]}
    about = ("--namespace", "cli", "--metric-name", "Jobs", "--dimensions", "Name=Queue,Value=mail", "--period", "60")
    (point,) = aws("get-metric-statistics", *about, "--statistics", "Average", *times)["Datapoints"]
    assert (point["Average"], point["Unit"]) == (5, "None")
    queries = [metric("m1", "cli", "Jobs", "Sum", Queue="mail"), {"Id": "e1", "Expression": "m1 * 2"}]
    (result,) = aws("get-metric-data", "--metric-data-queries", json.dumps(queries), *times)["MetricDataResults"]
    assert (result["Id"], result["Label"], result["Values"]) == ("e1", "e1", [10])
