"""A load that rises and falls makes target tracking go from two shards to four and back, while clients write and read: nothing
that was acknowledged is lost, and nothing fails that is tried once more. Takes minutes: `make scaling`.

The group is measured every second, its alarms have periods of ten seconds, and cool-downs are short.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from redis.cluster import RedisCluster

from tests.engine.groups import address, await_available, replication_group
from tests.fixtures.machine import data_folder
from tests.fixtures.service import Service, running_service, wait_for
from tests.traffic.clients import Where
from tests.traffic.traffic import traffic

pytestmark = pytest.mark.skipif(not os.environ.get("TEST_SCALING"), reason="takes minutes: make scaling")

# 150 MB for data, of which the stream that replicas may ask for again takes 10.
SMALL = '[node_types."cache.own.small"]\nmaxmemory_bytes = 209715200\n'
EVERY_SECOND = [{"Key": "cachefleet:metrics-interval-s", "Value": "1"}]
TARGET = 50.0
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


def await_shards(client: Any, scaling: Any, count: int, activity: int) -> None:
    def reached() -> bool:
        found = activities(scaling)
        return len(found) >= activity and found[0]["StatusCode"] not in ("Pending", "InProgress")

    wait_for(f"activity {activity} has ended", reached, PATIENCE_S, 0.5)
    found = activities(scaling)
    assert [one["StatusCode"] for one in found] == ["Successful"] * activity, found
    assert len(await_available(client, "tides")["NodeGroups"]) == count


def test_shards_follow_a_tide(service: Service) -> None:
    client, scaling = service.client(), service.client("application-autoscaling")
    shape = {"NumNodeGroups": 2, "ReplicasPerNodeGroup": 1, "CacheNodeType": "cache.own.small", "Tags": EVERY_SECOND}
    with data_folder() as folder, replication_group(client, "tides", AutomaticFailoverEnabled=True, **shape) as group:
        scaling.register_scalable_target(**WHERE, MinCapacity=2, MaxCapacity=6)
        scaling.put_scaling_policy(
            **WHERE,
            PolicyName="memory",
            PolicyType="TargetTrackingScaling",
            TargetTrackingScalingPolicyConfiguration={
                "TargetValue": TARGET,
                "PredefinedMetricSpecification": {
                    "PredefinedMetricType": "ElastiCacheDatabaseMemoryUsageCountedForEvictPercentage"
                },
                "ScaleOutCooldown": 5,
                "ScaleInCooldown": 5,
            },
        )
        where = address(group["ConfigurationEndpoint"])
        with traffic(["redis-py-cluster", "glide-cluster"], where, folder, clustered=True) as running:
            keys = fill(where)
            await_shards(client, scaling, 4, 1)
            running.await_operations(100)
            empty(where, keys)
            await_shards(client, scaling, 2, 2)
            running.await_operations(100)
            running.end()
            assert running.flaws() == {}
        back, out = activities(scaling)
        assert ("AlarmLow" in back["Cause"], "AlarmHigh" in out["Cause"]) == (True, True)
