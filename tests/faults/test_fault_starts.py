"""Nodes that cannot start: strangers on their addresses, engines that die at each start; frozen nodes that nobody succeeds."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from pymemcache.client.base import Client as Memcached
from pymemcache.exceptions import MemcacheError

from cachefleet.engines.catalogue import InstalledEngines
from cachefleet.model.group import Engine
from cachefleet.settings import EngineSettings
from tests.engine.groups import address, cache_cluster
from tests.faults.shard import Shard, frozen, made_shard
from tests.fixtures.machine import data_folder
from tests.fixtures.service import Service, running_service, wait_for
from tests.traffic.writer import EndpointWriter

BUSY_LIMIT_S = 3.0
# Stands in front of an engine: kills it at its start, or half a second later, while a file beside it names the node.
FRAGILE = """#!/bin/sh
case "$PWD" in *."$(cat {folder}/dies 2>/dev/null || echo nobody)".*) echo "broken on purpose"; exit 3;; esac
case "$PWD" in *."$(cat {folder}/falls 2>/dev/null || echo nobody)".*) (sleep 0.5; kill -9 $$) & ;; esac
exec {engine} "$@"
"""


@pytest.fixture(scope="module")
def fragile() -> Iterator[Path]:
    """The folder of an engine that dies on demand."""
    with data_folder() as folder:
        build = InstalledEngines(EngineSettings()).resolve(Engine.VALKEY, None)
        assert build is not None
        program = folder / "valkey-server"
        program.write_text(FRAGILE.format(folder=shlex.quote(str(folder)), engine=shlex.quote(build.binary)))
        program.chmod(0o700)
        yield folder


@pytest.fixture(scope="module")
def service(fragile: Path) -> Iterator[Service]:
    with data_folder() as data, running_service(data, start=False) as made:
        made.start(
            environment={
                "CACHEFLEET_ENGINES_BINARIES": str(fragile / "valkey-server"),
                "CACHEFLEET_CONTROL_BUSY_LIMIT_S": str(BUSY_LIMIT_S),
            }
        )
        yield made


@pytest.fixture(scope="module")
def pair(service: Service) -> Iterator[Shard]:
    with made_shard(service, "pair", 2) as made:
        yield made


# --- strangers -----------------------------------------------------------------------------------------------------


def starts_told(shard: Shard, node: str) -> list[str]:
    return [message for message in shard.events(node) if "failed to start" in message]


@contextmanager
def stranger(where: tuple[str, int]) -> Iterator[None]:
    """Listens there and never answers."""
    with closing(socket.socket()) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        wait_for("the address is free", lambda: bound(sock, where), 10)
        sock.listen()
        yield


def bound(sock: socket.socket, where: tuple[str, int]) -> bool:
    try:
        sock.bind(where)
    except OSError:
        return False
    return True


def test_a_node_whose_address_a_stranger_took_moves_to_another(pair: Shard) -> None:
    victim, where = pair.replicas[0], pair.address_of(pair.replicas[0])
    pid = pair.pid_of(victim)
    pair.put("kept", "yes")
    with pair.service_paused():
        os.kill(pid, signal.SIGKILL)
        squatter = ExitStack()
        squatter.enter_context(stranger(where))
    with squatter:
        wait_for("it has another address", lambda: pair.address_of(victim) not in (where, ("", 0)), 20)
        pair.heal()
        assert pair.get("kept", pair.address_of(victim)) == "yes"
    assert any("Failed listening on port 6379" in message for message in starts_told(pair, victim))


def test_an_endpoint_that_a_stranger_took_serves_again_when_it_is_free(pair: Shard) -> None:
    pair.put("kept", "yes")
    old, heir = pair.primary, pair.address_of(pair.replicas[0])
    pid = pair.pid_of(old)
    with pair.service_paused():
        os.kill(pid, signal.SIGKILL)
        squatter = ExitStack()
        squatter.enter_context(stranger(pair.primary_endpoint))
    with squatter:
        wait_for("the heir has the role, at its own address", lambda: pair.role_at(heir) == "master", 10)
        assert not pair.takes_writes()
    wait_for("it serves", pair.takes_writes, 15)
    pair.heal()
    assert pair.get("kept") == "yes"


# --- crash loops ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("how", "failures", "least_s"), [("dies", 3, 1.0), ("falls", 2, 0.5)])
def test_a_crash_loop_backs_off_says_why_and_leaves_the_others_alone(
    pair: Shard, fragile: Path, how: str, failures: int, least_s: float
) -> None:
    victim, primary = pair.replicas[0], pair.primary
    before = len(starts_told(pair, victim))
    with EndpointWriter(*pair.primary_endpoint) as writer:
        began = time.monotonic()
        (fragile / how).write_text(victim)
        pair.kill(victim)
        wait_for("its failures are told", lambda: len(starts_told(pair, victim)) >= before + failures, 20)
        took_s = time.monotonic() - began
        assert pair.status_of(victim) != "available"
        assert pair.role_at(pair.reader_endpoint) == "master", "with no replica it leads to the primary"
        writer.await_writes(20)
        (fragile / how).unlink()
        pair.heal()
    assert took_s >= least_s, "waits lie between them"
    assert writer.errors == []
    assert pair.primary == primary
    words = "broken on purpose" if how == "dies" else "SIGKILL"
    assert any(words in message for message in starts_told(pair, victim)[before:])


# --- frozen nodes that nobody can succeed --------------------------------------------------------------------------


def test_a_frozen_node_that_nobody_can_succeed_is_replaced_only_after_its_longer_limit(service: Service) -> None:
    """Its data would be gone, so it gets its time."""
    api = service.client()
    with made_shard(service, "lonely", 1) as lonely, cache_cluster(api, "mem", Engine="memcached", NumCacheNodes=2) as cluster:
        lonely.put("kept", "yes")
        places = [address(node["Endpoint"]) for node in cluster["CacheNodes"]]
        keep(places)
        pids = lonely.pid_of("lonely-001"), service.pid_of("mem.0001")
        with frozen(pids[0]), frozen(pids[1]):
            began = time.monotonic()
            while time.monotonic() - began < BUSY_LIMIT_S / 2:
                assert kept(places[1]), "the other node serves"
        wait_for("both answer", lambda: lonely.takes_writes() and kept(places[0]), 5)
        assert lonely.get("kept") == "yes"
        with frozen(pids[0]), frozen(pids[1]):
            wait_for("both are replaced", lambda: replaced(lonely, service, pids), BUSY_LIMIT_S + 10)
        lonely.heal()
        wait_for("the Memcached node serves", lambda: holds(places[0], None), 10)
        assert lonely.get("kept") is None
        assert kept(places[1])


def test_a_frozen_configuration_endpoint_is_replaced(service: Service) -> None:
    with cache_cluster(service.client(), "found", Engine="memcached", NumCacheNodes=1) as cluster:
        where = address(cluster["ConfigurationEndpoint"])
        pid = service.pid_of("found.discovery")
        with frozen(pid):
            wait_for("another serves", lambda: pid not in service.engine_pids() and holds(where, None), BUSY_LIMIT_S + 10)


def replaced(lonely: Shard, service: Service, pids: tuple[int, int]) -> bool:
    return not set(pids) & set(service.engine_pids()) and lonely.takes_writes()


def keep(places: list[tuple[str, int]]) -> None:
    for place in places:
        with closing(Memcached(place, connect_timeout=1, timeout=1)) as client:
            assert client.set("kept", "yes", noreply=False)


def kept(place: tuple[str, int]) -> bool:
    return holds(place, b"yes")


def holds(place: tuple[str, int], value: Any) -> bool:
    try:
        with closing(Memcached(place, connect_timeout=1, timeout=1)) as client:
            return bool(client.get("kept") == value)
    except (OSError, MemcacheError):
        return False
