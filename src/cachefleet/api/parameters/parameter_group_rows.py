"""Parameter groups, built-in ones and users' own, for the operations that name one: found, chosen for a cache, and held.

A cache that gets a group of somebody's own writes the group's row, too, so that whoever changes or deletes it at the same time
has to look again. Called by the operations on parameter groups and on caches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from cachefleet.api import names
from cachefleet.api.context import Context
from cachefleet.interfaces import Transaction
from cachefleet.model.errors import AwsError, invalid_combination, invalid_value
from cachefleet.model.group import GroupDesired
from cachefleet.model.resource import GROUP_KINDS, Kind
from cachefleet.model.row import GroupRow, ParameterGroupRow
from cachefleet.planning.pending import applied
from cachefleet.reference.engines import family_of
from cachefleet.reference.node_types import node_type
from cachefleet.reference.parameter_values import creation_values, misfit
from cachefleet.reference.parameters import DEFAULT_GROUPS, FAMILIES, default_group

NAME = "CacheParameterGroupName"


class ParameterGroup(msgspec.Struct, frozen=True):
    """values: what its user has set, of a built-in one nothing. row: None of a built-in one."""

    name: str
    family: str
    description: str
    cluster_on: bool
    values: Mapping[str, str] = {}
    row: ParameterGroupRow | None = None


def built_in_groups() -> list[ParameterGroup]:
    """In the order of their names."""
    return [
        ParameterGroup(
            name,
            group.family,
            f"Default parameter group for {group.family}" + (" with cluster mode on" if group.cluster_on else ""),
            group.cluster_on,
        )
        for name, group in sorted(DEFAULT_GROUPS.items())
    ]


_BUILT_IN = {group.name: group for group in built_in_groups()}


def is_built_in(name: str) -> bool:
    return names.folded(name) in DEFAULT_GROUPS


def own_group(row: ParameterGroupRow) -> ParameterGroup:
    desired = row.desired
    return ParameterGroup(row.key.name, desired.family, desired.description, desired.cluster_on, desired.values, row)


async def find_parameter_group(context: Context, name: str) -> ParameterGroup:
    """Raises CacheParameterGroupNotFound."""
    built_in = _BUILT_IN.get(names.folded(name))
    return built_in or own_group(await find_parameter_group_row(context, name))


async def find_parameter_group_row(context: Context, name: str) -> ParameterGroupRow:
    """A group that somebody created. Raises CacheParameterGroupNotFound."""
    row: ParameterGroupRow | None = await context.store.get(context.scope.key(Kind.PARAMETER_GROUP, names.folded(name)))
    if row is None:
        raise AwsError(
            "CacheParameterGroupNotFound",
            f"CacheParameterGroup {names.quoted(name)} not found; there are {', '.join(sorted(DEFAULT_GROUPS))}, and those "
            "that you create.",
        )
    return row


async def values_of(context: Context, name: str) -> Mapping[str, str]:
    """What the parameter group of a cache sets itself: of a built-in one nothing."""
    if is_built_in(name):
        return {}
    row: ParameterGroupRow | None = await context.store.get(context.scope.key(Kind.PARAMETER_GROUP, name))
    return {} if row is None else row.desired.values


# --- which one a cache gets ----------------------------------------------------------------------------------------


async def resolve_parameter_group(
    context: Context, name: str | None, engine: str, version: str, cluster_mode: str
) -> ParameterGroup:
    """The group that a cache gets: the one it asks for, or the family's default.

    version: of the installed build. cluster_mode: disabled, compatible or enabled; the last two need a group with
    cluster-enabled=yes. Raises CacheParameterGroupNotFound, InvalidParameterCombination, InvalidParameterValue.
    """
    family = _family(engine, version)
    group = await find_parameter_group(context, name or default_group(family, cluster_mode != "disabled"))
    why = _unfit(group, family, engine, version, cluster_mode)
    if why:
        raise invalid_combination(f"{NAME}: {why}")
    return group


async def next_parameter_group(
    context: Context, asked: str | None, present: Sequence[str], engine: str, version: str, cluster_mode: str
) -> ParameterGroup:
    """The group that a cache has after a change: the one that is asked for, or else the first of those present that goes with
    engine, version and cluster mode. A default group (the last of them, which the cache has) follows these. Raises
    as resolve_parameter_group, and InvalidParameterCombination when another one has to be named."""
    if asked:
        return await resolve_parameter_group(context, asked, engine, version, cluster_mode)
    family = _family(engine, version)
    why = ""
    for name in present:
        group = await find_parameter_group(context, name)
        why = _unfit(group, family, engine, version, cluster_mode)
        if not why:
            return group
    if is_built_in(present[-1]):
        return await find_parameter_group(context, default_group(family, cluster_mode != "disabled"))
    raise invalid_combination(f"{NAME} is missing: {why}")


def _family(engine: str, version: str) -> str:
    family = family_of(engine, version)
    if family is None:
        raise invalid_value(
            f"EngineVersion: there is no parameter group family for {engine} {version}; choose another version."
        )
    return family


def _unfit(group: ParameterGroup, family: str, engine: str, version: str, cluster_mode: str) -> str:
    """Why the group does not go with these, "" when it does."""
    cluster_on = cluster_mode != "disabled"
    if group.family != family:
        return (
            f"{group.name} is of the family {group.family}, but {engine} {version} needs one of {family}, such as "
            f"{default_group(family, cluster_on)}."
        )
    if group.cluster_on != cluster_on:
        return (
            f"{group.name} has cluster-enabled={'yes' if group.cluster_on else 'no'}, which does not go with cluster mode "
            f"{cluster_mode}; use one like {default_group(family, cluster_on)}."
        )
    return ""


# --- who uses it ---------------------------------------------------------------------------------------------------


def parameter_groups_of(row: GroupRow) -> set[str]:
    """Names of those that the cache has, waits for, or goes back to when a change fails."""
    pending, settled = row.desired.pending, row.memory.settled
    found = {row.desired.parameter_group}
    found |= {pending.parameter_group} if pending is not None else set()
    found |= {settled.parameter_group} if settled is not None else set()
    return found - {""}


async def caches_with(context: Context, name: str) -> list[GroupRow]:
    """Rows of caches that count on the parameter group."""
    rows = [row for kind in GROUP_KINDS for row in await context.store.rows(kind, context.scope)]
    return [row for row in rows if name in parameter_groups_of(row)]


def wanted_by(desired: GroupDesired) -> list[GroupDesired]:
    """The cache as it is to be, and as it is to be with what is pending."""
    return [desired] if desired.pending is None else [desired, applied(desired, desired.pending, 0.0)]


async def hold_parameter_groups(
    context: Context, transaction: Transaction, desired: GroupDesired, before: GroupDesired | None
) -> None:
    """In the transaction that gives a cache a parameter group, or puts it on other nodes: groups that it counts on get new
    versions. before: the cache as it is, None for a new one. Raises CacheParameterGroupNotFound, InvalidParameterCombination,
    InvalidParameterValue for what the group and the cache cannot have together, and Conflict."""
    if before is not None and _relevant(before) == _relevant(desired):
        return
    held: dict[str, ParameterGroupRow] = {}
    for wanted in wanted_by(desired):
        group = await find_parameter_group(context, wanted.parameter_group)
        if before is not None and before.cluster_mode == wanted.cluster_mode:
            await _check_exchange(context, before.parameter_group, group)
        if group.row is None:
            continue
        why = _unfit(
            group, _family(wanted.engine, wanted.engine_version), wanted.engine, wanted.engine_version, wanted.cluster_mode
        )
        if why:
            raise invalid_combination(f"{NAME}: {why}")
        check_fit(context, group, wanted)
        held[group.name] = group.row
    for name in sorted(held):
        await transaction.update(held[name])


def check_fit(context: Context, group: ParameterGroup, desired: GroupDesired) -> None:
    """Whether nodes of the cache's type can have what the group says. Raises InvalidParameterValue."""
    kind = node_type(desired.node_type, context.settings.node_types)
    why = misfit(FAMILIES[group.family], group.values, kind) if kind is not None else ""
    if why:
        raise invalid_value(f"The parameter group {group.name} does not go with the node type {desired.node_type}: {why}.")


async def _check_exchange(context: Context, present: str, group: ParameterGroup) -> None:
    """What is fixed at the creation must be the same in both (reference 5.1). Raises InvalidParameterCombination."""
    if present == group.name:
        return
    old = await find_parameter_group(context, present)
    has, shall = (creation_values(FAMILIES[each.family], each.values) for each in (old, group))
    for name in has.keys() & shall.keys():
        if has[name] != shall[name]:
            raise invalid_combination(
                f"{NAME}: {name} is {has[name]} in {old.name} and {shall[name]} in {group.name}; it is fixed when a cache is "
                "created, so both must say the same."
            )


def _relevant(desired: GroupDesired) -> list[tuple[str, ...]]:
    return [
        (each.parameter_group, each.engine.value, each.engine_version, each.cluster_mode, each.node_type)
        for each in wanted_by(desired)
    ]
