"""What the engines of a cluster-mode group say of it, asked one by one: who owns which slot, who knows whom.

Looks at the engines' own tables, never at what the service believes. Used by the tests that break clusters.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.retry import Retry

from cachefleet.engines.replies import parse_cluster, parse_fields
from cachefleet.model.group import SLOTS
from cachefleet.model.observed import ClusterView
from cachefleet.model.slots import count
from tests.engine.groups import address, describe, replication_group
from tests.fixtures.operator import as_operator
from tests.fixtures.service import Service, wait_for

Table = dict[str, ClusterView]  # by node name


@contextmanager
def client_of(host: str, port: int = 6379, **more: Any) -> Iterator[Any]:
    """One connection that tries nothing twice, and gives replies as they come."""
    client: Any = redis.Redis(
        host, port, decode_responses=True, socket_timeout=2, socket_connect_timeout=2, retry=Retry(NoBackoff(), 0), **more
    )
    client.response_callbacks.clear()
    try:
        yield client
    finally:
        client.close()


def ask(host: str, *words: str) -> Any:
    """As the service itself may."""
    with client_of(host, **as_operator((host, 6379))) as client:
        return client.execute_command(*words)


class ClusterGroup:
    """A group with cluster mode enabled, by its members' own addresses."""

    def __init__(self, service: Service, name: str) -> None:
        self.service = service
        self.name = name
        self._client = service.client()

    def _clusters(self) -> dict[str, dict[str, Any]]:
        """Node name -> what the API shows of it."""
        found = self._client.describe_cache_clusters(ShowCacheNodeInfo=True)["CacheClusters"]
        return {each["CacheClusterId"]: each for each in found if each.get("ReplicationGroupId") == self.name}

    def members(self) -> list[str]:
        return list(self._clusters())

    def hosts(self) -> dict[str, str]:
        """Node name -> its address."""
        return {name: address(each["CacheNodes"][0]["Endpoint"])[0] for name, each in self._clusters().items()}

    def configuration(self) -> tuple[str, int]:
        found = describe(self._client, self.name)
        assert found is not None
        return address(found["ConfigurationEndpoint"])

    def tables(self) -> Table:
        """As every node tells it; nodes that do not answer are left out."""
        return self._tables(self.hosts())

    def _tables(self, hosts: dict[str, str]) -> Table:
        tables = {}
        for name, host in hosts.items():
            try:
                with client_of(host) as client:
                    nodes, info = client.execute_command("CLUSTER NODES"), client.execute_command("CLUSTER INFO")
            except redis.exceptions.RedisError:
                continue
            tables[name] = parse_cluster(nodes, parse_fields(info))
        return tables

    def why_not_whole(self) -> str:
        """ "" when every node's table says the same: exactly the members, each slot with one owner, replicas with a primary
        that owns slots, nobody failed or strange."""
        hosts = self.hosts()
        tables = self._tables(hosts)
        silent = set(hosts) - set(tables)
        if silent:
            return f"{sorted(silent)} do not answer"
        ids = {table.my_id for table in tables.values()}
        for name, table in tables.items():
            why = _why_not_whole(table, ids)
            if why:
                return f"{name} {why}"
        owners = {frozenset((node.engine_id, node.slots) for node in table.nodes.values()) for table in tables.values()}
        return "" if len(owners) == 1 else "the nodes tell different owners"

    def await_whole(self, timeout_s: float = 20.0) -> None:
        last = ""

        def whole() -> bool:
            nonlocal last
            last = self._why_not_well()
            return not last

        try:
            wait_for("the group is whole", whole, timeout_s, 0.1)
        except AssertionError as error:
            raise AssertionError(f"{error}: {last}; {self.service.told()}; {self.events()[:20]}") from None

    def _why_not_well(self) -> str:
        states = {name: each["CacheClusterStatus"] for name, each in self._clusters().items()}
        unwell = [name for name, state in states.items() if state != "available"]
        return f"{unwell} are not available" if unwell else self.why_not_whole()

    def await_event(self, text: str) -> None:
        """Of the group or one of its nodes."""
        wait_for(f"the event {text!r}", lambda: any(text in message for message in self.events()))

    def events(self) -> list[str]:
        found = self._client.describe_events(Duration=60, MaxRecords=100)["Events"]
        return [event["Message"] for event in found if event["SourceIdentifier"] in (self.name, *self.members())]

    # --- breaking ---

    def kill(self, *nodes: str) -> None:
        """All of them before the control plane has seen the end of any."""
        pids = [self.service.pid_of(node) for node in nodes]
        process = self.service.process
        assert process is not None
        process.send_signal(signal.SIGSTOP)
        try:
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
        finally:
            process.send_signal(signal.SIGCONT)

    # --- data ---

    def put_marks(self, count: int = 60) -> None:
        """Keys in every shard, each held by its primary and all its replicas when this returns."""
        with self.connect() as client:
            assert all(client.set(f"mark:{number}", number) for number in range(count))
            for node in client.get_primaries():
                replicas = len([name for name in self.members() if "-0001-" in name]) - 1
                assert client.execute_command("WAIT", replicas, 5000, target_nodes=node) == replicas

    def lost_marks(self, count: int = 60) -> list[int]:
        with self.connect() as client:
            return [number for number in range(count) if client.get(f"mark:{number}") != str(number)]

    @contextmanager
    def connect(self) -> Iterator[Any]:
        client: Any = RedisCluster(*self.configuration(), decode_responses=True, socket_timeout=2)
        try:
            yield client
        finally:
            client.close()

    def primaries(self) -> dict[str, str]:
        """Shard id -> name of the node that owns its slots, by the nodes' own word."""
        found = {}
        for name, table in self.tables().items():
            me = table.nodes[table.my_id]
            if me.primary and me.slots:
                found[name.rsplit("-", 2)[1]] = name
        return found


@contextmanager
def made_cluster(service: Service, name: str, shards: int, replicas: int = 1, **more: Any) -> Iterator[ClusterGroup]:
    """Whole inside the block, gone after it."""
    request = {"NumNodeGroups": shards, "ReplicasPerNodeGroup": replicas, "ClusterMode": "enabled", **more}
    with replication_group(service.client(), name, AutomaticFailoverEnabled=True, **request):
        group = ClusterGroup(service, name)
        group.await_whole()
        yield group


def _why_not_whole(table: ClusterView, ids: set[str]) -> str:
    if set(table.nodes) != ids:
        return f"knows {len(set(table.nodes) - ids)} that are no members, and does not know {len(ids - set(table.nodes))}"
    owned = sum(count(node.slots) for node in table.nodes.values())
    if owned != SLOTS:
        return f"tells owners of {owned} slots"
    for node in table.nodes.values():
        if node.failed or node.suspected or node.handshake or not node.link_up:
            return f"tells of a node that is failed, suspected or not connected: {node.host}"
        if not node.primary and (node.primary_id not in table.nodes or not table.nodes[node.primary_id].slots):
            return f"tells of a replica of nobody: {node.host}"
    return "" if table.ok else "says that the cluster is not ok"
