"""A stage for the operations on snapshots: a keeper's part played by hand."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from typing import Any

from msgspec.structs import replace

from cachefleet.interfaces import AnyRow
from cachefleet.model.group import Shape
from cachefleet.model.resource import Key, Kind
from cachefleet.model.row import SnapshotRow
from cachefleet.model.snapshot import SnapshotState
from cachefleet.model.snapshot_file import SnapshotFile
from tests.component.api.stage import Stage, on_each_store
from tests.component.api_groups.stage import GroupStage, one

GROUP, CLUSTER = Kind.REPLICATION_GROUP, Kind.CACHE_CLUSTER
USED_BYTES = 5 * 1024 * 1024 + 1


class SnapshotStage(GroupStage):
    async def snapshot_row(self, name: str) -> SnapshotRow:
        row = await self.store.get(self.key(name, Kind.SNAPSHOT))
        assert row is not None
        return row

    async def put_snapshot(self, name: str, **changes: Any) -> SnapshotRow:
        """As the keeper writes it."""
        row: AnyRow = await self.snapshot_row(name)
        async with self.store.transaction() as transaction:
            return await transaction.update(replace(row, desired=replace(row.desired, **changes)))

    async def keep(self, name: str, **changes: Any) -> SnapshotRow:
        """It is there, taken of the last node of each shard, and what it was taken of is free again."""
        desired = (await self.snapshot_row(name)).desired
        files = tuple(
            SnapshotFile(
                shard_id=shard.shard_id,
                object=f"{name}-{shard.shard_id}",
                slots=shard.slots if desired.group.shape is Shape.CLUSTERED else (),
                keys=10,
                used_bytes=USED_BYTES,
                node=shard.nodes[-1].name,
                node_created_at=shard.nodes[-1].created_at,
                zone=shard.nodes[-1].zone,
                taken_at=self.clock.now() + 1,
            )
            for shard in desired.group.shards
        )
        kept = await self.put_snapshot(name, state=SnapshotState.AVAILABLE, **{"files": files, **changes})
        key = self.key(desired.group_name, GROUP if desired.replication_group else CLUSTER)
        if await self.store.get(key) is not None:
            await self.release(key, name)
        return kept

    async def release(self, key: Key, name: str) -> None:
        row = await self.row(key)
        if row.desired.snapshotting == name:
            status = replace(row.status, state="available")
            await self.write(replace(row, desired=replace(row.desired, snapshotting=""), status=status))

    async def make(self, name: str = "nightly", **request: Any) -> SnapshotRow:
        """Made of the group `demo`, unless the request says otherwise, and kept."""
        await self.call("CreateSnapshot", SnapshotName=name, **(request or {"ReplicationGroupId": "demo"}))
        return await self.keep(name)

    async def shown(self, name: str, **request: Any) -> dict[str, Any]:
        return one(await self.call("DescribeSnapshots", SnapshotName=name, **request))

    async def listed(self, **request: Any) -> list[str]:
        reply = await self.call("DescribeSnapshots", **request)
        return [snapshot["SnapshotName"] for snapshot in reply["Snapshots"]]


def on_snapshots(test: Callable[[SnapshotStage], Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Make a test of an `async def` that wants a stage; it runs over each kind of store."""

    @functools.wraps(test)
    async def on_stage(stage: Stage) -> None:
        await test(SnapshotStage(stage.store, stage.clock))

    return on_each_store(on_stage)
