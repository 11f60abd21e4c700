"""Groups of which snapshots are made while things are killed; what a snapshot of them must bring back; and what backups leave
behind of processes, pipes and objects.

Engines write their snapshots slowly, so that whatever happens does so in mid-stream.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import redis
from redis.cluster import RedisCluster

from tests.engine.groups import address, await_healthy, delete, describe_cluster
from tests.fixtures.operator import as_operator
from tests.fixtures.service import Service, wait_for

KEYS = 2000
SLOWLY_US = 500  # a key
CONVERGENCE_S = 40.0
PAIR = {"NumCacheClusters": 2, "AutomaticFailoverEnabled": True}
COMMON = {"CacheNodeType": "cache.t4g.micro", "AtRestEncryptionEnabled": True, "ReplicationGroupDescription": "test"}


def filled(client: Any, name: str) -> dict[str, Any]:
    """The group, once all of its nodes have everything and write their snapshots slowly."""
    group = await_healthy(client, name)
    with data_client(group) as cache:
        for number in range(KEYS):
            cache.set(f"key:{number}", os.urandom(1000))
    slow_down(client, group)
    wait_for(f"all nodes of {name} have every key", lambda: keys_at_nodes(client, group) == KEYS * _copies(group))
    return group


def nodes_of(client: Any, group: dict[str, Any]) -> list[tuple[str, int]]:
    """All of them, replicas too."""
    clusters = [describe_cluster(client, member) for member in group["MemberClusters"]]
    return [address(cluster["CacheNodes"][0]["Endpoint"]) for cluster in clusters if cluster is not None]


def slow_down(client: Any, group: dict[str, Any]) -> None:
    """Those nodes that answer; one that was started anew has forgotten it."""
    for node in nodes_of(client, group):
        with suppress(redis.RedisError), redis.Redis(*node, socket_timeout=2, **as_operator(node)) as each:
            each.config_set("rdb-key-save-delay", SLOWLY_US)


def keys_at_nodes(client: Any, group: dict[str, Any]) -> int:
    found = 0
    for node in nodes_of(client, group):
        with redis.Redis(*node, socket_timeout=5) as each:
            found += int(each.dbsize())
    return found


def _copies(group: dict[str, Any]) -> int:
    return len(group["MemberClusters"]) // len(group["NodeGroups"])


def data_client(group: dict[str, Any]) -> Any:
    if group["ClusterEnabled"]:
        return RedisCluster(*address(group["ConfigurationEndpoint"]))
    return redis.Redis(*address(group["NodeGroups"][0]["PrimaryEndpoint"]))


def keys_in(group: dict[str, Any]) -> int:
    with data_client(group) as cache:
        if not group["ClusterEnabled"]:
            return int(cache.dbsize())
        return sum(cache.dbsize(target_nodes=node) for node in cache.get_primaries())


def is_restored(client: Any, name: str, group: str) -> None:
    """A snapshot that is available holds everything, also in the end."""
    client.create_replication_group(ReplicationGroupId=group, ReplicationGroupDescription="proof", SnapshotName=name)
    assert keys_in(await_healthy(client, group, CONVERGENCE_S)) == KEYS
    delete(client, group)


def objects(service: Service) -> set[str]:
    """Folders of attempts in the archive that have anything in them."""
    archive = service.data / "snapshots"
    return {str(file.parent.relative_to(archive)) for file in archive.rglob("*") if file.is_file()}


def pipes(service: Service) -> list[Path]:
    return [file for file in (service.data / "nodes").rglob("*") if stat.S_ISFIFO(file.lstat().st_mode)]


def workers(service: Service) -> list[psutil.Process]:
    """Of this installation, of whatever parent: each has the pipe of a service that may be dead."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if "cachefleet.app.transfer_worker" in process.cmdline() and _is_of(service, process):
                found.append(process)
    return found


def _is_of(service: Service, process: psutil.Process) -> bool:
    """Its parent is the service, or is no more (then it is of some dead one: it must not be there)."""
    parent = process.parent()
    own = service.process.pid if service.process is not None else 0
    return parent is None or parent.pid in (1, own)
