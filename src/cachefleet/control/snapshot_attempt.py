"""One attempt to make, copy or export a snapshot: all of its shards' objects, then the manifest, which comes last.

Decides nothing about rows; what it leaves when it fails lies in a folder of its own, by the number of the attempt. Called by
control.backups.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

import msgspec
import structlog
from msgspec.structs import replace

from cachefleet.control.seams import Seams
from cachefleet.model.group import Shape
from cachefleet.model.row import GroupRow, SnapshotRow
from cachefleet.model.snapshot import Manifest
from cachefleet.model.snapshot_file import KeyVersion, SnapshotFile
from cachefleet.planning.node_addresses import node_address
from cachefleet.planning.snapshotting import Source, sources
from cachefleet.snapshot_interfaces import TransferFailed

log = structlog.get_logger()
MANIFEST = "manifest.json"
R = TypeVar("R")


def folder_of(row: SnapshotRow) -> str:
    """Of all that belongs to it in the archive. The uid keeps it apart from whatever had its name before."""
    key = row.key
    return f"{key.account}/{key.region}/{key.name}-{row.desired.uid}/"


class Attempt:
    """avoid: nodes at which an earlier attempt has failed; added to. turns: how many transfers may run at one time."""

    def __init__(self, seams: Seams, turns: asyncio.Semaphore, row: SnapshotRow, avoid: set[str]) -> None:
        self._seams = seams
        self._turns = turns
        self._name = row.key.name
        self._node = row.desired.node
        self._avoid = avoid

    def sources(self, group: GroupRow) -> list[Source] | str:
        """Which node of each shard it is taken of; or why there is none now."""
        return sources(group, self._node, self._avoid)

    async def run(self, row: SnapshotRow, group: GroupRow, taken_of: list[Source]) -> tuple[SnapshotFile, ...]:
        """row: as it was saved for this attempt. Raises TransferFailed; nothing of it counts then."""
        key = await self._key(row)
        at = self._seams.clock.now()
        stores = [self._store(row, group, number, source, key, at) for number, source in enumerate(taken_of, 1)]
        files = tuple(await _together(stores))
        after: GroupRow | None = await self._seams.store.get(group.key)
        if after is None or after.memory.slots != group.memory.slots:
            raise TransferFailed("slots have changed their shards meanwhile")
        await self._put_manifest(row, files)
        return files

    async def _key(self, row: SnapshotRow) -> KeyVersion:
        return await self._seams.transfers.newest_key(row.desired.key_name) if row.desired.key_name else KeyVersion()

    def _path(self, row: SnapshotRow, number: int, key: KeyVersion) -> str:
        kind = "items" if row.desired.group.shape is Shape.MEMCACHED else "rdb"
        suffix = ".age" if key.recipient else ""
        return f"{folder_of(row)}{row.desired.attempts}/{row.key.name}-{number:04}.{kind}.zst{suffix}"

    async def _store(
        self, row: SnapshotRow, group: GroupRow, number: int, source: Source, key: KeyVersion, at: float
    ) -> SnapshotFile:
        path, at_node = self._path(row, number, key), node_address(group, source.node)
        memcached = group.desired.shape is Shape.MEMCACHED
        try:
            async with self._turns:
                taken = await self._seams.transfers.store(at_node, path, key, lambda _: None, memcached=memcached)
        except TransferFailed as error:
            if not error.lasting:
                self._avoid.add(source.node)
            raise
        return SnapshotFile(
            shard_id=source.shard_id,
            object=path,
            slots=source.slots,
            key=key,
            keys=taken.keys,
            databases=taken.databases,
            used_bytes=taken.used_bytes,
            rdb_bytes=taken.rdb_bytes,
            rdb_sha256=taken.rdb_sha256,
            stored_bytes=taken.stored_bytes,
            stored_sha256=taken.stored_sha256,
            node=source.node,
            node_created_at=source.created_at,
            zone=source.zone,
            taken_at=at,
        )

    async def copy(self, row: SnapshotRow, original: SnapshotRow) -> tuple[SnapshotFile, ...]:
        """Raises TransferFailed."""
        key = await self._key(row)

        async def one(number: int, file: SnapshotFile) -> SnapshotFile:
            async with self._turns:
                return await self._seams.transfers.copy(file, self._path(row, number, key), key)

        files = tuple(await _together(one(number, file) for number, file in enumerate(original.desired.files, 1)))
        await self._put_manifest(row, files)
        return files

    async def export(self, row: SnapshotRow, original: SnapshotRow) -> None:
        """Bare RDB files to the bucket, as <name>-0001.rdb and so on. Raises TransferFailed."""

        async def one(number: int, file: SnapshotFile) -> None:
            async with self._turns:
                await self._seams.transfers.export(file, f"s3://{row.desired.bucket}/{row.key.name}-{number:04}.rdb")

        await _together(one(number, file) for number, file in enumerate(original.desired.files, 1))

    async def _put_manifest(self, row: SnapshotRow, files: tuple[SnapshotFile, ...]) -> None:
        group = row.desired.group
        manifest = Manifest(
            snapshot=row.key.name,
            account=row.key.account,
            region=row.key.region,
            source=row.desired.source,
            created_at=row.desired.created_at,
            group_name=row.desired.group_name,
            engine=group.engine,
            engine_version=group.engine_version,
            cluster_mode=group.cluster_mode,
            node_type=group.node_type,
            files=tuple(replace(file, object=file.object.rpartition("/")[2]) for file in files),
        )
        content = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
        await self._seams.transfers.put(f"{folder_of(row)}{row.desired.attempts}/{MANIFEST}", content)


async def _together(works: Iterable[Coroutine[Any, Any, R]]) -> list[R]:
    """All at once; the first that fails ends the others. Raises what it raised."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work) for work in works]
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]
