"""The seams of stores and hosts, and what all share. Packages above see these, never each other's classes; `app` brings them
together.

Each seam has a conformance suite in tests/conformance that runs over the fake and the real thing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeVar

import msgspec

from cachefleet.engine_interfaces import Rendering
from cachefleet.model.event import Event
from cachefleet.model.guard import Guard
from cachefleet.model.notice import Notice
from cachefleet.model.observed import Activity, ProcessView
from cachefleet.model.plan import EventDraft
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

    async def publish(self, notices: Sequence[Notice]) -> None:
        """Put them into the outbox with the commit, in this order: from there they reach the subscribers of their topics, at
        least once, also when this process dies. A topic that is not there by then loses them."""

    async def take_turn(self) -> None:
        """Until this transaction ends, no other one that takes its turn gets past doing so: what the store is asked for
        from here on can be counted upon, as quotas are. Before the first write, or two that wait for each other have to begin
        again (Conflict)."""

    async def count_events(self, scope: Scope, *, since: float, source_type: str, beginning: str) -> int:
        """How many events of this source type, at > since, have a message with that beginning; those of this transaction
        count, too. Exact: it takes its turn, so count before the first write."""


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
        """Every key of these kinds in all accounts and regions, in order."""

    async def every(self, kinds: Sequence[Kind]) -> list[AnyRow]:
        """Every row of these kinds in all accounts and regions, by key: for whoever looks at all of them now and then. Asks
        once, where a `get` for each would keep other readers waiting. Unchanged rows are not read or decoded again."""

    async def versions(self, kind: Kind, after: Key | None = None, limit: int | None = None) -> list[tuple[Key, int]]:
        """The versions of all rows of a kind with key > after, by account, region and name; at most limit. No documents are
        read."""

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

    async def guard(self, uid: str, guard: Guard | None) -> None:
        """Let nobody open a connection to a group's addresses but as the guard says (replaces; None removes), when can_guard.
        The control plane and the nodes reach them all the same; connections that exist stay."""

    def can_guard(self, uid: str) -> bool:
        """Whether that can be done for this group: all of its processes are known as ours."""

    def guards(self) -> Mapping[str, Guard]:
        """By uid: what `guard` last put in place and still stands."""

    def refuses(self, nodes: int, memory_bytes: int, data_bytes: int = 0) -> str:
        """Why that many more nodes cannot run here, "" when they can. memory_bytes: what all nodes, old and new, may then hold
        (of the new alone where host.memory lets them share); data_bytes: what the new will hold at once."""

    async def close(self) -> None:
        """Let go of what we hold (pidfds); processes go on."""
