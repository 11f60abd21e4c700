"""The caches outlive the control plane: with it stopped, clients go on and a cluster fails over by itself; the service that is
started afterwards takes what it finds for the truth."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from types import TracebackType
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.retry import Retry

from tests.engine.groups import address, await_healthy, replication_group
from tests.faults.crew import crew
from tests.fixtures.machine import data_folder
from tests.fixtures.postgres import postgres, postgres_url
from tests.fixtures.service import Service, running_service, wait_for

__all__ = ["postgres", "postgres_url"]

GROUP = {"NumNodeGroups": 3, "ReplicasPerNodeGroup": 1, "AutomaticFailoverEnabled": True}
# What changes who is primary of which slots. Meeting, forgetting and looking change nothing of that.
ROLE_CHANGING = (
    "cluster|failover",
    "cluster|replicate",
    "cluster|addslots",
    "cluster|addslotsrange",
    "cluster|delslots",
    "cluster|delslotsrange",
    "cluster|setslot",
    "cluster|set-config-epoch",
    "cluster|bumpepoch",
    "cluster|reset",
    "cluster|flushslots",
    "replicaof",
    "slaveof",
    "failover",
    "flushall",
)


@pytest.fixture(params=["one service", "two services on postgresql"])
def services(request: pytest.FixtureRequest) -> Iterator[list[Service]]:
    if request.param == "one service":
        with data_folder() as data, running_service(data) as service:
            yield [service]
    else:
        with crew(request.getfixturevalue("postgres_url"), 2) as made:
            yield made.services


class ClusterWriter:
    """Adds rising numbers to sets that lie in all shards, through a usual cluster client; remembers what was acknowledged."""

    def __init__(self, host: str, port: int) -> None:
        self._where = (host, port)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.acknowledged: list[tuple[str, int, float]] = []  # key, value, when

    def __enter__(self) -> ClusterWriter:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join(20)

    def _run(self) -> None:
        client: Any = None
        value = 0
        while not self._stop.is_set():
            value += 1
            key = f"set:{value % 64}"
            try:
                client = client or RedisCluster(*self._where, socket_timeout=1, retry=Retry(NoBackoff(), 0))
                client.sadd(key, value)
            except (redis.exceptions.RedisError, redis.exceptions.RedisClusterException, OSError):
                if client is not None:
                    client.close()
                client = None
                self._stop.wait(0.02)
                continue
            self.acknowledged.append((key, value, time.monotonic()))
        if client is not None:
            client.close()

    def await_all_shards(self, timeout_s: float = 20.0) -> None:
        """From now on, a write to each of the keys is acknowledged."""
        begun = len(self.acknowledged)
        wait_for("every key takes writes", lambda: len({key for key, _, _ in self.acknowledged[begun:]}) == 64, timeout_s)

    def longest_gap_s(self, keys: set[str]) -> float:
        """The longest that any of the keys had to wait from one acknowledged write to the next."""
        times = {key: [at for its, _, at in self.acknowledged if its == key] for key in keys}
        return max(after - before for at in times.values() for before, after in pairwise(at))


class Truth:
    """What the nodes say of themselves; each asked at its own address."""

    def __init__(self, nodes: dict[str, tuple[str, int]]) -> None:
        self.nodes = nodes  # by name

    def _connected(self, name: str) -> Any:
        host, port = self.nodes[name]
        return closing(redis.Redis(host, port, socket_timeout=2, decode_responses=True))

    def lines(self, name: str) -> dict[str, dict[str, Any]]:
        """CLUSTER NODES as that node sees it, by address."""
        with self._connected(name) as client:
            return dict(client.cluster("NODES"))

    def place(self, name: str) -> tuple[str, str, str, str]:
        """(id, primary's id or "-", epoch, slots) of a node by its own word."""
        (mine,) = [line for line in self.lines(name).values() if "myself" in line["flags"]]
        return mine["node_id"], mine["master_id"], mine["epoch"], str(mine["slots"])

    def is_primary(self, name: str) -> bool:
        return self.place(name)[1] == "-"

    def commands(self, name: str) -> dict[str, int]:
        """How often each command that changes roles was carried out there."""
        with self._connected(name) as client:
            stats = client.info("commandstats")
        return {command: int(stats.get(f"cmdstat_{command}", {}).get("calls", 0)) for command in ROLE_CHANGING}


def members(client: Any, group: dict[str, Any]) -> dict[str, tuple[str, int]]:
    clusters = client.describe_cache_clusters(ShowCacheNodeInfo=True)["CacheClusters"]
    return {
        cluster["CacheClusterId"]: address(cluster["CacheNodes"][0]["Endpoint"])
        for cluster in clusters
        if cluster["CacheClusterId"] in group["MemberClusters"]
    }


def shard_of(name: str) -> str:
    return name.rsplit("-", 1)[0]


def stop_all(services: list[Service]) -> None:
    for service in services:
        service.kill(signal.SIGTERM)


def test_a_cluster_fails_over_by_itself_and_the_next_service_adopts_it(services: list[Service]) -> None:
    api = services[0].client()
    with replication_group(api, "alone", **GROUP) as made:
        group = await_healthy(api, "alone")
        truth = Truth(members(api, group))
        victim = next(name for name in truth.nodes if name.endswith("0002-001"))
        assert truth.is_primary(victim)
        survivors = [name for name in truth.nodes if name != victim]
        heir = next(name for name in survivors if shard_of(name) == shard_of(victim))
        with ClusterWriter(*address(made["ConfigurationEndpoint"])) as writer:
            writer.await_all_shards()
            stop_all(services)
            writer.await_all_shards()
            killed_at = time.monotonic()
            os.kill(services[0].pid_of(victim), signal.SIGKILL)
            wait_for("the replica has been elected", lambda: truth.is_primary(heir), 20)
            elected_s = time.monotonic() - killed_at
            writer.await_all_shards()
            gap_s = writer.longest_gap_s({key for key, _, at in writer.acknowledged})
            print(f"no service: a replica was elected after {elected_s:.2f} s; clients waited {gap_s:.2f} s at most")
            settled = {name: truth.place(name) for name in survivors}
            counted = {name: truth.commands(name) for name in survivors}
            assert settled[heir][1] == "-"
            for service in services:
                service.start()
            healed = await_healthy(services[0].client(), "alone", 60)
            wait_for("the dead one is back as a replica", lambda: victim_follows(truth, victim, heir))
            writer.await_all_shards()
        assert {name: truth.place(name) for name in survivors} == settled, "roles, epochs and slots are as the engines chose"
        assert {name: truth.commands(name) for name in survivors} == counted, "nothing was ordered that was so already"
        assert healed["Status"] == "available"
        assert in_all_eyes(truth) == {settled[heir][0]}
        assert kept(writer, made)


def victim_follows(truth: Truth, victim: str, heir: str) -> bool:
    try:
        return truth.place(victim)[1] == truth.place(heir)[0]
    except redis.exceptions.RedisError:
        return False


def in_all_eyes(truth: Truth) -> set[str]:
    """Ids of whoever owns the middle of the slots, over what every node says."""
    owners = set()
    for name in truth.nodes:
        for line in truth.lines(name).values():
            if any(int(first) <= 8191 <= int(last) for first, last in (span for span in line["slots"] if len(span) == 2)):
                owners.add(line["node_id"])
    return owners


def kept(writer: ClusterWriter, group: dict[str, Any]) -> bool:
    """Writes of the last instant before the kill may be lost, those from the election on may not; at most a handful is."""
    host, port = address(group["ConfigurationEndpoint"])
    with closing(RedisCluster(host, port, socket_timeout=2)) as client:
        there = {key: {int(value) for value in client.smembers(key)} for key in {key for key, _, _ in writer.acknowledged}}
    lost = [value for key, value, _ in writer.acknowledged if value not in there[key]]
    print(f"{len(writer.acknowledged)} writes acknowledged, {len(lost)} lost with the primary")
    return len(lost) <= 50 and writer.acknowledged[-1][1] not in lost


def test_clients_go_on_without_any_service(services: list[Service]) -> None:
    """Cluster mode disabled: nobody fails over, and nobody is hurt."""
    api = services[0].client()
    with replication_group(api, "quiet", NumCacheClusters=2, AutomaticFailoverEnabled=True) as group:
        await_healthy(api, "quiet")
        shard = group["NodeGroups"][0]
        before = services[0].engine_pids()
        stop_all(services)
        for endpoint, role in (("PrimaryEndpoint", "master"), ("ReaderEndpoint", "slave")):
            host, port = address(shard[endpoint])
            with closing(redis.Redis(host, port, socket_timeout=2)) as client:
                assert client.info("replication")["role"] == role
                if role == "master":
                    assert client.set("written", "without")
                    assert client.wait(1, 2000) == 1
        for service in services:
            service.start()
        await_healthy(services[-1].client(), "quiet")
        assert services[0].engine_pids() == before
