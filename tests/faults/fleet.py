"""Groups of each shape for the tests that kill things: made through the API, and asked through their endpoints how they are.

A group of more than one node holds a mark from the moment it is whole; whatever single process is killed, the mark must stay.
"""

from __future__ import annotations

import os
import signal
from contextlib import closing
from typing import Any

import redis
from botocore.exceptions import BotoCoreError, ClientError
from pymemcache.client.base import Client as Memcached
from pymemcache.exceptions import MemcacheError
from redis.cluster import RedisCluster

from tests.engine.groups import address, describe, describe_cluster, primary_member
from tests.fixtures.service import Service

REPLICATED, ALONE, CLUSTERED, MEMCACHED = "replicated", "alone", "clustered", "memcached"
SHAPES = (REPLICATED, ALONE, CLUSTERED, MEMCACHED)
_COMMON = {"CacheNodeType": "cache.t4g.micro", "Engine": "valkey", "AutomaticFailoverEnabled": True}
_REQUESTS: dict[str, dict[str, Any]] = {
    REPLICATED: {**_COMMON, "NumCacheClusters": 3},
    CLUSTERED: {**_COMMON, "NumNodeGroups": 2, "ReplicasPerNodeGroup": 1},
}
_MARKED = (REPLICATED, CLUSTERED)
_UNSEEN = (
    BotoCoreError,
    OSError,
    redis.exceptions.RedisError,
    redis.exceptions.RedisClusterException,
    MemcacheError,
)


class Group:
    """One group by its name, whatever the service knows of it. Engines are reached at the endpoints that were told last."""

    def __init__(self, service: Service, shape: str, name: str) -> None:
        self._service = service
        self.shape = shape
        self.name = name
        self.mark = ""
        self._client = service.client(read_timeout=10, connect_timeout=2)

    # --- asking for changes ---

    def create(self) -> None:
        if self.shape in _REQUESTS:
            self._client.create_replication_group(
                ReplicationGroupId=self.name, ReplicationGroupDescription="test", **_REQUESTS[self.shape]
            )
        else:
            engine, count = ("memcached", 2) if self.shape == MEMCACHED else ("valkey", 1)
            self._client.create_cache_cluster(
                CacheClusterId=self.name, CacheNodeType="cache.t4g.micro", Engine=engine, NumCacheNodes=count
            )

    def delete(self) -> None:
        if self.shape in _REQUESTS:
            self._client.delete_replication_group(ReplicationGroupId=self.name)
        else:
            self._client.delete_cache_cluster(CacheClusterId=self.name)

    def reboot(self) -> None:
        """Of the primary, or a Memcached cluster's first node."""
        found = self.describe()
        assert found is not None
        cluster = primary_member(found) if self.shape == REPLICATED else self.name
        self._client.reboot_cache_cluster(CacheClusterId=cluster, CacheNodeIdsToReboot=["0001"])

    def resize(self) -> None:
        """One replica more, or one less when there are four nodes (replicated groups only)."""
        found = self.describe()
        assert found is not None
        members = found["MemberClusters"]
        if len(members) < 4:
            taken = {int(member.rpartition("-x")[2]) for member in members if "-x" in member}
            number = next(number for number in range(9) if number not in taken)
            self._client.create_cache_cluster(CacheClusterId=f"{self.name}-x{number}", ReplicationGroupId=self.name)
        else:
            self._client.delete_cache_cluster(CacheClusterId=next(name for name in members if name != primary_member(found)))

    def kill_one(self) -> None:
        """The engine process that matters most: the primary's that holds the mark, or a Memcached cluster's endpoint."""
        os.kill(self._service.pid_of(self._foremost()), signal.SIGKILL)

    def freeze_one(self) -> None:
        """The same one; it is never thawed."""
        os.kill(self._service.pid_of(self._foremost()), signal.SIGSTOP)

    def hand_over(self) -> None:
        """The role of the shard that holds the mark goes to another node (replicated and clustered groups)."""
        found = self.describe()
        assert found is not None
        foremost = self._foremost()
        (shard,) = [
            shard["NodeGroupId"]
            for shard in found["NodeGroups"]
            if any(member["CacheClusterId"] == foremost for member in shard["NodeGroupMembers"])
        ]
        self._client.test_failover(ReplicationGroupId=self.name, NodeGroupId=shard)

    def failovers(self) -> int:
        """How many have completed, by the events of a replication group."""
        found = self._client.describe_events(SourceType="replication-group", SourceIdentifier=self.name)["Events"]
        return sum(event["Message"].startswith("Failover from primary node") for event in found)

    def foremost(self) -> str:
        """The node that holds the mark as primary."""
        return self._foremost()

    def _foremost(self) -> str:
        if self.shape == ALONE:
            return self.name
        if self.shape == MEMCACHED:
            return f"{self.name}.discovery"
        found = self.describe()
        assert found is not None
        if self.shape == REPLICATED:
            return primary_member(found)
        with closing(self._data_client(found)) as client:
            host = client.get_node_from_key("mark").host
        clusters = [describe_cluster(self._client, member) for member in found["MemberClusters"]]
        return next(str(each["CacheClusterId"]) for each in clusters if each and host == address(_first_node(each))[0])

    # --- looking ---

    def describe(self) -> dict[str, Any] | None:
        return describe(self._client, self.name) if self.shape in _REQUESTS else describe_cluster(self._client, self.name)

    def why_not_whole(self) -> str:
        """ "" when every node is available, and writes and reads go through every endpoint."""
        try:
            found = self.describe()
            if found is None:
                return "is not there"
            if self.shape not in _REQUESTS:
                if found["CacheClusterStatus"] != "available":
                    return f"is {found['CacheClusterStatus']}"
                return "" if self._serves(found) else "does not serve"
            states = {found["Status"]}
            for member in found["MemberClusters"]:
                cluster = describe_cluster(self._client, member)
                states.add(cluster["CacheClusterStatus"] if cluster else "lost")
            if states != {"available"}:
                return f"is {', '.join(sorted(states))}"
            return "" if self._serves(found) else "does not serve"
        except (*_UNSEEN, ClientError) as error:
            return f"{type(error).__name__}: {error}"

    def is_gone(self) -> bool:
        try:
            return self.describe() is None
        except _UNSEEN:
            return False

    def kept_its_mark(self) -> bool:
        """True for those that have none to keep."""
        found = self.describe()
        assert found is not None
        if not self.mark:
            return True
        with closing(self._data_client(found)) as client:
            return bool(client.get("mark") == self.mark)

    def put_mark(self, mark: str) -> None:
        """Held by the primary and a replica when this returns; only where one process may die without loss."""
        if self.shape not in _MARKED:
            return
        found = self.describe()
        assert found is not None
        with closing(self._data_client(found)) as client:
            assert client.set("mark", mark)
            if self.shape == REPLICATED:
                replicas = len(found["MemberClusters"]) - 1
                assert client.wait(replicas, 5000) == replicas
            else:
                node = client.get_node_from_key("mark")
                assert client.execute_command("WAIT", 1, 5000, target_nodes=node) == 1
        self.mark = mark

    def _data_client(self, found: dict[str, Any]) -> Any:
        if self.shape == CLUSTERED:
            host, port = address(found["ConfigurationEndpoint"])
            return RedisCluster(host, port, decode_responses=True, socket_timeout=2)
        if self.shape == ALONE:
            host, port = address(_first_node(found))
        else:
            host, port = address(found["NodeGroups"][0]["PrimaryEndpoint"])
        return redis.Redis(host, port, decode_responses=True, socket_timeout=2)

    def _serves(self, found: dict[str, Any]) -> bool:
        if self.shape == MEMCACHED:
            return all(_memcached_serves(address(place)) for place in _memcached_places(found))
        with closing(self._data_client(found)) as client:
            written = all(client.set(f"key:{number}", number) for number in range(20))
        if self.shape != REPLICATED:
            return written
        host, port = address(found["NodeGroups"][0]["ReaderEndpoint"])
        with closing(redis.Redis(host, port, decode_responses=True, socket_timeout=2)) as reader:
            return written and reader.info("replication")["role"] == "slave"


def _first_node(cluster: dict[str, Any]) -> dict[str, Any]:
    return dict(cluster["CacheNodes"][0]["Endpoint"])


def _memcached_places(found: dict[str, Any]) -> list[dict[str, Any]]:
    return [found["ConfigurationEndpoint"], *(node["Endpoint"] for node in found["CacheNodes"])]


def _memcached_serves(where: tuple[str, int]) -> bool:
    with closing(Memcached(where, connect_timeout=1, timeout=1)) as client:
        return bool(client.set("probe", "1", noreply=False)) and client.get("probe") == b"1"
