"""interfaces.Host of one control plane on the simulated machine. As the real one it knows what it started itself or found when
it adopted, and learns of an end a moment later, not while it is stalled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextvars import Context, copy_context

import msgspec

from cachefleet.engine_interfaces import Rendering
from cachefleet.hosts.addresses import AddressPool
from cachefleet.interfaces import HostRefused, Permit
from cachefleet.model.guard import Guard
from cachefleet.model.observed import Activity, ProcessView
from tests.simulation.machine import Machine

NETWORK = 41


class Known(msgspec.Struct):
    """An incarnation, as this control plane knows it."""

    pid: int
    ended_s: float = 0.0  # when its end was noticed; 0 while it runs
    exit: str = ""


class SimHost:
    """name: of the control plane it belongs to; alive: whether that still is: what a dead one does has no effect."""

    def __init__(self, machine: Machine, name: str, alive: Callable[[], bool], permit: Permit) -> None:
        self._machine, self._name, self._alive, self._permit = machine, name, alive, permit
        self._pool = AddressPool(NETWORK, machine.cursors)
        self._known: dict[str, Known] = {}
        self._callbacks: list[tuple[Context, Callable[[str], None]]] = []
        self._context = copy_context()

    async def adopt(self) -> Sequence[str]:
        await self._takes(0.01)
        self._pool = AddressPool(NETWORK, self._machine.cursors)
        if self not in self._machine.hosts:
            self._machine.hosts.append(self)
        present = self._machine.processes
        for incarnation, process in present.items():
            if incarnation not in self._known:
                self._known[incarnation] = Known(process.pid, 0.0 if process.running else self._machine.loop.time())
        for incarnation in [name for name, known in self._known.items() if known.ended_s and name not in present]:
            del self._known[incarnation]
        return list(self._known)

    async def close(self) -> None:
        if self in self._machine.hosts:
            self._machine.hosts.remove(self)

    def ended(self, incarnation: str, how: str) -> None:
        """The kernel says so."""
        self._machine.loop.call_soon(self._notice, incarnation, how, context=self._context)

    def _notice(self, incarnation: str, how: str) -> None:
        known = self._known.get(incarnation)
        if known is None or known.ended_s:
            return
        known.ended_s, known.exit = self._machine.loop.time(), how
        for context, callback in self._callbacks:
            context.run(callback, incarnation.partition(".")[0])

    async def _takes(self, most_s: float) -> None:
        done = self._machine.loop.create_future()
        self._machine.loop.after(most_s * self._machine.chance.random(), _settle, done)
        await done
        if not self._alive():
            raise asyncio.CancelledError

    def _acts(self) -> None:
        """At the instant of an effect. Raises Deposed."""
        self._permit()
        self._machine.on_act(self._name)

    async def start(self, incarnation: str, rendering: Rendering) -> None:
        await self._takes(0.002)
        self._acts()
        if self._alive():
            self._machine.spawn(incarnation, rendering)
            self._known[incarnation] = Known(self._machine.processes[incarnation].pid)
        await self._takes(0.005)

    def folder(self, incarnation: str) -> str:
        return f"/nodes/{incarnation}"

    async def write(self, incarnation: str, name: str, content: bytes) -> None:
        await self._takes(0.005)
        self._acts()
        if incarnation not in self._machine.files:
            raise HostRefused(f"{name} of {incarnation} cannot be written: it has no folder")
        self._machine.files[incarnation][name] = content

    async def stop(self, incarnation: str, *, kill: bool, grace_s: float = 5.0) -> None:
        await self._takes(0.002)
        known = self._known.get(incarnation)
        if known is None or known.ended_s:
            return
        self._acts()
        process = self._machine.processes.get(incarnation)
        if process is None or not process.running:
            return
        if kill:
            self._machine.on_kill(process)
            process.end("signal 9 (SIGKILL)", losing=self._machine.chance.random() < 0.3)
        else:
            self._machine.on_stop(process)
            process.after(0.02, process.end, "exit code 0")
            self._machine.loop.after(grace_s, process.end, "signal 9 (SIGKILL)")
        while process.running:
            await self._takes(0.02)
        await self._takes(0.005)
        self._notice(incarnation, "signal 9 (SIGKILL)")

    async def erase(self, incarnation: str) -> None:
        await self._takes(0.005)
        self._acts()
        process = self._machine.processes.get(incarnation)
        if process is not None and process.running:
            raise HostRefused(f"{incarnation} still runs: stop it before its folder is removed")
        self._machine.erase(incarnation)
        self._known.pop(incarnation, None)

    def inspect(self, uid: str) -> dict[str, ProcessView]:
        return {name: self._view(name, known) for name, known in self._known.items() if name.partition(".")[0] == uid}

    def _view(self, incarnation: str, known: Known) -> ProcessView:
        if not known.ended_s:
            return ProcessView(incarnation=incarnation, running=True, pid=known.pid)
        since_s = self._machine.loop.time() - known.ended_s
        return ProcessView(incarnation=incarnation, running=False, exit=known.exit, ended_s=since_s)

    def activity(self, incarnation: str) -> Activity | None:
        process = self._machine.processes.get(incarnation)
        return None if process is None else process.activity()

    def zones_out(self) -> frozenset[str]:
        return frozenset(self._machine.zones_out)

    def uids(self) -> set[str]:
        return {name.partition(".")[0] for name in self._known}

    def on_exit(self, callback: Callable[[str], None]) -> None:
        self._callbacks.append((copy_context(), callback))

    def offer(self, uid: str, wanted: Mapping[str, int]) -> dict[str, tuple[str, ...]]:
        return self._pool.offer(uid, wanted)

    def keep(self, uid: str, addresses: Sequence[str]) -> None:
        self._pool.keep(uid, addresses)
        self._machine.cursors = self._pool.cursors

    async def spread(self, address: str, port: int, targets: Sequence[str]) -> None:
        await self._takes(0.01)
        self._acts()
        self._machine.rules.pop((address, port), None)
        if targets:
            self._machine.rules[address, port] = tuple(targets)

    @property
    def can_spread(self) -> bool:
        return True

    def spreads(self) -> Mapping[tuple[str, int], tuple[str, ...]]:
        return self._machine.rules

    async def guard(self, uid: str, guard: Guard | None) -> None:
        raise AssertionError("this machine cannot guard")

    def can_guard(self, uid: str) -> bool:
        return False

    def guards(self) -> Mapping[str, Guard]:
        return {}

    def refuses(self, nodes: int, memory_bytes: int, data_bytes: int = 0) -> str:
        return ""


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
