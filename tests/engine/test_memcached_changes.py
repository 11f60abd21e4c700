"""Memcached clusters of another node type, version and number of nodes, at once, in portions and in the maintenance window,
under a client that follows auto discovery: it sees misses, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pymemcache.client.base import Client as Memcached

from cachefleet.model.group import Engine
from tests.engine.clocked_service import HOUR_S, clocked_service, move_clock, pending, stays, window_in
from tests.engine.engine_processes import build_of
from tests.engine.groups import address, await_cluster, cache_cluster, describe_cluster
from tests.engine.test_memcached import places, version_of
from tests.engine.test_memcached_nodes import Follower, listed
from tests.fixtures.machine import data_folder
from tests.fixtures.service import Service, wait_for

SMALL = "cache.t4g.small"  # as many threads as cache.t4g.micro
ONE_THREAD = "cache.t2.small"
MINUTE_S = 60


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """Two versions of Memcached are installed: the machine's, and the same that calls itself the next."""
    build = build_of(Engine.MEMCACHED, "1.6")
    with data_folder() as folder:
        newer = folder / "memcached"
        newer.write_bytes(Path(build.binary).read_bytes().replace(build.version.encode(), next_version().encode()))
        newer.chmod(0o755)
        folder.chmod(0o755)
        with clocked_service(engines_binaries=str(newer), control_discovery_grace_s="1") as made:
            yield made


def next_version() -> str:
    major, minor, patch = build_of(Engine.MEMCACHED, "1.6").version.split(".")
    return f"{major}.{minor}.{int(patch) + 1}"


def stats(where: tuple[str, int]) -> dict[str, str]:
    with closing(Memcached(where, connect_timeout=1, timeout=1)) as client:
        return {str(name, "ascii"): str(value) for name, value in client.stats().items()}


def put(where: tuple[str, int]) -> None:
    with closing(Memcached(where, connect_timeout=1, timeout=1)) as client:
        assert client.set("kept", "1", noreply=False)


def has(where: tuple[str, int]) -> bool:
    with closing(Memcached(where, connect_timeout=1, timeout=1)) as client:
        return client.get("kept") is not None


def megabytes(where: tuple[str, int]) -> int:
    return int(stats(where)["limit_maxbytes"]) >> 20


def messages(elasticache: Any, cluster: str) -> list[str]:
    return [event["Message"] for event in elasticache.describe_events(SourceIdentifier=cluster, Duration=600)["Events"]]


def test_another_node_type_in_place(service: Service, elasticache: Any) -> None:
    with cache_cluster(elasticache, "mct", Engine="memcached", NumCacheNodes=2) as cluster:
        endpoint, nodes = address(cluster["ConfigurationEndpoint"]), places(cluster)
        before, pids = version_of(endpoint), service.engine_pids()
        put(nodes[0])
        with Follower(endpoint) as follower:
            wait_for("the client has hits", lambda: follower.hits > 100)
            shown = elasticache.modify_cache_cluster(CacheClusterId="mct", CacheNodeType=SMALL, ApplyImmediately=True)
            assert shown["CacheCluster"]["CacheClusterStatus"] == "modifying"
            assert await_cluster(elasticache, "mct")["CacheNodeType"] == SMALL
            assert [megabytes(where) for where in nodes] == [1302, 1302]
            hits = follower.hits
            wait_for("the client goes on", lambda: follower.hits > hits + 100)
        assert follower.errors == []
        assert (version_of(endpoint), service.engine_pids()) == (before, pids)
        assert has(nodes[0])
        elasticache.modify_cache_cluster(CacheClusterId="mct", CacheNodeType="cache.t4g.micro", ApplyImmediately=True)
        await_cluster(elasticache, "mct")
        assert ([megabytes(where) for where in nodes], service.engine_pids()) == ([412, 412], pids)
        assert messages(elasticache, "mct")[1] == f"Succeeded applying modification to cache node type to {SMALL}."


@pytest.mark.parametrize("count", [3, 1])
def test_another_number_of_threads_node_by_node(service: Service, elasticache: Any, count: int) -> None:
    name = f"mcu{count}"
    with cache_cluster(elasticache, name, Engine="memcached", NumCacheNodes=count) as cluster:
        endpoint, nodes = address(cluster["ConfigurationEndpoint"]), places(cluster)
        before, least = version_of(endpoint), count
        with Follower(endpoint) as follower:
            wait_for("the client has hits", lambda: follower.hits > 100)
            elasticache.modify_cache_cluster(CacheClusterId=name, CacheNodeType=ONE_THREAD, ApplyImmediately=True)

            def done() -> bool:
                nonlocal least
                least = min(least, len(listed(endpoint)))
                shown = describe_cluster(elasticache, name)
                assert shown is not None and len(shown["CacheNodes"]) == count
                return bool(shown["CacheClusterStatus"] == "available")

            wait_for("every node was launched anew", done, 60)
            hits = follower.hits
            wait_for("the client goes on", lambda: follower.hits > hits + 100)
        assert follower.errors == []
        assert listed(endpoint) == set(nodes)
        assert [stats(where)["threads"] for where in nodes] == ["1"] * count
        assert least == max(1, count - 1)
        assert version_of(endpoint) >= before + 2 * count
        told = messages(elasticache, name)
        assert told.count(f"Succeeded applying modification to cache node type to {ONE_THREAD}.") == 1
        assert sum(message.startswith(("Added", "Removed")) for message in told) == count


@pytest.mark.parametrize("count", [2, 1])
def test_another_version_node_by_node(service: Service, elasticache: Any, count: int) -> None:
    name = f"mcv{count}"
    old = build_of(Engine.MEMCACHED, "1.6").version
    with cache_cluster(elasticache, name, Engine="memcached", EngineVersion=old, NumCacheNodes=count) as cluster:
        endpoint, nodes = address(cluster["ConfigurationEndpoint"]), places(cluster)
        put(nodes[0])
        with Follower(endpoint) as follower:
            wait_for("the client has hits", lambda: follower.hits > 100)
            elasticache.modify_cache_cluster(CacheClusterId=name, EngineVersion=next_version(), ApplyImmediately=True)
            assert await_cluster(elasticache, name, 60)["EngineVersion"] == next_version()
            hits = follower.hits
            wait_for("the client goes on", lambda: follower.hits > hits + 100)
        assert follower.errors == []
        assert listed(endpoint) == set(nodes)
        assert {stats(where)["version"] for where in nodes} == {f"b'{next_version()}'"}
        assert not has(nodes[0])  # an upgrade flushes


def test_another_node_type_in_portions(service: Service, elasticache: Any) -> None:
    with cache_cluster(elasticache, "mcs", Engine="memcached", NumCacheNodes=3) as cluster:
        nodes = places(cluster)
        scale = {"ScalePercentage": 34, "ScaleIntervalMinutes": 10}
        elasticache.modify_cache_cluster(CacheClusterId="mcs", CacheNodeType=SMALL, ScaleConfig=scale, ApplyImmediately=True)
        for sizes in ([1302, 412, 412], [1302, 1302, 412]):

            def so_far(sizes: list[int] = sizes) -> bool:
                return [megabytes(where) for where in nodes] == sizes

            wait_for("the portion is done", so_far)
            stays("the others wait", so_far)
            shown = describe_cluster(elasticache, "mcs")
            assert shown is not None
            assert (shown["CacheClusterStatus"], shown["PendingModifiedValues"]) == ("modifying", {"ScaleConfig": scale})
            move_clock(service, 11 * MINUTE_S)
        shown = await_cluster(elasticache, "mcs")
        assert ([megabytes(where) for where in nodes], shown["PendingModifiedValues"]) == ([1302] * 3, {})


def test_nodes_wait_for_the_window(service: Service, elasticache: Any) -> None:
    with cache_cluster(
        elasticache, "mcw", Engine="memcached", NumCacheNodes=2, PreferredMaintenanceWindow=window_in(service, 2)
    ) as cluster:
        endpoint = address(cluster["ConfigurationEndpoint"])
        before = listed(endpoint)
        elasticache.modify_cache_cluster(CacheClusterId="mcw", NumCacheNodes=3, CacheNodeType=SMALL)
        waiting = {"NumCacheNodes": 3, "CacheNodeType": SMALL}
        stays(
            "it waits",
            lambda: (pending(elasticache, "mcw"), listed(endpoint)) == (waiting, before),
        )
        with Follower(endpoint) as follower:
            wait_for("the client has hits", lambda: follower.hits > 100)
            move_clock(service, 2 * HOUR_S + MINUTE_S)
            wait_for("it has begun", lambda: pending(elasticache, "mcw") == {})
            shown = await_cluster(elasticache, "mcw")
            assert (shown["NumCacheNodes"], shown["CacheNodeType"]) == (3, SMALL)
            assert [megabytes(where) for where in places(shown)] == [1302] * 3
            assert len(listed(endpoint)) == 3
        assert follower.errors == []
