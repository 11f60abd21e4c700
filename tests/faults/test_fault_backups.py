"""What can go wrong while a snapshot is made or restored: nodes, workers and archives that fail. Either the snapshot is
available and holds everything, or it says why not and nothing is left of it.

Engines are told to write their snapshots slowly, so that whatever happens does so in mid-stream.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis
from redis.cluster import RedisCluster

from tests.engine.groups import address, await_healthy, cache_cluster, describe, describe_cluster, replication_group
from tests.engine.snapshots import await_end, await_snapshot, describe_snapshot, remove, restored, snapshot, why_of
from tests.faults.test_yielding import may_return
from tests.fixtures.machine import data_folder
from tests.fixtures.operator import as_operator
from tests.fixtures.service import Service, running_service, wait_for

KEYS = 3000
SLOWLY_US = 1000  # a key
STALLED_S = 4.0
may_mount = pytest.mark.skipif(os.geteuid() != 0 and not os.environ.get("CI"), reason="only root may mount a small disk")
PAIR = {"NumCacheClusters": 2, "AutomaticFailoverEnabled": True, "AtRestEncryptionEnabled": True}


@contextmanager
def kept_in(disk: Path | None = None, **settings: str) -> Iterator[Service]:
    """disk: the folder for snapshots."""
    environment = {f"CACHEFLEET_ARCHIVE_{name.upper()}": value for name, value in settings.items()}
    with data_folder() as data, running_service(data, start=False) as made:
        made.start(environment={**environment, **({"CACHEFLEET_ARCHIVE_URL": str(disk)} if disk else {})})
        yield made


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with kept_in(stalled_s=str(STALLED_S)) as made:
        yield made


@pytest.fixture
def api(service: Service) -> Any:
    return service.client()


def fill(group: dict[str, Any], keys: int = KEYS) -> None:
    """With what does not become smaller when it is compressed."""
    with redis.Redis(*primary(group), socket_timeout=20) as cache:
        for number in range(keys):
            cache.set(f"key:{number}", os.urandom(1000))
        cache.wait(len(group["MemberClusters"]) - 1, 5000)


def primary(group: dict[str, Any]) -> tuple[str, int]:
    return address(group["NodeGroups"][0]["PrimaryEndpoint"])


def slow_down(api: Any, group: dict[str, Any], pause_us: int = SLOWLY_US) -> None:
    """All nodes."""
    for member in group["MemberClusters"]:
        cluster = describe_cluster(api, member)
        assert cluster is not None
        where = address(cluster["CacheNodes"][0]["Endpoint"])
        with redis.Redis(*where, **as_operator(where)) as node:
            node.config_set("rdb-key-save-delay", pause_us)


def workers(service: Service) -> list[int]:
    """Processes that move data."""
    assert service.process is not None
    children = psutil.Process(service.process.pid).children()
    return [child.pid for child in children if "cachefleet.app.transfer_worker" in " ".join(child.cmdline())]


def under_way(service: Service) -> Path:
    """An object that is being written, as soon as there is something in it."""

    def found() -> Path | None:
        return next((file for file in (service.data / "snapshots").rglob("*.part") if file.stat().st_size > 0), None)

    return wait_for("an object is being written", found, 20, 0.002)


def role_of(group: dict[str, Any], role: str) -> str:
    (found,) = [one["CacheClusterId"] for one in group["NodeGroups"][0]["NodeGroupMembers"] if one["CurrentRole"] == role]
    return str(found)


def nothing_is_left(service: Service) -> None:
    """Of snapshots and of what made them."""
    wait_for("nothing is left in the archive", lambda: not list((service.data / "snapshots").rglob("*")))
    assert workers(service) == []


def holds_everything(api: Any, name: str, keys: int = KEYS, **shape: Any) -> None:
    with restored(api, "proof", SnapshotName=name, **shape) as group, redis.Redis(*primary(group)) as cache:
        assert cache.dbsize() == keys


@contextmanager
def slow_pair(api: Any, name: str) -> Iterator[dict[str, Any]]:
    """It is asked for a snapshot by the caller."""
    with replication_group(api, name, **PAIR) as group:
        fill(group)
        slow_down(api, group)
        yield await_healthy(api, name)


# --- nodes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["replica", "primary"])
def test_a_node_that_dies_in_mid_stream(service: Service, api: Any, role: str) -> None:
    """The snapshot is of the replica: it is made again, of another node; or that one is promoted meanwhile."""
    with slow_pair(api, f"dies-{role}") as group:
        api.create_snapshot(SnapshotName="dies", ReplicationGroupId=f"dies-{role}")
        under_way(service)
        os.kill(service.pid_of(role_of(group, role)), signal.SIGKILL)
        await_snapshot(api, "dies", 60)
        await_healthy(api, f"dies-{role}")
        holds_everything(api, "dies")
        assert len(list((service.data / "snapshots").rglob("*.age"))) == 1, "objects of a lost attempt are left"
        remove(api, "dies")
    nothing_is_left(service)


def test_a_node_that_freezes_in_mid_stream(service: Service, api: Any) -> None:
    with slow_pair(api, "freezes") as group:
        api.create_snapshot(SnapshotName="freezes", ReplicationGroupId="freezes")
        under_way(service)
        os.kill(service.pid_of(role_of(group, "replica")), signal.SIGSTOP)
        await_snapshot(api, "freezes", 60)
        holds_everything(api, "freezes")
        remove(api, "freezes")
        await_healthy(api, "freezes")
    nothing_is_left(service)


def test_what_sends_the_data_gives_way_and_its_node_does_not(service: Service, api: Any) -> None:
    with slow_pair(api, "gentle") as group:
        slow_down(api, group, 4 * SLOWLY_US)  # a busy machine may give it its usual share for five seconds
        node = service.pid_of(role_of(group, "replica"))
        api.create_snapshot(SnapshotName="gentle", ReplicationGroupId="gentle")
        wanted = os.SCHED_IDLE if may_return() else os.SCHED_OTHER

        def gentle() -> bool:
            return [os.sched_getscheduler(child.pid) for child in psutil.Process(node).children()] == [wanted]

        wait_for("the node's child gives way", gentle)
        assert os.sched_getscheduler(node) == os.SCHED_OTHER
        await_snapshot(api, "gentle")
        remove(api, "gentle")
    nothing_is_left(service)


def test_a_shard_that_hands_over_in_mid_stream(service: Service, api: Any) -> None:
    """Refused while the snapshot is made; a failover by death is another thing (above)."""
    with slow_pair(api, "hands"):
        api.create_snapshot(SnapshotName="hands", ReplicationGroupId="hands")
        under_way(service)
        with pytest.raises(api.exceptions.InvalidReplicationGroupStateFault, match="snapshotting"):
            api.test_failover(ReplicationGroupId="hands", NodeGroupId="0001")
        await_snapshot(api, "hands")
        remove(api, "hands")


def test_a_cluster_of_one_node_that_dies_comes_back_empty_and_so_is_its_snapshot(service: Service, api: Any) -> None:
    """It is of what the cache then has; never of a part of what it had."""
    with cache_cluster(api, "alone", Engine="valkey", NumCacheNodes=1) as cluster:
        where = address(cluster["CacheNodes"][0]["Endpoint"])
        with redis.Redis(*where, **as_operator(where)) as cache:
            for number in range(KEYS):
                cache.set(f"key:{number}", os.urandom(1000))
            cache.config_set("rdb-key-save-delay", SLOWLY_US)
        api.create_snapshot(SnapshotName="alone", CacheClusterId="alone")
        under_way(service)
        os.kill(service.pid_of("alone"), signal.SIGKILL)
        await_snapshot(api, "alone", 60)
        holds_everything(api, "alone", keys=0)
        remove(api, "alone")


def test_a_shard_of_a_cluster_loses_its_source(service: Service, api: Any) -> None:
    shape = {"NumNodeGroups": 2, "ReplicasPerNodeGroup": 1, "AutomaticFailoverEnabled": True}
    with replication_group(api, "shards", **shape) as group:
        where = address(group["ConfigurationEndpoint"])
        with RedisCluster(*where) as cache:
            for number in range(KEYS):
                cache.set(f"key:{number}", os.urandom(1000))
            replicas = {node.host for node in cache.get_replicas()}
        slow_down(api, group)
        clusters = [describe_cluster(api, member) for member in group["MemberClusters"]]
        victim = next(
            one["CacheClusterId"] for one in clusters if one and address(one["CacheNodes"][0]["Endpoint"])[0] in replicas
        )
        api.create_snapshot(SnapshotName="shards", ReplicationGroupId="shards")
        under_way(service)
        os.kill(service.pid_of(victim), signal.SIGKILL)
        await_snapshot(api, "shards", 60)
        await_healthy(api, "shards")
        with (
            restored(api, "proof", SnapshotName="shards", NumNodeGroups=3, ReplicasPerNodeGroup=0) as copy,
            RedisCluster(*address(copy["ConfigurationEndpoint"])) as cache,
        ):
            assert sum(cache.dbsize(target_nodes=node) for node in cache.get_primaries()) == KEYS
        remove(api, "shards")
    nothing_is_left(service)


# --- workers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_worker_that_ends_or_stops(service: Service, api: Any, how: signal.Signals) -> None:
    name = f"worker-{how.name.lower()}"
    with slow_pair(api, name):
        api.create_snapshot(SnapshotName=name, ReplicationGroupId=name)
        under_way(service)
        (worker,) = workers(service)
        os.kill(worker, how)
        await_snapshot(api, name, 60)
        assert not psutil.pid_exists(worker)
        holds_everything(api, name)
        remove(api, name)
    nothing_is_left(service)


def test_a_restore_whose_worker_or_engine_ends_is_begun_again(service: Service, api: Any) -> None:
    with replication_group(api, "source", **PAIR) as group:
        fill(group)
        with snapshot(api, "source-taken", ReplicationGroupId="source"):
            for victim in ("worker", "engine"):
                request = {"ReplicationGroupDescription": "test", "SnapshotName": "source-taken"}
                api.create_replication_group(ReplicationGroupId="again", **request)

                def strike(victim: str = victim) -> bool:
                    names = service.engine_pids()
                    found = workers(service) if victim == "worker" else [pid for pid, name in names.items() if "again" in name]
                    for pid in found:
                        os.kill(pid, signal.SIGKILL)
                    return bool(found)

                wait_for(f"the {victim} is struck", strike, 20, 0.001)
                copy = await_healthy(api, "again", 60)
                with redis.Redis(*primary(copy)) as cache:
                    assert cache.dbsize() == KEYS
                api.delete_replication_group(ReplicationGroupId="again")
                wait_for("it is gone", lambda: describe(api, "again") is None)
    nothing_is_left(service)


# --- archives ------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], check=True)
    try:
        yield disk
    finally:
        subprocess.run(["umount", disk], check=True)


@may_mount
def test_an_archive_that_is_full_then_read_only_then_large_enough(small_disk: Path) -> None:
    with kept_in(small_disk / "archive") as service:
        api = service.client()
        with replication_group(api, "full", **PAIR) as group:
            fill(group)
            for name, option, why in (("full-1", "", "the disk is full; make room"), ("full-2", "ro", "Read-only file system")):
                if option:
                    subprocess.run(["mount", "-o", f"remount,{option}", small_disk], check=True)
                api.create_snapshot(SnapshotName=name, ReplicationGroupId="full")
                found = await_end(api, name, 60)
                assert found["SnapshotStatus"] == "failed" and why in why_of(api, found)
                assert not [file for file in small_disk.rglob("*") if file.is_file()]
                await_healthy(api, "full")
            subprocess.run(["mount", "-o", "remount,rw,size=20m", small_disk], check=True)
            for name in ("full-1", "full-2"):
                remove(api, name)
            with snapshot(api, "full-3", ReplicationGroupId="full"):
                holds_everything(api, "full-3")
        assert describe_snapshot(api, "full-3") is None


@may_mount
def test_snapshots_that_cannot_be_removed_are_removed_later(small_disk: Path) -> None:
    with kept_in(small_disk / "archive") as service:
        api = service.client()
        with replication_group(api, "stays", **PAIR) as group:
            fill(group, 100)
            api.create_snapshot(SnapshotName="stays", ReplicationGroupId="stays")
            await_snapshot(api, "stays")
            subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
            api.delete_snapshot(SnapshotName="stays")
            wait_for("it is tried", lambda: "snapshot cannot be removed" in (service.data / "service.log").read_text())
            found = describe_snapshot(api, "stays")
            assert found is not None and found["SnapshotStatus"] == "deleting"
            subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
            wait_for("it is gone", lambda: describe_snapshot(api, "stays") is None)
            assert not [file for file in small_disk.rglob("*") if file.is_file()]
