"""Changes of a cache's nodes that a modify request asks for (node type, engine, version, parameter group), together with what
is pending already (reference 2.3): what waits from now on, or what begins at once.

A row in, what becomes of it out; starts nothing. Called by ModifyReplicationGroup and ModifyCacheCluster.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from cachefleet.api import transit
from cachefleet.api.context import Context
from cachefleet.api.groups.capacity import more_bytes
from cachefleet.api.groups.group_rows import Change
from cachefleet.api.groups.group_state import MODIFYING, is_group, oldest_version
from cachefleet.api.groups.group_validation import asked_node_type
from cachefleet.api.groups.handovers import require_settled
from cachefleet.api.groups.node_type_changes import may_become, memory_mb, require_fit
from cachefleet.api.parameters.parameter_group_rows import next_parameter_group, values_of
from cachefleet.api.updates.engine_upgrades import asked_version
from cachefleet.model.errors import AwsError, invalid_combination, invalid_value
from cachefleet.model.group import GroupDesired, Shape
from cachefleet.model.pending import PendingChange, ScaleConfig
from cachefleet.model.plan import EventDraft
from cachefleet.model.row import GroupRow
from cachefleet.planning.pending import INCREASING, applied
from cachefleet.reference.node_types import node_type

NODE_TYPE, SCALE = "CacheNodeType", "ScaleConfig"
LONGEST_INTERVAL_MINUTES = 24 * 60


async def asked_change(context: Context, row: GroupRow, request: Mapping[str, Any], change: PendingChange) -> PendingChange:
    """Everything that differs from what the cache has once this request is counted in: a newer value replaces what waits, the
    present value takes it back, what the request does not name goes on waiting. change: what waits. Raises
    InvalidParameterValue, InvalidParameterCombination, CacheParameterGroupNotFound."""
    desired = row.desired
    present = replace(desired, engine_version=oldest_version(row))
    version = asked_version(context.catalogue, present, request, replicated=is_group(row))
    if version is not None:
        engine, number = version
        change = replace(
            change,
            engine="" if engine is desired.engine else engine.value,
            engine_version="" if version == (present.engine, present.engine_version) else number,
        )
    change = replace(change, transit=transit.asked_change(context.catalogue, row, request, change.transit))
    after = applied(desired, change, 0.0)
    transit.check_build(context.catalogue, after.transit, after.engine, after.engine_version)
    group = await _parameter_group(context, desired, change, request.get("CacheParameterGroupName"))
    change = replace(change, parameter_group="" if group == desired.parameter_group else group)
    asked = request.get(NODE_TYPE)
    if asked:
        values = await values_of(context, group)
        change = replace(change, node_type="" if asked == desired.node_type else _checked_type(context, row, asked, values))
    return replace(change, scale=_scale(desired, change, request))


async def changed(context: Context, row: GroupRow, change: PendingChange, request: Mapping[str, Any]) -> Change:
    """The row in which this waits or, with ApplyImmediately, begins. Raises InvalidReplicationGroupState,
    InvalidCacheClusterState, InvalidParameterValue."""
    if change.cluster_mode and (change.node_type or change.engine_version or change.transit):
        raise _refused(
            row,
            f"has cluster mode {change.cluster_mode} pending, with which nothing else may change; let it be applied first, or "
            "take it back by giving ClusterMode its present value.",
        )
    if not request.get("ApplyImmediately"):
        later = replace(row, desired=replace(row.desired, pending=change or None))
        return Change(later, more_bytes=more_bytes(context, row.desired, later.desired))
    _refuse_blocked(context, row, change, request)
    if not change:
        return Change(replace(row, desired=replace(row.desired, pending=None)))
    if row.desired.shape is not Shape.MEMCACHED:
        require_settled(row)
    if change.node_type:
        values = await values_of(context, change.parameter_group or row.desired.parameter_group)
        require_fit(row, change.node_type, context.settings.node_types, values)
    desired = applied(row.desired, change, context.clock.now())
    left = {node.name: row.status.nodes[node.name] for node in desired.nodes if node.name in row.status.nodes}
    return Change(
        replace(row, desired=desired, status=replace(row.status, state=MODIFYING, nodes=left)),
        more_nodes=max(0, len(desired.nodes) - len(row.desired.nodes)),
        events=(EventDraft("cache-cluster", row.key.name, INCREASING),) if change.more_nodes else (),
        more_bytes=more_bytes(context, row.desired, desired),
    )


def waiting(row: GroupRow) -> PendingChange:
    """What waits before a request."""
    return row.desired.pending or PendingChange()


# --- what is asked for ---------------------------------------------------------------------------------------------


def _checked_type(context: Context, row: GroupRow, asked: str, values: Mapping[str, str]) -> str:
    """Raises InvalidParameterValue."""
    kind = asked_node_type(context, asked)
    present = node_type(row.desired.node_type, context.settings.node_types)
    if present is not None and not may_become(row.desired, present, kind):
        raise invalid_value(
            f"{NODE_TYPE}: {row.key.name} cannot be changed from {present.name} to {kind.name}; "
            "ListAllowedNodeTypeModifications names those that are possible."
        )
    require_fit(row, kind.name, context.settings.node_types, values)
    return kind.name


def _scale(desired: GroupDesired, change: PendingChange, request: Mapping[str, Any]) -> ScaleConfig | None:
    """In which portions a Memcached cluster's node type changes. Raises InvalidParameterValue, InvalidParameterCombination."""
    asked = request.get(SCALE)
    if not asked:
        return None if request.get(NODE_TYPE) else change.scale
    if desired.shape is not Shape.MEMCACHED:
        raise invalid_combination(f"{SCALE} is for Memcached; nodes of {desired.engine} change without it.")
    if not change.node_type:
        raise invalid_combination(f"{SCALE} tells how the node type changes; give another {NODE_TYPE} as well.")
    percentage, interval = asked.get("ScalePercentage"), asked.get("ScaleIntervalMinutes")
    config = ScaleConfig(100 if percentage is None else percentage, 0 if interval is None else interval)
    if not 1 <= config.percentage <= 100:
        raise invalid_value(f"{SCALE}: ScalePercentage {config.percentage} must be from 1 to 100.")
    if not 0 <= config.interval_minutes <= LONGEST_INTERVAL_MINUTES:
        raise invalid_value(
            f"{SCALE}: ScaleIntervalMinutes {config.interval_minutes} must be from 0 to {LONGEST_INTERVAL_MINUTES}."
        )
    return config


async def _parameter_group(context: Context, desired: GroupDesired, change: PendingChange, asked: str | None) -> str:
    """The parameter group that the cache has with the change. Default groups follow the family."""
    engine, version = change.engine or desired.engine.value, change.engine_version or desired.engine_version
    mode = change.cluster_mode or desired.cluster_mode
    present = [name for name in (change.parameter_group, desired.parameter_group) if name]
    return (await next_parameter_group(context, asked, present, engine, version, mode)).name


# --- what keeps what from beginning --------------------------------------------------------------------------------


def _refuse_blocked(context: Context, row: GroupRow, change: PendingChange, request: Mapping[str, Any]) -> None:
    """A pending scale-up keeps an upgrade from beginning at once and the other way round, unless the request names both
    (reference 2.3). Raises InvalidReplicationGroupState, InvalidCacheClusterState."""
    before = waiting(row)
    scales = bool(request.get(NODE_TYPE)) and _is_up(context, row.desired, change.node_type)
    upgrades = bool(request.get("Engine") or request.get("EngineVersion")) and bool(change.engine_version)
    if upgrades and not request.get(NODE_TYPE) and _is_up(context, row.desired, before.node_type):
        raise _blocked(row, f"a change of the node type to {before.node_type}", "the engine version", NODE_TYPE)
    if scales and not (request.get("Engine") or request.get("EngineVersion")) and before.engine_version:
        raise _blocked(row, f"an upgrade to {before.engine_version}", "the node type", "EngineVersion")


def _is_up(context: Context, desired: GroupDesired, name: str) -> bool:
    declared = context.settings.node_types
    kind, present = node_type(name, declared), node_type(desired.node_type, declared)
    return kind is not None and present is not None and memory_mb(desired, kind) >= memory_mb(desired, present)


def _blocked(row: GroupRow, pending: str, what: str, member: str) -> AwsError:
    return _refused(
        row,
        f"has {pending} pending, so {what} cannot be changed immediately. Give {member} as well, to begin both now or to take "
        "the pending one back with its present value; or leave ApplyImmediately out.",
    )


def _refused(row: GroupRow, why: str) -> AwsError:
    noun = "Replication group" if is_group(row) else "Cache cluster"
    code = "InvalidReplicationGroupState" if is_group(row) else "InvalidCacheClusterState"
    return AwsError(code, f"{noun} {row.key.name} {why}")
