"""Cache parameter groups: the built-in ones of every family, and which one a cache gets.

Lists and checks only; values for a node are computed by reference.parameters. Called by the gateway and the create
operations.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from cachefleet.api import names
from cachefleet.api.context import Context
from cachefleet.api.paging import Page, page_of, page_sequence, reply
from cachefleet.api.registry import operation
from cachefleet.model.errors import AwsError, invalid_combination, invalid_value
from cachefleet.model.resource import Kind, Scope
from cachefleet.reference.engines import family_of
from cachefleet.reference.node_types import NodeType, all_node_types
from cachefleet.reference.parameter_types import Family, Parameter
from cachefleet.reference.parameters import DEFAULT_GROUPS, FAMILIES, DefaultGroup, default_group, node_type_value, value

if TYPE_CHECKING:
    from types_boto3_elasticache.type_defs import (
        CacheNodeTypeSpecificParameterTypeDef,
        CacheParameterGroupTypeDef,
        DescribeCacheParameterGroupsMessageTypeDef,
        DescribeCacheParametersMessageTypeDef,
        DescribeEngineDefaultParametersMessageTypeDef,
        ParameterTypeDef,
    )

_NAME = "CacheParameterGroupName"
_FAMILY = "CacheParameterGroupFamily"
_SOURCES = ("user", "system", "engine-default")


@operation("DescribeCacheParameterGroups", effective=(_NAME, "MaxRecords", "Marker"))
async def describe_cache_parameter_groups(
    context: Context, request: DescribeCacheParameterGroupsMessageTypeDef
) -> dict[str, Any]:
    page = page_of(request, "parameter-groups")
    asked = request.get("CacheParameterGroupName")
    groups = [find_parameter_group(asked)] if asked else sorted(DEFAULT_GROUPS.values(), key=lambda group: group.name)
    shown, marker = page_sequence(groups, page, lambda group: group.name)
    return reply("CacheParameterGroups", [parameter_group_view(context.scope, group) for group in shown], marker)


@operation("DescribeCacheParameters", effective=(_NAME, "Source", "MaxRecords", "Marker"))
async def describe_cache_parameters(context: Context, request: DescribeCacheParametersMessageTypeDef) -> dict[str, Any]:
    page = page_of(request, "parameters")
    group = find_parameter_group(request["CacheParameterGroupName"])
    source = request.get("Source")
    if source and source not in _SOURCES:
        raise invalid_value(f"Source {names.quoted(source)} is not valid; it must be one of {', '.join(_SOURCES)}.")
    return _parameters_page(context, FAMILIES[group.family], group.cluster_on, page, source)


@operation("DescribeEngineDefaultParameters", effective=(_FAMILY, "MaxRecords", "Marker"))
async def describe_engine_default_parameters(
    context: Context, request: DescribeEngineDefaultParametersMessageTypeDef
) -> dict[str, Any]:
    page = page_of(request, "engine-defaults")
    family = FAMILIES.get(names.folded(request["CacheParameterGroupFamily"]))
    if family is None:
        raise invalid_value(
            f"{_FAMILY} {names.quoted(request['CacheParameterGroupFamily'])} is not valid; it must be one of "
            f"{', '.join(sorted(FAMILIES))}."
        )
    listed = _parameters_page(context, family, False, page, None)
    return {"EngineDefaults": {"CacheParameterGroupFamily": family.name, **listed}}


# --- for other operations ------------------------------------------------------------------------------------------


def find_parameter_group(name: str) -> DefaultGroup:
    """Raises CacheParameterGroupNotFound."""
    group = DEFAULT_GROUPS.get(names.folded(name))
    if group is None:
        raise AwsError(
            "CacheParameterGroupNotFound",
            f"CacheParameterGroup {names.quoted(name)} not found; there are {', '.join(sorted(DEFAULT_GROUPS))}.",
        )
    return group


def resolve_parameter_group(name: str | None, engine: str, version: str, cluster_mode: str) -> str:
    """The name of the parameter group that a cache gets: the one it asks for, or the family's default.

    version: of the installed build. cluster_mode: disabled, compatible or enabled; the last two need a group with
    cluster-enabled=yes. Raises CacheParameterGroupNotFound, InvalidParameterCombination, InvalidParameterValue.
    """
    family = family_of(engine, version)
    if family is None:
        raise invalid_value(
            f"EngineVersion: there is no parameter group family for {engine} {version}; choose another version."
        )
    cluster_on = cluster_mode != "disabled"
    if not name:
        return default_group(family, cluster_on)
    group = find_parameter_group(name)
    if group.family != family:
        raise invalid_combination(
            f"{_NAME}: {group.name} is of the family {group.family}, but {engine} {version} needs one of {family}, such as "
            f"{default_group(family, cluster_on)}."
        )
    if group.cluster_on != cluster_on:
        raise invalid_combination(
            f"{_NAME}: {group.name} has cluster-enabled={'yes' if group.cluster_on else 'no'}, which does not go with cluster "
            f"mode {cluster_mode}; use one like {default_group(family, cluster_on)}."
        )
    return group.name


def parameter_group_view(scope: Scope, group: DefaultGroup) -> CacheParameterGroupTypeDef:
    return {
        "CacheParameterGroupName": group.name,
        "CacheParameterGroupFamily": group.family,
        "Description": f"Default parameter group for {group.family}" + (" with cluster mode on" if group.cluster_on else ""),
        "IsGlobal": False,
        "ARN": scope.arn(Kind.PARAMETER_GROUP, group.name),
    }


# --- parameters ----------------------------------------------------------------------------------------------------


def _parameters_page(context: Context, family: Family, cluster_on: bool, page: Page, source: str | None) -> dict[str, Any]:
    """Both lists of a page. One page counts over both: parameters by name first, then those that depend on the node type."""
    wanted = [parameter for parameter in family.parameters.values() if not source or parameter.source == source]
    shown, marker = page_sequence(sorted(wanted, key=_place), page, _place)
    types = all_node_types(context.settings.node_types)
    listed = reply("Parameters", [_parameter_view(one, cluster_on) for one in shown if not one.per_node_type], marker)
    listed["CacheNodeTypeSpecificParameters"] = [_per_node_type_view(one, types) for one in shown if one.per_node_type]
    return listed


def _place(parameter: Parameter) -> str:
    return f"{int(parameter.per_node_type)}{parameter.name}"


def _parameter_view(parameter: Parameter, cluster_on: bool) -> ParameterTypeDef:
    view = cast("ParameterTypeDef", _common_view(parameter))
    if shown := value(parameter, cluster_on):
        view["ParameterValue"] = shown
    return view


def _per_node_type_view(parameter: Parameter, types: Sequence[NodeType]) -> CacheNodeTypeSpecificParameterTypeDef:
    view = cast("CacheNodeTypeSpecificParameterTypeDef", _common_view(parameter))
    view["CacheNodeTypeSpecificValues"] = [
        {"CacheNodeType": one.name, "Value": node_type_value(parameter.name, one)} for one in types
    ]
    return view


def _common_view(parameter: Parameter) -> dict[str, Any]:
    view: dict[str, Any] = {
        "ParameterName": parameter.name,
        "Description": parameter.description,
        "Source": parameter.source,
        "DataType": parameter.data_type,
        "IsModifiable": parameter.modifiable,
        "MinimumEngineVersion": parameter.minimum_version,
        "ChangeType": parameter.change_type,
    }
    if parameter.allowed:
        view["AllowedValues"] = parameter.allowed
    return view
