"""Snapshots are verified on real engines: a good one is proven, a damaged one is not; nothing of it is ever seen or left."""

from __future__ import annotations

import json
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import valkey
from prometheus_client.parser import text_string_to_metric_families

from cachefleet.model.proof import ASKED, FAILED, PROVEN
from tests.engine.groups import address, replication_group
from tests.engine.snapshots import snapshot
from tests.engine.test_metrics import scraped
from tests.fixtures.service import CACHEFLEET, Service, running_service, wait_for

KEYS = 300


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with tempfile.TemporaryDirectory(prefix="cachefleet-test-") as folder, running_service(Path(folder)) as running:
        yield running


@pytest.fixture
def client(service: Service) -> Any:
    return service.client()


def run(service: Service, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [CACHEFLEET, *words, "--data", str(service.data)], capture_output=True, text=True, timeout=120, check=False
    )


def tags(client: Any, arn: str) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in client.list_tags_for_resource(ResourceName=arn)["TagList"]}


def messages(client: Any) -> list[str]:
    return [event["Message"] for event in client.describe_events(Duration=60)["Events"]]


@contextmanager
def watched(service: Service) -> Iterator[set[str]]:
    """Names of all groups and clusters that users were shown meanwhile."""
    shown: set[str] = set()
    ended = threading.Event()

    def watch() -> None:
        client = service.client()
        while not ended.wait(0.05):
            shown.update(one["ReplicationGroupId"] for one in client.describe_replication_groups()["ReplicationGroups"])
            shown.update(one["CacheClusterId"] for one in client.describe_cache_clusters()["CacheClusters"])

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield shown
    finally:
        ended.set()
        thread.join()


def test_a_good_snapshot_is_proven_and_a_damaged_one_is_not(service: Service, client: Any) -> None:
    with ExitStack() as stack:
        group = stack.enter_context(replication_group(client, "shop", NumCacheClusters=1, AutomaticFailoverEnabled=False))
        with valkey.Valkey(*address(group["NodeGroups"][0]["PrimaryEndpoint"])) as cache:
            cache.mset({f"key:{number}": f"value {number}" for number in range(KEYS)})
            cache.select(3)
            cache.set("elsewhere", "1")
        arn = stack.enter_context(snapshot(client, "monday", ReplicationGroupId="shop"))["ARN"]
        mine = set(service.engine_pids())
        assert "shop: backup never proven" in service.told()

        with watched(service) as shown:
            result = run(service, "snapshot", "verify", "monday")

        assert (result.returncode, result.stderr) == (0, "")
        (stored,) = (service.data / "snapshots").rglob("monday-0001.rdb.zst.age")
        digest = json.loads((stored.parent / "manifest.json").read_bytes())["files"][0]["rdb_sha256"]
        assert f"keys {KEYS + 1} sha256 {digest}" in result.stdout
        assert tags(client, arn).keys() == {PROVEN}
        assert tags(client, arn)[PROVEN].endswith(f"Z keys={KEYS + 1} sha256={digest}")
        assert shown == {"shop", "shop-001"}
        wait_for("the throw-away engines are gone", lambda: set(service.engine_pids()) == mine)
        assert "shop: backup proven just now" in service.told()
        assert f"Snapshot monday was verified: it was restored, with {KEYS + 1} keys" in messages(client)

        content = bytearray(stored.read_bytes())
        content[len(content) // 2] ^= 1
        stored.write_bytes(content)
        result = run(service, "snapshot", "verify", "monday")

        assert result.returncode == 1
        (said,) = result.stderr.splitlines()
        assert "snapshot monday could NOT be restored: " in said
        assert tags(client, arn).keys() == {FAILED}
        wait_for("the throw-away engines are gone", lambda: set(service.engine_pids()) == mine)
        assert "shop: backup FAILED its proof" in service.told()
        assert any(
            message.startswith("Snapshot monday could not be restored when it was verified: ") for message in messages(client)
        )
        proofs = {"cachefleet_snapshot_proof_succeeded": 0, "succeeded": 1, "failed": 1}
        wait_for("Prometheus is told", lambda: exposed_proofs(service) == proofs)
        listed = run(service, "snapshot", "list").stdout.splitlines()
        assert listed[1].split()[:6] == ["monday", "available", "manual", "shop", "valkey", "9.1.2"]
        assert " FAILED: " in listed[1]


def exposed_proofs(service: Service) -> dict[str, float]:
    """Of shop, how its last one ended; and how many there were by how they ended."""
    samples = [one for family in text_string_to_metric_families(scraped(service)[1]) for one in family.samples]
    counts = {one.labels["outcome"]: one.value for one in samples if one.name == "cachefleet_snapshot_proofs_total"}
    last = "cachefleet_snapshot_proof_succeeded"
    return counts | {one.name: one.value for one in samples if one.name == last and one.labels["group"] == "shop"}


def _run_besides(service: Service, mine: set[int], least: int) -> bool:
    return len(set(service.engine_pids()) - mine) >= least


def test_a_killed_service_leaves_a_proof_that_the_next_one_ends(service: Service, client: Any) -> None:
    """Cluster mode: an engine for each shard. Killed again and again, at another moment each time."""
    with ExitStack() as stack:
        shape = {"NumNodeGroups": 3, "ReplicasPerNodeGroup": 0, "AutomaticFailoverEnabled": True}
        group = stack.enter_context(replication_group(client, "fleet", **shape))
        with valkey.ValkeyCluster(*address(group["ConfigurationEndpoint"])) as cache:
            for number in range(KEYS):
                cache.set(f"key:{number}", number)
        arn = stack.enter_context(snapshot(client, "tuesday", ReplicationGroupId="fleet"))["ARN"]
        mine = set(service.engine_pids())
        for least in (1, 3):
            client.add_tags_to_resource(ResourceName=arn, Tags=[{"Key": ASKED, "Value": str(least)}])
            wait_for("throw-away engines run", partial(_run_besides, service, mine, least))
            service.kill()
            service.start()
            wait_for("it is proven", lambda: ASKED not in tags(client, arn), timeout_s=60)
            assert f" keys={KEYS} " in tags(client, arn)[PROVEN]
            wait_for("the throw-away engines are gone", lambda: set(service.engine_pids()) == mine)
