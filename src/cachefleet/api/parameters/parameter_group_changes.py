"""ModifyCacheParameterGroup and ResetCacheParameterGroup: what a parameter group of one's own says (reference 3.3, 5).

Writes the group's row only and wakes the caches that use it; the controller tells their engines.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from cachefleet.api import names
from cachefleet.api.context import Context
from cachefleet.api.parameters.parameter_group_rows import (
    NAME,
    caches_with,
    check_fit,
    find_parameter_group_row,
    is_built_in,
    own_group,
    wanted_by,
)
from cachefleet.api.registry import operation
from cachefleet.api.rows import leave_word
from cachefleet.model.errors import AwsError, invalid_combination, invalid_value
from cachefleet.model.plan import EventDraft
from cachefleet.model.row import GroupRow, ParameterGroupRow
from cachefleet.reference.parameter_types import Family
from cachefleet.reference.parameter_values import CREATION_ONLY, check_together, check_value, is_settable
from cachefleet.reference.parameters import FAMILIES

if TYPE_CHECKING:
    from types_boto3_elasticache.type_defs import (
        ModifyCacheParameterGroupMessageTypeDef,
        ResetCacheParameterGroupMessageTypeDef,
    )

MOST_PARAMETERS = 20  # in one request
_VALUES, _ALL = "ParameterNameValues", "ResetAllParameters"
_EXCLUSIVE = ("reserved-memory", "reserved-memory-percent")


@operation("ModifyCacheParameterGroup", effective=(NAME, _VALUES))
async def modify_cache_parameter_group(context: Context, request: ModifyCacheParameterGroupMessageTypeDef) -> dict[str, Any]:
    row = await _find_own(context, request["CacheParameterGroupName"])
    asked = _asked_values(FAMILIES[row.desired.family], request["ParameterNameValues"])
    before = row.desired.values
    gone = _yields(asked)
    events = [f"Updated parameter {name} to {value}" for name, value in asked.items() if before.get(name) != value]
    events += [_reset(name) for name in sorted(gone & before.keys())]
    await _write(context, row, {name: value for name, value in {**before, **asked}.items() if name not in gone}, events)
    return {"CacheParameterGroupName": row.key.name}


@operation("ResetCacheParameterGroup", effective=(NAME, _ALL, _VALUES))
async def reset_cache_parameter_group(context: Context, request: ResetCacheParameterGroupMessageTypeDef) -> dict[str, Any]:
    row = await _find_own(context, request["CacheParameterGroupName"])
    listed = request.get("ParameterNameValues")
    if bool(request.get("ResetAllParameters")) == bool(listed):
        raise invalid_combination(
            f"Give either {_ALL}=true, to reset every parameter, or {_VALUES} with the names of those that are to be reset."
        )
    values = row.desired.values
    gone = set(_asked_names(FAMILIES[row.desired.family], listed)) if listed else set(values)
    events = [_reset(name) for name in sorted(gone & values.keys())]
    await _write(context, row, {name: value for name, value in values.items() if name not in gone}, events)
    return {"CacheParameterGroupName": row.key.name}


async def _find_own(context: Context, name: str) -> ParameterGroupRow:
    """Raises CacheParameterGroupNotFound, InvalidCacheParameterGroupState."""
    if is_built_in(name):
        raise AwsError(
            "InvalidCacheParameterGroupState",
            f"The parameter group {names.folded(name)} is built in and cannot be changed; create one of your own with "
            "CreateCacheParameterGroup.",
        )
    return await find_parameter_group_row(context, name)


# --- what is asked for ---------------------------------------------------------------------------------------------


def _asked_values(family: Family, listed: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Values by name. Raises InvalidParameterValue, InvalidParameterCombination."""
    found = dict(zip(_asked_names(family, listed), (one.get("ParameterValue") or "" for one in listed), strict=True))
    if all(name in found for name in _EXCLUSIVE):
        raise invalid_combination(f"{_VALUES}: {' and '.join(_EXCLUSIVE)} cannot be given together; choose one of them.")
    for name, value in found.items():
        try:
            check_value(family, family.parameters[name], value)
        except ValueError as error:
            raise invalid_value(f"{_VALUES}: the value {names.quoted(value)} of {name} is not valid: {error}.") from None
    return found


def _yields(asked: Mapping[str, str]) -> set[str]:
    """What the group no longer says itself: of two ways to reserve memory the later holds, or one would be without effect."""
    in_bytes, in_percent = _EXCLUSIVE
    if in_percent in asked:
        return {in_bytes}
    return {in_percent} if asked.get(in_bytes, "0") != "0" else set()


def _reset(name: str) -> str:
    return f"Reset parameter {name} to its default"


def _asked_names(family: Family, listed: Sequence[Mapping[str, Any]]) -> list[str]:
    """Of parameters that users may set, each once. Raises InvalidParameterValue."""
    if not 1 <= len(listed) <= MOST_PARAMETERS:
        raise invalid_value(f"{_VALUES} has {len(listed)} parameters; it must have 1 to {MOST_PARAMETERS} in one request.")
    found: list[str] = []
    for one in listed:
        name = one.get("ParameterName") or ""
        parameter = family.parameters.get(name)
        if parameter is None:
            raise invalid_value(
                f"{_VALUES}: {names.quoted(name)} is no parameter of the family {family.name}; DescribeEngineDefaultParameters "
                "lists those that there are."
            )
        if not is_settable(parameter):
            raise invalid_value(f"{_VALUES}: {name} is not modifiable; leave it out.")
        if name in found:
            raise invalid_value(f"{_VALUES} names {name} twice; name each parameter once.")
        found.append(name)
    return found


# --- what becomes of it --------------------------------------------------------------------------------------------


async def _write(context: Context, row: ParameterGroupRow, values: dict[str, str], events: Sequence[str]) -> None:
    """Raises InvalidCacheParameterGroupState, InvalidParameterValue, Conflict."""
    if values == row.desired.values:
        return
    changed = replace(row, desired=replace(row.desired, values=dict(sorted(values.items()))))
    try:
        check_together(FAMILIES[row.desired.family], values)
    except ValueError as error:
        raise invalid_value(f"{_VALUES}: {error}.") from None
    caches = await caches_with(context, row.key.name)
    _check_fixed(row, changed, caches)
    for cache in caches:
        for wanted in wanted_by(cache.desired):
            if wanted.parameter_group == row.key.name:
                check_fit(context, own_group(changed), wanted)
    async with context.store.transaction() as transaction:
        await transaction.update(changed)
        drafts = [EventDraft("cache-parameter-group", row.key.name, text) for text in events]
        await transaction.add_events(context.scope, context.clock.now(), drafts)
        await leave_word(context, transaction, *(cache.key for cache in caches))
    for cache in caches:
        context.wake(cache.key)


def _check_fixed(row: ParameterGroupRow, changed: ParameterGroupRow, caches: Sequence[GroupRow]) -> None:
    """Raises InvalidCacheParameterGroupState."""
    parameters = FAMILIES[row.desired.family].parameters
    before, after = (
        {name: each.desired.values.get(name, parameters[name].default) for name in CREATION_ONLY & parameters.keys()}
        for each in (row, changed)
    )
    name = next((name for name in sorted(before) if before[name] != after[name]), "")
    if name and caches:
        raise AwsError(
            "InvalidCacheParameterGroupState",
            f"{name} is fixed when a cache is created, and {caches[0].key.name} uses the parameter group {row.key.name}; "
            "create another group, and a cache with it.",
        )
