"""The machine that outlives control planes: processes by incarnation, their files, rules in the kernel.

An incarnation that is started a second time is a violation: that never happens, the planners promise.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Protocol

from cachefleet.engine_interfaces import Rendering
from tests.simulation.loop import VirtualLoop
from tests.simulation.network import Network
from tests.simulation.process import Process
from tests.simulation.trace import Trace

Boot = Callable[[Process, Rendering], None]  # gives the process its program


class Watcher(Protocol):
    def ended(self, incarnation: str, how: str) -> None: ...


class Machine:
    """boot: what a rendering makes of a process. zone_of: the letter of a process's zone."""

    def __init__(self, loop: VirtualLoop, network: Network, trace: Trace, chance: Random, boot: Boot) -> None:
        self.loop, self.network, self.trace, self.chance = loop, network, trace, chance
        self._boot = boot
        self.processes: dict[str, Process] = {}
        self.exits: dict[str, str] = {}
        self.files: dict[str, dict[str, bytes]] = {}
        self.renderings: dict[str, Rendering] = {}
        self.started: set[str] = set()
        self.rules: dict[tuple[str, int], tuple[str, ...]] = {}
        self.cursors: dict[str, int] = {}
        self.zones_out: set[str] = set()
        self.hosts: list[Watcher] = []
        self.doomed: set[tuple[str, str]] = set()  # (uid, node): whatever is started of it ends at once
        self.zone_of: Callable[[Process], str] = lambda process: ""
        self.on_end: Callable[[Process], None] = lambda process: None
        self.on_act: Callable[[str], None] = lambda name: None  # a control plane is about to change something
        self.on_kill: Callable[[Process], None] = lambda process: None  # before a control plane ends it
        self.on_stop: Callable[[Process], None] = lambda process: None  # before it asks it to end
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
        self.renderings[incarnation] = rendering
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
            self.loop.after(0.0002 + 0.003 * self.chance.random(), host.ended, process.incarnation, how)

    def erase(self, incarnation: str) -> None:
        for known in (self.processes, self.exits, self.files, self.renderings):
            known.pop(incarnation, None)


def _node(incarnation: str) -> tuple[str, str]:
    uid, _, rest = incarnation.partition(".")
    return uid, rest.rpartition(".")[0]
