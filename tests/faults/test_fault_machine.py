"""What the machine runs out of, or does to us: disk, file descriptors, memory; clocks that jump; a database under a lock."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest
import redis
from botocore.exceptions import BotoCoreError, ClientError

from tests.faults.shard import Shard, made_shard
from tests.fixtures.limits import limit
from tests.fixtures.machine import data_folder
from tests.fixtures.service import Service, running_service, wait_for
from tests.traffic.writer import EndpointWriter

PROGRAM = (sys.executable, str(Path(__file__).with_name("jumping_service.py")))
HOUR_S = 3600
SMALL_DISK_BYTES = 64 * 1024 * 1024
may_mount = pytest.mark.skipif(os.geteuid() != 0 and not os.environ.get("CI"), reason="only root may mount a small disk")


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """Its data folder is a small disk where that can be had; its clock can be set; it takes signatures of any time."""
    with data_folder() as folder, small_disk(folder) as data, running_service(data, program=PROGRAM, start=False) as made:
        made.start(environment={"CACHEFLEET_API_CLOCK_SKEW_S": str(3 * HOUR_S)})
        yield made


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        yield folder
        return
    disk = folder / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK_BYTES}", "tmpfs", disk], check=True)
    try:
        yield disk / "data"
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


@pytest.fixture(scope="module")
def pair(service: Service) -> Iterator[Shard]:
    with made_shard(service, "pair", 2) as made:
        yield made


def fails_over(pair: Shard, timeout_s: float = 10.0) -> None:
    """The primary is killed, another serves soon, and the group is whole again; nothing is lost."""
    pair.put("kept", str(len(pair.failovers())))
    kept, old = pair.get("kept"), pair.primary
    pair.kill(old)
    wait_for("another serves", lambda: pair.takes_writes(), timeout_s)
    pair.heal()
    assert pair.primary != old
    assert pair.get("kept") == kept


# --- clock ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ahead_s", [HOUR_S, 0, -HOUR_S, 0])
def test_a_clock_that_jumps_by_an_hour_changes_nothing_and_waits_keep_their_length(pair: Shard, ahead_s: int) -> None:
    """Forward, back, back again, forward."""
    pids, primary = pair.pids(), pair.primary
    with EndpointWriter(*pair.primary_endpoint) as writer:
        (pair.service.data / "jump").write_text(str(ahead_s))
        wait_for("it is looked at", lambda: looked_at(pair), 5)
        writer.await_writes(100)
    assert (pair.pids(), pair.primary) == (pids, primary)
    assert writer.errors == []
    assert writer.acknowledged <= pair.log()
    fails_over(pair)


def looked_at(pair: Shard) -> bool:
    """A replica that is killed is started again, after whatever wait there is."""
    replica = pair.replicas[0]
    return pair.status_of(replica) == "available"


# --- file descriptors ----------------------------------------------------------------------------------------------


def test_a_primary_that_takes_no_more_clients_is_not_failed_over_but_can_be(pair: Shard) -> None:
    pair.put("kept", "full")
    primary, pids = pair.primary, pair.pids()
    with ExitStack() as crowd, pair.operate() as client:
        most = int(client.info("clients")["connected_clients"]) + 5
        client.config_set("maxclients", most)
        with pytest.raises(redis.exceptions.RedisError):
            for _ in range(20):
                crowd.enter_context(pair.connect()).ping()
        pair.api.test_failover(ReplicationGroupId="pair", NodeGroupId="0001")
        wait_for("the role has moved", lambda: pair.primary != primary, 10)
    pair.heal()
    assert pair.pids() == pids
    assert pair.get("kept") == "full"
    with pair.operate(pair.address_of(primary)) as client:
        client.config_set("maxclients", 10_000)


def test_a_service_out_of_file_descriptors_still_fails_over_and_recovers_when_it_has_some(pair: Shard) -> None:
    pair.put("kept", "yes")
    old, heir = pair.primary, pair.address_of(pair.replicas[0])
    assert pair.service.process is not None
    pid, victim = pair.service.process.pid, pair.pid_of(old)
    before = limit(pid, resource.RLIMIT_NOFILE)
    limit(pid, resource.RLIMIT_NOFILE, len(list(Path(f"/proc/{pid}/fd").iterdir())), before[1])
    try:
        os.kill(victim, signal.SIGKILL)
        wait_for("another serves", lambda: pair.role_at(pair.primary_endpoint) == "master", 10)
        assert pair.role_at(heir) == "master"
    finally:
        limit(pid, resource.RLIMIT_NOFILE, *before)
    wait_for("the API answers", lambda: answers(pair), 10)
    pair.heal()
    assert pair.get("kept") == "yes"


def answers(pair: Shard) -> bool:
    try:
        pair.api.describe_replication_groups()
    except (BotoCoreError, ClientError):
        return False
    return True


# --- memory --------------------------------------------------------------------------------------------------------


def test_a_primary_that_gets_no_more_memory_ends_and_is_succeeded(pair: Shard) -> None:
    """The kernel refuses it memory, which ends it; what the kernel's killer does is a SIGKILL as in the tests of those."""
    pair.put("kept", "yes")
    old, pid = pair.primary, pair.pid_of(pair.primary)
    used = int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize()
    limit(pid, resource.RLIMIT_AS, used + 8 * 1024 * 1024, resource.RLIM_INFINITY)
    with pytest.raises(redis.exceptions.RedisError), pair.connect() as client:
        for number in range(20):
            client.set(f"big:{number}", "x" * 4_000_000)
    wait_for("another serves", pair.takes_writes, 10)
    pair.heal()
    assert pair.primary != old
    assert pair.get("kept") == "yes"


# --- database ------------------------------------------------------------------------------------------------------


def test_while_somebody_locks_the_database_caches_serve_and_then_everything_goes_on(pair: Shard) -> None:
    pair.put("kept", "yes")
    old, pid = pair.primary, pair.pid_of(pair.primary)
    with closing(sqlite3.connect(pair.service.data / "cachefleet.db", isolation_level=None)) as database:
        database.execute("BEGIN EXCLUSIVE")
        assert pair.takes_writes()
        os.kill(pid, signal.SIGKILL)
        threading.Event().wait(3)
        assert pair.get("kept", pair.reader_endpoint) == "yes"
        assert not pair.takes_writes(), "a decision is saved before it is acted on"
        database.execute("ROLLBACK")
    wait_for("another serves", pair.takes_writes, 10)
    pair.heal()
    assert pair.primary != old
    assert pair.get("kept") == "yes"


# --- disk ----------------------------------------------------------------------------------------------------------


@contextmanager
def full_disk(folder: Path) -> Iterator[None]:
    ballast = folder / "ballast"
    try:
        with ballast.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
            while True:
                file.write(b"x" * 4096)
        assert shutil.disk_usage(folder).free == 0
        yield
    finally:
        ballast.unlink()


@may_mount
def test_on_a_full_disk_caches_serve_and_what_was_not_saved_is_done_when_there_is_space(pair: Shard) -> None:
    pair.put("kept", "yes")
    old, pid = pair.primary, pair.pid_of(pair.primary)
    with full_disk(pair.service.data):
        with EndpointWriter(*pair.primary_endpoint) as writer:
            writer.await_writes(1000)
        assert writer.errors == []
        os.kill(pid, signal.SIGKILL)
        threading.Event().wait(3)
        assert not pair.takes_writes(), "a decision is saved before it is acted on"
        assert pair.get("kept", pair.reader_endpoint) == "yes"
        with pytest.raises(ClientError, match="ServiceUnavailable"):
            pair.api.create_cache_cluster(
                CacheClusterId="no", CacheNodeType="cache.t4g.micro", Engine="valkey", NumCacheNodes=1
            )
    wait_for("another serves", pair.takes_writes, 15)
    pair.heal()
    assert pair.primary != old
    assert pair.get("kept") == "yes"
    log = (pair.service.data / "up.log").read_text()
    assert "Traceback" not in log, log[-3000:]
