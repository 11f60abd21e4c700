"""The caches outlive the control plane: with it stopped, clients go on and a cluster fails over by itself; the service that is
started afterwards takes what it finds for the truth."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import redis

from tests.engine.groups import address, await_healthy, replication_group
from tests.faults.crew import crew
from tests.fixtures.long import long
from tests.fixtures.machine import data_folder
from tests.fixtures.postgres import postgres, postgres_url
from tests.fixtures.service import Service, running_service, wait_for
from tests.traffic.writer import ClusterWriter

__all__ = ["postgres", "postgres_url"]

KEYS = [f"list:{number}" for number in range(64)]  # in all shards
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


@pytest.fixture(params=["one service", long("two services on postgresql")])
def services(request: pytest.FixtureRequest) -> Iterator[list[Service]]:
    if request.param == "one service":
        with data_folder() as data, running_service(data) as service:
            yield [service]
    else:
        with crew(request.getfixturevalue("postgres_url"), 2) as made:
            yield made.services


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
        with ClusterWriter(*address(made["ConfigurationEndpoint"]), keys=KEYS) as writer:
            writer.await_writes(2 * len(KEYS))
            stop_all(services)
            writer.await_writes(len(KEYS))
            killed_at = time.monotonic()
            os.kill(services[0].pid_of(victim), signal.SIGKILL)
            wait_for("the replica has been elected", lambda: truth.is_primary(heir), 20)
            elected_s = time.monotonic() - killed_at
            writer.await_writes(len(KEYS))
            gap_s = writer.longest_gap_s()
            print(f"no service: a replica was elected after {elected_s:.2f} s; clients waited {gap_s:.2f} s at most")
            settled = {name: truth.place(name) for name in survivors}
            counted = {name: truth.commands(name) for name in survivors}
            assert settled[heir][1] == "-"
            for service in services:
                service.start()
            healed = await_healthy(services[0].client(), "alone", 60)
            wait_for("the dead one is back as a replica", lambda: victim_follows(truth, victim, heir))
            writer.await_writes(len(KEYS))
        assert {name: truth.place(name) for name in survivors} == settled, "roles, epochs and slots are as the engines chose"
        assert {name: truth.commands(name) for name in survivors} == counted, "nothing was ordered that was so already"
        assert healed["Status"] == "available"
        assert in_all_eyes(truth) == {settled[heir][0]}
        assert kept(writer)


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


def kept(writer: ClusterWriter) -> bool:
    """Writes of the last instant before the kill may be lost, those from the election on may not; at most a handful is."""
    lost, after = writer.lost()
    print(f"{len(writer.acknowledged)} writes acknowledged, {len(lost)} lost with the primary")
    return len(lost) <= 50 and not after


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
