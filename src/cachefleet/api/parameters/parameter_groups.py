"""Cache parameter groups: created, described and deleted; the built-in ones of every family exist always (reference 5).

Their values are changed in parameter_group_changes. Values for a node are computed by reference.parameters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cachefleet.api import names
from cachefleet.api.context import Context
from cachefleet.api.paging import cut, page_of, reply
from cachefleet.api.parameters.parameter_group_rows import (
    NAME,
    built_in_groups,
    caches_with,
    find_parameter_group,
    find_parameter_group_row,
    is_built_in,
    own_group,
)
from cachefleet.api.parameters.parameter_views import SOURCES, parameter_group_view, parameters_page
from cachefleet.api.registry import operation
from cachefleet.api.rows import tell
from cachefleet.api.tag_rules import read_other_tags
from cachefleet.interfaces import NameTaken
from cachefleet.model.errors import AwsError, invalid_value
from cachefleet.model.parameter_group import ParameterGroupDesired
from cachefleet.model.resource import Kind
from cachefleet.model.row import ParameterGroupRow, Row
from cachefleet.reference.parameter_types import Family
from cachefleet.reference.parameters import FAMILIES

if TYPE_CHECKING:
    from types_boto3_elasticache.type_defs import (
        CreateCacheParameterGroupMessageTypeDef,
        DeleteCacheParameterGroupMessageTypeDef,
        DescribeCacheParameterGroupsMessageTypeDef,
        DescribeCacheParametersMessageTypeDef,
        DescribeEngineDefaultParametersMessageTypeDef,
    )

_FAMILY = "CacheParameterGroupFamily"
_SOURCE = "cache-parameter-group"
_SHOWN = 5  # caches in a message


@operation("CreateCacheParameterGroup", effective=(NAME, _FAMILY, "Description", "Tags"))
async def create_cache_parameter_group(context: Context, request: CreateCacheParameterGroupMessageTypeDef) -> dict[str, Any]:
    given = request["CacheParameterGroupName"]
    if given.lower().startswith("default."):
        raise invalid_value(f"{NAME}: names that begin with default. are those of built-in groups; choose another.")
    name = names.group_name(given, NAME)
    desired = ParameterGroupDesired(
        family=_family(request["CacheParameterGroupFamily"]).name,
        description=names.description(request["Description"], "Description"),
    )
    row: ParameterGroupRow = Row(
        key=context.scope.key(Kind.PARAMETER_GROUP, name),
        desired=desired,
        tags=read_other_tags(request.get("Tags") or (), "a parameter group"),
    )
    try:
        async with context.store.transaction() as transaction:
            await transaction.take_turn()
            await transaction.insert(row)
            await _check_quota(context, name)
            await tell(context, transaction, _SOURCE, name, "Cache parameter group created")
    except NameTaken:
        raise AwsError(
            "CacheParameterGroupAlreadyExists", f"CacheParameterGroup {name} already exists; choose another name."
        ) from None
    return {"CacheParameterGroup": parameter_group_view(context.scope, own_group(row))}


@operation("DeleteCacheParameterGroup", effective=(NAME,))
async def delete_cache_parameter_group(context: Context, request: DeleteCacheParameterGroupMessageTypeDef) -> dict[str, Any]:
    name = names.folded(request["CacheParameterGroupName"])
    if is_built_in(name):
        raise AwsError(
            "InvalidCacheParameterGroupState", f"The parameter group {name} is built in; it can be neither changed nor deleted."
        )
    row = await find_parameter_group_row(context, name)
    async with context.store.transaction() as transaction:
        await _check_unused(context, name)
        await transaction.delete(row)
        await tell(context, transaction, _SOURCE, name, "Cache parameter group deleted")
    return {}


@operation("DescribeCacheParameterGroups", effective=(NAME, "MaxRecords", "Marker"))
async def describe_cache_parameter_groups(
    context: Context, request: DescribeCacheParameterGroupsMessageTypeDef
) -> dict[str, Any]:
    page = page_of(request, "parameter-groups")
    asked = request.get("CacheParameterGroupName")
    if asked:
        found = [await find_parameter_group(context, asked)]
    else:
        rows = await context.store.rows(Kind.PARAMETER_GROUP, context.scope, page.after, page.fetch)
        found = [*map(own_group, rows), *(group for group in built_in_groups() if group.name > page.after)]
        found.sort(key=lambda group: group.name)
    shown, marker = cut(found, page, lambda group: group.name)
    return reply("CacheParameterGroups", [parameter_group_view(context.scope, group) for group in shown], marker)


@operation("DescribeCacheParameters", effective=(NAME, "Source", "MaxRecords", "Marker"))
async def describe_cache_parameters(context: Context, request: DescribeCacheParametersMessageTypeDef) -> dict[str, Any]:
    page = page_of(request, "parameters")
    group = await find_parameter_group(context, request["CacheParameterGroupName"])
    source = request.get("Source")
    if source and source not in SOURCES:
        raise invalid_value(f"Source {names.quoted(source)} is not valid; it must be one of {', '.join(SOURCES)}.")
    return parameters_page(FAMILIES[group.family], page, context.settings.node_types, group, source)


@operation("DescribeEngineDefaultParameters", effective=(_FAMILY, "MaxRecords", "Marker"))
async def describe_engine_default_parameters(
    context: Context, request: DescribeEngineDefaultParametersMessageTypeDef
) -> dict[str, Any]:
    page = page_of(request, "engine-defaults")
    family = _family(request["CacheParameterGroupFamily"])
    listed = parameters_page(family, page, context.settings.node_types)
    return {"EngineDefaults": {"CacheParameterGroupFamily": family.name, **listed}}


# --- rules ---------------------------------------------------------------------------------------------------------


def _family(asked: str) -> Family:
    """Raises InvalidParameterValue."""
    family = FAMILIES.get(names.folded(asked))
    if family is None:
        raise invalid_value(f"{_FAMILY} {names.quoted(asked)} is not valid; it must be one of {', '.join(sorted(FAMILIES))}.")
    return family


async def _check_quota(context: Context, name: str) -> None:
    """Those of others are counted, not the one that is being created."""
    quota = context.settings.api.parameter_groups
    if await context.store.count(Kind.PARAMETER_GROUP, context.scope) >= quota:
        raise AwsError(
            "CacheParameterGroupQuotaExceeded",
            f"There are {quota} parameter groups, as many as may be (setting api.parameter_groups); delete one before creating "
            f"{name}.",
        )


async def _check_unused(context: Context, name: str) -> None:
    caches = [row.key.name for row in await caches_with(context, name)]
    if caches:
        more = f" and {len(caches) - _SHOWN} more" if len(caches) > _SHOWN else ""
        raise AwsError(
            "InvalidCacheParameterGroupState",
            f"The parameter group {name} is used by {', '.join(caches[:_SHOWN])}{more}; give them another group, or delete "
            "them, first.",
        )
