"""What a planner decides: actions, new memory, status to show, events to record, when to look again.

Actions of one plan do not depend on each other and run concurrently; order is expressed by passes. Each is idempotent.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from cachefleet.model.access import EngineUser
from cachefleet.model.event import NoticeName
from cachefleet.model.group import GroupDesired, GroupMemory, GroupStatus, SlotRanges
from cachefleet.model.guard import Guard
from cachefleet.model.iam_rules import IamRules
from cachefleet.model.pace import FAST, Pace


class Action(msgspec.Struct, frozen=True, tag=True):
    """Base of all actions; `node` is the node whose engine or process is touched."""

    node: str


class Launch(Action, frozen=True):
    """Start the node's current incarnation (by memory). follow: host to replicate from at once, "" to wait for a role.
    seeded: it loads its shard's part of GroupDesired.restore at its start."""

    incarnation: str
    follow: str = ""
    seeded: bool = False
    users: tuple[EngineUser, ...] = ()
    addresses: tuple[str, ...] = ()  # that clients may reach it by: its own and the group's endpoints


class Feed(Action, frozen=True):
    """Write what this launch loads at its start into its pipe: its shard's part of GroupDesired.restore. Goes on by itself; see
    Observed.feeds. Asked for again while it runs: no error."""

    incarnation: str


class Stop(Action, frozen=True):
    """End one incarnation and wait until its process is gone. Its folder stays until Erase."""

    incarnation: str
    kill: bool = True  # False: ask first, kill after the grace


class Erase(Action, frozen=True):
    """Remove what an ended incarnation left behind."""

    incarnation: str


class Promote(Action, frozen=True):
    """Make a cluster-mode-disabled node the primary and give it the endpoint addresses."""

    bind: tuple[str, ...]


class Follow(Action, frozen=True):
    """Make a cluster-mode-disabled node a replica of the one at `host`, listening on `bind` only."""

    host: str
    bind: tuple[str, ...]


class Bind(Action, frozen=True):
    """Listen on exactly these addresses; connections through addresses that go away are closed."""

    addresses: tuple[str, ...]


class HandAddress(Action, frozen=True):
    """An endpoint moves from `node` to `to` (a host) with the shortest possible pause: one lets go, at once the other takes."""

    to: str
    from_bind: tuple[str, ...]
    to_bind: tuple[str, ...]


class Switch(Action, frozen=True):
    """Planned hand-over (cluster mode disabled): pause writes on `node`, wait until `to` has them all, swap roles, repoint."""

    to: str
    to_bind: tuple[str, ...]
    from_bind: tuple[str, ...]
    others: tuple[str, ...] = ()  # further replicas to repoint


class ChangeMode(Action, frozen=True):
    """As Switch, from a node without cluster mode to one with it (into_cluster), or back."""

    to: str
    to_bind: tuple[str, ...]
    into_cluster: bool
    others: tuple[str, ...] = ()  # further replicas to repoint, none of them a cluster node


class PromoteInCluster(Action, frozen=True):
    """Make a cluster node that followed a primary without cluster mode the primary of all slots, or let it go on as that; it
    listens on `bind`."""

    bind: tuple[str, ...]


class SettleInCluster(Action, frozen=True):
    """Let a cluster node that followed a primary without cluster mode forget that one's stand-ins and watch the others."""

    engine_ids: tuple[str, ...]


class RaiseReplicaBuffers(Action, frozen=True):
    """Let the node keep more of the stream for replicas that are being synchronised: so much of its memory for data."""

    percent: int


class OwnSlots(Action, frozen=True):
    """A fresh cluster node claims slots that nobody owns, with a configuration epoch of its own."""

    slots: SlotRanges
    epoch: int


class Meet(Action, frozen=True):
    """Introduce the node to others (host -> engine id, which is verified before)."""

    others: dict[str, str]


class Replicate(Action, frozen=True):
    """Make a cluster node a replica of the one with this engine id."""

    primary_id: str


class MigrateSlots(Action, frozen=True):
    """Begin to move slots from `node` to the primary with this engine id, as one job of the engine, which goes on by itself
    and hands all of them over at once (engines with atomic migration). Asked for again while it runs: no error."""

    slots: SlotRanges
    target_id: str


class CancelMigrations(Action, frozen=True):
    """End all jobs of that kind that `node` is the source of; nothing has moved then."""


class MoveKeys(Action, frozen=True):
    """Move slots key by key from `node` to the node `to` (host): as many as can be done within a short time, which is less
    than a pass may take. A slot that is not done stays open and is gone on with by the next such action. others: hosts of
    the other primaries, which are told of the new owner."""

    to: str
    slots: SlotRanges
    others: tuple[str, ...] = ()
    pace: Pace = FAST


class SettleSlots(Action, frozen=True):
    """End half-open moves of single slots on `node`: they belong to owner_id, "" to whom the node knows as their owner."""

    slots: SlotRanges
    owner_id: str = ""


class CopyFunctions(Action, frozen=True):
    """Load the function libraries of `node` into the one at `to` (a host) that it lacks."""

    to: str


class CountLoad(Action, frozen=True):
    """Let the node count what each of its slots costs, or stop that."""

    on: bool


class Admit(Action, frozen=True):
    """Let exactly these users into the running node, beside our own. cut: names that belong to somebody else by now, whose
    connections are closed."""

    users: tuple[EngineUser, ...]
    cut: tuple[str, ...] = ()


class TellIamRules(Action, frozen=True):
    """Tell the running node who shows IAM tokens, and by which keys it checks them."""

    rules: IamRules


class EncryptLinks(Action, frozen=True):
    """Let the node reach the others with TLS, or without, as the group's memory says."""


class Certify(Action, frozen=True):
    """Give the running node a new certificate, for these addresses and DNS names."""

    incarnation: str
    addresses: tuple[str, ...]
    names: tuple[str, ...] = ()


class Resize(Action, frozen=True):
    """Give the running node the memory of the group's node type."""


class SetParameters(Action, frozen=True):
    """Set these directives (the engine's names) on the running node."""

    values: dict[str, str]


class Forget(Action, frozen=True):
    """Drop these engine ids from the node's cluster table; they have ended, or will."""

    engine_ids: tuple[str, ...]


class Announce(Action, frozen=True):
    """Make a cluster node tell the others its own address again; they know it by another."""


class TakeOverBy(StrEnum):
    """How a cluster replica becomes primary."""

    AGREEMENT = "agreement"  # CLUSTER FAILOVER: with the living primary, which waits until the replica has everything
    VOTE = "vote"  # CLUSTER FAILOVER FORCE: the primary is dead, a majority of the others votes
    ORDER = "order"  # CLUSTER FAILOVER TAKEOVER: only when the old primary is proven dead


class TakeOver(Action, frozen=True):
    """A cluster replica becomes primary. migrating (slot -> engine id of its target): slots of its shard that are half-open,
    where the engine does not tell replicas of that (capability "setslot-replicated"): with ORDER the new primary has the
    marks from its first instant; without them its clients would be told that keys which have moved do not exist."""

    by: TakeOverBy
    migrating: dict[int, str] = {}


class PublishNodes(Action, frozen=True):
    """Memcached: write the node list that the configuration endpoint (`node`'s incarnation) serves."""

    incarnation: str
    version: int
    nodes: tuple[tuple[str, int], ...]  # host, port


class Spread(Action, frozen=True):
    """Let the kernel spread connections to `address` over `targets`; none: take the rule away."""

    address: str
    port: int
    targets: tuple[str, ...]


class Protect(Action, frozen=True):
    """Let only those open connections to the group's addresses whom the guard names; None: take it away. node: the group."""

    guard: Guard | None


class EventDraft(msgspec.Struct, frozen=True):
    source_type: str  # cache-cluster | replication-group | ...
    source_id: str
    message: str
    notice: NoticeName | None = None  # by which the group's topic is told of it; None: it is not


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    memory: GroupMemory
    status: GroupStatus
    actions: tuple[Action, ...] = ()
    events: tuple[EventDraft, ...] = ()
    look_again_s: float = 60.0
    finished: bool = False  # nothing is left of a deleted group: remove the row
    desired: GroupDesired | None = None  # what the group is to be from now on, where that ends a change or begins a pending one
