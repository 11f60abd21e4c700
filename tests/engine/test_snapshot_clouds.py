"""Snapshots kept at Azure and at Google: made, copied, restored into another shape and removed, through boto3."""

from __future__ import annotations

import json

import pytest
from redis.cluster import RedisCluster

from cachefleet.archive.places import Archive
from cachefleet.model.group import Engine
from tests.engine.contents import clustered_contents, differences
from tests.engine.engine_processes import build_of
from tests.engine.every_type import fill
from tests.engine.groups import address, replication_group
from tests.engine.snapshots import await_snapshot, remove, restored, snapshot
from tests.fixtures.cloud_stores import CloudPlace
from tests.fixtures.machine import data_folder
from tests.fixtures.service import running_service, wait_for

SHARDS = {"NumNodeGroups": 2, "ReplicasPerNodeGroup": 0, "AutomaticFailoverEnabled": True}
COPIED = ["copied-0001.rdb.zst.age", "copied-0002.rdb.zst.age", "manifest.json"]


@pytest.mark.parametrize("cloud", ["azure", "google"])
def test_a_snapshots_life_in_a_cloud(request: pytest.FixtureRequest, cloud: str) -> None:
    place: CloudPlace = request.getfixturevalue(cloud)
    archive = Archive.open(place.url, place.options)
    options = ", ".join(f"{name} = {json.dumps(value)}" for name, value in place.options.items())

    def stored() -> list[str]:
        return sorted(path.rpartition("/")[2] for path, _ in archive.names())

    with data_folder() as folder, running_service(folder / "data", start=False) as service:
        (folder / "settings.toml").write_text(f"[archive]\nurl = {json.dumps(place.url)}\noptions = {{{options}}}\n")
        service.start(environment={"CACHEFLEET_CONFIG": str(folder / "settings.toml")})
        client = service.client()
        with replication_group(client, "far", **SHARDS, AtRestEncryptionEnabled=True) as group:
            where = address(group["ConfigurationEndpoint"])
            with RedisCluster(*where) as cache:
                fill(cache, build_of(Engine.VALKEY, "9.1"))
            before = clustered_contents(where)
            with snapshot(client, "taken", ReplicationGroupId="far"):
                assert stored() == ["manifest.json", "taken-0001.rdb.zst.age", "taken-0002.rdb.zst.age"]
                client.copy_snapshot(SourceSnapshotName="taken", TargetSnapshotName="copied")
                await_snapshot(client, "copied")
        wait_for("the snapshot's objects are gone", lambda: stored() == COPIED)
        with restored(client, "near", SnapshotName="copied", NumNodeGroups=3, ReplicasPerNodeGroup=0) as copy:
            assert differences(before, clustered_contents(address(copy["ConfigurationEndpoint"]))) == []
        remove(client, "copied")
        assert stored() == []
        assert not (service.data / "snapshots").exists()
