"""Snapshots in a bucket, exports to one and seeds from one, against a real S3 server; engines read exports by themselves."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.cluster import RedisCluster

from cachefleet.model.group import Engine
from tests.engine.bare_engines import bare_engine
from tests.engine.contents import Item, Name, clustered_contents, contents, differences
from tests.engine.engine_processes import build_of, every_version
from tests.engine.every_type import fill
from tests.engine.groups import address, cache_cluster, delete, describe, replication_group
from tests.engine.snapshots import await_end, await_snapshot, describe_snapshot, remove, restored, snapshot, why_of
from tests.fixtures.machine import data_folder
from tests.fixtures.object_store import Bucket
from tests.fixtures.service import Service, running_service, wait_for

SEEDS = {
    "nothing": "seed.rdb does not exist",
    "no bucket": "there is no such bucket",
    "cut": "Unexpected EOF reading RDB file",
    "altered": "(RDB|the DB|ended (at its start|while it was loading))",  # an engine may also break over it
    "no RDB": "the file is not an RDB: it begins with neither REDIS nor VALKEY",
    "empty": "it has hardly any content",
    "newer": "(RDB|the DB|while it was loading its data)",
}  # what is wrong with a file, and a part of the reason that is told; that of a whole file is the engine's
SHARDS = {"NumNodeGroups": 2, "ReplicasPerNodeGroup": 0, "AutomaticFailoverEnabled": True}


@contextmanager
def configured(server: Bucket, archive: str = "") -> Iterator[Service]:
    """A service that may use any bucket of that server. archive: where it keeps its snapshots."""
    options = "{" + ", ".join(f"{name} = {json.dumps(value)}" for name, value in server.options.items()) + "}"
    lines = ["[archive]", f'buckets = {{"*" = {options}}}']
    if archive:
        lines += [f"url = {json.dumps(archive)}", f"options = {options}"]
    with data_folder() as folder:
        file = folder / "settings.toml"
        file.write_text("\n".join(lines))
        with running_service(folder / "data", start=False) as made:
            made.start(environment={"CACHEFLEET_CONFIG": str(file)})
            yield made


@pytest.fixture(scope="module")
def service(s3_endpoint: str) -> Iterator[Service]:
    with configured(Bucket(s3_endpoint, "any")) as made:
        yield made


@pytest.fixture
def elasticache(service: Service) -> Any:
    return service.client()


def exported(client: Any, bucket: Bucket, source: str, name: str) -> list[str]:
    """Keys of the files."""
    client.copy_snapshot(SourceSnapshotName=source, TargetSnapshotName=name, TargetBucket=bucket.name)
    wait_for("the export is no snapshot any more", lambda: describe_snapshot(client, name) is None)
    return sorted(bucket.objects())


def content(bucket: Bucket, key: str) -> bytes:
    return bytes(bucket.owner.get_object(Bucket=bucket.name, Key=key)["Body"].read())


def arn(bucket: Bucket, key: str) -> str:
    return f"arn:aws:s3:::{bucket.name}/{key}"


def loaded(build: Any, rdb: bytes) -> dict[Name, Item]:
    with bare_engine(build, seed=[rdb]) as engine:
        return contents([(engine.address.host, engine.address.port)])


def test_snapshots_live_in_a_bucket(bucket: Bucket) -> None:
    with configured(bucket, bucket.url) as service:
        client = service.client()
        with replication_group(client, "far", **SHARDS, AtRestEncryptionEnabled=True) as group:
            where = address(group["ConfigurationEndpoint"])
            with RedisCluster(*where) as cache:
                fill(cache, build_of(Engine.VALKEY, "9.1"))
            before = clustered_contents(where)
            with snapshot(client, "far-taken", ReplicationGroupId="far"):
                names = [key.rpartition("/")[2] for key in sorted(bucket.objects())]
                assert names == ["far-taken-0001.rdb.zst.age", "far-taken-0002.rdb.zst.age", "manifest.json"]
                assert not (service.data / "snapshots").exists()
                with restored(client, "near", SnapshotName="far-taken", NumNodeGroups=3, ReplicasPerNodeGroup=0) as copy:
                    assert differences(before, clustered_contents(address(copy["ConfigurationEndpoint"]))) == []
            assert (bucket.objects(), bucket.unfinished()) == ({}, [])


@every_version
def test_an_export_is_read_by_an_engine_and_seeds_a_group(
    service: Service, elasticache: Any, bucket: Bucket, engine: Engine, version: str
) -> None:
    build = build_of(engine, version)
    request = {"Engine": engine.value, "EngineVersion": version}
    with replication_group(elasticache, "out", NumCacheClusters=2, AtRestEncryptionEnabled=True, **request) as group:
        where = address(group["NodeGroups"][0]["PrimaryEndpoint"])
        with redis.Redis(*where) as cache:
            fill(cache, build)
        before = contents([where])
        with snapshot(elasticache, "out-taken", ReplicationGroupId="out"):
            (key,) = exported(elasticache, bucket, "out-taken", "folder/Export")
    assert key == "folder/Export-0001.rdb"
    assert differences(before, loaded(build, content(bucket, key))) == []
    seeds = {"SnapshotArns": [arn(bucket, key)], "CacheNodeType": "cache.t4g.micro", "EngineVersion": "9.1", "Engine": "valkey"}
    with restored(elasticache, "in", NumCacheClusters=2, **seeds) as group:
        assert differences(before, contents([address(group["NodeGroups"][0]["PrimaryEndpoint"])])) == []
    layout = [{"Slots": "0-5000", "ReplicaCount": 0}, {"Slots": "5001-16383", "ReplicaCount": 0}]
    shape = {"AutomaticFailoverEnabled": True, "CacheParameterGroupName": "default.valkey9.cluster.on"}
    with restored(elasticache, "inc", NodeGroupConfiguration=layout, **shape, **seeds) as group:
        assert differences(before, clustered_contents(address(group["ConfigurationEndpoint"]))) == []


def test_an_export_of_a_cluster_has_a_file_per_shard(
    service: Service, elasticache: Any, bucket: Bucket, tmp_path: Path
) -> None:
    build = build_of(Engine.REDIS, "7.0")
    with replication_group(elasticache, "outc", Engine="redis", EngineVersion="7.0", **SHARDS) as group:
        where = address(group["ConfigurationEndpoint"])
        with RedisCluster(*where) as cache:
            fill(cache, build)
        before = clustered_contents(where)
        with snapshot(elasticache, "outc-taken", ReplicationGroupId="outc"):
            keys = exported(elasticache, bucket, "outc-taken", "outc")
    assert keys == ["outc-0001.rdb", "outc-0002.rdb"]
    parts = [loaded(build, content(bucket, key)) for key in keys]
    assert differences(before, {**parts[0], **parts[1]}) == [] and sum(map(len, parts)) == len(before)
    (tmp_path / "dump.rdb").write_bytes(content(bucket, keys[0]))
    checker = Path(build.binary).with_name("redis-check-rdb")
    if checker.exists():
        subprocess.run([checker, tmp_path / "dump.rdb"], check=True, capture_output=True, timeout=30)
    layout = [{"Slots": f"{first}-{last}", "ReplicaCount": 0} for first, last in ((0, 5460), (5461, 10922), (10923, 16383))]
    seeds = {"SnapshotArns": [arn(bucket, key) for key in keys], "CacheNodeType": "cache.t4g.micro", "Engine": "valkey"}
    shape = {"AutomaticFailoverEnabled": True, "CacheParameterGroupName": "default.valkey9.cluster.on"}
    with restored(elasticache, "inc", NodeGroupConfiguration=layout, **shape, **seeds) as copy:
        assert differences(before, clustered_contents(address(copy["ConfigurationEndpoint"]))) == []


def test_a_cluster_of_its_own_is_seeded(service: Service, elasticache: Any, bucket: Bucket) -> None:
    with bare_engine(build_of(Engine.REDIS, "7.0"), "--dbfilename", "elsewhere.rdb") as source:
        client = source.client()
        fill(client, source.build)
        before = contents([(source.address.host, source.address.port)])
        client.save()
        bucket.owner.put_object(Bucket=bucket.name, Key="mine.rdb", Body=(source.folder / "elsewhere.rdb").read_bytes())
    with cache_cluster(
        elasticache, "seeded", Engine="redis", EngineVersion="7.0", NumCacheNodes=1, SnapshotArns=[arn(bucket, "mine.rdb")]
    ) as cluster:
        assert differences(before, contents([address(cluster["CacheNodes"][0]["Endpoint"])])) == []


@pytest.mark.parametrize("what", SEEDS)
def test_seeds_that_are_none(service: Service, elasticache: Any, bucket: Bucket, what: str) -> None:
    with bare_engine(build_of(Engine.REDIS, "7.0"), "--dbfilename", "elsewhere.rdb") as source:
        client = source.client()
        client.mset({f"key:{number}": f"value {number}" for number in range(5000)})
        client.save()
        whole = (source.folder / "elsewhere.rdb").read_bytes()
    altered = bytearray(whole)
    altered[len(whole) // 2] ^= 1
    bodies = {"cut": whole[:-100], "altered": bytes(altered), "no RDB": b"#!/bin/sh\n" * 1000, "empty": b"",
              "newer": b"REDIS0099" + whole[9:]}  # fmt: skip
    if what in bodies:
        bucket.owner.put_object(Bucket=bucket.name, Key="seed.rdb", Body=bodies[what])
    place = "arn:aws:s3:::elsewhere-entirely/seed.rdb" if what == "no bucket" else arn(bucket, "seed.rdb")
    request = {"ReplicationGroupDescription": "test", "CacheNodeType": "cache.t4g.micro", "Engine": "valkey"}
    elasticache.create_replication_group(ReplicationGroupId="bad", SnapshotArns=[place], **request)

    def failed() -> bool:
        found = describe(elasticache, "bad")
        assert found is not None and found["Status"] != "available"
        return bool(found["Status"] == "create-failed")

    try:
        wait_for("it has failed", failed, 60)
        events = elasticache.describe_events(SourceType="replication-group", SourceIdentifier="bad", Duration=60)["Events"]
        assert re.match(f"Failed to (restore|create) replication group bad: .*{SEEDS[what]}", events[0]["Message"])
    finally:
        delete(elasticache, "bad")
    wait_for("no engine is left", lambda: not service.engine_pids(children=True))


def test_an_export_that_cannot_be_written_says_so(service: Service, elasticache: Any, bucket: Bucket) -> None:
    with replication_group(elasticache, "nob"), snapshot(elasticache, "nob-taken", ReplicationGroupId="nob"):
        target = {"TargetSnapshotName": "nob-out", "TargetBucket": "elsewhere-entirely"}
        elasticache.copy_snapshot(SourceSnapshotName="nob-taken", **target)
        found = await_end(elasticache, "nob-out", 60)
        assert found["SnapshotStatus"] == "failed"
        assert "there is no such bucket" in why_of(elasticache, found)
        remove(elasticache, "nob-out")
        assert await_snapshot(elasticache, "nob-taken")["SnapshotStatus"] == "available"
    assert bucket.objects() == {}
