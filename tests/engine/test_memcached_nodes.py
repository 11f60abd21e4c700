"""Memcached nodes come and go under a client that follows auto discovery: it sees misses, and nothing else."""

from __future__ import annotations

import threading
from contextlib import closing
from typing import Any

import pytest
from pymemcache.client.base import Client as Memcached
from pymemcache.client.hash import HashClient
from pymemcache.exceptions import MemcacheError

from cachefleet.model.group import Engine
from tests.engine.engine_processes import build_of
from tests.engine.groups import address, await_cluster, cache_cluster
from tests.engine.test_memcached import discovered, places, version_of
from tests.fixtures.service import Service, wait_for


@pytest.fixture(autouse=True)
def memcached() -> None:
    build_of(Engine.MEMCACHED, "1.6")


def listed(where: tuple[str, int]) -> set[tuple[str, int]]:
    """Which nodes the configuration endpoint tells of."""
    line = discovered(where).splitlines()[2].decode()
    return {(host, int(port)) for host, _, port in (node.split("|") for node in line.split())}


class Follower:
    """Sets and gets keys without a pause over the nodes that it last discovered, which it asks for again all the time."""

    def __init__(self, endpoint: tuple[str, int]) -> None:
        self._endpoint = endpoint
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.errors: list[str] = []
        self.hits = 0
        self.nodes: set[tuple[str, int]] = set()

    def __enter__(self) -> Follower:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join(10)

    def _run(self) -> None:
        number = 0
        client = None
        while not self._stop.is_set():
            try:
                nodes = listed(self._endpoint)
                if nodes != self.nodes or client is None:
                    if client is not None:
                        client.close()
                    client = HashClient(sorted(nodes), connect_timeout=1, timeout=1, retry_attempts=0, use_pooling=False)
                    self.nodes = nodes
                for _ in range(50):
                    number += 1
                    assert client.set(f"key:{number % 500}", str(number), noreply=False)
                    self.hits += client.get(f"key:{number * 7 % 500}") is not None
            except (OSError, MemcacheError, AssertionError) as error:
                self.errors.append(f"{type(error).__name__}: {error}")
                self._stop.wait(0.01)
        if client is not None:
            client.close()


def test_nodes_come_and_go_under_a_client_that_follows_the_list(service: Service, elasticache: Any) -> None:
    with cache_cluster(elasticache, "mcn", Engine="memcached", NumCacheNodes=2) as cluster:
        endpoint = address(cluster["ConfigurationEndpoint"])
        before = version_of(endpoint)
        with Follower(endpoint) as follower:
            wait_for("the client has hits", lambda: follower.hits > 100)
            shown = elasticache.modify_cache_cluster(CacheClusterId="mcn", NumCacheNodes=4, ApplyImmediately=True)
            assert shown["CacheCluster"]["CacheClusterStatus"] == "modifying"
            grown = await_cluster(elasticache, "mcn")
            assert version_of(endpoint) > before and listed(endpoint) == set(places(grown))
            wait_for("the client uses all four", lambda: follower.nodes == set(places(grown)))
            before, hits = version_of(endpoint), follower.hits
            leaving = places(grown)[:2]
            elasticache.modify_cache_cluster(
                CacheClusterId="mcn", NumCacheNodes=2, CacheNodeIdsToRemove=["0001", "0002"], ApplyImmediately=True
            )
            wait_for("the list is without them", lambda: not set(leaving) & listed(endpoint))
            for where in leaving:  # who has not asked since is still served
                with closing(Memcached(where, connect_timeout=1, timeout=1)) as client:
                    assert client.set("late", "1", noreply=False)
            left = await_cluster(elasticache, "mcn")
            wait_for("the client goes on", lambda: follower.hits > hits + 200)
        assert follower.errors == []
        assert (version_of(endpoint), listed(endpoint)) == (before + 1, set(places(left)))
        assert [node["CacheNodeId"] for node in left["CacheNodes"]] == ["0003", "0004"]
        assert sum(".mcn." in name for name in service.engine_pids().values()) == 3
        messages = [event["Message"] for event in elasticache.describe_events(SourceIdentifier="mcn")["Events"]]
        assert messages[:2] == ["Finished modifying number of nodes from 4 to 2", "Removed cache nodes 0001, 0002"]
        for message in ("Increasing number of requested nodes", "Finished modifying number of nodes from 2 to 4"):
            assert messages.count(message) == 1
        assert sum(message.startswith("Added cache node") for message in messages) == 4
