"""ClusterMode in ModifyReplicationGroup: disabled -> compatible -> enabled, and compatible -> disabled (reference 3.3, 13.4).

A row in, what becomes of it out; nodes are changed by the planner. Called by ModifyReplicationGroup and, for what a group may
not do in between, by the operations that change nodes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from cachefleet.api.context import Context
from cachefleet.api.groups.group_rows import Change
from cachefleet.api.groups.group_state import MODIFYING
from cachefleet.api.groups.handovers import require_settled
from cachefleet.api.names import quoted
from cachefleet.api.parameters.parameter_group_rows import next_parameter_group
from cachefleet.model.errors import AwsError, invalid_combination, invalid_value
from cachefleet.model.group import Engine, GroupDesired
from cachefleet.model.pending import PendingChange
from cachefleet.model.row import GroupRow

MODE = "ClusterMode"
DISABLED, COMPATIBLE, ENABLED = "disabled", "compatible", "enabled"
LARGEST_PORT = 55_535  # above, the cluster bus has no port of its own
_FIRST_VERSIONS = {Engine.REDIS: (7, 0), Engine.VALKEY: (7, 2)}
_BESIDES = ("ReplicationGroupId", "CacheParameterGroupName", "ApplyImmediately", MODE)


async def mode_change(context: Context, row: GroupRow, request: Mapping[str, Any]) -> Change | None:
    """The row whose cluster mode changes at once or, without ApplyImmediately, in the maintenance window; None when the request
    is about other things. Raises InvalidParameterValue, InvalidParameterCombination, InvalidReplicationGroupState,
    CacheParameterGroupNotFound."""
    desired, asked = row.desired, request.get(MODE)
    waits = desired.pending is not None and bool(desired.pending.cluster_mode)
    if not asked or (asked == desired.cluster_mode and not waits):
        _refuse_others(row, request)
        return None
    if asked not in (DISABLED, COMPATIBLE, ENABLED):
        raise invalid_value(f"{MODE}: {quoted(asked)} must be disabled, compatible or enabled.")
    others = sorted(name for name, value in request.items() if name not in _BESIDES and value is not None)
    if others:
        raise invalid_combination(
            f"{MODE} cannot be changed together with {', '.join(others)}; only CacheParameterGroupName may come with it."
        )
    if asked == desired.cluster_mode:
        return Change(replace(row, desired=replace(desired, pending=None)))
    _check_step(row, asked)
    named, has = request.get("CacheParameterGroupName"), [desired.parameter_group]
    group = (await next_parameter_group(context, named, has, desired.engine.value, desired.engine_version, asked)).name
    if not request.get("ApplyImmediately"):
        waiting = PendingChange(cluster_mode=asked, parameter_group="" if group == desired.parameter_group else group)
        return Change(replace(row, desired=replace(desired, pending=waiting)))
    require_settled(row)
    changed = replace(desired, cluster_mode=asked, parameter_group=group, pending=None)
    return Change(replace(row, desired=changed, status=replace(row.status, state=MODIFYING)))


def refuse_while_compatible(row: GroupRow) -> None:
    """Between disabled and enabled a group is not changed otherwise. Raises InvalidReplicationGroupState."""
    if row.desired.cluster_mode == COMPATIBLE:
        raise AwsError(
            "InvalidReplicationGroupState",
            f"Replication group {row.key.name} has cluster mode compatible, in which nothing else can be modified; change "
            f"{MODE} to enabled or back to disabled first.",
        )


def present_mode(row: GroupRow) -> str:
    """What the group has until a change is done."""
    return row.memory.mode or row.desired.cluster_mode


def awaited_mode(row: GroupRow) -> str:
    """The mode that it is to have, "" when it has it."""
    waiting = row.desired.pending.cluster_mode if row.desired.pending is not None else ""
    asked = waiting or row.desired.cluster_mode
    return asked if asked != present_mode(row) else ""


def _refuse_others(row: GroupRow, request: Mapping[str, Any]) -> None:
    if any(
        value is not None for name, value in request.items() if name not in ("ReplicationGroupId", "ApplyImmediately", MODE)
    ):
        refuse_while_compatible(row)


def _check_step(row: GroupRow, asked: str) -> None:
    present = row.desired.cluster_mode
    if present == ENABLED:
        raise invalid_combination(f"{MODE}: {row.key.name} has cluster mode enabled, which cannot be changed any more.")
    if present == DISABLED and asked == ENABLED:
        raise invalid_combination(
            f"{MODE}: {row.key.name} has cluster mode disabled; change it to compatible first, and to enabled from there."
        )
    pending = row.desired.pending
    if pending is not None and replace(pending, cluster_mode="", parameter_group=""):
        raise AwsError(
            "InvalidReplicationGroupState",
            f"Replication group {row.key.name} has other changes pending; let them be applied or take them back before {MODE} "
            "is changed.",
        )
    if asked == COMPATIBLE:
        _check_fitness(row)


def _check_fitness(row: GroupRow) -> None:
    """What cluster mode demands (reference 13.4)."""
    desired, name = row.desired, row.key.name
    if not _is_new_enough(desired):
        raise invalid_combination(
            f"{MODE}: compatible needs Redis OSS 7.0 or Valkey 7.2 at least; {name} has {desired.engine} "
            f"{desired.engine_version}. Change EngineVersion first."
        )
    if not desired.automatic_failover or len(desired.nodes) < 2:
        raise invalid_combination(
            f"{MODE}: compatible needs automatic failover and at least one replica; turn AutomaticFailoverEnabled on for "
            f"{name}."
        )
    if desired.port > LARGEST_PORT:
        raise invalid_combination(f"{MODE}: compatible needs a port of at most {LARGEST_PORT}; {name} has {desired.port}.")
    if row.memory.other_databases:
        raise invalid_combination(
            f"{MODE}: {name} has keys in databases other than 0, which clusters do not have; move or delete them first."
        )


def _is_new_enough(desired: GroupDesired) -> bool:
    first = _FIRST_VERSIONS.get(desired.engine)
    numbers = tuple(int(part) for part in desired.engine_version.split(".")[:2] if part.isdigit())
    return first is not None and numbers >= first
