"""Known traffic, read back through CloudWatch clients of three kinds and ages, each in its own wire form; they set alarms, too.

The boto3 of today and the AWS SDK for JavaScript speak JSON, an old boto3 the query form; the SDK can be told to speak CBOR.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.engine.test_clients_with_tls import missing
from tests.fixtures.service import Service, running_service, wait_for

ROOT = Path(__file__).resolve().parents[2]
VISITS = ROOT / "tests" / "cloudwatch_clients"
OLD_BOTO3 = Path(sys.prefix) / "old_boto3"
NODE = Path(sys.prefix) / "node_cloudwatch" / "node_modules"
TINY = '[node_types."cache.own.tiny"]\nmaxmemory_bytes = 16777216\n'
HITS, MISSES, EVICTED, WRONG = 7000, 3000, 500, 20
METRICS = {
    "hits": "CacheHits",
    "misses": "CacheMisses",
    "gets": "GetTypeCmds",
    "evictions": "Evictions",
    "logins": "AuthenticationFailures",
    "denied": "CommandAuthorizationFailures",
    "expired": "Reclaimed",
}
NODE_OF = {"CacheClusterId": "shop-001", "CacheNodeId": "0001"}


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with (
        tempfile.TemporaryDirectory(prefix="cachefleet-test-") as folder,
        running_service(Path(folder) / "data", start=False) as running,
    ):
        settings = Path(folder) / "settings.toml"
        settings.write_text(TINY)
        running.start(environment={"CACHEFLEET_CONFIG": str(settings)})
        yield running


@pytest.fixture(scope="module")
def traffic(service: Service) -> dict[str, float]:
    """What there was, by the names of METRICS."""
    api = service.client()
    api.create_replication_group(
        ReplicationGroupId="shop",
        ReplicationGroupDescription="d",
        Engine="valkey",
        CacheNodeType="cache.own.tiny",
        NumCacheClusters=1,
        Tags=[{"Key": "cachefleet:metrics-interval-s", "Value": "1"}],
    )

    def endpoint() -> Any:
        (found,) = api.describe_replication_groups(ReplicationGroupId="shop")["ReplicationGroups"]
        return found["Status"] == "available" and found["NodeGroups"][0]["PrimaryEndpoint"]

    at = wait_for("the group is available", endpoint, 60)
    with redis.Redis(at["Address"], at["Port"], retry=Retry(NoBackoff(), 0)) as client:
        return told_by(client)


def told_by(client: Any) -> dict[str, float]:
    client.set("here", "x")
    pipe = client.pipeline(transaction=False)
    for number in range(HITS + MISSES):
        pipe.get("here" if number < HITS else "elsewhere")
    pipe.execute()
    for _ in range(WRONG):
        with pytest.raises(redis.AuthenticationError):
            client.execute_command("AUTH", "nobody", "wrong")
    with pytest.raises(redis.ResponseError):
        client.execute_command("CONFIG", "GET", "maxmemory")
    for number in range(10):
        client.set(f"brief-{number}", "x", px=1)
    wait_for("they have expired", lambda: client.info("stats")["expired_keys"] == 10)
    filled = 0
    while client.info("stats")["evicted_keys"] < EVICTED:
        client.set(f"filling-{filled}", "x" * 20_000, ex=3600)
        filled += 1
        assert filled < 10_000
    evicted = client.info("stats")["evicted_keys"]
    assert EVICTED <= evicted < EVICTED + 100
    for number in range(50):  # it is full: else it would evict more for whoever connects
        client.delete(f"filling-{filled - 1 - number}")
    return {
        "hits": HITS,
        "misses": MISSES,
        "gets": HITS + MISSES,
        "evictions": evicted,
        "logins": WRONG,
        "denied": 1,
        "expired": 10,
        "reads": HITS + MISSES,
    }


def command_of(client: str) -> tuple[list[str], dict[str, str]]:
    """And the variables that it needs."""
    if client == "boto3":
        return [sys.executable, str(VISITS / "visit.py")], {}
    if client == "boto3-1.26":
        if not (OLD_BOTO3 / "boto3").is_dir():
            missing("boto3 1.26 is not installed: scripts/install-test-clients does it")
        return [sys.executable, str(VISITS / "visit.py")], {"PYTHONPATH": str(OLD_BOTO3)}
    node = shutil.which("node")
    if node is None or not (NODE / "@aws-sdk" / "client-cloudwatch").is_dir():
        missing("the AWS SDK for JavaScript is not installed: scripts/install-test-clients does it")
    return [str(node), "--no-warnings", str(VISITS / "visit.js"), client.removeprefix("javascript-")], {"NODE_PATH": str(NODE)}


def visited(service: Service, client: str) -> dict[str, Any]:
    root = msgspec.json.decode((service.data / "credentials.json").read_bytes())
    now = int(time.time())
    asked = {
        "endpoint": service.url,
        "region": "local-1",
        "key": root["access_key_id"],
        "secret": root["secret_access_key"],
        "namespace": "AWS/ElastiCache",
        "dimensions": NODE_OF,
        "metrics": METRICS,
        "name": f"of-{client}-{now}",
        "start": now // 60 * 60 - 1800,
        "end": now + 60,
    }
    command, variables = command_of(client)
    done = subprocess.run(
        command,
        input=json.dumps(asked),
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_the_traffic_is_told_exactly(service: Service, traffic: dict[str, float]) -> None:
    """Once all of it has been measured, within seconds; the others then read the same."""
    told: dict[str, float] = {}

    def agrees() -> bool:
        told.update(visited(service, "boto3")["sums"])
        return told == traffic

    try:
        wait_for("the traffic is told", agrees, 40, 0.5)
    except AssertionError:
        assert told == traffic
        raise


@pytest.mark.parametrize("client", ["boto3", "boto3-1.26", "javascript-json", "javascript-cbor"])
def test_each_client_reads_sets_alarms_and_understands_refusals(
    service: Service, traffic: dict[str, float], client: str
) -> None:
    told = visited(service, client)
    assert told["sums"] == traffic
    assert told["statistics"] == HITS
    assert told["own"] == [50]
    assert told["listed"] == [["0001", "shop-001"]]
    assert told["alarm"] == [1e9, 2, "ignore", 2, True, ["ConfigurationUpdate", "StateUpdate"]]
    assert told["refusals"] == [
        ["ValidationError", 400, "Error in expression "],
        ["ResourceNotFound", 404, "There is no alarm 'n"],
        ["InvalidParameterValue", 400, "The value 'AWS/X' fo"],
    ]
