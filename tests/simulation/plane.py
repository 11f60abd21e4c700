"""A control plane: the real controller with real drivers, on a simulated machine, network and store. Killed, it vanishes as a
process does: its connections close, and nothing that its tasks still do has any effect."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from cachefleet.access_interfaces import Passwords
from cachefleet.control.controller import Controller
from cachefleet.control.leadership import Leadership
from cachefleet.control.seams import Holders, Nobody, Seams
from cachefleet.engine_interfaces import Catalogue
from cachefleet.engines.discovery import DiscoveryDriver, node_list_file
from cachefleet.engines.memcached import MemcachedDriver
from cachefleet.engines.valkey import ValkeyDriver
from cachefleet.interfaces import Store
from cachefleet.model.resource import Key
from cachefleet.planning.service_updates import ServiceUpdate
from cachefleet.settings import Settings
from tests.fakes.entropy import SeededEntropy
from tests.simulation.encryption import Belief, Certificates
from tests.simulation.host import SimHost
from tests.simulation.keys import MODULE
from tests.simulation.loop import ACTOR, Actor, VirtualClock, VirtualLoop
from tests.simulation.machine import Machine
from tests.simulation.store import Database, StoreLink
from tests.simulation.transfers import SimTransfers
from tests.simulation.transport import Cables


class Plane(Actor):
    """name: unlike all others of this run. is_dead: whether that other one is known to be;
    broke: told when it ends by itself. holders: who signs IAM tokens; None where engines check none.
    passwords: None where engines let anybody in."""

    def __init__(
        self,
        name: str,
        loop: VirtualLoop,
        machine: Machine,
        database: Database,
        cables: Cables,
        clock: VirtualClock,
        catalogue: Catalogue,
        settings: Settings,
        certificates: Certificates,
        transfers: Callable[[Plane], SimTransfers],
        is_dead: Callable[[str], bool],
        broke: Callable[[str], None],
        holders: Callable[[Store], Holders] | None,
        passwords: Passwords | None,
        updates: tuple[ServiceUpdate, ...],
    ) -> None:
        super().__init__(name)
        self._loop, self._machine, self._cables = loop, machine, cables
        self._database, self._clock, self._catalogue, self._settings = database, clock, catalogue, settings
        self._is_dead, self._broke, self._holders = is_dead, broke, holders
        self._certificates, self._passwords, self._updates = certificates, passwords, updates
        self._transfers = transfers(self)
        self.alive = True
        self.trouble_s = -1e9  # when it was killed, or stood still last
        self.controller: Controller | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._host: SimHost | None = None

    def begin(self) -> None:
        token = ACTOR.set(self)
        try:
            task = self._loop.create_task(self._live())
            task.add_done_callback(self._ended)
            self._tasks.add(task)
        finally:
            ACTOR.reset(token)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """By itself it never does."""
        if self.alive:
            error = None if task.cancelled() else task.exception()
            self._broke(f"{self.name} ended: {error!r}")

    async def _live(self) -> None:
        store = cast(Store, StoreLink(self._database, self.name, lambda: self.alive))
        leadership = Leadership(store, self._clock, self.name, self._settings.control.lease_s, is_dead=self._is_dead)
        self._host = SimHost(self._machine, self.name, lambda: self.alive, leadership.permit)
        resp = ValkeyDriver(self._settings.control.cluster_node_timeout_ms, leadership.permit, self._passwords, Belief())
        self.controller = Controller(
            Seams(
                store=store,
                authority=leadership,
                host=self._host,
                catalogue=self._catalogue,
                resp=resp,
                memcached=MemcachedDriver(user="", open_files=1000),
                discovery=DiscoveryDriver(python="/python"),
                node_list_file=node_list_file,
                transfers=self._transfers,
                clock=self._clock,
                entropy=SeededEntropy(),
                settings=self._settings,
                shared_store=True,
                certificates=self._certificates,
                holders=Nobody() if self._holders is None else self._holders(store),
                iam_module=self._module,
                has_iam_module=lambda: self._holders is not None,
                updates=self._updates,
            )
        )
        await leadership.run(self.controller.lead)

    async def _module(self) -> str:
        return MODULE if self._holders is not None else ""

    def wake(self, key: Key) -> None:
        if self.controller is not None and self.alive:
            self._loop.call_soon(self.controller.wake, key)

    def go_on(self) -> None:
        """It is stalled no longer."""
        self.trouble_s = self._loop.time()
        self._loop.go_on(self)

    def kill(self) -> None:
        """At this instant, wherever it is."""
        if not self.alive:
            return
        self.alive = False
        self.trouble_s = self._loop.time()
        self._cables.pull(self.name)
        self._transfers.end()
        if self._host is not None and self._host in self._machine.hosts:
            self._machine.hosts.remove(self._host)
        self._loop.go_on(self)
        for task in self._tasks:
            task.cancel()

    async def gone(self) -> None:
        """After kill: its tasks have ended."""
        await asyncio.gather(*self._tasks, return_exceptions=True)
