"""Snapshots of real caches that a client writes to: of which node, what is stored, who can read it, and that nothing of it is
ever in plain on a disk.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from botocore.exceptions import ClientError
from redis.cluster import RedisCluster

from cachefleet.archive.age_pipe import new_identity
from cachefleet.engines.rdb import counts
from cachefleet.model.group import Engine
from tests.engine.bare_engines import bare_engine
from tests.engine.contents import contents, differences
from tests.engine.engine_processes import build_of, every_version
from tests.engine.every_type import NOISE, fill
from tests.engine.groups import (
    address,
    await_available,
    await_cluster,
    cache_cluster,
    describe,
    describe_cluster,
    replication_group,
)
from tests.engine.snapshots import await_end, await_snapshot, describe_snapshot, remove, snapshot, why_of
from tests.fixtures.service import Service, wait_for
from tests.traffic.writer import ClusterWriter, EndpointWriter

CANARY = b"canary-" + NOISE[:20].hex().encode()
AT_WORK = 200  # writes


def stored(service: Service, name: str) -> list[Path]:
    """The objects of a snapshot, in the order of their shards."""
    return sorted((service.data / "snapshots").rglob(f"{name}-[0-9]*.rdb.zst*"))


def manifest(service: Service, name: str) -> dict[str, Any]:
    (folder,) = {file.parent for file in stored(service, name)}
    return dict(json.loads((folder / "manifest.json").read_bytes()))


def in_plain(service: Service, word: bytes) -> list[str]:
    """Files of the installation in which the word is to be read; pipes are not opened."""
    files = [file for file in service.data.rglob("*") if stat.S_ISREG(file.lstat().st_mode)]
    return [str(file.relative_to(service.data)) for file in files if word in file.read_bytes()]


def opened(service: Service, file: Path, key: str, to: Path) -> Path:
    """With the commands of docs/backup.md."""
    if shutil.which("age") is None or shutil.which("zstd") is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("age and zstd are not installed")
    opening = f"age -d -i {service.data}/keys/{key}/1.key {file} | zstd -d" if key else f"zstd -d < {file}"
    subprocess.run(["bash", "-o", "pipefail", "-c", f"{opening} > {to}"], check=True, capture_output=True, timeout=30)
    return to


def refused(code: str, rule: str, call: Any, **request: Any) -> None:
    with pytest.raises(ClientError, match=rule) as refusal:
        call(**request)
    assert refusal.value.response["Error"]["Code"] == code


@pytest.fixture
def own_key(service: Service) -> Iterator[str]:
    folder = service.data / "keys" / "team" / "own"
    folder.mkdir(parents=True, mode=0o700)
    (folder / "1.key").touch(mode=0o600)
    (folder / "1.key").write_text(new_identity())
    yield "team/own"
    shutil.rmtree(folder)


@every_version
def test_a_group_is_taken_of_its_replica_while_a_client_writes(
    service: Service, elasticache: Any, tmp_path: Path, engine: Engine, version: str
) -> None:
    build, name = build_of(engine, version), f"sr-{engine}-{version.replace('.', '-')}"
    request = {"Engine": engine.value, "EngineVersion": version, "NumCacheClusters": 2, "AtRestEncryptionEnabled": True}
    with replication_group(elasticache, name, **request) as group:
        where = address(group["NodeGroups"][0]["PrimaryEndpoint"])
        with redis.Redis(*where) as client:
            fill(client, build)
            client.set("canary", CANARY)
        with redis.Redis(*where, db=3) as client:
            client.mset({f"third:{number}": number for number in range(100)})
        before = contents([where])
        with EndpointWriter(*where) as writer:
            writer.await_writes(AT_WORK)
            at_least = len(writer.history().done)
            with snapshot(elasticache, name, ReplicationGroupId=name) as shown:
                at_most = len(writer.history().done) + 1
                writer.await_writes(AT_WORK)
                assert writer.errors == []
                (node,) = shown["NodeSnapshots"]
                roles = {one["CacheClusterId"]: one["CurrentRole"] for one in group["NodeGroups"][0]["NodeGroupMembers"]}
                assert roles[node["CacheClusterId"]] == "replica"
                assert shown["SnapshotSource"] == "manual" and node["CacheSize"].endswith(" MB")
                (file,) = stored(service, name)
                assert file.name == f"{name}-0001.rdb.zst.age"
                assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
                (entry,) = manifest(service, name)["files"]
                assert entry["stored_sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
                assert in_plain(service, CANARY) == []
                rdb = opened(service, file, "default", tmp_path / "dump.rdb")
                content = rdb.read_bytes()
                assert (CANARY in content, entry["rdb_sha256"]) == (True, hashlib.sha256(content).hexdigest())
                assert counts([content]).keys == {0: len(before) - 100 + 1, 3: 100}
                assert (entry["keys"], entry["databases"]) == (len(before) + 1, [0, 3])
                with bare_engine(build, seed=[content]) as engine_elsewhere:
                    after = contents([(engine_elsewhere.address.host, engine_elsewhere.address.port)])
        written = [int(value) for value in after.pop((0, b"log")).value]
        assert written == list(range(len(written)))
        assert at_least <= len(written) <= at_most
        assert differences(before, after) == []
        wait_for("nothing of it is left", lambda: stored(service, name) == [])


def test_all_shards_of_a_cluster_are_taken_of_their_replicas(service: Service, elasticache: Any) -> None:
    request = {"NumNodeGroups": 2, "ReplicasPerNodeGroup": 1, "AutomaticFailoverEnabled": True}
    with replication_group(elasticache, "ss", **request, AtRestEncryptionEnabled=True) as group:
        where = address(group["ConfigurationEndpoint"])
        with RedisCluster(*where) as client:
            fill(client, build_of(Engine.VALKEY, "9.1"))
            client.set("canary", CANARY)
            replicas = {f"{node.host}" for node in client.get_replicas()}
            total = sum(client.dbsize(target_nodes=node) for node in client.get_primaries())
        with (
            ClusterWriter(*where, keys=[f"log:{number}" for number in range(8)]) as writer,
            snapshot(elasticache, "ss-whole", ReplicationGroupId="ss") as shown,
        ):
            writer.await_writes(AT_WORK)
            assert writer.errors == []
            assert shown["NumNodeGroups"] == 2
            nodes = [describe_cluster(elasticache, one["CacheClusterId"]) for one in shown["NodeSnapshots"]]
            assert {address(node["CacheNodes"][0]["Endpoint"])[0] for node in nodes if node} == replicas
            slots = [one["NodeGroupConfiguration"]["Slots"] for one in shown["NodeSnapshots"]]
            assert slots == [shard["Slots"] for shard in group["NodeGroups"]]
            assert [file.name[-16:] for file in stored(service, "ss-whole")] == ["0001.rdb.zst.age", "0002.rdb.zst.age"]
            assert in_plain(service, CANARY) == []
            assert sum(file["keys"] for file in manifest(service, "ss-whole")["files"]) == total + 8
            refused("InvalidParameterCombination", "ReplicationGroupId instead", elasticache.create_snapshot,
                    SnapshotName="ss-one", CacheClusterId=shown["NodeSnapshots"][0]["CacheClusterId"])  # fmt: skip


@every_version
def test_a_standalone_cluster_without_encryption(
    service: Service, elasticache: Any, tmp_path: Path, engine: Engine, version: str
) -> None:
    build, name = build_of(engine, version), f"sa-{engine}-{version.replace('.', '-')}"
    with cache_cluster(elasticache, name, Engine=engine.value, EngineVersion=version, NumCacheNodes=1) as cluster:
        where = address(cluster["CacheNodes"][0]["Endpoint"])
        with redis.Redis(*where) as client:
            fill(client, build)
        before = contents([where])
        with snapshot(elasticache, name, CacheClusterId=name) as shown:
            assert shown["CacheClusterId"] == name and "ReplicationGroupId" not in shown
            (file,) = stored(service, name)
            assert file.name == f"{name}-0001.rdb.zst"
            content = opened(service, file, "", tmp_path / "dump.rdb").read_bytes()
            with bare_engine(build, seed=[content]) as elsewhere:
                assert differences(before, contents([(elsewhere.address.host, elsewhere.address.port)])) == []


def test_a_key_of_its_own_opens_it_and_the_default_key_does_not(
    service: Service, elasticache: Any, tmp_path: Path, own_key: str
) -> None:
    with replication_group(elasticache, "so", NumCacheClusters=1, AtRestEncryptionEnabled=True) as group:
        with redis.Redis(*address(group["NodeGroups"][0]["PrimaryEndpoint"])) as client:
            client.set("canary", CANARY)
        with (
            snapshot(elasticache, "so-1", ReplicationGroupId="so"),
            snapshot(elasticache, "so-2", ReplicationGroupId="so", KmsKeyId=f"alias/{own_key}") as shown,
        ):
            assert shown["KmsKeyId"] == f"alias/{own_key}"
            (file,) = stored(service, "so-2")
            with pytest.raises(subprocess.CalledProcessError):
                opened(service, file, "default", tmp_path / "wrong")
            assert CANARY in opened(service, file, own_key, tmp_path / "right").read_bytes()
            elasticache.copy_snapshot(SourceSnapshotName="so-2", TargetSnapshotName="so-3", KmsKeyId="default")
            await_snapshot(elasticache, "so-3")
            try:
                (copied,) = stored(service, "so-3")
                assert CANARY in opened(service, copied, "default", tmp_path / "copied").read_bytes()
                assert in_plain(service, CANARY) == []
            finally:
                remove(elasticache, "so-3")


def test_a_key_that_does_not_open_is_told_at_once(service: Service, elasticache: Any, own_key: str) -> None:
    with replication_group(elasticache, "sk", NumCacheClusters=1, AtRestEncryptionEnabled=True):
        create = elasticache.create_snapshot
        refused("InvalidParameterValue", "there is no key elsewhere", create,
                SnapshotName="sk-1", ReplicationGroupId="sk", KmsKeyId="elsewhere")  # fmt: skip
        (service.data / "keys" / own_key / "disabled.mark").touch()
        refused("InvalidParameterValue", f"key {own_key} is disabled", create,
                SnapshotName="sk-1", ReplicationGroupId="sk", KmsKeyId=own_key)  # fmt: skip


def test_a_snapshot_of_a_key_that_is_disabled_meanwhile_says_so(service: Service, elasticache: Any) -> None:
    with replication_group(elasticache, "sd", NumCacheClusters=1, AtRestEncryptionEnabled=True):
        with snapshot(elasticache, "sd-1", ReplicationGroupId="sd"):
            pass
        mark = service.data / "keys" / "default" / "disabled.mark"
        mark.touch()
        try:
            elasticache.create_snapshot(SnapshotName="sd-2", ReplicationGroupId="sd")
            found = await_end(elasticache, "sd-2")
            assert found["SnapshotStatus"] == "failed"
            assert "key default is disabled; enable it" in why_of(elasticache, found)
            assert stored(service, "sd-2") == []
        finally:
            mark.unlink()
        remove(elasticache, "sd-2")


def test_a_final_snapshot_comes_before_the_end(service: Service, elasticache: Any) -> None:
    elasticache.create_replication_group(
        ReplicationGroupId="sf", ReplicationGroupDescription="test", CacheNodeType="cache.t4g.micro", Engine="valkey"
    )
    group = await_available(elasticache, "sf")
    with redis.Redis(*address(group["NodeGroups"][0]["PrimaryEndpoint"])) as client:
        client.mset({f"key:{number}": number for number in range(1000)})
    elasticache.delete_replication_group(ReplicationGroupId="sf", FinalSnapshotIdentifier="sf-last")
    wait_for("sf is gone", lambda: describe(elasticache, "sf") is None)
    assert await_snapshot(elasticache, "sf-last")["ReplicationGroupId"] == "sf"
    assert manifest(service, "sf-last")["files"][0]["keys"] == 1000
    remove(elasticache, "sf-last")


def test_a_final_snapshot_of_a_cluster(service: Service, elasticache: Any) -> None:
    elasticache.create_cache_cluster(CacheClusterId="sfc", CacheNodeType="cache.t4g.micro", Engine="redis", NumCacheNodes=1)
    await_cluster(elasticache, "sfc")
    elasticache.delete_cache_cluster(CacheClusterId="sfc", FinalSnapshotIdentifier="sfc-last")
    wait_for("sfc is gone", lambda: describe_cluster(elasticache, "sfc") is None)
    assert await_snapshot(elasticache, "sfc-last")["CacheClusterId"] == "sfc"
    remove(elasticache, "sfc-last")


def test_names_are_used_once_and_freed_by_deletion(service: Service, elasticache: Any) -> None:
    with replication_group(elasticache, "sn", NumCacheClusters=1):
        with snapshot(elasticache, "sn-1", ReplicationGroupId="sn"):
            (first,) = stored(service, "sn-1")
            create = elasticache.create_snapshot
            refused("SnapshotAlreadyExistsFault", "sn-1", create, SnapshotName="sn-1", ReplicationGroupId="sn")
        with snapshot(elasticache, "sn-1", ReplicationGroupId="sn"):
            (second,) = stored(service, "sn-1")
            assert first.parent != second.parent and not first.exists()
    assert describe_snapshot(elasticache, "sn-1") is None
