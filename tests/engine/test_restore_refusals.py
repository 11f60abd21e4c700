"""Snapshots that cannot be restored: the group says why, serves nobody, and leaves nothing; what is mended is restored."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from cachefleet.archive.age_pipe import new_identity
from tests.engine.groups import address, await_available, delete, describe, describe_cluster
from tests.engine.snapshots import await_snapshot, remove, restored
from tests.fixtures.service import Service, wait_for

MB = 1 << 20
KEYS = 20_000
COMMON = {"ReplicationGroupDescription": "test", "Engine": "valkey"}
CLUSTERED = {
    "ReplicasPerNodeGroup": 0,
    "AutomaticFailoverEnabled": True,
    "CacheParameterGroupName": "default.valkey9.cluster.on",
}


@pytest.fixture(scope="module")
def taken(service: Service) -> Iterator[str]:
    """An encrypted snapshot of a group that is gone."""
    with kept(service.client(), "sealed", {f"key:{number}": os.urandom(100) for number in range(KEYS)}) as name:
        yield name


@contextmanager
def kept(client: Any, name: str, content: dict[str, bytes], **shape: Any) -> Iterator[str]:
    request = {"CacheNodeType": "cache.t4g.micro", "AtRestEncryptionEnabled": True, **COMMON, **shape}
    client.create_replication_group(ReplicationGroupId=name, **request)
    group = await_available(client, name)
    with redis.Redis(*address(group["NodeGroups"][0]["PrimaryEndpoint"]), socket_timeout=30) as cache:
        for key, value in content.items():
            cache.set(key, value)
    client.create_snapshot(SnapshotName=f"{name}-taken", ReplicationGroupId=name)
    await_snapshot(client, f"{name}-taken")
    delete(client, name)
    yield f"{name}-taken"
    remove(client, f"{name}-taken")


def stored(service: Service, name: str) -> Path:
    (file,) = (service.data / "snapshots").rglob(f"{name}-0001.rdb.zst*")
    return file


def why_failed(service: Service, client: Any, snapshot: str, **shape: Any) -> str:
    """The reason that is told; nothing is left of the group when this returns."""
    client.create_replication_group(
        ReplicationGroupId="broken", ReplicationGroupDescription="test", SnapshotName=snapshot, **shape
    )
    statuses = set()

    def failed() -> dict[str, Any] | None:
        found = describe(client, "broken")
        assert found is not None
        statuses.add(found["Status"])
        return found if found["Status"] == "create-failed" else None

    try:
        members = wait_for("it has failed", failed)["MemberClusters"]
        assert statuses <= {"creating", "create-failed"}
        shown = [describe_cluster(client, member) for member in members]
        assert {each["CacheClusterStatus"] for each in shown if each} == {"restore-failed"}
        wait_for("no engine is left", lambda: not service.engine_pids(children=True))
        events = client.describe_events(SourceType="replication-group", SourceIdentifier="broken", Duration=60)["Events"]
    finally:
        delete(client, "broken")
    wait_for("nothing is left of it", lambda: not list((service.data / "nodes").iterdir()))
    found = re.fullmatch("Failed to restore replication group broken: (.*)", events[0]["Message"])
    assert found is not None, events[0]["Message"]
    return found[1]


@contextmanager
def altered(file: Path, content: bytes) -> Iterator[None]:
    before = file.read_bytes()
    file.write_bytes(content)
    try:
        yield
    finally:
        file.write_bytes(before)


def test_a_lost_key(service: Service, elasticache: Any, taken: str) -> None:
    key = service.data / "keys" / "default" / "1.key"
    key.rename(key.with_suffix(".away"))
    try:
        assert "version 1 of key default is lost" in why_failed(service, elasticache, taken)
    finally:
        key.with_suffix(".away").rename(key)
    with (
        restored(elasticache, "mended", SnapshotName=taken) as group,
        redis.Redis(*address(group["NodeGroups"][0]["PrimaryEndpoint"])) as cache,
    ):
        assert cache.dbsize() == KEYS


def test_a_disabled_key(service: Service, elasticache: Any, taken: str) -> None:
    mark = service.data / "keys" / "default" / "disabled.mark"
    mark.touch()
    try:
        assert "key default is disabled" in why_failed(service, elasticache, taken)
    finally:
        mark.unlink()


def test_another_key_in_its_place(service: Service, elasticache: Any, taken: str) -> None:
    with altered(service.data / "keys" / "default" / "1.key", new_identity().encode()):
        assert "but the key that was given belongs to" in why_failed(service, elasticache, taken)


@pytest.mark.parametrize("cut", ["to nothing", "in the middle", "by a byte"])
def test_a_truncated_object(service: Service, elasticache: Any, taken: str, cut: str) -> None:
    file = stored(service, taken)
    whole = file.read_bytes()
    with altered(file, {"to nothing": b"", "in the middle": whole[: len(whole) // 2], "by a byte": whole[:-1]}[cut]):
        assert "damaged" in why_failed(service, elasticache, taken)


@pytest.mark.parametrize("shape", [{}, {"NumNodeGroups": 2, **CLUSTERED}], ids=["whole", "parts"])
@pytest.mark.parametrize("part", [0.001, 0.5, 1.0])
def test_a_tampered_object(service: Service, elasticache: Any, taken: str, part: float, shape: dict[str, Any]) -> None:
    file = stored(service, taken)
    content = bytearray(file.read_bytes())
    content[min(len(content) - 1, int(len(content) * part))] ^= 1
    with altered(file, bytes(content)):
        assert "damaged" in why_failed(service, elasticache, taken, **shape)


def test_a_lost_object(service: Service, elasticache: Any, taken: str) -> None:
    file = stored(service, taken)
    file.rename(file.with_suffix(".away"))
    try:
        assert "does not exist" in why_failed(service, elasticache, taken)
    finally:
        file.with_suffix(".away").rename(file)


def test_another_snapshot_in_its_place(service: Service, elasticache: Any, taken: str) -> None:
    """Sealed for the same key, whole in itself."""
    with (
        kept(elasticache, "other", {"key": b"value"}) as other,
        altered(stored(service, taken), stored(service, other).read_bytes()),
    ):
        assert "damaged" in why_failed(service, elasticache, taken)


def test_too_little_memory(service: Service, elasticache: Any) -> None:
    content = {f"key:{number}": bytes(MB) for number in range(460)}
    with kept(elasticache, "big", content, CacheNodeType="cache.t4g.small") as name:
        why = why_failed(service, elasticache, name, CacheNodeType="cache.t4g.micro")
        assert "restoring needs about" in why and "choose a larger node type" in why
        with restored(
            elasticache, "fits", SnapshotName=name, CacheNodeType="cache.t4g.micro", NumNodeGroups=3, **CLUSTERED
        ) as group:
            assert len(group["NodeGroups"]) == 3
