"""The stored objects of a snapshot, one for each shard, and what a new group is restored from."""

from __future__ import annotations

import msgspec

SlotRanges = tuple[tuple[int, int], ...]  # inclusive pairs, ascending, not overlapping


class KeyVersion(msgspec.Struct, frozen=True):
    """Which version of which key of the keyring an object is encrypted with. name "": it is not encrypted."""

    name: str = ""
    version: int = 0  # from 1
    recipient: str = ""  # age1...: what it was sealed for; public


class SnapshotFile(msgspec.Struct, frozen=True, kw_only=True):
    """One stored object: all data of one shard at one instant."""

    shard_id: str
    object: str  # its path in the archive, or the whole URL where it is not in ours
    slots: SlotRanges = ()  # of the shard; empty with cluster mode disabled
    key: KeyVersion = KeyVersion()
    sealed: bool = True  # compressed, with checksums; False for a bare RDB file
    keys: int = -1  # in all databases, those that had expired but were not removed included; -1 not known
    databases: tuple[int, ...] = (0,)  # that have keys
    used_bytes: int = 0  # memory that the data took in the engine, 0 not known
    rdb_bytes: int = 0
    rdb_sha256: str = ""
    stored_bytes: int = 0
    stored_sha256: str = ""
    node: str = ""  # the cache cluster that it was taken of
    node_created_at: float = 0.0
    zone: str = ""
    taken_at: float = 0.0


class Restore(msgspec.Struct, frozen=True):
    """What a group is filled with before it is available for the first time."""

    files: tuple[SnapshotFile, ...]
    snapshot: str = ""  # its name, "" for files from elsewhere

    @property
    def keys(self) -> int:
        """How many there must be afterwards; -1 not known."""
        return -1 if any(file.keys < 0 for file in self.files) else sum(file.keys for file in self.files)
