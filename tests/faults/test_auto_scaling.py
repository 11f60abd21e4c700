"""A load that rises and falls makes target tracking go from two shards to four and back, while clients write and read: nothing
that was acknowledged is lost, and nothing fails that is tried once more. Takes minutes: `make scaling`.

The group is measured every second, its alarms have periods of ten seconds, and cool-downs are short.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from redis.cluster import RedisCluster

from tests.engine.groups import address, await_available, replication_group
from tests.faults.processor_load import cost_s, processor_load
from tests.fixtures.machine import data_folder
from tests.fixtures.service import Service, running_service, wait_for
from tests.traffic.clients import Where
from tests.traffic.traffic import Traffic, traffic

pytestmark = pytest.mark.skipif(not os.environ.get("TEST_SCALING"), reason="takes minutes: make scaling")

# 150 MB for data, of which the stream that replicas may ask for again takes 10.
SMALL = '[node_types."cache.own.small"]\nmaxmemory_bytes = 209715200\n'
EVERY_SECOND = [{"Key": "cachefleet:metrics-interval-s", "Value": "1"}]
BUSY = 0.2  # of a processor, each of two shards: twice the target, with what each spends anyway
FULL = 85.0  # percent of the memory of two shards; of four it is under the target
VALUE_BYTES, AT_ONCE = 20_000, 100
WHERE = {
    "ServiceNamespace": "elasticache",
    "ResourceId": "replication-group/tides",
    "ScalableDimension": "elasticache:replication-group:NodeGroups",
}
PATIENCE_S = 420.0


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with data_folder() as folder:
        settings = folder / "settings.toml"
        settings.write_text(SMALL)
        with running_service(folder / "data", start=False) as made:
            made.start(environment={"CACHEFLEET_CONFIG": str(settings)})
            yield made


def fullness(cache: Any) -> float:
    """Percent of the primaries' memory, on average."""
    told = cache.info("memory", target_nodes=RedisCluster.PRIMARIES)
    nodes = told.values() if "used_memory" not in told else [told]
    shares = [100 * node["used_memory"] / node["maxmemory"] for node in nodes]
    return float(sum(shares) / len(shares))


def fill(where: Where) -> int:
    """Returns how many keys that took."""
    with RedisCluster(*where, socket_timeout=10) as cache:
        keys = 0
        while fullness(cache) < FULL:
            cache.mset_nonatomic({f"tide:{keys + number}": b"x" * VALUE_BYTES for number in range(AT_ONCE)})
            keys += AT_ONCE
        return keys


def empty(where: Where, keys: int) -> None:
    with RedisCluster(*where, socket_timeout=10) as cache:
        for first in range(0, keys, AT_ONCE):
            cache.unlink(*(f"tide:{number}" for number in range(first, first + AT_ONCE)))


def activities(scaling: Any) -> list[dict[str, Any]]:
    return list(scaling.describe_scaling_activities(**WHERE)["ScalingActivities"])


class Tide(NamedTuple):
    """A group of two shards with a policy, and clients at work in it."""

    client: Any
    scaling: Any
    metrics: Any
    where: Where
    running: Traffic

    def begin(self, name: str, least: float, **dimensions: str) -> None:
        """Scaling out is let go on once the metric was that high for a while: while it rises it would ask for fewer."""
        asked = {
            "Namespace": "AWS/ElastiCache",
            "MetricName": name,
            "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions.items()],
        }

        def steady() -> bool:
            now = datetime.fromtimestamp(time.time(), UTC)
            times = {"StartTime": now - timedelta(seconds=120), "EndTime": now, "Period": 10}
            points = self.metrics.get_metric_statistics(**asked, **times, Statistics=["Average"])["Datapoints"]
            recent = sorted(points, key=lambda point: point["Timestamp"])[-4:]
            return len(recent) == 4 and all(point["Average"] >= least for point in recent)

        wait_for(f"{name} is at least {least}", steady, PATIENCE_S, 0.5)
        self.scaling.register_scalable_target(**WHERE, SuspendedState={"DynamicScalingOutSuspended": False})

    def await_shards(self, count: int, activity: int) -> None:
        """activity: as which the change comes. Then clients go on for a while."""

        def reached() -> bool:
            found = activities(self.scaling)
            return len(found) >= activity and found[0]["StatusCode"] not in ("Pending", "InProgress")

        wait_for(f"activity {activity} has ended", reached, PATIENCE_S, 0.5)
        found = activities(self.scaling)
        assert [one["StatusCode"] for one in found] == ["Successful"] * activity, found
        assert len(await_available(self.client, "tides")["NodeGroups"]) == count, found
        self.running.await_operations(100)


@contextmanager
def tide(service: Service, metric: dict[str, Any], target: float) -> Iterator[Tide]:
    """In the end all is well with what its clients did."""
    client, scaling = service.client(), service.client("application-autoscaling")
    shape = {"NumNodeGroups": 2, "ReplicasPerNodeGroup": 1, "CacheNodeType": "cache.own.small", "Tags": EVERY_SECOND}
    with replication_group(client, "tides", AutomaticFailoverEnabled=True, **shape) as group:
        held = {"DynamicScalingOutSuspended": True}
        scaling.register_scalable_target(**WHERE, MinCapacity=2, MaxCapacity=4, SuspendedState=held)
        scaling.put_scaling_policy(
            **WHERE,
            PolicyName="tide",
            PolicyType="TargetTrackingScaling",
            TargetTrackingScalingPolicyConfiguration={
                "TargetValue": target,
                "ScaleOutCooldown": 5,
                "ScaleInCooldown": 5,
                **metric,
            },
        )
        where = address(group["ConfigurationEndpoint"])
        with data_folder() as folder, traffic(["redis-py-cluster", "glide-cluster"], where, folder, clustered=True) as running:
            yield Tide(client, scaling, service.client("cloudwatch"), where, running)
            running.end()
            assert running.flaws() == {}
        back, out = activities(scaling)
        assert ("AlarmLow" in back["Cause"], "AlarmHigh" in out["Cause"]) == (True, True)


def test_shards_follow_data_that_grow_and_shrink(service: Service) -> None:
    memory = {"PredefinedMetricType": "ElastiCacheDatabaseMemoryUsageCountedForEvictPercentage"}
    with tide(service, {"PredefinedMetricSpecification": memory}, 50.0) as group:
        keys = fill(group.where)
        group.begin("DatabaseMemoryUsageCountedForEvictPercentage", 78.0, ReplicationGroupId="tides")
        group.await_shards(4, 1)
        empty(group.where, keys)
        group.await_shards(2, 2)


def test_shards_follow_a_load_of_clients(service: Service) -> None:
    """By a low target, so that a busy machine has the processor time for it."""
    metric = {
        "Namespace": "AWS/ElastiCache",
        "MetricName": "EngineCPUUtilization",
        "Dimensions": [{"Name": "ReplicationGroupId", "Value": "tides"}, {"Name": "Role", "Value": "Primary"}],
        "Statistic": "Average",
    }
    with tide(service, {"CustomizedMetricSpecification": metric}, 10.0) as group:
        with processor_load(group.where, 2 * BUSY / cost_s(group.where)) as failures:
            group.begin("EngineCPUUtilization", 15.5, ReplicationGroupId="tides", Role="Primary")
            group.await_shards(4, 1)
        group.await_shards(2, 2)
        assert failures == []
