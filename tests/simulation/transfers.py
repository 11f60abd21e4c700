"""snapshot_interfaces.Transfers in virtual time: an archive that outlives control planes, and the workers of one of them.

Workers are processes of their own: they go on while their control plane stands still, and end with it. An engine whose pipe
ends early ends, too. Knows the data of engines; the network only decides whether a node can be reached.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from random import Random

import msgspec

from cachefleet.model.observed import Address, FeedView
from cachefleet.model.snapshot_file import KeyVersion, SnapshotFile
from cachefleet.snapshot_interfaces import Seed, Taken, TransferFailed
from tests.simulation.engine import Engine
from tests.simulation.loop import VirtualLoop
from tests.simulation.network import Network
from tests.simulation.process import Process
from tests.simulation.slots import ALL, mask_of, within

PATIENCE_S = 8.0  # of a worker with an engine that gives or takes nothing
STEPS = 4  # in which a feed tells how far it is
POLL_S = 0.05


class Archive:
    """objects: path -> writes. failing: share of what is asked of it. fed: launches that anybody ever wrote to."""

    def __init__(self) -> None:
        self.objects: dict[str, frozenset[int]] = {}
        self.documents: dict[str, bytes] = {}
        self.failing = 0.0
        self.fed: set[str] = set()
        self.on_fed_twice: Callable[[str], None] = lambda incarnation: None


class _Feed:
    def __init__(self, incarnation: str, seed: Seed) -> None:
        self.incarnation, self.seed = incarnation, seed
        self.view = FeedView(total_bytes=STEPS)
        self.begun = False  # something has gone into the pipe
        self.over = False


class SimTransfers:
    """Of the control plane of that name. engines: by incarnation."""

    def __init__(
        self,
        archive: Archive,
        network: Network,
        engines: Mapping[str, Engine],
        chance: Random,
        name: str,
        alive: Callable[[], bool],
    ) -> None:
        self._archive, self._network, self._engines = archive, network, engines
        self._chance, self._name, self._alive = chance, name, alive
        self._feeds: dict[str, _Feed] = {}

    @property
    def _loop(self) -> VirtualLoop:
        return self._network.loop

    async def _takes(self, most_s: float) -> None:
        done = self._loop.create_future()
        self._loop.after(most_s * self._chance.random(), _settle, done)
        await done
        if not self._alive():
            raise asyncio.CancelledError

    def _ask_archive(self) -> None:
        if self._chance.random() < self._archive.failing:
            raise TransferFailed("the archive does not answer")

    # --- from engines ---

    async def newest_key(self, name: str) -> KeyVersion:
        return KeyVersion(name, 1)

    async def store(
        self, at: Address, file: str, key: KeyVersion, told: Callable[[int], None], *, memcached: bool = False
    ) -> Taken:
        engine = await self._reached(at)
        state = engine.replication
        if not (state.primary or state.state == "up"):
            raise TransferFailed("NOMASTERLINK")
        data = frozenset(state.data)
        state.children += 1
        engine.process.after(0.3, self._child_ends, engine)
        await self._takes(self._chance.choice((0.05, 0.5, 2.0)))
        if not engine.process.running or self._is_cut(engine):
            raise TransferFailed("the stream broke off")
        self._ask_archive()
        self._archive.objects[file] = data
        size = len(data)
        return Taken(
            keys=size,
            databases=(0,),
            used_bytes=1000 * size,
            rdb_bytes=100 * size,
            rdb_sha256="0" * 64,
            stored_bytes=50 * size,
            stored_sha256="1" * 64,
        )

    def _child_ends(self, engine: Engine) -> None:
        engine.replication.children -= 1

    async def _reached(self, at: Address) -> Engine:
        """Raises TransferFailed."""
        end_s = self._loop.time() + PATIENCE_S
        while True:
            await self._takes(POLL_S)
            listener = self._network.listener(at.host, at.port)
            if not isinstance(listener, Process):
                raise TransferFailed("nobody listens there")
            engine = self._engines[listener.incarnation]
            if not (listener.still or self._is_cut(engine)):
                return engine
            if self._loop.time() > end_s:
                raise TransferFailed("it does not answer")

    def _is_cut(self, engine: Engine) -> bool:
        return self._network.is_cut(self._name, engine.host) or self._network.is_cut(engine.host, self._name)

    # --- to engines ---

    def feed(self, incarnation: str, pipe: str, seed: Seed) -> None:
        if incarnation not in self._feeds and self._alive():
            feed = self._feeds[incarnation] = _Feed(incarnation, seed)
            self._loop.after(0.1 * self._chance.random(), self._open, feed)

    def _open(self, feed: _Feed) -> None:
        if feed.over:
            return
        missing = [file.object for file in feed.seed.files if file.object not in self._archive.objects]
        if missing or self._chance.random() < self._archive.failing:
            self._fail(feed, f"{missing} are not there" if missing else "the archive does not answer", lasting=bool(missing))
            return
        if feed.incarnation in self._archive.fed:
            self._archive.on_fed_twice(feed.incarnation)
        self._archive.fed.add(feed.incarnation)
        feed.begun = True
        self._loop.after(0.0, self._go_on, feed, self._chance.choice((0.02, 0.2, 2.0)))

    def _go_on(self, feed: _Feed, pace_s: float) -> None:
        if feed.over:
            return
        engine = self._engines.get(feed.incarnation)
        if engine is None or not engine.process.running:
            self._fail(feed, "the engine has ended")
        elif not engine.process.loads or engine.process.frozen or engine.process.busy:
            self._loop.after(POLL_S, self._go_on, feed, pace_s)  # it does not read
        elif self._chance.random() < self._archive.failing / STEPS:
            self._fail(feed, "the archive does not answer any more")
        elif feed.view.fed_bytes < STEPS:
            feed.view = msgspec.structs.replace(feed.view, fed_bytes=feed.view.fed_bytes + 1)
            self._loop.after(pace_s * self._chance.random(), self._go_on, feed, pace_s)
        else:
            feed.over = True
            data = self._data(feed.seed)
            self._loop.after(0.03 * self._chance.random(), self._tell, feed, len(data))
            engine.seed(data)

    def _tell(self, feed: _Feed, keys: int) -> None:
        feed.view = msgspec.structs.replace(feed.view, done=True, keys=keys)

    def _data(self, seed: Seed) -> set[int]:
        everything = set().union(*(self._archive.objects[file.object] for file in seed.files))
        return within(everything, ALL if seed.slots is None else mask_of(seed.slots))

    def _fail(self, feed: _Feed, why: str, *, lasting: bool = False) -> None:
        """The pipe ends; whether its engine or its feed is seen to end first is chance."""
        feed.over = True
        failed = msgspec.structs.replace(feed.view, failure=why, lasting=lasting)
        self._loop.after(0.05 * self._chance.random(), setattr, feed, "view", failed)
        self._break(feed)

    def _break(self, feed: _Feed) -> None:
        """An engine that has read something ends with it; one that has not waits on."""
        engine = self._engines.get(feed.incarnation)
        if feed.begun and engine is not None:
            self._loop.after(0.05 * self._chance.random(), self._end, engine)

    def _end(self, engine: Engine) -> None:
        if engine.process.frozen or engine.process.busy:
            self._loop.after(POLL_S, self._end, engine)  # it has not read the end yet
        elif engine.process.running and engine.loaded_keys == 0 and engine.seeded and engine.process.loads:
            engine.process.end("exit code 1")

    def feeds(self, uid: str) -> Mapping[str, FeedView]:
        return {name: feed.view for name, feed in self._feeds.items() if name.startswith(f"{uid}.")}

    def forget(self, uid: str, current: Sequence[str]) -> None:
        for name in [name for name in self._feeds if name.startswith(f"{uid}.") and name not in current]:
            self._cancel(self._feeds.pop(name))

    def _cancel(self, feed: _Feed) -> None:
        if not feed.over:
            feed.over = True
            self._break(feed)

    def end(self) -> None:
        """All workers end, as their control plane does."""
        for feed in self._feeds.values():
            self._cancel(feed)
        self._feeds.clear()

    async def close(self) -> None:
        self.end()

    # --- in the archive ---

    async def copy(self, file: SnapshotFile, to: str, key: KeyVersion) -> SnapshotFile:
        await self._takes(0.5)
        self._ask_archive()
        self._archive.objects[to] = self._archive.objects[file.object]
        return msgspec.structs.replace(file, object=to, key=key)

    async def export(self, file: SnapshotFile, to: str) -> None:
        await self._takes(0.5)
        self._ask_archive()

    async def put(self, path: str, content: bytes) -> None:
        await self._takes(0.05)
        self._ask_archive()
        self._archive.documents[path] = content

    async def remove(self, folder: str) -> None:
        await self._takes(0.05)
        self._ask_archive()
        for known in (self._archive.objects, self._archive.documents):
            for path in [path for path in known if path.startswith(folder)]:
                del known[path]

    async def folders(self, above: str) -> Sequence[str]:
        await self._takes(0.05)
        self._ask_archive()
        paths = [path for path in (*self._archive.objects, *self._archive.documents) if path.startswith(above)]
        return sorted({f"{above}{path[len(above) :].partition('/')[0]}/" for path in paths if "/" in path[len(above) :]})


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
