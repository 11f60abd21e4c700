"""Transfers in memory: the archive is a dictionary, and data are how many keys there are. Test code lets them fail and wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

import msgspec

from cachefleet.model.observed import Address, FeedView
from cachefleet.model.snapshot_file import KeyVersion, SnapshotFile
from cachefleet.snapshot_interfaces import Seed, Taken, TransferFailed


class FakeTransfers:
    """interfaces.Transfers. keys: what engines have. objects: path or URL -> keys in it. failing: why the next ones fail."""

    def __init__(self) -> None:
        self.keys: dict[Address, int] = {}
        self.objects: dict[str, int] = {}
        self.documents: dict[str, bytes] = {}
        self.key_versions: dict[str, int] = {"default": 1}
        self.failing: list[TransferFailed] = []
        self.open = asyncio.Event()  # transfers wait for it
        self.open.set()
        self.views: dict[str, FeedView] = {}
        self.seeds: dict[str, Seed] = {}

    async def newest_key(self, name: str) -> KeyVersion:
        if name not in self.key_versions:
            raise TransferFailed(f"there is no key {name}", lasting=True)
        return KeyVersion(name, self.key_versions[name])

    async def store(
        self, at: Address, file: str, key: KeyVersion, told: Callable[[int], None], *, memcached: bool = False
    ) -> Taken:
        await self._turn()
        self.objects[file] = self.keys.get(at, 0)
        size = 100 * self.objects[file]
        told(size)
        return Taken(
            keys=self.objects[file],
            databases=(0,),
            used_bytes=2 * size,
            rdb_bytes=size,
            rdb_sha256="0" * 64,
            stored_bytes=size // 2,
            stored_sha256="1" * 64,
        )

    async def _turn(self) -> None:
        await self.open.wait()
        if self.failing:
            raise self.failing.pop(0)

    def feed(self, incarnation: str, pipe: str, seed: Seed) -> None:
        """Test code, or a simulated engine, says how it goes on (views)."""
        if incarnation not in self.seeds:
            self.seeds[incarnation] = seed
            self.views[incarnation] = FeedView()

    def feeds(self, uid: str) -> Mapping[str, FeedView]:
        return {incarnation: view for incarnation, view in self.views.items() if incarnation.startswith(f"{uid}.")}

    def forget(self, uid: str, current: Sequence[str]) -> None:
        for incarnation in [one for one in self.views if one.startswith(f"{uid}.") and one not in current]:
            del self.views[incarnation], self.seeds[incarnation]

    async def copy(self, file: SnapshotFile, to: str, key: KeyVersion) -> SnapshotFile:
        await self._turn()
        self.objects[to] = self.objects[file.object]
        return msgspec.structs.replace(file, object=to, key=key)

    async def export(self, file: SnapshotFile, to: str) -> None:
        await self._turn()
        self.objects[to] = self.objects[file.object]

    async def put(self, path: str, content: bytes) -> None:
        await self._turn()
        self.documents[path] = content

    async def remove(self, folder: str) -> None:
        await self._turn()
        self.objects = {path: keys for path, keys in self.objects.items() if not path.startswith(folder)}
        self.documents = {path: content for path, content in self.documents.items() if not path.startswith(folder)}

    async def folders(self, above: str) -> Sequence[str]:
        paths = [path for path in (*self.objects, *self.documents) if path.startswith(above)]
        below = [path[len(above) :].partition("/") for path in paths]
        return sorted({f"{above}{name}/" for name, slash, _ in below if slash})

    async def close(self) -> None:
        pass
