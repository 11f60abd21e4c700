"""A host in memory: the same words as the real one, no processes. FakeMachine outlives control planes, a FakeHost does not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from cachefleet.engine_interfaces import Rendering
from cachefleet.hosts.addresses import AddressPool
from cachefleet.interfaces import HostRefused
from cachefleet.model.guard import Guard
from cachefleet.model.observed import Activity, ProcessView


class FakeMachine:
    """What runs and lies around. Test code makes processes end (`end`) and things go wrong (`refusing`, `full`)."""

    def __init__(self, network: int = 41, can_spread: bool = True) -> None:
        self.network = network
        self.can_spread = can_spread
        self.views: dict[str, ProcessView] = {}
        self.renderings: dict[str, Rendering] = {}
        self.files: dict[str, dict[str, bytes]] = {}
        self.can_guard = False
        self.guards: dict[str, Guard] = {}
        self.rules: dict[tuple[str, int], tuple[str, ...]] = {}
        self.cursors: dict[str, int] = {}
        self.refusing = ""  # why no process can be started
        self.full = ""  # why no more nodes fit
        self.activities: dict[str, Activity] = {}  # by incarnation; of others that run: asleep
        self.zones_out: frozenset[str] = frozenset()
        self.watchers: list[Callable[[str], None]] = []
        self._pids = 1000

    def launch(self, incarnation: str, rendering: Rendering) -> None:
        self._pids += 1
        self.views[incarnation] = ProcessView(incarnation=incarnation, running=True, pid=self._pids)
        self.renderings[incarnation] = rendering
        self.files[incarnation] = dict(rendering.files)

    def end(self, incarnation: str, how: str = "signal 9 (SIGKILL)", log_tail: str = "") -> None:
        """The process ends, and whoever watches is told."""
        self.views[incarnation] = ProcessView(incarnation=incarnation, running=False, exit=how, log_tail=log_tail)
        for watcher in list(self.watchers):
            watcher(incarnation.partition(".")[0])


class FakeHost:
    """interfaces.Host over a FakeMachine. Several on one machine are control planes, one after the other or at once."""

    def __init__(self, machine: FakeMachine | None = None) -> None:
        self.machine = machine or FakeMachine()
        self._pool = AddressPool(self.machine.network, self.machine.cursors)
        self._callbacks: list[Callable[[str], None]] = []

    async def adopt(self) -> Sequence[str]:
        if self._tell not in self.machine.watchers:
            self.machine.watchers.append(self._tell)
        self._pool = AddressPool(self.machine.network, self.machine.cursors)
        return list(self.machine.views)

    async def close(self) -> None:
        self.machine.watchers = [watcher for watcher in self.machine.watchers if watcher != self._tell]

    async def start(self, incarnation: str, rendering: Rendering) -> None:
        if incarnation in self.machine.views:
            return
        if self.machine.refusing:
            why = f"could not be started: {self.machine.refusing}"
            self.machine.views[incarnation] = ProcessView(incarnation=incarnation, running=False, exit=why)
            raise HostRefused(f"{incarnation} {why}")
        self.machine.launch(incarnation, rendering)

    def folder(self, incarnation: str) -> str:
        return f"/nodes/{incarnation}"

    async def write(self, incarnation: str, name: str, content: bytes) -> None:
        if incarnation not in self.machine.files:
            raise HostRefused(f"{name} of {incarnation} cannot be written: it has no folder")
        self.machine.files[incarnation][name] = content

    async def stop(self, incarnation: str, *, kill: bool, grace_s: float = 5.0) -> None:
        view = self.machine.views.get(incarnation)
        if view is not None and view.running:
            self.machine.end(incarnation, "signal 9 (SIGKILL)" if kill else "exit code 0")

    async def erase(self, incarnation: str) -> None:
        view = self.machine.views.get(incarnation)
        if view is not None and view.running:
            raise HostRefused(f"{incarnation} still runs: stop it before its folder is removed")
        for known in (self.machine.views, self.machine.renderings, self.machine.files):
            known.pop(incarnation, None)

    def inspect(self, uid: str) -> dict[str, ProcessView]:
        return {name: view for name, view in self.machine.views.items() if name.partition(".")[0] == uid}

    def activity(self, incarnation: str) -> Activity | None:
        view = self.machine.views.get(incarnation)
        return self.machine.activities.get(incarnation, Activity()) if view is not None and view.running else None

    def zones_out(self) -> frozenset[str]:
        return self.machine.zones_out

    def uids(self) -> set[str]:
        return {name.partition(".")[0] for name in self.machine.views}

    def on_exit(self, callback: Callable[[str], None]) -> None:
        self._callbacks.append(callback)

    def offer(self, uid: str, wanted: Mapping[str, int]) -> dict[str, tuple[str, ...]]:
        return self._pool.offer(uid, wanted)

    def keep(self, uid: str, addresses: Sequence[str]) -> None:
        self._pool.keep(uid, addresses)
        self.machine.cursors = self._pool.cursors

    async def spread(self, address: str, port: int, targets: Sequence[str]) -> None:
        if not self.machine.can_spread:
            raise HostRefused("connections cannot be spread here")
        self.machine.rules.pop((address, port), None)
        if targets:
            self.machine.rules[address, port] = tuple(targets)

    @property
    def can_spread(self) -> bool:
        return self.machine.can_spread

    def spreads(self) -> Mapping[tuple[str, int], tuple[str, ...]]:
        return self.machine.rules

    async def guard(self, uid: str, guard: Guard | None) -> None:
        if not self.machine.can_guard:
            raise HostRefused("connections cannot be refused here")
        self.machine.guards.pop(uid, None)
        if guard is not None:
            self.machine.guards[uid] = guard

    def can_guard(self, uid: str) -> bool:
        return self.machine.can_guard

    def guards(self) -> Mapping[str, Guard]:
        return dict(self.machine.guards) if self.machine.can_guard else {}

    def refuses(self, nodes: int, memory_bytes: int, data_bytes: int = 0) -> str:
        return self.machine.full

    def _tell(self, uid: str) -> None:
        for callback in self._callbacks:
            callback(uid)
