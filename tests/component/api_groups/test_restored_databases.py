"""Snapshots with keys in several databases: into which caches they are restored."""

from __future__ import annotations

from cachefleet.model.group import Shape
from cachefleet.model.parameter_group import ParameterGroupDesired
from cachefleet.model.resource import Kind
from cachefleet.model.row import ParameterGroupRow, Row
from cachefleet.model.snapshot_file import SnapshotFile
from tests.component.api_groups.snapshot_stage import SnapshotStage, on_snapshots
from tests.component.api_groups.test_restoring import ALONE, BACK, GROUP, IPC, back, kept


@on_snapshots
async def test_several_databases(stage: SnapshotStage) -> None:
    await kept(stage)
    files = (SnapshotFile(shard_id="0001", object="x", databases=(0, 3, 12)),)
    await stage.put_snapshot("nightly", files=files)
    await stage.refused(IPC, "keys in databases 3, 12", GROUP, **BACK, ClusterMode="enabled")
    after = await back(stage)
    assert after.restore is not None and after.restore.files == files
    await own_group(stage, "few", databases="8")
    rule = "keys in databases 12, and with the parameter group few there are 8 databases; name a parameter group with more"
    await stage.refused(IPC, rule, GROUP, **BACK, CacheParameterGroupName="few")
    await stage.refused(IPC, rule, ALONE, CacheClusterId="c", SnapshotName="nightly", CacheParameterGroupName="few")
    await own_group(stage, "sharded", **{"cluster-enabled": "yes", "cluster-databases": "13"})
    after = await back(stage, CacheParameterGroupName="sharded")
    assert after.parameter_group == "sharded" and after.shape is Shape.CLUSTERED
    await stage.put_snapshot("nightly", files=(SnapshotFile(shard_id="0001", object="x", databases=(16,)),))
    await stage.refused(IPC, "with the parameter group default.valkey9 there are 16", GROUP, **BACK)


async def own_group(stage: SnapshotStage, name: str, **values: str) -> None:
    row: ParameterGroupRow = Row(
        key=stage.key(name, Kind.PARAMETER_GROUP),
        desired=ParameterGroupDesired(family="valkey9", description="", values=values),
    )
    async with stage.store.transaction() as transaction:
        await transaction.insert(row)
