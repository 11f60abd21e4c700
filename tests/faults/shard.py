"""A replication group without cluster mode, for tests that break it: its nodes' processes, roles and data, its endpoints and
events. Everything is asked anew each time; engines are reached as clients reach them."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.engine.groups import address, await_healthy, describe, describe_cluster, primary_member, replication_group
from tests.fixtures.operator import as_operator
from tests.fixtures.service import Service, wait_for


class Shard:
    """One group by its name, with the endpoints that it had when it was made."""

    def __init__(self, service: Service, name: str) -> None:
        self.service, self.name = service, name
        self.api = service.client()
        shard = self._group()["NodeGroups"][0]
        self.primary_endpoint, self.reader_endpoint = address(shard["PrimaryEndpoint"]), address(shard["ReaderEndpoint"])

    def _group(self) -> dict[str, Any]:
        found = describe(self.api, self.name)
        assert found is not None
        return found

    # --- looking ---

    @property
    def nodes(self) -> list[str]:
        return list(self._group()["MemberClusters"])

    @property
    def primary(self) -> str:
        return primary_member(self._group())

    @property
    def replicas(self) -> list[str]:
        primary = self.primary
        return [node for node in self.nodes if node != primary]

    @property
    def endpoints(self) -> tuple[tuple[str, int], tuple[str, int]]:
        shard = self._group()["NodeGroups"][0]
        return address(shard["PrimaryEndpoint"]), address(shard["ReaderEndpoint"])

    def address_of(self, node: str) -> tuple[str, int]:
        """("", 0) while it has none."""
        for member in self._group()["NodeGroups"][0]["NodeGroupMembers"]:
            if member["CacheClusterId"] == node and "ReadEndpoint" in member:
                return address(member["ReadEndpoint"])
        return "", 0

    def status_of(self, node: str) -> str:
        found = describe_cluster(self.api, node)
        return str(found["CacheClusterStatus"]) if found else ""

    def pid_of(self, node: str) -> int:
        return self.service.pid_of(node)

    def pids(self) -> dict[str, int]:
        """node -> pid of those that run."""
        running = {incarnation.split(".")[1]: pid for pid, incarnation in self.service.engine_pids().items()}
        return {node: pid for node, pid in running.items() if node in self.nodes}

    def events(self, source: str = "") -> list[str]:
        """Messages of the group, or of one of its nodes, oldest first."""
        found = self.api.describe_events(SourceIdentifier=source or self.name, Duration=60)["Events"]
        return [event["Message"] for event in reversed(found)]

    def failovers(self) -> list[str]:
        return [message for message in self.events() if message.startswith("Failover from primary node")]

    # --- breaking ---

    def kill(self, *nodes: str) -> None:
        """All of them before the control plane has seen the end of any."""
        pids = [self.pid_of(node) for node in nodes]
        with self.service_paused():
            for pid in pids:
                os.kill(pid, signal.SIGKILL)

    @contextmanager
    def service_paused(self) -> Iterator[None]:
        process = self.service.process
        assert process is not None
        process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            process.send_signal(signal.SIGCONT)

    @contextmanager
    def service_down(self) -> Iterator[None]:
        """kill -9, and a new one at the end."""
        self.service.kill()
        try:
            yield
        finally:
            self.service.start()

    # --- clients ---

    def connect(self, where: tuple[str, int] | None = None, **more: Any) -> redis.Redis:
        """Through the primary endpoint, or to that address. Nothing is tried twice."""
        host, port = where or self.primary_endpoint
        usual: dict[str, Any] = {"socket_timeout": 2, "decode_responses": True, "retry": Retry(NoBackoff(), 0)}
        return redis.Redis(host, port, **{**usual, **more})

    def operate(self, where: tuple[str, int] | None = None) -> redis.Redis:
        """As connect, with all that the service itself may."""
        return self.connect(where, **as_operator(where or self.primary_endpoint))

    def listeners(self) -> dict[str, str]:
        """Addresses by who listens there: of each node by its own word, of "kernel" those with the endpoints' port."""
        told = {"kernel": " ".join(_listened_on(self.primary_endpoint[1]))}
        for node in self.nodes:
            try:
                with self.operate(self.address_of(node)) as client:
                    told[node] = str(client.config_get("bind"))
            except redis.exceptions.RedisError as error:
                told[node] = str(error)
        return told

    def put(self, key: str, value: str) -> None:
        """Held by every node when this returns."""
        replicas = len(self.nodes) - 1
        with self.connect() as client:
            assert client.set(key, value)
            assert client.wait(replicas, 5000) == replicas

    def get(self, key: str, where: tuple[str, int] | None = None) -> str | None:
        with self.connect(where) as client:
            found = client.get(key)
            return None if found is None else str(found)

    def fill(self, megabytes: int) -> None:
        """With some megabytes, replicas cannot have all of it in their socket buffers."""
        with self.connect(socket_timeout=20) as client, client.pipeline(transaction=False) as pipeline:
            for number in range(10 * megabytes):
                pipeline.set(f"bulk:{number}", "x" * 100_000)
                if number % 100 == 99:
                    pipeline.execute()
            pipeline.execute()

    def log(self) -> set[int]:
        """What a Writer wrote and the primary has."""
        with self.connect() as client:
            return {int(value) for value in client.lrange("log", 0, -1)}

    def takes_writes(self) -> bool:
        """Through the primary endpoint, at present."""
        try:
            with self.connect(socket_timeout=0.5) as client:
                return bool(client.set("probe", "1"))
        except redis.exceptions.RedisError:
            return False

    def role_at(self, where: tuple[str, int]) -> str:
        """ "master", "slave", or "" when nobody answers there."""
        try:
            with self.connect(where, socket_timeout=0.5) as client:
                return str(client.info("replication")["role"])
        except redis.exceptions.RedisError:
            return ""

    def is_linked(self, where: tuple[str, int]) -> bool:
        """The replica there is in sync with its primary, as it says."""
        try:
            with self.connect(where, socket_timeout=0.5) as client:
                return bool(client.info("replication").get("master_link_status") == "up")
        except redis.exceptions.RedisError:
            return False

    def silent_s(self, where: tuple[str, int]) -> int:
        """For how long the replica there has had no link to its primary, as it says; 0 with one."""
        try:
            with self.connect(where, socket_timeout=0.5) as client:
                return max(0, int(client.info("replication").get("master_link_down_since_seconds", 0)))
        except redis.exceptions.RedisError:
            return 0

    # --- waiting ---

    def heal(self, timeout_s: float = 30.0) -> None:
        """Every node is available and says itself that it has its role, and the endpoints lead to who they should."""
        await_healthy(self.api, self.name, timeout_s)
        last = [""]

        def whole() -> bool:
            last[0] = self.why_not_whole()
            return not last[0]

        try:
            wait_for(f"{self.name} is whole", whole, timeout_s)
        except AssertionError:
            told = f"{self.events()}; {self.service.told()}; {self.listeners()}; {self.service.last_words()}"
            raise AssertionError(f"{self.name} {last[0]}; {told}") from None

    def why_not_whole(self) -> str:
        """ "" when it is."""
        found = self._group()
        members = found["NodeGroups"][0]["NodeGroupMembers"]
        for member in members:
            node, where = member["CacheClusterId"], address(member["ReadEndpoint"])
            if self.status_of(node) != "available":
                return f"{node} is {self.status_of(node)}"
            if self.role_at(where) != {"primary": "master", "replica": "slave"}[member["CurrentRole"]]:
                return f"{node} does not say that it is {member['CurrentRole']}"
            if member["CurrentRole"] == "replica" and not self.is_linked(where):
                return f"{node} has no link"
        if not self.takes_writes():
            return "takes no writes"
        reader = "slave" if len(members) > 1 else "master"
        return "" if self.role_at(self.reader_endpoint) == reader else "has no reader"


def _listened_on(port: int) -> list[str]:
    """IPv4 addresses, by /proc/net/tcp (proc(5))."""
    found = []
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, _, state, *_ = line.split()
        host, _, number = local.partition(":")
        if state == "0A" and int(number, 16) == port:
            found.append(socket.inet_ntoa(int(host, 16).to_bytes(4, sys.byteorder)))
    return sorted(found)


@contextmanager
def made_shard(service: Service, name: str, nodes: int, **more: Any) -> Iterator[Shard]:
    """Healthy inside the block, gone after it."""
    request = {"AutomaticFailoverEnabled": nodes > 1, **more}
    with replication_group(service.client(), name, NumCacheClusters=nodes, **request):
        shard = Shard(service, name)
        shard.heal()
        yield shard


@contextmanager
def frozen(pid: int) -> Iterator[int]:
    """SIGSTOP inside the block; yields a pidfd. What still lives afterwards goes on."""
    pidfd = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGSTOP)
        yield pidfd
    finally:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, signal.SIGCONT)
        os.close(pidfd)
