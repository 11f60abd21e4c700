"""Memcached clusters end to end: nodes, the configuration endpoint, auto discovery, and what happens when processes die."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import django.conf
import pytest
from pymemcache.client.base import Client as Memcached
from pymemcache.exceptions import MemcacheError

from cachefleet.model.group import Engine
from tests.engine.engine_processes import build_of
from tests.engine.groups import address, await_cluster, cache_cluster, describe_cluster
from tests.fixtures.service import Service, wait_for

django.conf.settings.configure(DEBUG=False)
from django_elastipymemcache.client import AWSElastiCacheClient  # noqa: E402 - it reads Django's settings when it is imported

NODES = ["0001", "0002", "0003"]


@pytest.fixture(autouse=True)
def memcached() -> None:
    build_of(Engine.MEMCACHED, "1.6")


@pytest.fixture
def fleet(elasticache: Any) -> Iterator[dict[str, Any]]:
    """A cluster of three nodes."""
    with cache_cluster(elasticache, "mc", Engine="memcached", NumCacheNodes=3) as cluster:
        yield cluster


# The client leaves the socket over which it discovered the nodes to the garbage collector.
leaky_client = pytest.mark.filterwarnings(
    "ignore:.*socket.socket:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


def places(cluster: dict[str, Any]) -> list[tuple[str, int]]:
    return [address(node["Endpoint"]) for node in cluster["CacheNodes"]]


def ask(where: tuple[str, int], request: bytes, end: bytes) -> bytes:
    """Everything that is answered up to and including `end`."""
    with socket.create_connection(where, 2) as connection:
        connection.settimeout(2)
        connection.sendall(request)
        answer = b""
        while not answer.endswith(end):
            piece = connection.recv(4096)
            assert piece, f"the connection was ended after {answer!r}"
            answer += piece
        return answer


def discovered(where: tuple[str, int]) -> bytes:
    return ask(where, b"config get cluster\r\n", b"END\r\n")


def listing(cluster: dict[str, Any], version: int) -> bytes:
    """The list as ElastiCache words it: the version, then host|address|port of each node."""
    nodes = " ".join(f"{host}|{host}|{port}" for host, port in sorted(places(cluster)))
    return f"{version}\n{nodes}\n".encode()


def takes(where: tuple[str, int]) -> bool:
    try:
        with closing(Memcached(where, connect_timeout=1, timeout=1)) as client:
            return bool(client.set("probe", "1", noreply=False))
    except (OSError, MemcacheError):
        return False


def version_of(where: tuple[str, int]) -> int:
    return int(discovered(where).splitlines()[1])


def test_every_node_answers_for_itself(fleet: dict[str, Any]) -> None:
    assert [node["CacheNodeId"] for node in fleet["CacheNodes"]] == NODES
    assert fleet["NumCacheNodes"] == 3
    assert {port for _, port in places(fleet)} == {11211}
    assert len(set(places(fleet))) == 3
    for number, where in enumerate(places(fleet)):
        with closing(Memcached(where, connect_timeout=1, timeout=1)) as client:
            assert client.set("number", str(number), noreply=False)
    for number, where in enumerate(places(fleet)):
        with closing(Memcached(where, connect_timeout=1, timeout=1)) as client:
            assert client.get("number") == str(number).encode()
            assert client.version().decode() == fleet["EngineVersion"]


def test_the_configuration_endpoint_lists_the_nodes_in_the_exact_words(fleet: dict[str, Any]) -> None:
    where = address(fleet["ConfigurationEndpoint"])
    assert where not in places(fleet)
    payload = listing(fleet, version_of(where))
    size = len(payload)
    assert discovered(where) == b"CONFIG cluster 0 %d\r\n%s\r\nEND\r\n" % (size, payload)
    older = ask(where, b"get AmazonElastiCache:cluster\r\n", b"END\r\n")
    assert older == b"VALUE AmazonElastiCache:cluster 0 %d\r\n%s\r\nEND\r\n" % (size, payload)


def test_other_commands_at_the_configuration_endpoint_reach_a_node(fleet: dict[str, Any]) -> None:
    endpoint = address(fleet["ConfigurationEndpoint"])
    with closing(Memcached(endpoint, connect_timeout=1, timeout=1)) as client:
        assert client.set("through", "the endpoint", noreply=False)
        assert client.get("through") == b"the endpoint"
        assert client.version().decode() == fleet["EngineVersion"]
    held = []
    for where in places(fleet):
        with closing(Memcached(where, connect_timeout=1, timeout=1)) as client:
            held.append(client.get("through"))
    assert sorted(held, key=bool) == [None, None, b"the endpoint"]


@leaky_client
def test_an_auto_discovery_client_spreads_keys_over_all_nodes(fleet: dict[str, Any]) -> None:
    host, port = address(fleet["ConfigurationEndpoint"])
    with closing(AWSElastiCacheClient(f"{host}:{port}", connect_timeout=1, timeout=1)) as client:
        assert {tuple(server) for server in (node.server for node in client.clients.values())} == set(places(fleet))
        for number in range(60):
            assert client.set(f"key:{number}", str(number), noreply=False)
        assert [client.get(f"key:{number}") for number in range(60)] == [str(number).encode() for number in range(60)]
    for where in places(fleet):
        with closing(Memcached(where, connect_timeout=1, timeout=1)) as node:
            assert int(node.stats()[b"curr_items"]) > 0


def test_a_killed_node_comes_back_empty_at_its_address_and_the_list_stays(
    service: Service, elasticache: Any, fleet: dict[str, Any]
) -> None:
    endpoint, where = address(fleet["ConfigurationEndpoint"]), places(fleet)[1]
    before = discovered(endpoint)
    with closing(Memcached(where, connect_timeout=1, timeout=1)) as client:
        assert client.set("lost", "1", noreply=False)
    killed = service.pid_of("mc.0002")
    os.kill(killed, signal.SIGKILL)
    wait_for("the node takes writes again", lambda: takes(where))
    assert service.pid_of("mc.0002") != killed
    with closing(Memcached(where, connect_timeout=1, timeout=1)) as client:
        assert client.get("lost") is None
    healed = await_cluster(elasticache, "mc")
    assert places(healed) == places(fleet)
    assert discovered(endpoint) == before


def test_a_killed_configuration_endpoint_comes_back_with_the_same_list(service: Service, fleet: dict[str, Any]) -> None:
    endpoint = address(fleet["ConfigurationEndpoint"])
    before = discovered(endpoint)
    os.kill(service.pid_of("mc.discovery"), signal.SIGKILL)

    def again() -> bool:
        try:
            return discovered(endpoint) == before
        except (OSError, AssertionError):
            return False

    wait_for("the endpoint lists the nodes again", again)


@leaky_client
def test_discovery_needs_no_control_plane(service: Service, fleet: dict[str, Any]) -> None:
    endpoint = address(fleet["ConfigurationEndpoint"])
    before = discovered(endpoint)
    pids = service.engine_pids()
    service.kill()
    try:
        assert discovered(endpoint) == before
        host, port = endpoint
        with closing(AWSElastiCacheClient(f"{host}:{port}", connect_timeout=1, timeout=1)) as client:
            assert client.set("while", "down", noreply=False)
            assert client.get("while") == b"down"
    finally:
        service.start()
    await_cluster(service.client(), "mc")
    assert service.engine_pids() == pids
    assert discovered(endpoint) == before


def test_a_reboot_of_one_node_leaves_the_others_alone(service: Service, elasticache: Any, fleet: dict[str, Any]) -> None:
    for where in places(fleet):
        with closing(Memcached(where, connect_timeout=1, timeout=1)) as client:
            assert client.set("kept", "1", noreply=False)
    before = service.engine_pids()
    rebooted = service.pid_of("mc.0003")
    reply = elasticache.reboot_cache_cluster(CacheClusterId="mc", CacheNodeIdsToReboot=["0003"])
    assert reply["CacheCluster"]["CacheClusterStatus"] == "rebooting cluster nodes"
    wait_for("another process serves the node", lambda: rebooted not in service.engine_pids())
    after = await_cluster(elasticache, "mc")
    assert {pid for pid in before if pid != rebooted} < set(service.engine_pids())
    assert len(service.engine_pids()) == len(before)
    kept = []
    for where in places(after):
        with closing(Memcached(where, connect_timeout=1, timeout=1)) as client:
            kept.append(client.get("kept"))
    assert kept == [b"1", b"1", None]
    messages = [event["Message"] for event in elasticache.describe_events(SourceIdentifier="mc")["Events"]]
    assert messages[:2] == ["Cache node 0003 restarted", "Cache node 0003 shutdown"]


def test_a_deleted_cluster_leaves_nothing(service: Service, elasticache: Any) -> None:
    with cache_cluster(elasticache, "mcgone", Engine="memcached", NumCacheNodes=2) as cluster:
        endpoint = address(cluster["ConfigurationEndpoint"])
        assert sum(".mcgone." in name for name in service.engine_pids().values()) == 3
    assert not any(".mcgone." in name for name in service.engine_pids().values())
    assert not [folder for folder in (service.data / "nodes").iterdir() if ".mcgone." in folder.name]
    for where in (endpoint, *places(cluster)):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(where, 1)
    assert describe_cluster(elasticache, "mcgone") is None
