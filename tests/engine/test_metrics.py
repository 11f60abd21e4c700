"""Known traffic, and what is measured of it: on real engines, by real clients."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import redis
from prometheus_client.parser import text_string_to_metric_families
from redis.backoff import NoBackoff
from redis.retry import Retry

from cachefleet.metrics.blocks import decoded, joined
from cachefleet.metrics.values import Value, merged
from cachefleet.model.metric import NODES, Series
from cachefleet.model.resource import Scope
from cachefleet.store import open_metric_store
from tests.component.telemetry.test_dashboard import asked_names, sample_names
from tests.fixtures.service import Service, running_service, wait_for

SCOPE = Scope("000000000000", "local-1")
EVERY_SECOND = [{"Key": "cachefleet:metrics-interval-s", "Value": "1"}]


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with tempfile.TemporaryDirectory(prefix="cachefleet-test-") as folder, running_service(Path(folder)) as running:
        yield running


def measured(service: Service, **dimensions: str) -> dict[str, Value]:
    """All that was measured so far, by name."""

    async def body() -> dict[str, Value]:
        store = await open_metric_store(f"sqlite+aiosqlite:///{service.data}/metrics.db")
        try:
            series = Series(SCOPE.account, SCOPE.region, NODES, tuple(sorted(dimensions.items())))
            blocks = await store.blocks([series], 60, 0, 1 << 40)
            columns = joined(decoded(block.data) for block in blocks)
            return {name.name: merged(column.values()) for name, column in columns.items()}
        finally:
            await store.close()

    return asyncio.run(body())


def counted(service: Service, expected: Mapping[str, float], **dimensions: str) -> None:
    """Waits until the sums of all that was measured are these; they are told as they were when that does not come true."""
    found: dict[str, Any] = {}

    def agrees() -> bool:
        values = measured(service, **dimensions)
        found.update({name: values[name].total if name in values else None for name in expected})
        return found == dict(expected)

    try:
        wait_for("the sums are right", agrees, 40)
    except AssertionError:
        assert found == dict(expected)
        raise


def test_every_count_is_exactly_that_of_the_traffic(service: Service) -> None:
    api = service.client()
    api.create_replication_group(
        ReplicationGroupId="shop",
        ReplicationGroupDescription="d",
        Engine="valkey",
        CacheNodeType="cache.t4g.micro",
        NumCacheClusters=2,
        Tags=EVERY_SECOND,
    )

    def group() -> Any:
        return api.describe_replication_groups(ReplicationGroupId="shop")["ReplicationGroups"][0]

    wait_for("the group is available", lambda: group()["Status"] == "available", 60)
    at = group()["NodeGroups"][0]["PrimaryEndpoint"]
    with redis.Redis(at["Address"], at["Port"], retry=Retry(NoBackoff(), 0)) as client:
        pipe = client.pipeline(transaction=False)
        for number in range(700):
            pipe.set(f"key-{number}", number, ex=3600 if number < 50 else None)
        for number in range(1000):
            pipe.get(f"key-{number}")
        for number in range(20):
            pipe.hset("hash", str(number), "x")
        for number in range(5):
            pipe.zadd("sorted", {str(number): number})
        pipe.delete("key-0", "key-1")
        pipe.execute()
        for _ in range(20):
            with pytest.raises(redis.AuthenticationError):
                client.execute_command("AUTH", "nobody", "wrong")
        with pytest.raises(redis.ResponseError):
            client.execute_command("CONFIG", "GET", "maxmemory")
    expected = {
        "CacheHits": 700,
        "CacheMisses": 300,
        "GetTypeCmds": 1000,
        "SetTypeCmds": 725,
        "StringBasedCmds": 1700,
        "HashBasedCmds": 20,
        "SortedSetBasedCmds": 5,
        "KeyBasedCmds": 1,
        "AuthenticationFailures": 20,
        "CommandAuthorizationFailures": 1,
        "Evictions": 0,
    }
    counted(service, expected, CacheClusterId="shop-001", CacheNodeId="0001")
    primary = measured(service, CacheClusterId="shop-001", CacheNodeId="0001")
    assert (primary["CurrItems"].highest, primary["CurrVolatileItems"].highest) == (700, 48)
    assert (
        primary["IsMaster"].highest,
        measured(service, CacheClusterId="shop-002", CacheNodeId="0001")["IsMaster"].highest,
    ) == (1, 0)
    replica = measured(service, CacheClusterId="shop-002", CacheNodeId="0001")
    assert replica["CacheHits"].total == 0 and replica["ReplicationLag"].lowest == 0
    whole = measured(service, ReplicationGroupId="shop")
    assert 0 <= whole["EngineCPUUtilization"].lowest <= whole["EngineCPUUtilization"].highest <= 100
    assert measured(service, ReplicationGroupId="shop", Role="Replica")["EngineCPUUtilization"].count > 0


def test_memcached_nodes_each_for_itself(service: Service) -> None:
    api = service.client()
    api.create_cache_cluster(
        CacheClusterId="mem", Engine="memcached", NumCacheNodes=2, CacheNodeType="cache.t4g.micro", Tags=EVERY_SECOND
    )

    def cluster() -> Any:
        return api.describe_cache_clusters(CacheClusterId="mem", ShowCacheNodeInfo=True)["CacheClusters"][0]

    wait_for("the cluster is available", lambda: cluster()["CacheClusterStatus"] == "available", 60)
    at = cluster()["CacheNodes"][0]["Endpoint"]
    with socket.create_connection((at["Address"], at["Port"]), timeout=10) as client:
        asked = b"".join(b"set k%d 0 0 1\r\nx\r\n" % number for number in range(10))
        client.sendall(asked + b"".join(b"get k%d\r\n" % number for number in range(15)) + b"delete k1\r\nquit\r\n")
        while client.recv(65536):
            pass
    expected = {"CmdSet": 10, "CmdGet": 15, "GetHits": 10, "GetMisses": 5, "DeleteHits": 1, "NewItems": 10}
    counted(service, expected, CacheClusterId="mem", CacheNodeId="0001")
    assert measured(service, CacheClusterId="mem", CacheNodeId="0002")["CmdGet"].total == 0


def scraped(service: Service, token: str | None = None) -> tuple[int, str]:
    """Status and text of GET /metrics; token: None for that of the data folder."""
    shown = (service.data / "metrics.token").read_text().strip() if token is None else token
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=10)
    try:
        connection.request("GET", "/metrics", headers={"Authorization": f"Bearer {shown}"} if shown else {})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_the_dashboard_asks_for_what_there_is_and_probes_are_answered(service: Service) -> None:
    wait_for("nodes of both engines are scraped", lambda: {"shop-001", "mem.0002"} <= _nodes(scraped(service)[1]), 30)
    text = wait_for("all that it asks for is there", lambda: _without_gaps(scraped(service)[1]), 30)
    found = {sample.name: sample.value for family in text_string_to_metric_families(text) for sample in family.samples}
    assert found["cachefleet_leader"] == 1 and found["cachefleet_engine_processes"] >= 4
    assert found["cachefleet_data_free_bytes"] > 0 and found["cachefleet_event_loop_lag_seconds_count"] > 0
    wait_for("it is ready", lambda: _ready(service) == (200, True, "leads"), 30)  # a lease may be late on a busy machine


def _without_gaps(text: str) -> str:
    """ "" while the dashboard asks for something that it does not have."""
    return "" if asked_names() - sample_names(text) else text


def _ready(service: Service) -> tuple[int, bool, str]:
    """Status, and what GET /readyz says of all and of the control loop."""
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=10)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        told = json.loads(answer.read())
    finally:
        connection.close()
    return answer.status, told["ready"], told["checks"]["control_loop"]


def _nodes(text: str) -> set[str]:
    families = text_string_to_metric_families(text)
    return {sample.labels.get("node", "") for family in families for sample in family.samples}


def test_prometheus_scrapes_every_node_with_the_token_of_the_data_folder(service: Service) -> None:
    assert (service.data / "metrics.token").stat().st_mode & 0o777 == 0o600
    assert [scraped(service, token)[0] for token in ("", "wrong", "é")] == [401, 401, 401]

    def samples() -> dict[tuple[str, str], Any]:
        status, text = scraped(service)
        assert status == 200
        found = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        return {(sample.name, sample.labels.get("node", "")): sample for sample in found}

    wait_for("both groups are scraped", lambda: {"shop-001", "mem.0002"} <= {node for _, node in samples()}, 30)
    found = samples()
    hits = found["cachefleet_node_keyspace_hits_total", "shop-001"]
    assert hits.value == 700
    wanted = {"group": "shop", "shard": "0001", "role": "primary", "zone": "local-1a", "engine": "valkey", "region": "local-1"}
    assert wanted.items() <= hits.labels.items()
    assert found["cachefleet_node_keyspace_hits_total", "mem.0001"].value == 10
    assert found["cachefleet_node_up", "shop-002"].value == 1
    assert found["cachefleet_process_cpu_seconds_total", ""].value > 0
