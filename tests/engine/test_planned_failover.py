"""Planned hand-overs end to end: TestFailover and PrimaryClusterId, asked for through boto3 while a client writes.

No acknowledged write is lost, the client notices at most one broken connection, and events tell it in the documented order.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from botocore.exceptions import ClientError
from redis.cluster import RedisCluster
from redis.crc import key_slot

from tests.engine.groups import address, await_healthy, describe, describe_cluster, primary_member, replication_group
from tests.fixtures.service import CACHEFLEET, Service, wait_for
from tests.traffic.writer import ClusterWriter, EndpointWriter

REGION = "planned-1"  # the quota of TestFailover is counted by region
WRITES = 300


@pytest.fixture
def elasticache(service: Service) -> Any:
    return service.client(region=REGION)


def told(client: Any, group: str) -> list[tuple[str, str]]:
    """(source, message) of the group's events since it was complete, oldest first."""
    found = client.describe_events(MaxRecords=100)["Events"]
    events = [(one["SourceIdentifier"], one["Message"]) for one in found if one["SourceIdentifier"].startswith(group)][::-1]
    begin = events.index((group, f"Automatic failover has been turned on for replication group {group}"))
    return events[begin + 1 :]


def expected(group: str, old: str, new: str, shard_id: str = "") -> list[tuple[str, str]]:
    """The events of one hand-over, in the order of reference 4.3."""
    completed = f"Failover from primary node {old} to replica node {new} completed"
    called = [(group, f"Test Failover API called for node group {shard_id}")] if shard_id else []
    recovery = [(old, "Recovering cache nodes 0001"), (old, "Finished recovery for cache nodes 0001")]
    return [*called, (old, completed), (group, completed), *recovery]


def await_told(client: Any, group: str, wanted: list[tuple[str, str]]) -> None:
    try:
        wait_for("the events", lambda: len(told(client, group)) >= len(wanted), 15)
    finally:
        assert told(client, group) == wanted


def log_of(client: redis.Redis | RedisCluster, key: str = "log") -> set[int]:
    return {int(value) for value in client.lrange(key, 0, -1)}


# --- cluster mode disabled -----------------------------------------------------------------------------------------


def hand_over(client: Any, group: dict[str, Any], ask: Callable[[], dict[str, Any]]) -> str:
    """Ask for it under a writer; the new primary. Fails when a write is lost, or the client sees more than a reconnect."""
    name, old = group["ReplicationGroupId"], primary_member(group)
    endpoint = group["NodeGroups"][0]["PrimaryEndpoint"]
    with redis.Redis(*address(endpoint)) as direct:
        direct.delete("log")
    with EndpointWriter(*address(endpoint)) as writer:
        writer.await_writes(WRITES)
        assert ask()["ReplicationGroup"]["Status"] == "available"

        def moved() -> bool:
            found = describe(client, name)
            assert found is not None
            assert found["Status"] == found["NodeGroups"][0]["Status"] == "available"
            return primary_member(found) != old

        wait_for("the role has moved", moved, 10)
        writer.await_writes(WRITES)
    assert len(writer.errors) <= 1, writer.errors
    assert writer.longest_gap_s() < 1.0
    new = primary_member(await_healthy(client, name))
    own = describe_cluster(client, new)
    assert own is not None
    for one in (endpoint, own["CacheNodes"][0]["Endpoint"]):
        with redis.Redis(*address(one), socket_timeout=2) as direct:
            assert direct.info("replication")["role"] == "master"
            assert writer.acknowledged <= log_of(direct)
    return new


def test_two_replicas(elasticache: Any) -> None:
    with replication_group(elasticache, "two", NumCacheClusters=3, AutomaticFailoverEnabled=True) as group:
        request = {"ReplicationGroupId": "two", "NodeGroupId": "0001"}
        first = hand_over(elasticache, group, lambda: elasticache.test_failover(**request))
        events = expected("two", "two-001", first, "0001")
        await_told(elasticache, "two", events)
        second = hand_over(elasticache, await_healthy(elasticache, "two"), lambda: elasticache.test_failover(**request))
        await_told(elasticache, "two", [*events, *expected("two", first, second, "0001")])


def test_one_replica_there_and_back(elasticache: Any) -> None:
    with replication_group(elasticache, "pair", NumCacheClusters=2, AutomaticFailoverEnabled=True) as group:
        request = {"ReplicationGroupId": "pair", "NodeGroupId": "0001"}
        assert hand_over(elasticache, group, lambda: elasticache.test_failover(**request)) == "pair-002"
        healed = await_healthy(elasticache, "pair")
        assert hand_over(elasticache, healed, lambda: elasticache.test_failover(**request)) == "pair-001"


def test_a_primary_chosen_by_name(elasticache: Any) -> None:
    """Refused while failover is on; off, promoted, on again."""
    on = {"AutomaticFailoverEnabled": True, "MultiAZEnabled": True}
    off = {"AutomaticFailoverEnabled": False, "MultiAZEnabled": False}
    modify = {"ReplicationGroupId": "named", "ApplyImmediately": True}
    with replication_group(elasticache, "named", NumCacheClusters=3, **on) as group:
        with pytest.raises(ClientError, match="automatic failover is enabled") as refused:
            elasticache.modify_replication_group(**modify, PrimaryClusterId="named-003")
        assert refused.value.response["Error"]["Code"] == "InvalidParameterCombination"
        elasticache.modify_replication_group(**modify, **off)
        await_healthy(elasticache, "named")

        def promote() -> dict[str, Any]:
            reply = elasticache.modify_replication_group(**modify, PrimaryClusterId="named-003")
            assert reply["ReplicationGroup"]["PendingModifiedValues"] == {"PrimaryClusterId": "named-003"}
            return dict(reply)

        assert hand_over(elasticache, group, promote) == "named-003"
        elasticache.modify_replication_group(**modify, **on)
        shown = await_healthy(elasticache, "named")
        assert shown["PendingModifiedValues"] == {}
        turned = [("named", f"Automatic failover has been turned {word} for replication group named") for word in ("off", "on")]
        await_told(elasticache, "named", [turned[0], *expected("named", "named-001", "named-003"), turned[1]])


def test_nobody_is_asked_twice_at_once(elasticache: Any) -> None:
    with replication_group(elasticache, "once", NumCacheClusters=2, AutomaticFailoverEnabled=True):
        codes = []
        for _ in range(3):
            try:
                elasticache.test_failover(ReplicationGroupId="once", NodeGroupId="0001")
            except ClientError as error:
                codes.append(error.response["Error"]["Code"])
        assert set(codes) <= {"InvalidReplicationGroupState", "InvalidCacheClusterState"}
        await_healthy(elasticache, "once")
        called = [message for _, message in told(elasticache, "once") if message.startswith("Test Failover")]
        assert len(called) == 3 - len(codes)


def test_from_the_command_line(service: Service, elasticache: Any) -> None:
    with replication_group(elasticache, "bycli", NumCacheClusters=2, AutomaticFailoverEnabled=True):
        asked = ["--replication-group-id", "bycli", "--node-group-id", "0001", "--query", "ReplicationGroup.Status"]
        done = subprocess.run(
            [Path(CACHEFLEET).with_name("aws"), "elasticache", "test-failover", "--region", REGION, *asked],
            env=service.environment(), capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert (done.returncode, done.stdout.strip()) == (0, '"available"'), done.stderr
        await_told(elasticache, "bycli", expected("bycli", "bycli-001", "bycli-002", "0001"))


# --- cluster mode enabled ------------------------------------------------------------------------------------------


def primaries(client: Any, group: dict[str, Any]) -> dict[str, str]:
    """Shard id -> its primary, as the engine's own topology says it. None of a shard that has none right now."""
    hosts = {}
    for member in group["MemberClusters"]:
        found = describe_cluster(client, member)
        assert found is not None
        hosts[found["CacheNodes"][0]["Endpoint"]["Address"]] = member
    with redis.Redis(*address(group["ConfigurationEndpoint"]), socket_timeout=2, decode_responses=True) as direct:
        slots: Any = direct.execute_command("CLUSTER SLOTS")
    owners = {first: primary[0] for first, _, primary, *_ in slots}
    return {shard["NodeGroupId"]: hosts[owners[int(shard["Slots"].split("-")[0])]] for shard in group["NodeGroups"]}


def key_of(shard: dict[str, Any]) -> str:
    """A key in one of the shard's slots."""
    first, last = (int(slot) for slot in shard["Slots"].split("-"))
    return next(key for key in map("log{{{}}}".format, range(100_000)) if first <= key_slot(key.encode()) <= last)


@pytest.mark.parametrize(("shards", "replicas"), [(1, 1), (3, 2)])
def test_one_shard_of_a_cluster(elasticache: Any, shards: int, replicas: int) -> None:
    name = f"clu{shards}x{replicas}"
    request = {"ClusterMode": "enabled", "NumNodeGroups": shards, "ReplicasPerNodeGroup": replicas}
    with replication_group(elasticache, name, **request) as group:
        shard = group["NodeGroups"][-1]
        shard_id, key, host = shard["NodeGroupId"], key_of(shard), address(group["ConfigurationEndpoint"])
        before = primaries(elasticache, group)
        with ClusterWriter(*host, keys=[key]) as writer:
            writer.await_writes(WRITES)
            reply = elasticache.test_failover(ReplicationGroupId=name, NodeGroupId=shard_id)
            assert reply["ReplicationGroup"]["Status"] == "available"
            wait_for("the role has moved", lambda: primaries(elasticache, group)[shard_id] != before[shard_id], 10)
            writer.await_writes(WRITES)
        assert len(writer.errors) <= 1, writer.errors
        assert writer.longest_gap_s() < 2.0
        healed = await_healthy(elasticache, name)
        after = primaries(elasticache, healed)
        assert {one: after[one] for one in before if one != shard_id} == {one: before[one] for one in before if one != shard_id}
        assert after[shard_id] in [member["CacheClusterId"] for member in shard["NodeGroupMembers"]]
        with RedisCluster(*host, socket_timeout=2) as client:
            assert writer.acknowledged <= log_of(client, key)
        await_told(elasticache, name, expected(name, before[shard_id], after[shard_id], shard_id))
