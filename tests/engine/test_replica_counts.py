"""Replicas come and go while clients write and read: nothing acknowledged is lost, and nobody is sent to a node that leaves."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
import redis
from botocore.exceptions import ClientError
from redis.backoff import NoBackoff
from redis.cluster import LoadBalancingStrategy, RedisCluster
from redis.retry import Retry

from tests.engine.groups import address, await_healthy, describe_cluster, replication_group
from tests.fixtures.service import Service, wait_for
from tests.traffic.writer import ClusterWriter, EndpointWriter


class Reader:
    """Reads without a pause; with cluster mode disabled it retries nothing, and connects anew at once after an error."""

    def __init__(self, host: str, port: int, *, clustered: bool = False) -> None:
        self._client: redis.Redis | RedisCluster = (
            RedisCluster(host, port, socket_timeout=1, load_balancing_strategy=LoadBalancingStrategy.ROUND_ROBIN_REPLICAS)
            if clustered
            else redis.Redis(host, port, socket_timeout=1, retry=Retry(NoBackoff(), 0))
        )
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.errors: list[str] = []
        self.read_at: list[float] = []

    def __enter__(self) -> Reader:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join(10)
        self._client.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._client.llen("{a}log")
                self.read_at.append(time.monotonic())
            except redis.exceptions.RedisError as error:
                self.errors.append(f"{type(error).__name__}: {error}")
                if isinstance(self._client, redis.Redis):
                    self._client.connection_pool.disconnect()
                self._stop.wait(0.001)

    def longest_gap_s(self) -> float:
        """Between two answers."""
        return max(after - before for before, after in zip(self.read_at, self.read_at[1:], strict=False))


def increase(client: Any, group: str, **request: Any) -> dict[str, Any]:
    shown = client.increase_replica_count(ReplicationGroupId=group, ApplyImmediately=True, **request)["ReplicationGroup"]
    assert shown["Status"] == "modifying"
    return await_healthy(client, group)


def refuse_change(client: Any, group: str) -> None:
    with pytest.raises(ClientError) as refusal:
        client.decrease_replica_count(ReplicationGroupId=group, NewReplicaCount=0, ApplyImmediately=True)
    assert refusal.value.response["Error"]["Code"] == "InvalidReplicationGroupState"


def messages(client: Any, source: str) -> list[str]:
    """Oldest first."""
    events = client.describe_events(SourceIdentifier=source)["Events"]
    return [event["Message"] for event in reversed(events)]


def tables(client: Any, group: dict[str, Any]) -> list[dict[str, Any]]:
    """CLUSTER NODES of every member."""
    found = []
    for member in group["MemberClusters"]:
        shown = describe_cluster(client, member)
        assert shown is not None
        with redis.Redis(*address(shown["CacheNodes"][0]["Endpoint"])) as node:
            found.append(node.execute_command("CLUSTER NODES"))
    return found


def test_one_replica_three_and_one_again(service: Service, elasticache: Any) -> None:
    """The replica that served the reader endpoint at first is among those that go."""
    with replication_group(
        elasticache, "counts", NumCacheClusters=2, AutomaticFailoverEnabled=True, MultiAZEnabled=True
    ) as group:
        (shard,) = group["NodeGroups"]
        with (
            EndpointWriter(*address(shard["PrimaryEndpoint"]), key="{a}log") as writer,
            Reader(*address(shard["ReaderEndpoint"])) as reader,
        ):
            writer.await_writes(200)
            grown = increase(elasticache, "counts", NewReplicaCount=3)
            assert grown["MemberClusters"] == [f"counts-00{number}" for number in (1, 2, 3, 4)]
            writer.await_writes(200)
            shown = elasticache.decrease_replica_count(
                ReplicationGroupId="counts", ReplicasToRemove=["counts-002", "counts-004"], ApplyImmediately=True
            )["ReplicationGroup"]
            assert (shown["Status"], shown["MemberClusters"]) == ("modifying", ["counts-001", "counts-003"])
            refuse_change(elasticache, "counts")
            await_healthy(elasticache, "counts")
            writer.await_writes(200)
            before = len(reader.read_at)
            wait_for("reads go on", lambda: len(reader.read_at) > before + 50)
        assert writer.errors == []
        assert reader.longest_gap_s() < 0.5, reader.errors  # some milliseconds where the endpoint moves
        cuts = [error for error in reader.errors if "refused" not in error]
        assert len(cuts) <= 2, cuts  # once where the endpoint moved, once where the replica behind it ended
        with redis.Redis(*address(shard["PrimaryEndpoint"])) as client:
            assert {int(value) for value in client.lrange("{a}log", 0, -1)} == writer.acknowledged
        assert sum(".counts-" in name for name in service.engine_pids().values()) == 2
        for gone in ("counts-002", "counts-004"):
            assert describe_cluster(elasticache, gone) is None
            assert messages(elasticache, gone)[-1] == "Cache cluster deleted"
        assert messages(elasticache, "counts")[-3:] == [
            "Increasing number of requested nodes",
            "Finished modifying number of nodes from 2 to 4",
            "Finished modifying number of nodes from 4 to 2",
        ]
        again = increase(elasticache, "counts", NewReplicaCount=2)
        assert again["MemberClusters"] == ["counts-001", "counts-002", "counts-003"]


def test_replicas_in_cluster_mode_come_and_go(service: Service, elasticache: Any) -> None:
    with replication_group(
        elasticache, "clcounts", NumNodeGroups=3, ReplicasPerNodeGroup=1, CacheParameterGroupName="default.valkey9.cluster.on"
    ) as group:
        endpoint = address(group["ConfigurationEndpoint"])
        with (
            ClusterWriter(*endpoint, keys=["{a}log"]) as one,
            ClusterWriter(*endpoint, keys=["{b}log"]) as two,
            Reader(*endpoint, clustered=True) as reader,
        ):
            one.await_writes(100)
            grown = increase(elasticache, "clcounts", NewReplicaCount=3)
            assert len(grown["MemberClusters"]) == 12
            two.await_writes(100)
            elasticache.decrease_replica_count(
                ReplicationGroupId="clcounts",
                ReplicasToRemove=[name for name in grown["MemberClusters"] if name[-3:] in ("002", "003")],
                ApplyImmediately=True,
            )
            left = await_healthy(elasticache, "clcounts")
            one.await_writes(100)
            two.await_writes(100)
        assert left["MemberClusters"] == [f"clcounts-000{shard}-00{node}" for shard in (1, 2, 3) for node in (1, 4)]
        assert one.errors == two.errors == reader.errors == []
        with RedisCluster(*endpoint) as client:
            for writer, key in ((one, "{a}log"), (two, "{b}log")):
                assert {int(value) for value in client.lrange(key, 0, -1)} == writer.acknowledged
        for table in tables(elasticache, left):
            assert len(table) == 6 and not any("fail" in node["flags"] for node in table.values()), table
        assert sum(".clcounts-" in name for name in service.engine_pids().values()) == 6
