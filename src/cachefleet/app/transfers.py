"""interfaces.Transfers by worker processes (app.transfer_worker): starts them, reads what they tell, ends them.

Secrets go to a worker by its standard input only. A worker ends when we do: its input ends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from cachefleet.interfaces import Seed, Taken, TransferFailed
from cachefleet.model.observed import Address, FeedView
from cachefleet.model.snapshot_file import KeyVersion, SnapshotFile


class WorkerTransfers:
    """interfaces.Transfers."""

    async def newest_key(self, name: str) -> KeyVersion:
        raise TransferFailed("not there yet", lasting=True)

    async def store(self, at: Address, file: str, key: KeyVersion, told: Callable[[int], None]) -> Taken:
        raise TransferFailed("not there yet", lasting=True)

    def feed(self, incarnation: str, pipe: str, seed: Seed) -> None: ...

    def feeds(self, uid: str) -> Mapping[str, FeedView]:
        return {}

    def forget(self, uid: str, current: Sequence[str]) -> None: ...

    async def copy(self, file: SnapshotFile, to: str, key: KeyVersion) -> SnapshotFile:
        raise TransferFailed("not there yet", lasting=True)

    async def export(self, file: SnapshotFile, to: str) -> None:
        raise TransferFailed("not there yet", lasting=True)

    async def put(self, path: str, content: bytes) -> None:
        raise TransferFailed("not there yet", lasting=True)

    async def remove(self, folder: str) -> None:
        raise TransferFailed("not there yet", lasting=True)

    async def folders(self, above: str) -> Sequence[str]:
        return ()

    async def close(self) -> None: ...
