"""The machine that outlives control planes: processes by incarnation, folders, addresses' listeners, spread rules.

SimHost is interfaces.Host for one control plane on it. An incarnation that is started a second time is a violation: that never
happens, the planners promise.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextvars import Context, copy_context
from random import Random

from cachefleet.hosts.addresses import AddressPool
from cachefleet.interfaces import HostRefused, Permit, Rendering
from cachefleet.model.observed import Activity, ProcessView
from tests.simulation.loop import VirtualLoop
from tests.simulation.network import Network
from tests.simulation.process import Process
from tests.simulation.trace import Trace

Boot = Callable[[Process, Rendering], None]  # gives the process its program
NETWORK = 41


class Machine:
    """boot: what a rendering makes of a process. zone_of: the letter of a process's zone."""

    def __init__(self, loop: VirtualLoop, network: Network, trace: Trace, chance: Random, boot: Boot) -> None:
        self.loop, self.network, self.trace, self.chance = loop, network, trace, chance
        self._boot = boot
        self.processes: dict[str, Process] = {}
        self.exits: dict[str, str] = {}
        self.files: dict[str, dict[str, bytes]] = {}
        self.started: set[str] = set()
        self.rules: dict[tuple[str, int], tuple[str, ...]] = {}
        self.cursors: dict[str, int] = {}
        self.zones_out: set[str] = set()
        self.hosts: list[SimHost] = []
        self.doomed: set[tuple[str, str]] = set()  # (uid, node): whatever is started of it ends at once
        self.zone_of: Callable[[Process], str] = lambda process: ""
        self.on_end: Callable[[Process], None] = lambda process: None
        self._pids = 1000

    def running(self) -> list[Process]:
        return [process for process in self.processes.values() if process.running]

    def of_node(self, uid: str, node: str) -> list[Process]:
        """Running processes of that node, oldest first."""
        return [process for process in self.running() if process.incarnation.startswith(f"{uid}.{node}.")]

    def spawn(self, incarnation: str, rendering: Rendering) -> None:
        if incarnation in self.started:
            self.trace.violation("started twice", incarnation)
        self.started.add(incarnation)
        self.boot(incarnation, rendering)

    def boot(self, incarnation: str, rendering: Rendering) -> None:
        self._pids += 1
        process = Process(self.network, incarnation, self._pids, "", self._ended)
        self.processes[incarnation] = process
        self.files[incarnation] = dict(rendering.files)
        self._boot(process, rendering)
        self.trace.note(f"started  {incarnation} at {process.party}")
        if _node(incarnation) in self.doomed or self.zone_of(process) in self.zones_out:
            self.loop.after(0.01, process.end, "exit code 1")
        else:
            process.after(0.005 + 0.03 * self.chance.random(), process.program.start)

    def _ended(self, process: Process, how: str) -> None:
        self.exits[process.incarnation] = how
        self.trace.note(f"ended    {process.incarnation}: {how}")
        self.on_end(process)
        for host in self.hosts:
            self.loop.after(0.0002 + 0.003 * self.chance.random(), host.tell, process.incarnation.partition(".")[0])

    def erase(self, incarnation: str) -> None:
        for known in (self.processes, self.exits, self.files):
            known.pop(incarnation, None)

    def views(self, uid: str) -> dict[str, ProcessView]:
        return {
            name: ProcessView(name, process.running, process.pid, self.exits.get(name, ""))
            for name, process in self.processes.items()
            if name.partition(".")[0] == uid
        }


class SimHost:
    """actor_alive: whether the control plane it belongs to still is: what a dead one does has no effect."""

    def __init__(self, machine: Machine, actor_alive: Callable[[], bool], permit: Permit) -> None:
        self._machine = machine
        self._alive = actor_alive
        self._permit = permit
        self._pool = AddressPool(NETWORK, machine.cursors)
        self._callbacks: list[tuple[Context, Callable[[str], None]]] = []

    async def adopt(self) -> Sequence[str]:
        await self._takes(0.01)
        self._pool = AddressPool(NETWORK, self._machine.cursors)
        if self not in self._machine.hosts:
            self._machine.hosts.append(self)
        return list(self._machine.processes)

    async def close(self) -> None:
        if self in self._machine.hosts:
            self._machine.hosts.remove(self)

    def tell(self, uid: str) -> None:
        """One of the group's processes ended."""
        for context, callback in self._callbacks:
            self._machine.loop.call_soon(callback, uid, context=context)

    async def _takes(self, most_s: float) -> None:
        done = self._machine.loop.create_future()
        self._machine.loop.after(most_s * self._machine.chance.random(), _settle, done)
        await done
        if not self._alive():
            raise asyncio.CancelledError

    async def start(self, incarnation: str, rendering: Rendering) -> None:
        await self._takes(0.002)
        self._permit()
        self._machine.spawn(incarnation, rendering)
        await self._takes(0.005)

    def folder(self, incarnation: str) -> str:
        return f"/nodes/{incarnation}"

    async def write(self, incarnation: str, name: str, content: bytes) -> None:
        await self._takes(0.005)
        self._permit()
        if incarnation not in self._machine.files:
            raise HostRefused(f"{name} of {incarnation} cannot be written: it has no folder")
        self._machine.files[incarnation][name] = content

    async def stop(self, incarnation: str, *, kill: bool, grace_s: float = 5.0) -> None:
        await self._takes(0.002)
        self._permit()
        process = self._machine.processes.get(incarnation)
        if process is None or not process.running:
            return
        if kill:
            process.end("signal 9 (SIGKILL)", losing=self._machine.chance.random() < 0.3)
        else:
            process.after(0.02, process.end, "exit code 0")
            self._machine.loop.after(grace_s, process.end, "signal 9 (SIGKILL)")
        while process.running:
            await self._takes(0.02)
        await self._takes(0.005)

    async def erase(self, incarnation: str) -> None:
        await self._takes(0.005)
        self._permit()
        process = self._machine.processes.get(incarnation)
        if process is not None and process.running:
            raise HostRefused(f"{incarnation} still runs: stop it before its folder is removed")
        self._machine.erase(incarnation)

    def inspect(self, uid: str) -> dict[str, ProcessView]:
        return self._machine.views(uid)

    def activity(self, incarnation: str) -> Activity | None:
        process = self._machine.processes.get(incarnation)
        return None if process is None else process.activity()

    def zones_out(self) -> frozenset[str]:
        return frozenset(self._machine.zones_out)

    def uids(self) -> set[str]:
        return {name.partition(".")[0] for name in self._machine.processes}

    def on_exit(self, callback: Callable[[str], None]) -> None:
        self._callbacks.append((copy_context(), callback))

    def offer(self, uid: str, wanted: Mapping[str, int]) -> dict[str, tuple[str, ...]]:
        return self._pool.offer(uid, wanted)

    def keep(self, uid: str, addresses: Sequence[str]) -> None:
        self._pool.keep(uid, addresses)
        self._machine.cursors = self._pool.cursors

    async def spread(self, address: str, port: int, targets: Sequence[str]) -> None:
        await self._takes(0.01)
        self._permit()
        self._machine.rules.pop((address, port), None)
        if targets:
            self._machine.rules[address, port] = tuple(targets)

    @property
    def can_spread(self) -> bool:
        return True

    def spreads(self) -> Mapping[tuple[str, int], tuple[str, ...]]:
        return self._machine.rules

    def refuses(self, nodes: int, memory_bytes: int) -> str:
        return ""


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _node(incarnation: str) -> tuple[str, str]:
    uid, _, rest = incarnation.partition(".")
    return uid, rest.rpartition(".")[0]
