"""Group rows in the store: looked up by group or member name, inserted, changed and exchanged.

Decides nothing itself. A row that was changed since it was read is a Conflict, on which the whole operation is run again.
Wakes the controller only after the commit. Called by the group operations.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from cachefleet.announcing import announce
from cachefleet.api.context import Context
from cachefleet.api.groups.capacity import refuse_capacity
from cachefleet.api.groups.group_topics import require_topic
from cachefleet.api.names import CLUSTER_ID_LENGTH, folded, quoted
from cachefleet.api.networks.networks import hold_security_groups, settled_security_groups
from cachefleet.api.networks.subnet_groups import hold_subnet_group
from cachefleet.api.parameters.parameter_group_rows import hold_parameter_groups
from cachefleet.api.quotas import refuse_more_nodes
from cachefleet.api.rows import leave_word
from cachefleet.interfaces import AnyRow, NameTaken, Transaction
from cachefleet.model.errors import AwsError
from cachefleet.model.group import GroupDesired
from cachefleet.model.plan import EventDraft
from cachefleet.model.resource import Kind
from cachefleet.model.row import GroupRow, Row, SnapshotRow, member_names


class Change(msgspec.Struct, frozen=True):
    """What becomes of a row. members: the new full set of member names, None for no change. more_nodes: how many it gains.
    more_bytes: how much more they may hold in all, None for so many nodes' share. moves: nodes may go to other zones."""

    row: GroupRow
    members: tuple[str, ...] | None = None
    more_nodes: int = 0
    events: tuple[EventDraft, ...] = ()
    more_bytes: int | None = None
    moves: bool = False
    holds: tuple[AnyRow, ...] = ()  # rows that must stay as they were read: they get new versions


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


async def insert_group(
    context: Context,
    kind: Kind,
    name: str,
    desired: GroupDesired,
    tags: dict[str, str],
    snapshot: SnapshotRow | None = None,
    holds: Sequence[AnyRow] = (),
) -> GroupRow:
    """Store a new group and wake the controller. snapshot: what it is restored from, whose row gets a new version, so that
    whoever deletes it at the same time looks again. holds: see Change. Raises ReplicationGroupAlreadyExists,
    CacheClusterAlreadyExists, NodeQuotaForCustomerExceeded, ClusterQuotaForCustomerExceeded, InsufficientCacheClusterCapacity,
    InvalidParameterValue (security groups), and Conflict when the subnet group, the snapshot or what is held is not what it
    was any more."""
    desired = await settled_security_groups(context, desired)
    await require_topic(context, None, desired)
    row: GroupRow = Row(key=context.scope.key(kind, name), desired=desired, tags=tags)
    try:
        async with context.store.transaction() as transaction:
            await refuse_more_nodes(context, transaction, row, None)
            stored: GroupRow = await transaction.insert(row, member_names(row.key, desired))
            await hold_subnet_group(context, transaction, desired)
            await hold_parameter_groups(context, transaction, desired, None)
            await hold_security_groups(context, transaction, desired)
            for held in (*holds, *(() if snapshot is None else (snapshot,))):
                await transaction.update(held)
            await refuse_capacity(context, desired, len(desired.nodes))
            await leave_word(context, transaction, stored.key)
    except NameTaken as taken:
        raise _taken(kind, name, taken.name) from None
    context.wake(stored.key)
    return stored


async def update_group(context: Context, change: Change) -> GroupRow:
    """Write a row that was read before and wake the controller. Raises Conflict, CacheClusterAlreadyExists,
    NodeQuotaForCustomerExceeded, ClusterQuotaForCustomerExceeded, InsufficientCacheClusterCapacity, InvalidParameterValue
    (security groups)."""
    key = change.row.key
    before: GroupRow | None = await context.store.get(key)
    await require_topic(context, None if before is None else before.desired, change.row.desired)
    try:
        async with context.store.transaction() as transaction:
            if before is not None:
                await refuse_more_nodes(context, transaction, change.row, before.desired)
            stored: GroupRow = await transaction.update(change.row, change.members)
            if before is None or before.desired.security_groups != stored.desired.security_groups:
                await hold_security_groups(context, transaction, stored.desired)
            await hold_parameter_groups(context, transaction, stored.desired, None if before is None else before.desired)
            await _announce(context, transaction, stored, change.events)
            for held in change.holds:
                await transaction.update(held)
            if change.more_nodes or change.moves:
                await hold_subnet_group(context, transaction, stored.desired)
            if change.more_nodes or (change.more_bytes or 0) > 0:
                await refuse_capacity(context, stored.desired, change.more_nodes, change.more_bytes)
            await leave_word(context, transaction, key)
    except NameTaken as taken:
        raise _taken(key.kind, key.name, taken.name) from None
    context.wake(key)
    return stored


async def exchange_group(context: Context, old: GroupRow, change: Change) -> GroupRow:
    """Put a row of the other kind in the place of one: the processes, addresses and member names go on under the new key.
    Raises as update_group, and ReplicationGroupAlreadyExists."""
    new = change.row
    await require_topic(context, old.desired, new.desired)
    try:
        async with context.store.transaction() as transaction:
            await transaction.delete(old)
            stored: GroupRow = await transaction.insert(new, member_names(new.key, new.desired))
            await hold_parameter_groups(context, transaction, new.desired, None)
            if old.desired.security_groups != new.desired.security_groups:
                await hold_security_groups(context, transaction, new.desired)
            await _announce(context, transaction, stored, change.events)
            await leave_word(context, transaction, old.key, new.key)
    except NameTaken as taken:
        raise _taken(new.key.kind, new.key.name, taken.name) from None
    context.wake(old.key)
    context.wake(new.key)
    return stored


async def _announce(context: Context, transaction: Transaction, row: GroupRow, events: Sequence[EventDraft]) -> None:
    await announce(transaction, row.key.scope, row.desired, events, context.clock.now(), context.entropy)


def _shown(name: str) -> str:
    """What could be a name as it is; anything else quoted."""
    return name if name.isascii() and name.isprintable() and len(name) <= CLUSTER_ID_LENGTH else quoted(name)


def _taken(kind: Kind, name: str, taken: str) -> AwsError:
    if kind is Kind.REPLICATION_GROUP and taken == name:
        return AwsError("ReplicationGroupAlreadyExists", f"Replication group {name} already exists.")
    return AwsError("CacheClusterAlreadyExists", f"Cache cluster {taken} already exists; choose another id.")
