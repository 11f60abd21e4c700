"""Group rows in the store: looked up by group or member name, inserted, and changed by read - decide - compare-and-swap.

Decides nothing itself: `decide` functions are pure. Wakes the controller only after the commit. Called by the group operations.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from cachefleet.api.context import Context
from cachefleet.api.group_state import group_status, refused_state
from cachefleet.api.names import CLUSTER_ID_LENGTH, folded, quoted
from cachefleet.interfaces import Conflict, NameTaken
from cachefleet.model.errors import AwsError
from cachefleet.model.group import DesiredNode, GroupDesired, Shape
from cachefleet.model.plan import EventDraft
from cachefleet.model.resource import Kind
from cachefleet.model.row import GroupRow, Row

Load = Callable[[], Awaitable[GroupRow]]

ATTEMPTS = 50  # the controller writes the same row; each attempt that is lost means that somebody else made progress


class Change(msgspec.Struct, frozen=True):
    """What becomes of a row. members: the new full set of member names, None for no change."""

    row: GroupRow
    members: tuple[str, ...] | None = None
    events: tuple[EventDraft, ...] = ()


class Exchange(msgspec.Struct, frozen=True):
    """The row that is gone, and the one that stands in its place."""

    old: GroupRow
    new: GroupRow


async def load_group(context: Context, name: str) -> GroupRow:
    """Raises ReplicationGroupNotFoundFault."""
    row: GroupRow | None = await context.store.get(context.scope.key(Kind.REPLICATION_GROUP, folded(name)))
    if row is None:
        raise AwsError("ReplicationGroupNotFoundFault", f"ReplicationGroup {_shown(name)} not found.")
    return row


async def load_cluster(context: Context, name: str) -> GroupRow:
    """The row that holds a cluster: its own, or its replication group's. Raises CacheClusterNotFound."""
    row: GroupRow | None = await context.store.owner(context.scope, folded(name))
    if row is None:
        raise AwsError("CacheClusterNotFound", f"CacheCluster not found: {_shown(name)}")
    return row


def member_node(row: GroupRow, cluster: str) -> DesiredNode:
    """The node behind a member name of a replication group or a standalone cluster; Memcached: its first node."""
    return next((node for node in row.desired.nodes if node.name == cluster), row.desired.nodes[0])


def member_names(kind: Kind, name: str, desired: GroupDesired) -> tuple[str, ...]:
    """The cache cluster ids that a row holds. A Memcached cluster's nodes are no clusters."""
    if desired.shape is Shape.MEMCACHED or kind is Kind.CACHE_CLUSTER:
        return (name,)
    return tuple(node.name for node in desired.nodes)


async def refuse_taken(context: Context, kind: Kind, name: str) -> None:
    """Early, so that a name that is taken is the first thing said; what decides is the insert. Raises as insert_group."""
    if await context.store.get(context.scope.key(kind, name)) is not None:
        raise _taken(kind, name, name)
    if kind is Kind.CACHE_CLUSTER and await context.store.owner(context.scope, name) is not None:
        raise _taken(kind, name, name)


async def insert_group(context: Context, kind: Kind, name: str, desired: GroupDesired, tags: dict[str, str]) -> GroupRow:
    """Store a new group and wake the controller. Raises ReplicationGroupAlreadyExists, CacheClusterAlreadyExists."""
    row: GroupRow = Row(key=context.scope.key(kind, name), desired=desired, tags=tags)
    try:
        async with context.store.transaction() as transaction:
            stored: GroupRow = await transaction.insert(row, member_names(kind, name, desired))
    except NameTaken as taken:
        raise _taken(kind, name, taken.name) from None
    context.wake(stored.key)
    return stored


async def change_group(context: Context, load: Load, decide: Callable[[GroupRow], Change | None]) -> GroupRow:
    """Read, decide, write; again when somebody else wrote in between. Returns the row as it is then; when decide finds nothing
    to change (None), nothing is written and nobody is woken. Raises what load and decide raise, CacheClusterAlreadyExists, and
    the noun's invalid-state error when the row never stands still."""
    for _ in range(ATTEMPTS):
        row = await load()
        change = decide(row)
        if change is None:
            return row
        try:
            async with context.store.transaction() as transaction:
                stored: GroupRow = await transaction.update(change.row, change.members)
                await transaction.add_events(context.scope, context.clock.now(), change.events)
        except Conflict:
            continue
        except NameTaken as taken:
            raise _taken(row.key.kind, row.key.name, taken.name) from None
        context.wake(stored.key)
        return stored
    raise refused_state(row, group_status(row), "it is being changed by others at the same time; try again")


async def exchange_group(context: Context, load: Load, decide: Callable[[GroupRow], Change]) -> Exchange:
    """Put a row of the other kind in the place of one: the processes, addresses and member names go on under the new key.
    Raises as change_group."""
    for _ in range(ATTEMPTS):
        old = await load()
        change = decide(old)
        new = change.row
        try:
            async with context.store.transaction() as transaction:
                await transaction.delete(old)
                stored: GroupRow = await transaction.insert(new, member_names(new.key.kind, new.key.name, new.desired))
                await transaction.add_events(context.scope, context.clock.now(), change.events)
        except Conflict:
            continue
        except NameTaken as taken:
            raise _taken(new.key.kind, new.key.name, taken.name) from None
        context.wake(old.key)
        context.wake(stored.key)
        return Exchange(old, stored)
    raise refused_state(old, group_status(old), "it is being changed by others at the same time; try again")


def _shown(name: str) -> str:
    """What could be a name as it is; anything else quoted."""
    return name if name.isascii() and name.isprintable() and len(name) <= CLUSTER_ID_LENGTH else quoted(name)


def _taken(kind: Kind, name: str, taken: str) -> AwsError:
    if kind is Kind.REPLICATION_GROUP and taken == name:
        return AwsError("ReplicationGroupAlreadyExists", f"Replication group {name} already exists.")
    return AwsError("CacheClusterAlreadyExists", f"Cache cluster {taken} already exists; choose another id.")
