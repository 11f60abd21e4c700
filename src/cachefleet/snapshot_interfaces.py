"""The seam of snapshots' data; all others are in interfaces.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from cachefleet.model.observed import Address, FeedView
from cachefleet.model.snapshot_file import KeyVersion, SlotRanges, SnapshotFile


class TransferFailed(Exception):
    """Data did not get from one place to the other; the message says why and what to do. lasting: trying again would not change
    it (no such key, damage, no permission); else it may (a node ended, a store is full or does not answer)."""

    def __init__(self, message: str, *, lasting: bool = False) -> None:
        super().__init__(message)
        self.lasting = lasting


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """What was stored of one node: fields of SnapshotFile."""

    keys: int
    databases: tuple[int, ...]
    used_bytes: int
    rdb_bytes: int
    rdb_sha256: str
    stored_bytes: int
    stored_sha256: str


class Seed(msgspec.Struct, frozen=True):
    """What one node loads at its start: of these files the keys in these slots; None: all of them, in all databases. to: the
    address of a Memcached node, which is given the items of its one file there once it answers; None: it reads a pipe."""

    files: tuple[SnapshotFile, ...]
    slots: SlotRanges | None = None
    to: Address | None = None


class Transfers(Protocol):
    """Moves snapshots between engines, archives and keyring, in processes of its own: neither our memory nor our event loop
    feels how large they are. All of them end with us."""

    async def newest_key(self, name: str) -> KeyVersion:
        """What an object is encrypted with now. Raises TransferFailed when there is no such key, or it is disabled."""

    async def store(
        self, at: Address, file: str, key: KeyVersion, told: Callable[[int], None], *, memcached: bool = False
    ) -> Taken:
        """Replicate the data of the engine at `at`, once, into the archive (memcached: read its items, one by one); the object
        is there, durably, when this returns, and not at all when it raises. told: how many bytes of the engine's have gone so
        far. Raises TransferFailed. Cancelling it ends it."""

    def feed(self, incarnation: str, pipe: str, seed: Seed) -> None:
        """Begin to write a seed into the pipe that this incarnation reads; one that is under way is left alone. The last bytes
        are held back until everything has proven right."""

    def feeds(self, uid: str) -> Mapping[str, FeedView]:
        """By incarnation, of the group with this uid."""

    def forget(self, uid: str, current: Sequence[str]) -> None:
        """End, and know nothing any more of, all feeds of this group but those of these incarnations."""

    async def copy(self, file: SnapshotFile, to: str, key: KeyVersion) -> SnapshotFile:
        """Another object with the same data, encrypted with another key (or not, KeyVersion()). Raises TransferFailed."""

    async def export(self, file: SnapshotFile, to: str) -> None:
        """The bare RDB file to this URL. Raises TransferFailed; what was begun is not visible then."""

    async def put(self, path: str, content: bytes) -> None:
        """A small object into the archive. Raises TransferFailed."""

    async def remove(self, folder: str) -> None:
        """Everything of the archive whose path begins with this folder, which ends with "/". Raises TransferFailed."""

    async def folders(self, above: str) -> Sequence[str]:
        """Folders of the archive directly below this one, each ending with "/". Raises TransferFailed."""

    async def close(self) -> None: ...
