"""This Linux machine as a host: a process, a folder and a loopback address for each node.

Brings the parts together: launches, addresses, network, spread, capacity. Restarts nothing, knows no engine. Made by app;
called by the control loop through interfaces.Host, from one event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
import structlog

from cachefleet.clock import Clock
from cachefleet.engine_interfaces import Rendering
from cachefleet.hosts import capacity, processes
from cachefleet.hosts.addresses import AddressPool
from cachefleet.hosts.files import replace_file
from cachefleet.hosts.folders import Folders
from cachefleet.hosts.guards import Guards, Identity
from cachefleet.hosts.launches import Launches
from cachefleet.hosts.leftovers import sweep
from cachefleet.hosts.log_files import LocalLogFiles
from cachefleet.hosts.network import PLACES, Registry
from cachefleet.hosts.spread import Spreader
from cachefleet.hosts.usage import free_bytes
from cachefleet.hosts.zones_out import FILE_NAME, ZonesOut
from cachefleet.interfaces import Deposed, HostRefused, Permit, always
from cachefleet.model.guard import Guard
from cachefleet.model.observed import Activity, ProcessView, Usage
from cachefleet.settings import HostSettings

_log = structlog.get_logger()
_LOOK_S = 15.0  # how often the kernel's rules are read back: a firewall that is loaded anew drops them
_STOP_ALL_GRACE_S = 3.0


class LocalHost:
    """interfaces.Host for this machine. Call adopt first; nothing else works before."""

    def __init__(
        self,
        data_dir: Path,
        settings: HostSettings,
        clock: Clock,
        *,
        registry_places: Sequence[Path] = PLACES,
        permit: Permit = always,
    ) -> None:
        """data_dir: the installation's folder. registry_places: see network.PLACES. permit: asked before a process is started
        or stopped, a file written, a rule changed; several hosts share a folder when only one at a time may do so."""
        self._permit = permit
        self._data_dir = data_dir.resolve()
        self._settings = settings
        self._clock = clock
        self._folders = Folders(self._data_dir / "nodes")
        self._registry = Registry(self._data_dir, registry_places)
        self._launches = Launches(self._folders, permit)
        self.log_files = LocalLogFiles(self._folders, self._launches.running, permit)
        self._cursors = Cursors(self._data_dir / "addresses.json")
        self._zones_out = ZonesOut(self._data_dir / FILE_NAME)
        self._has_swept = False
        self._can_spread = False
        self._guards_usable = False
        self._watch: asyncio.Task[None] | None = None
        self._pool: AddressPool
        self._spreader: Spreader
        self._guards: Guards
        self._identity: Identity

    @property
    def network(self) -> int:
        """N of this installation's 127.N.0.0/16."""
        return self._pool.network

    async def adopt(self) -> Sequence[str]:
        """See interfaces.Host. Claims the network, too. Raises HostRefused when that cannot be done."""
        processes.set_inherited_limits()
        await asyncio.to_thread(self._folders.make_root)
        number = await asyncio.to_thread(self._registry.claim, self._settings.network)
        if not self._has_swept:
            self._has_swept = True
            await asyncio.to_thread(sweep, self._registry)
        self._pool = AddressPool(number, self._cursors.read())
        await self._end_watch()
        self._spreader = Spreader(number, self._permit)
        self._identity = Identity(number)
        self._guards = Guards(self._identity, self._permit)
        await self._adopt_rules()
        await self._launches.find()
        return [launch.incarnation for launch in self._launches]

    async def close(self) -> None:
        """See interfaces.Host. Rules in the kernel and the claim on the network stay, too."""
        await self._end_watch()
        await self._launches.close()
        self._registry.leave()

    async def _end_watch(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait({self._watch})
            await asyncio.gather(self._spreader.settle(), self._guards.settle())
            self._watch = None

    # --- processes and files -----------------------------------------------------------------------------------------

    async def start(self, incarnation: str, rendering: Rendering) -> None:
        """See interfaces.Host. A cancelled caller does not undo it. Raises HostRefused."""
        await self._launches.start(incarnation, rendering)

    def folder(self, incarnation: str) -> str:
        """See interfaces.Host. Raises ValueError for what cannot be an incarnation."""
        return str(self._folders.path(incarnation))

    async def write(self, incarnation: str, name: str, content: bytes) -> None:
        """See interfaces.Host. Raises HostRefused when the file cannot be written."""
        try:
            await asyncio.to_thread(self._write, incarnation, name, content)
        except OSError as error:
            raise HostRefused(f"{name} of {incarnation} cannot be written: {error.strerror or error}") from error

    def _write(self, incarnation: str, name: str, content: bytes) -> None:
        self._permit()
        self._folders.write(incarnation, name, content)

    async def stop(self, incarnation: str, *, kill: bool, grace_s: float = 5.0) -> None:
        """See interfaces.Host. Children that the process left behind are gone, too. Raises HostRefused."""
        self._permit()
        await self._launches.stop(incarnation, kill=kill, grace_s=grace_s)

    async def stop_everything(self) -> int:
        """End all processes (each is asked first and has 3 s); how many ran. Raises HostRefused, after all had their turn."""
        stops = [self._launches.stop(launch.incarnation, kill=False, grace_s=_STOP_ALL_GRACE_S) for launch in self._launches]
        results = await asyncio.gather(*stops, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return results.count(True)

    async def erase(self, incarnation: str) -> None:
        """See interfaces.Host. Raises HostRefused while it runs."""
        self._permit()
        await self._launches.erase(incarnation)

    def inspect(self, uid: str) -> dict[str, ProcessView]:
        return self._launches.views(uid)

    def running(self) -> int:
        """How many processes of caches there are."""
        return sum(launch.held and launch.running for launch in self._launches)

    def activity(self, incarnation: str) -> Activity | None:
        return self._launches.activity(incarnation)

    def children(self, incarnation: str) -> list[int]:
        """Process ids; see Launches.children."""
        return self._launches.children(incarnation)

    def usage(self, incarnation: str) -> Usage | None:
        return self._launches.usage(incarnation)

    def free_bytes(self) -> int:
        return free_bytes()

    def zones_out(self) -> frozenset[str]:
        """See interfaces.Host: those that an operator has declared lost, for a drill. All zones are this one machine."""
        return self._zones_out.letters()

    def uids(self) -> set[str]:
        return self._launches.uids

    def on_exit(self, callback: Callable[[str], None]) -> None:
        self._launches.on_exit(callback)

    # --- addresses ---------------------------------------------------------------------------------------------------

    def offer(self, uid: str, wanted: Mapping[str, int]) -> dict[str, tuple[str, ...]]:
        """See interfaces.Host. After adopt, `keep` what each stored group holds before the first offer: only the store
        knows."""
        return self._pool.offer(uid, wanted)

    def keep(self, uid: str, addresses: Sequence[str]) -> None:
        """See interfaces.Host. What another group has kept before stays with that one."""
        for address, holder in self._pool.keep(uid, addresses).items():
            _log.error("two groups hold one address", address=address, uid=uid, holder=holder)
        self._cursors.write(self._pool.cursors)

    # --- spreading and capacity --------------------------------------------------------------------------------------

    @property
    def can_spread(self) -> bool:
        return self._can_spread

    async def spread(self, address: str, port: int, targets: Sequence[str]) -> None:
        """See interfaces.Host. Connections that exist stay where they are. Raises HostRefused."""
        if not self._can_spread:
            raise HostRefused("connections cannot be spread here: nftables may not be used, or host.spread is never")
        await self._spreader.put(address, port, targets)

    def spreads(self) -> Mapping[tuple[str, int], tuple[str, ...]]:
        return self._spreader.standing if self._can_spread else {}

    # --- security ----------------------------------------------------------------------------------------------------

    def assume_identity(self) -> bool:
        """Let the kernel tell our connections, and those of all that this process starts from now on, from those of others.
        Changes the whole process, for good; False when the operating system does not let us. After the first adopt; without it
        nothing can be guarded."""
        return self._identity.assume()

    def can_guard(self, uid: str) -> bool:
        """See interfaces.Host. Processes of a time when they were given no group id of their own would be kept out, too."""
        return not self.why_no_guard and self._launches.group_ids(uid) <= {self._identity.group_id, -1}

    @property
    def why_no_guard(self) -> str:
        """Why nothing can be guarded, for people; "" when it can."""
        if self._settings.guard != "auto":
            return "host.guard is never"
        if not self._guards_usable:
            return "nftables may not be used here: it needs the program nft and CAP_NET_ADMIN"
        return "" if self._identity.is_ours else "processes cannot be given a group id of their own: that needs CAP_SETGID"

    async def guard(self, uid: str, guard: Guard | None) -> None:
        """See interfaces.Host. Raises HostRefused."""
        if self.why_no_guard:
            raise HostRefused(f"connections cannot be refused here: {self.why_no_guard}")
        await self._guards.put(uid, guard)

    def guards(self) -> Mapping[str, Guard]:
        return self._guards.standing if not self.why_no_guard else {}

    async def remove_rules(self) -> None:
        """Take all our rules out of the kernel. Raises HostRefused."""
        if self._can_spread:
            await self._spreader.remove_all()
        if self._guards_usable:
            await self._guards.remove_all()

    def refuses(self, nodes: int, memory_bytes: int, data_bytes: int = 0) -> str:
        reserve = self._settings.memory == "reserve"
        return capacity.refusal(capacity.read_room(), nodes, memory_bytes, reserve=reserve, data_bytes=data_bytes)

    async def _adopt_rules(self) -> None:
        usable, self._guards_usable = await asyncio.gather(self._spreader.usable(), self._guards.usable())
        self._can_spread = usable and self._settings.spread == "auto"
        if self._can_spread:
            await self._spreader.look()
        elif usable:
            with suppress(Deposed):
                self._permit()
                await self._spreader.remove_all()  # of a time when it was allowed: they would go on leading connections astray
        if self._guards_usable and self._settings.guard == "auto":
            await self._guards.look()
        elif self._guards_usable:
            with suppress(Deposed):
                self._permit()
                await self._guards.remove_all()
        if self._can_spread or self._guards_usable:
            self._watch = asyncio.create_task(self._look_again())

    async def _look_again(self) -> None:
        while True:
            await self._clock.sleep(_LOOK_S)
            if self._can_spread and self._spreader.standing:
                await self._spreader.look()
            if self._guards_usable and self._guards.standing:
                await self._guards.look()


class Cursors:
    """Where the search for free addresses goes on, across restarts. Losing it only makes an address come round sooner."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._written: dict[str, int] = {}

    def read(self) -> dict[str, int]:
        try:
            self._written = msgspec.json.decode(self._file.read_bytes(), type=dict[str, int])
        except (OSError, msgspec.DecodeError):
            self._written = {}
        return dict(self._written)

    def write(self, cursors: dict[str, int]) -> None:
        """Cheap when nothing changed."""
        if cursors == self._written:
            return
        with suppress(OSError):
            replace_file(self._file, msgspec.json.encode(cursors), durable=False)
            self._written = cursors
