"""Snapshots are verified on real engines: a good one is proven, a damaged one is not, and nothing of it is ever seen or left."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import valkey

from cachefleet.model.proof import ASKED, FAILED, PROVEN
from tests.engine.groups import address, await_available, replication_group
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


def snapshot(client: Any, name: str, group: str) -> dict[str, Any]:
    def made() -> dict[str, Any] | None:
        (found,) = client.describe_snapshots(SnapshotName=name)["Snapshots"]
        assert found["SnapshotStatus"] != "failed"
        return dict(found) if found["SnapshotStatus"] == "available" else None

    client.create_snapshot(SnapshotName=name, ReplicationGroupId=group)
    found = wait_for(f"{name} is available", made)
    await_available(client, group)
    return found


def tags(client: Any, arn: str) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in client.list_tags_for_resource(ResourceName=arn)["TagList"]}


def messages(client: Any) -> list[str]:
    return [event["Message"] for event in client.describe_events(Duration=60)["Events"]]


def test_a_good_snapshot_is_proven_and_a_damaged_one_is_not(service: Service, client: Any) -> None:
    with replication_group(client, "shop", NumCacheClusters=1, AutomaticFailoverEnabled=False, AtRestEncryptionEnabled=True) as group:
        with valkey.Valkey(*address(group["NodeGroups"][0]["PrimaryEndpoint"])) as cache:
            cache.mset({f"key:{number}": f"value {number}" for number in range(KEYS)})
        arn = snapshot(client, "monday", "shop")["ARN"]
        mine = set(service.engine_pids())
        assert "shop: backup never proven" in service.told()

        result = run(service, "snapshot", "verify", "monday")

        assert (result.returncode, result.stderr) == (0, "")
        assert f"keys {KEYS} " in result.stdout
        assert PROVEN in tags(client, arn) and f"keys={KEYS} " in tags(client, arn)[PROVEN]
        assert ASKED not in tags(client, arn)
        wait_for("the throw-away engines are gone", lambda: set(service.engine_pids()) == mine)
        assert "shop: backup proven just now" in service.told()
        assert f"Snapshot monday was verified: it was restored, with {KEYS} keys" in messages(client)

        (stored,) = (service.data / "snapshots").rglob("*.rdb.zst.age")
        content = bytearray(stored.read_bytes())
        content[len(content) // 2] ^= 1
        stored.write_bytes(content)

        result = run(service, "snapshot", "verify", "monday")

        assert result.returncode == 1
        (said,) = result.stderr.splitlines()
        assert "monday could NOT be restored" in said
        assert FAILED in tags(client, arn) and PROVEN not in tags(client, arn)
        wait_for("the throw-away engines are gone", lambda: set(service.engine_pids()) == mine)
        assert "backup FAILED its proof" in service.told()
