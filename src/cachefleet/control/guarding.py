"""What a group's security groups let in at present, from the rows of the store. Decides nothing (planning.guarding does).

Called by the observer, where the host can enforce it.
"""

from __future__ import annotations

from collections.abc import Collection

from cachefleet.control.seams import Seams
from cachefleet.model.guard import Opening
from cachefleet.model.network import built_in_security_group, default_security_group_id
from cachefleet.model.resource import GROUP_KINDS, Kind, Scope
from cachefleet.model.row import GroupRow, Row, SecurityGroupRow
from cachefleet.planning.guarding import client_ports, members_of, named_groups, openings


async def group_openings(seams: Seams, row: GroupRow) -> tuple[Opening, ...] | None:
    """See Observed.openings."""
    if row.desired.deleting or not seams.host.can_guard(row.desired.uid):
        return None
    scope = row.key.scope
    ids = row.desired.security_groups or (default_security_group_id(scope),)
    found = [await _security_group(seams, scope, group_id) for group_id in ids]
    groups = [group.desired for group in found if group is not None]  # of one that is gone nothing is let in
    ports = client_ports(row.desired, row.memory)
    return openings(groups, ports, await _members(seams, scope, named_groups(groups, ports)))


async def _members(seams: Seams, scope: Scope, ids: Collection[str]) -> dict[str, tuple[str, ...]]:
    if not ids:
        return {}
    default = (default_security_group_id(scope),)
    rows = [row for kind in GROUP_KINDS for row in await seams.store.rows(kind, scope)]
    members = {}
    for group_id in ids:
        group = await _security_group(seams, scope, group_id)
        nodes = [
            known.address
            for row in rows
            if group_id in (row.desired.security_groups or default)
            for known in row.memory.nodes.values()
            if known.address
        ]
        members[group_id] = members_of({} if group is None else group.tags, nodes)
    return members


async def _security_group(seams: Seams, scope: Scope, group_id: str) -> SecurityGroupRow | None:
    key = scope.key(Kind.SECURITY_GROUP, group_id)
    row: SecurityGroupRow | None = await seams.store.get(key)
    if row is None and group_id == default_security_group_id(scope):
        return Row(key=key, desired=built_in_security_group(scope))
    return row
