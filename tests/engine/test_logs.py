"""Slow logs and engine logs of real nodes, read back through CloudWatch Logs' API by boto3."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis

from tests.fixtures.operator import as_operator
from tests.fixtures.service import Service, running_service, wait_for

COMMANDS = int(os.environ.get("CACHEFLEET_TEST_SLOW_COMMANDS", "5000"))
BURSTS = 5
LOG_GROUP = "/caches/shop"
SMALL_FILES = {"CACHEFLEET_LOGS_ENGINE_FILE_BYTES": "4096"}


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with (
        tempfile.TemporaryDirectory(prefix="cachefleet-test-") as folder,
        running_service(Path(folder), start=False) as running,
    ):
        running.start(environment=SMALL_FILES)
        yield running


@pytest.fixture(scope="module")
def node(service: Service) -> tuple[str, int]:
    """Of a cluster of one node, both of whose logs go to LOG_GROUP, with a parameter group of its own."""
    api = service.client()
    (version,) = api.describe_cache_engine_versions(Engine="valkey", DefaultOnly=True)["CacheEngineVersions"]
    api.create_cache_parameter_group(
        CacheParameterGroupName="shop", CacheParameterGroupFamily=version["CacheParameterGroupFamily"], Description="test"
    )
    service.client("logs").create_log_group(logGroupName=LOG_GROUP)
    api.create_cache_cluster(
        CacheClusterId="shop",
        Engine="valkey",
        CacheNodeType="cache.t4g.micro",
        NumCacheNodes=1,
        CacheParameterGroupName="shop",
        LogDeliveryConfigurations=[to_group("slow-log", "json"), to_group("engine-log", "json")],
    )

    def is_delivered() -> bool:
        found = shown(service)
        return {each["Status"] for each in found["LogDeliveryConfigurations"]} == {"active"}

    wait_for("logs are delivered", is_delivered, 60)
    at = shown(service)["CacheNodes"][0]["Endpoint"]
    return at["Address"], at["Port"]


def log_slower_than(service: Service, engine: redis.Redis, microseconds: int) -> None:
    """Whatever becomes of the service: what is set on the engine alone is set back by the next one."""
    name, value = "slowlog-log-slower-than", str(microseconds)
    service.client().modify_cache_parameter_group(
        CacheParameterGroupName="shop", ParameterNameValues=[{"ParameterName": name, "ParameterValue": value}]
    )
    wait_for(f"it logs from {microseconds} us on", lambda: engine.config_get(name)[name] == value)


def to_group(log_type: str, log_format: str, log_group: str = LOG_GROUP) -> dict[str, Any]:
    return {
        "LogType": log_type,
        "DestinationType": "cloudwatch-logs",
        "DestinationDetails": {"CloudWatchLogsDetails": {"LogGroup": log_group}},
        "LogFormat": log_format,
    }


def shown(service: Service) -> Any:
    (found,) = service.client().describe_cache_clusters(CacheClusterId="shop", ShowCacheNodeInfo=True)["CacheClusters"]
    return found


def messages(service: Service, log_type: str, pattern: str = "") -> list[dict[str, Any]]:
    """All that were delivered."""
    logs, stream = service.client("logs"), f"elasticache/valkey/shop/0001/{log_type}"
    if not logs.describe_log_streams(logGroupName=LOG_GROUP, logStreamNamePrefix=stream)["logStreams"]:
        return []  # it is made with the first delivery
    pages = logs.get_paginator("filter_log_events").paginate(
        logGroupName=LOG_GROUP, logStreamNames=[stream], filterPattern=pattern
    )
    return [msgspec.json.decode(event["message"]) for page in pages for event in page["events"]]


def test_each_slow_command_is_delivered_once_whatever_becomes_of_the_service(service: Service, node: tuple[str, int]) -> None:
    """In bursts; the service is killed and started again in the middle of them."""
    engine = redis.Redis(*node, **as_operator(node))
    client = redis.Redis(*node, client_name="shopper")
    log_slower_than(service, engine, 0)
    try:
        for burst in range(BURSTS):
            if burst == BURSTS // 2:
                service.kill()
            with client.pipeline(transaction=False) as pipe:
                for number in range(COMMANDS // BURSTS):
                    pipe.set(f"secret-{burst}-{number}", "value")
                pipe.execute()
            if burst == BURSTS // 2:
                service.start(environment=SMALL_FILES)
    finally:
        newest = engine.slowlog_get(1)[0]["id"]
        log_slower_than(service, engine, 10_000)
        client.close()
        engine.close()
    last = f"{{ $.Id = {newest} }}"
    wait_for("every command is delivered", partial(messages, service, "slow-log", last), 60, every_s=0.2)
    shopper = messages(service, "slow-log", '{ $.ClientName = "shopper" }')
    found = [each for each in shopper if each["Command"][:3] == "SET"]
    assert set(Counter(each["Id"] for each in found).values()) == {1}
    assert len(found) == COMMANDS
    assert {each["Command"] for each in found} == {"SET ... (2 more arguments)"}
    numbers = Counter(each["Id"] for each in messages(service, "slow-log"))
    assert sorted(numbers) == list(range(max(numbers) + 1)) and set(numbers.values()) == {1}


def test_the_engine_log_is_followed_through_rotation(service: Service, node: tuple[str, int]) -> None:
    """Lines that the engine writes while its file, which may have 4 KB only, is renamed under it again and again."""
    bursts, lines = 4, 200

    def found() -> list[str]:
        return [each["Message"] for each in messages(service, "engine-log", '"numbered line"')]

    with redis.Redis(*node) as client:
        for burst in range(bursts):
            with client.pipeline(transaction=False) as pipe:
                for number in range(lines):
                    pipe.eval(f"redis.log(redis.LOG_WARNING, 'numbered line {burst}-{number}')", 0)
                pipe.execute()
            last = f'"numbered line {burst}-{lines - 1}"'
            wait_for("every line is delivered", partial(messages, service, "engine-log", last), 30, every_s=0.1)
    assert found() == [f"<lua> numbered line {burst}-{number}" for burst in range(bursts) for number in range(lines)]
    (folder,) = service.data.glob("nodes/*.shop.1")
    assert (folder / "engine.log.1").exists()
