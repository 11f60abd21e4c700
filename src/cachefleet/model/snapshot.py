"""A snapshot: a row of its own, that outlives the group it was taken of.

Written by the API (a wish: creating, copying, deleting) and by control.backups (what came of it). The manifest beside the
stored objects says the same, for those who have only the archive.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from cachefleet.model.group import GroupDesired
from cachefleet.model.snapshot_file import SnapshotFile


class SnapshotState(StrEnum):
    """Snapshot.SnapshotStatus (reference 2.1)."""

    CREATING = "creating"
    AVAILABLE = "available"
    FAILED = "failed"
    COPYING = "copying"
    RESTORING = "restoring"  # shown only: a group is being restored from it
    DELETING = "deleting"


class SnapshotSource(StrEnum):
    """Who asked for it: Snapshot.SnapshotSource."""

    MANUAL = "manual"
    AUTOMATED = "automated"


class SnapshotDesired(msgspec.Struct, frozen=True, kw_only=True):
    """uid: random, unique for ever; part of the objects' paths, so that a name that is used again meets nothing old."""

    uid: str
    source: SnapshotSource
    state: SnapshotState
    created_at: float
    group: GroupDesired  # as it was then; what a restored group gets unless the request says otherwise
    group_name: str
    replication_group: bool  # else a cluster of its own
    node: str = ""  # the cache cluster that it has to be taken of, "" whichever is best
    key_name: str = ""  # of the keyring; "" not encrypted
    attempts: int = 0  # each writes objects of its own
    files: tuple[SnapshotFile, ...] = ()  # once it is available
    why: str = ""  # it failed
    expires_at: float = 0.0  # an automated one goes then; 0 never
    copy_of: str = ""  # the snapshot that it is a copy of
    bucket: str = ""  # an export: a copy that goes there and is no row afterwards
    final: bool = False  # its group is deleted when it is there
    for_restart: str = ""  # it is made for a stop of everything: which request it answers (model.saving); users do not see it
    verified_at: float = 0.0  # when it was last restored as a proof, 0 never
    verified_why: str = ""  # why that failed, "" when it did not


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What is stored beside the objects, as JSON."""

    format: int = 1
    snapshot: str
    account: str
    region: str
    source: SnapshotSource
    created_at: float  # epoch seconds
    group_name: str
    engine: str
    engine_version: str
    cluster_mode: str
    node_type: str
    files: tuple[SnapshotFile, ...]
