"""What Describe calls show of parameter groups and of their parameters (reference 1.8, 5). Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from cachefleet.api.paging import Page, page_sequence, reply
from cachefleet.api.parameters.parameter_group_rows import ParameterGroup
from cachefleet.model.resource import Kind, Scope
from cachefleet.reference.node_types import NodeType, all_node_types
from cachefleet.reference.parameter_types import Family, Parameter
from cachefleet.reference.parameter_values import is_settable
from cachefleet.reference.parameters import node_type_value, value
from cachefleet.settings import NodeTypeSetting

if TYPE_CHECKING:
    from types_boto3_elasticache.type_defs import (
        CacheNodeTypeSpecificParameterTypeDef,
        CacheParameterGroupTypeDef,
        ParameterTypeDef,
    )

USER = "user"
SOURCES = (USER, "system", "engine-default")


def parameter_group_view(scope: Scope, group: ParameterGroup) -> CacheParameterGroupTypeDef:
    return {
        "CacheParameterGroupName": group.name,
        "CacheParameterGroupFamily": group.family,
        "Description": group.description,
        "IsGlobal": False,
        "ARN": scope.arn(Kind.PARAMETER_GROUP, group.name),
    }


def parameters_page(
    family: Family,
    page: Page,
    own_types: Mapping[str, NodeTypeSetting],
    group: ParameterGroup | None = None,
    source: str | None = None,
) -> dict[str, Any]:
    """Both lists of a page. One page counts over both: parameters by name first, then those that depend on the node type.
    group: None for the family's defaults. source: only those whose value comes from there."""
    own = group.values if group is not None else {}
    cluster_on = group is not None and group.cluster_on
    wanted = [one for one in family.parameters.values() if not source or _source(one, own) == source]
    shown, marker = page_sequence(sorted(wanted, key=_place), page, _place)
    types = all_node_types(own_types)
    listed = reply("Parameters", [_plain(one, own, cluster_on) for one in shown if not one.per_node_type], marker)
    listed["CacheNodeTypeSpecificParameters"] = [_per_node_type(one, own, types) for one in shown if one.per_node_type]
    return listed


def _place(parameter: Parameter) -> str:
    return f"{int(parameter.per_node_type)}{parameter.name}"


def _source(parameter: Parameter, own: Mapping[str, str]) -> str:
    return USER if parameter.name in own else parameter.source


def _plain(parameter: Parameter, own: Mapping[str, str], cluster_on: bool) -> ParameterTypeDef:
    view = cast("ParameterTypeDef", _common(parameter, own))
    shown = own.get(parameter.name, value(parameter, cluster_on))
    if shown or parameter.name in own:
        view["ParameterValue"] = shown
    return view


def _per_node_type(
    parameter: Parameter, own: Mapping[str, str], types: Sequence[NodeType]
) -> CacheNodeTypeSpecificParameterTypeDef:
    view = cast("CacheNodeTypeSpecificParameterTypeDef", _common(parameter, own))
    view["CacheNodeTypeSpecificValues"] = [
        {"CacheNodeType": one.name, "Value": own.get(parameter.name) or node_type_value(parameter.name, one)} for one in types
    ]
    return view


def _common(parameter: Parameter, own: Mapping[str, str]) -> dict[str, Any]:
    view: dict[str, Any] = {
        "ParameterName": parameter.name,
        "Description": parameter.description,
        "Source": _source(parameter, own),
        "DataType": parameter.data_type,
        "IsModifiable": is_settable(parameter),
        "MinimumEngineVersion": parameter.minimum_version,
        "ChangeType": parameter.change_type,
    }
    if parameter.allowed:
        view["AllowedValues"] = parameter.allowed
    return view
