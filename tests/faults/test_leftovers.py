"""Installations side by side, stopped, frozen, robbed of rows or of their folder: nothing is shared, stuck or left behind."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
import redis

from tests.engine.groups import address, describe
from tests.faults.fleet import CLUSTERED, MEMCACHED, REPLICATED, Group
from tests.faults.remains import NOTHING, claims, everything, folders, listening, network, rules
from tests.fixtures.machine import data_folder
from tests.fixtures.service import CACHEFLEET, Service, running_service, wait_for


@contextmanager
def installation() -> Iterator[Service]:
    with data_folder() as data, running_service(data) as service:
        yield service


@pytest.fixture
def service() -> Iterator[Service]:
    with installation() as running:
        yield running


def whole(service: Service, shape: str, name: str) -> Group:
    group = Group(service, shape, name)
    group.create()
    become_whole(group)
    return group


def become_whole(group: Group, timeout_s: float = 30.0) -> None:
    last = [""]

    def is_whole() -> bool:
        last[0] = group.why_not_whole()
        return not last[0]

    try:
        wait_for(group.name, is_whole, timeout_s)
    except AssertionError:
        raise AssertionError(f"{group.name} {last[0]}") from None


def endpoints(group: Group) -> Any:
    """Every address that clients of a replication group or a Memcached cluster are given."""
    found = group.describe()
    assert found is not None
    if group.shape == MEMCACHED:
        return address(found["ConfigurationEndpoint"]), [address(node["Endpoint"]) for node in found["CacheNodes"]]
    if group.shape == CLUSTERED:
        return address(found["ConfigurationEndpoint"])
    shard = found["NodeGroups"][0]
    members = [(member["CacheClusterId"], address(member["ReadEndpoint"])) for member in shard["NodeGroupMembers"]]
    return address(shard["PrimaryEndpoint"]), address(shard["ReaderEndpoint"]), members


def tool(*arguments: str) -> str:
    done = subprocess.run([CACHEFLEET, *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


# --- side by side, down and up -------------------------------------------------------------------------------------


def test_two_installations_share_no_address_and_do_not_touch_each_other() -> None:
    with installation() as one, installation() as other:
        here, there = whole(one, REPLICATED, "same"), whole(other, REPLICATED, "same")
        assert network(one) != network(other)
        assert claims(one) != claims(other)
        assert {host for host, _ in listening(one)}.isdisjoint(host for host, _ in listening(other))
        there.put_mark("of the other")
        here.delete()
        wait_for("the first is gone", here.is_gone)
        tool("down", "--data", str(one.data))
        assert one.process is not None
        one.process.wait(10)
        one.process = None
        assert not there.why_not_whole()
        assert there.kept_its_mark()


def test_down_stops_everything_and_up_brings_it_back_empty_at_the_same_addresses(service: Service) -> None:
    groups = [whole(service, shape, f"{shape}-back") for shape in (REPLICATED, CLUSTERED, MEMCACHED)]
    before = [endpoints(group) for group in groups]
    groups[0].put_mark("lost by down")
    service.down()
    assert service.engine_pids() == {}
    assert listening(service) == set()
    assert rules(service) == []
    service.start()
    for group in groups:
        become_whole(group)
    assert [endpoints(group) for group in groups] == before
    assert not groups[0].kept_its_mark()


def test_down_that_keeps_caches_leaves_them_serving(service: Service) -> None:
    group = whole(service, REPLICATED, "kept")
    group.put_mark("kept")
    (host, port), _, _ = endpoints(group)
    before = service.engine_pids()
    said = tool("down", "--data", str(service.data), "--keep-caches")
    assert "The caches go on." in said
    assert service.process is not None
    service.process.wait(10)
    service.process = None
    assert service.engine_pids() == before
    with closing(redis.Redis(host, port, socket_timeout=2)) as client:
        assert client.get("mark") == b"kept"
    service.start()
    become_whole(group)
    assert service.engine_pids() == before


# --- behind its back -----------------------------------------------------------------------------------------------


def test_what_runs_for_a_row_that_is_gone_is_stopped_at_the_next_start(service: Service) -> None:
    kept, lost = whole(service, REPLICATED, "kept"), whole(service, REPLICATED, "lost")
    kept.put_mark("kept")
    service.kill()
    with closing(sqlite3.connect(service.data / "cachefleet.db")) as database, database:
        database.execute("PRAGMA foreign_keys = ON")
        assert database.execute("DELETE FROM resources WHERE name = 'lost'").rowcount == 1
    service.start()
    wait_for("its processes are gone", lambda: not any(".lost-" in name for name in service.engine_pids().values()))
    wait_for("its folders are gone", lambda: not any(".lost-" in name for name in folders(service)))
    assert lost.is_gone()
    become_whole(kept)
    assert kept.kept_its_mark()
    kept.delete()
    wait_for("the other is gone", kept.is_gone)
    wait_for("nothing is left", lambda: everything(service) == NOTHING)


def test_a_lock_and_drafts_that_a_dead_service_left_hold_nobody_up(service: Service) -> None:
    group = whole(service, REPLICATED, "there")
    service.kill()
    (service.data / "service.lock").write_text('{"pid": 1, "url": "http://127.0.0.1:1", "region": "elsewhere"}')
    (service.data / "credentials.json.new").write_text("half a fi")
    service.start()
    become_whole(group)
    service.kill()
    (service.data / "service.lock").write_bytes(b"\0not json")
    assert "Not running" in subprocess.run(
        [CACHEFLEET, "status", "--data", str(service.data)], capture_output=True, text=True, check=False, timeout=30
    ).stdout  # fmt: skip
    service.start()
    become_whole(group)


def test_a_data_folder_that_is_deleted_ends_the_service_and_its_caches() -> None:
    with data_folder() as data, running_service(data / "erased") as service:
        whole(service, REPLICATED, "erased")
        standing = listening(service)
        number = network(service)
        assert service.process is not None
        shutil.rmtree(service.data)
        assert service.process.wait(30) == 1
        service.process = None
        assert service.engine_pids() == {}
        assert not any(_accepts(*where) for where in standing)
        assert not service.data.exists()
        (data / "erased").mkdir()
        (data / "erased" / "network").write_text(str(number))
        assert rules(service) == []


def test_caches_of_a_folder_that_was_deleted_while_no_service_ran_are_stopped_by_down() -> None:
    with data_folder() as data, running_service(data / "erased") as service:
        whole(service, CLUSTERED, "erased")
        standing = listening(service)
        service.kill()
        shutil.rmtree(service.data)
        assert tool("down", "--data", str(service.data)).startswith("4 ")
        assert not any(_accepts(*where) for where in standing)


def test_a_data_folder_that_is_moved_ends_the_service_and_its_caches_are_found_at_the_new_place() -> None:
    with data_folder() as data, running_service(data / "old") as service:
        group = whole(service, REPLICATED, "moved")
        group.put_mark("moved")
        before = service.engine_pids()
        assert service.process is not None
        service.data.rename(data / "new")
        assert service.process.wait(30) == 1
        service.process = None
        assert "was moved" in (data / "new" / "up.log").read_text()
        with running_service(data / "new") as again:
            found = Group(again, REPLICATED, "moved")
            found.mark = group.mark
            become_whole(found)
            assert again.engine_pids() == before
            assert found.kept_its_mark()


# --- frozen --------------------------------------------------------------------------------------------------------


def test_a_service_that_was_frozen_goes_on_as_if_nothing_had_been(service: Service) -> None:
    group = whole(service, REPLICATED, "frozen")
    group.put_mark("before")
    (host, port), _, _ = endpoints(group)
    before = service.engine_pids()
    assert service.process is not None
    service.process.send_signal(signal.SIGSTOP)
    try:
        with closing(redis.Redis(host, port, socket_timeout=2)) as client:
            assert client.set("while", "frozen")
        begun = time.monotonic()
        wait_for("three seconds have passed", lambda: time.monotonic() - begun > 3)
    finally:
        service.process.send_signal(signal.SIGCONT)
    become_whole(group)
    assert service.engine_pids() == before
    assert group.kept_its_mark()
    group.kill_one()
    become_whole(group)
    assert group.kept_its_mark()


def test_a_primary_that_died_while_the_service_was_frozen_is_succeeded_afterwards(service: Service) -> None:
    group = whole(service, REPLICATED, "frozen")
    group.put_mark("before")
    (host, port), _, _ = endpoints(group)
    killed = service.pid_of("frozen-001")
    assert service.process is not None
    service.process.send_signal(signal.SIGSTOP)
    try:
        os.kill(killed, signal.SIGKILL)
        wait_for("nobody serves", lambda: not _accepts(host, port))
    finally:
        service.process.send_signal(signal.SIGCONT)
    become_whole(group)
    assert group.kept_its_mark()
    found = describe(service.client(), "frozen")
    assert found is not None
    roles = {member["CacheClusterId"]: member["CurrentRole"] for member in found["NodeGroups"][0]["NodeGroupMembers"]}
    assert roles["frozen-001"] == "replica"


def _accepts(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), 1):
            return True
    except OSError:
        return False
