"""What `cachefleet insight` finds out about a real group under traffic, through the API and the command line."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis

from cachefleet.app.installation import Installation
from cachefleet.cli.public_api import Refused, insight
from cachefleet.insight.shards import FULL
from tests.engine.groups import address, delete_cluster, describe_cluster, replication_group
from tests.fixtures.iam_tokens import require_compiler
from tests.fixtures.operator import as_operator
from tests.fixtures.service import CACHEFLEET, Service, wait_for


def asked(service: Service, method: str, **parameters: str) -> Any:
    installation = Installation(service.data)
    running = installation.service()
    assert running is not None
    return insight(running, installation.credentials(), method, **parameters)


def found(service: Service, group: str) -> Any:
    def done() -> Any:
        told = asked(service, "GET", group=group)
        return told if told["state"] in ("done", "failed") else None

    return wait_for(f"{group} was looked at", done, 60)


@contextmanager
def traffic(host: str, port: int) -> Iterator[None]:
    """One key gets a quarter of all reads; all reads hit."""
    stop = threading.Event()

    def body() -> None:
        with redis.Redis(host, port, socket_timeout=10) as client:
            number = 0
            while not stop.is_set():
                pipe = client.pipeline(transaction=False)
                for _ in range(100):
                    number += 1
                    pipe.get("page:home" if number % 4 == 0 else f"user:{number * 7919 % 3000}:cart")
                pipe.execute()
                stop.wait(0.005)

    with redis.Redis(host, port) as client:
        client.mset({f"user:{number}:cart": "x" * 100 for number in range(3000)})
        client.set("page:home", "home")
        client.hset("report:2024", mapping={str(number): "y" * 1000 for number in range(2000)})
    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(20)


@pytest.mark.parametrize(("engine", "version", "nodes"), [("valkey", "9.1", 2), ("redis", "6.2", 1)])
def test_a_group_tells_which_keys_are_used_and_what_other_sizes_would_do(
    service: Service, elasticache: Any, engine: str, version: str, nodes: int
) -> None:
    require_compiler()
    name = f"insight-{engine}"
    with replication_group(elasticache, name, Engine=engine, EngineVersion=version, NumCacheClusters=nodes) as group:
        host, port = address(group["NodeGroups"][0]["PrimaryEndpoint"])
        with traffic(host, port):
            words = [CACHEFLEET, "insight", name, "--seconds", "3", "--json", "--data", str(service.data)]
            told = subprocess.run(words, capture_output=True, text=True, timeout=120, check=True).stdout
        report = json.loads(told)["report"]
        assert report["missing"] == []
        assert report["hot"][0]["name"] == "page:home"
        assert report["hot"][0]["share"] > 0.1
        trace, keyspace = report["trace"], report["keyspace"]
        assert (trace["hit_rate"], trace["dropped"], trace["evicting"]) == (1.0, 0, False)
        assert {point["times"]: point["hit_rate"] for point in trace["points"]}[4.0] == 1.0
        assert keyspace["keys"] == 3002
        assert keyspace["looked_at"] > 0
        assert {one["name"] for one in keyspace["types"]} <= {"string", "hash"}
        assert keyspace["prefixes"][0]["name"] in ("user:", "user:*:", "user:*:cart", "report:")
        if nodes == 1:
            return
        words = [CACHEFLEET, "insight", name, "--seconds", "1", "--data", str(service.data)]
        shown = subprocess.run(words, capture_output=True, text=True, timeout=120, check=True).stdout
        assert "No key was read" in shown
        assert "Memory by type" in shown


def test_nothing_is_left_on_when_the_service_is_killed_while_it_looks(service: Service, elasticache: Any) -> None:
    require_compiler()
    with replication_group(elasticache, "insight-kill", NumCacheClusters=1) as group:
        host, port = address(group["NodeGroups"][0]["PrimaryEndpoint"])
        with redis.Redis(host, port, **as_operator((host, port))) as ours:

            def is_on() -> bool:
                try:
                    return bool(ours.execute_command("CACHEFLEET.TRACE", "RATE", FULL))
                except redis.ResponseError as error:
                    assert "nothing is traced" in str(error)
                    return False

            asked(service, "POST", group="insight-kill", seconds="600")
            wait_for("the node is traced", is_on)
            service.kill()
            try:
                wait_for("it has ended by itself", lambda: not is_on())
            finally:
                service.start()
            wait_for("the next one begins anew", is_on)


def test_what_cannot_be_looked_at_is_refused_in_words(service: Service, elasticache: Any) -> None:
    for method, parameters, words in (
        ("GET", {"group": "nobody"}, "no replication group or cluster nobody"),
        ("POST", {"group": "nobody"}, "no replication group or cluster nobody"),
        ("POST", {"group": "nobody", "seconds": "0"}, "no replication group"),
        ("POST", {"name": "x"}, "'name' is no parameter"),
    ):
        with pytest.raises(Refused, match=words):
            asked(service, method, **parameters)
    elasticache.create_cache_cluster(
        CacheClusterId="insight-mc", Engine="memcached", CacheNodeType="cache.t4g.micro", NumCacheNodes=1
    )
    with pytest.raises(Refused, match="Memcached tells neither"):
        asked(service, "POST", group="insight-mc")
    assert asked(service, "GET")["advice"] == []
    assert describe_cluster(elasticache, "insight-mc") is not None
    wait_for("it is there", lambda: (describe_cluster(elasticache, "insight-mc") or {})["CacheClusterStatus"] == "available")
    delete_cluster(elasticache, "insight-mc")
