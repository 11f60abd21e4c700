"""Changes of a cache's nodes that a modify request asks for (node type, engine, version, parameter group), together with what
is pending already (reference 2.3): what waits from now on, or what begins at once.

A row in, what becomes of it out; starts nothing. Called by ModifyReplicationGroup and ModifyCacheCluster.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from cachefleet.api.capacity import more_bytes
from cachefleet.api.context import Context
from cachefleet.api.engine_upgrades import asked_version
from cachefleet.api.group_rows import Change
from cachefleet.api.group_state import MODIFYING, is_group
from cachefleet.api.group_validation import asked_node_type
from cachefleet.api.handovers import require_settled
from cachefleet.api.node_type_changes import may_become, memory_mb, require_fit
from cachefleet.api.parameter_groups import resolve_parameter_group
from cachefleet.model.errors import AwsError, invalid_value
from cachefleet.model.group import GroupDesired, Shape
from cachefleet.model.pending import PendingChange
from cachefleet.model.row import GroupRow
from cachefleet.planning.pending import applied
from cachefleet.reference.node_types import node_type

NODE_TYPE = "CacheNodeType"


def asked_change(context: Context, row: GroupRow, request: Mapping[str, Any]) -> PendingChange:
    """Everything that differs from what the cache has once this request is counted in: a newer value replaces what waits, the
    present value takes it back, what the request does not name goes on waiting. Raises InvalidParameterValue,
    InvalidParameterCombination, CacheParameterGroupNotFound."""
    desired = row.desired
    change = desired.pending or PendingChange()
    asked = request.get(NODE_TYPE)
    if asked:
        change = replace(change, node_type="" if asked == desired.node_type else _checked_type(context, row, asked))
    version = asked_version(context.catalogue, desired, request, replicated=is_group(row))
    if version is not None:
        engine, number = version
        change = replace(
            change,
            engine="" if engine is desired.engine else engine.value,
            engine_version="" if version == (desired.engine, desired.engine_version) else number,
        )
    return replace(change, parameter_group=_parameter_group(desired, change, request.get("CacheParameterGroupName")))


def changed(context: Context, row: GroupRow, change: PendingChange, request: Mapping[str, Any]) -> Change:
    """The row in which this waits or, with ApplyImmediately, begins. Raises InvalidReplicationGroupState,
    InvalidCacheClusterState, InvalidParameterValue."""
    if not request.get("ApplyImmediately"):
        waiting = replace(row, desired=replace(row.desired, pending=change or None))
        return Change(waiting, more_bytes=more_bytes(context, row.desired, waiting.desired))
    _refuse_blocked(context, row, change, request)
    if not change:
        return Change(replace(row, desired=replace(row.desired, pending=None)))
    if row.desired.shape is not Shape.MEMCACHED:
        require_settled(row)
    if change.node_type:
        require_fit(row, change.node_type, context.settings.node_types)
    desired = applied(row.desired, change, context.clock.now())
    begun = replace(row, desired=desired, status=replace(row.status, state=MODIFYING))
    return Change(begun, more_bytes=more_bytes(context, row.desired, desired))


def not_yet(member: str, present: object) -> AwsError:
    return invalid_value(f"{member}: changing it is not implemented yet; it is {present}, leave it out or give the same value.")


# --- what is asked for ---------------------------------------------------------------------------------------------


def _checked_type(context: Context, row: GroupRow, asked: str) -> str:
    """Raises InvalidParameterValue."""
    kind = asked_node_type(context, asked)
    present = node_type(row.desired.node_type, context.settings.node_types)
    if present is not None and not may_become(row.desired, present, kind):
        raise invalid_value(
            f"{NODE_TYPE}: {row.key.name} cannot be changed from {present.name} to {kind.name}; "
            "ListAllowedNodeTypeModifications names those that are possible."
        )
    require_fit(row, kind.name, context.settings.node_types)
    return kind.name


def _parameter_group(desired: GroupDesired, change: PendingChange, asked: str | None) -> str:
    """The parameter group that comes with the change, "" when it is the present one. Default groups follow the family."""
    engine, version = change.engine or desired.engine.value, change.engine_version or desired.engine_version
    group = resolve_parameter_group(asked, engine, version, desired.cluster_mode)
    return "" if group == desired.parameter_group else group


# --- what keeps what from beginning --------------------------------------------------------------------------------


def _refuse_blocked(context: Context, row: GroupRow, change: PendingChange, request: Mapping[str, Any]) -> None:
    """A pending scale-up keeps an upgrade from beginning at once and the other way round, unless the request names both
    (reference 2.3). Raises InvalidReplicationGroupState, InvalidCacheClusterState."""
    waiting = row.desired.pending or PendingChange()
    scales = bool(request.get(NODE_TYPE)) and _is_up(context, row.desired, change.node_type)
    upgrades = bool(request.get("Engine") or request.get("EngineVersion")) and bool(change.engine_version)
    if upgrades and not request.get(NODE_TYPE) and _is_up(context, row.desired, waiting.node_type):
        raise _blocked(row, f"a change of the node type to {waiting.node_type}", "the engine version", NODE_TYPE)
    if scales and not (request.get("Engine") or request.get("EngineVersion")) and waiting.engine_version:
        raise _blocked(row, f"an upgrade to {waiting.engine_version}", "the node type", "EngineVersion")


def _is_up(context: Context, desired: GroupDesired, name: str) -> bool:
    declared = context.settings.node_types
    kind, present = node_type(name, declared), node_type(desired.node_type, declared)
    return kind is not None and present is not None and memory_mb(desired, kind) >= memory_mb(desired, present)


def _blocked(row: GroupRow, waiting: str, what: str, member: str) -> AwsError:
    noun = "Replication group" if is_group(row) else "Cache cluster"
    code = "InvalidReplicationGroupState" if is_group(row) else "InvalidCacheClusterState"
    return AwsError(
        code,
        f"{noun} {row.key.name} has {waiting} pending, so {what} cannot be changed immediately. Give {member} as well, to "
        "begin both now or to take the pending one back with its present value; or leave ApplyImmediately out.",
    )
