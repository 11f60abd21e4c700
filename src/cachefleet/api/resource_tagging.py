"""The Resource Groups Tagging API over ElastiCache's resources of this region and account: tags of many at once.

Which tools that look after resources of all services ask instead of each service (docs/tools.md). What a tag may be, and what
becomes of it, is decided by api.tags.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from cachefleet.api import tags
from cachefleet.api.context import Context
from cachefleet.api.paging import after_of, write_marker
from cachefleet.api.registry import Refusal, operation
from cachefleet.api.tag_rules import show_tags
from cachefleet.model.errors import AwsError
from cachefleet.model.group import GroupDesired
from cachefleet.model.resource import Kind

SERVICE = "tagging"
MAX_ARNS_TO_READ, MAX_ARNS_TO_CHANGE = 100, 20
MAX_FILTERS, MAX_VALUES, MAX_TYPES = 50, 20, 100
MAX_RESOURCES_PER_PAGE = 100
TAGS_PER_PAGE = (100, 500)
_PAGES = "resources"
_OF_PAGES = ("ResourcesPerPage", "TagsPerPage", "PaginationToken")
_KINDS = (
    Kind.REPLICATION_GROUP,
    Kind.CACHE_CLUSTER,
    Kind.SUBNET_GROUP,
    Kind.PARAMETER_GROUP,
    Kind.SNAPSHOT,
    Kind.USER,
    Kind.USER_GROUP,
    Kind.RESERVED_NODES,
)
_NO_POLICIES = Refusal("there are no tag policies here; leave it out", (False,))

Tagged = dict[str, Mapping[str, str]]  # by ARN, in that order


@operation(
    "GetResources",
    service=SERVICE,
    effective=("ResourceARNList", "TagFilters", "ResourceTypeFilters", *_OF_PAGES),
    refused={"IncludeComplianceDetails": _NO_POLICIES, "ExcludeCompliantResources": _NO_POLICIES},
)
async def get_resources(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """Those that have tags now; AWS also tells of those that once had some."""
    _check_request(request)
    found = await tagged(context)
    if request.get("ResourceARNList"):
        wanted = frozenset(request["ResourceARNList"])
        return _shown({arn: held for arn, held in found.items() if arn in wanted}, "")
    after = after_of(_PAGES, request.get("PaginationToken"), _invalid_token())
    types = request.get("ResourceTypeFilters") or ()
    kept = {
        arn: held
        for arn, held in found.items()
        if arn > after
        and (not types or any(_is_of_type(arn, one) for one in types))
        and all(_passes(held, one) for one in request.get("TagFilters") or ())
    }
    page = _page(kept, request.get("ResourcesPerPage") or MAX_RESOURCES_PER_PAGE, request.get("TagsPerPage"))
    return _shown(page, write_marker(_PAGES, max(page)) if len(page) < len(kept) else "")


@operation("GetTagKeys", service=SERVICE, effective=("PaginationToken",))
async def get_tag_keys(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """All at once: there is no further page."""
    _check_no_token(request)
    keys = {key for held in (await tagged(context)).values() for key in held}
    return {"TagKeys": sorted(keys), "PaginationToken": ""}


@operation("GetTagValues", service=SERVICE, effective=("Key", "PaginationToken"))
async def get_tag_values(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """All at once: there is no further page."""
    _check_no_token(request)
    key = request["Key"]
    values = {held[key] for held in (await tagged(context)).values() if key in held}
    return {"TagValues": sorted(values), "PaginationToken": ""}


@operation("TagResources", service=SERVICE, effective=("ResourceARNList", "Tags"))
async def tag_resources(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    given = show_tags(request["Tags"])
    if not given:
        raise _invalid("Tags: at least one tag must be named.")

    async def tag(arn: str) -> None:
        await tags.add_tags_to_resource(context, {"ResourceName": arn, "Tags": given})

    return await _to_each(request, tag)


@operation("UntagResources", service=SERVICE, effective=("ResourceARNList", "TagKeys"))
async def untag_resources(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """Keys that a resource does not have are no error."""
    keys = frozenset(request["TagKeys"])
    if not keys:
        raise _invalid("TagKeys: at least one key must be named.")

    async def untag(arn: str) -> None:
        held = await tags.list_tags_for_resource(context, {"ResourceName": arn})
        there = [tag["Key"] for tag in held["TagList"] if tag["Key"] in keys]
        if there:
            await tags.remove_tags_from_resource(context, {"ResourceName": arn, "TagKeys": there})

    return await _to_each(request, untag)


async def _to_each(request: Mapping[str, Any], change: Callable[[str], Awaitable[None]]) -> dict[str, Any]:
    """Each resource by itself: what is refused for one is told beside what was done to the others."""
    failed: dict[str, Any] = {}
    for arn in _arns(request, MAX_ARNS_TO_CHANGE):
        try:
            await change(arn)
        except AwsError as error:
            failed[arn] = {"StatusCode": error.http_status, "ErrorCode": error.code, "ErrorMessage": error.message}
    return {"FailedResourcesMap": failed}


async def tagged(context: Context) -> Tagged:
    """Every resource that has tags."""
    found: Tagged = {}
    for kind in _KINDS:
        for row in await context.store.rows(kind, context.scope):
            found[row.key.arn] = row.tags
            if kind is Kind.REPLICATION_GROUP and isinstance(row.desired, GroupDesired):
                found |= {context.scope.arn(Kind.CACHE_CLUSTER, node.name): node.tags for node in row.desired.nodes}
    return {arn: found[arn] for arn in sorted(found) if found[arn]}


# --- what a request may say ----------------------------------------------------------------------------------------


def _check_request(request: Mapping[str, Any]) -> None:
    """Raises InvalidParameterException."""
    if request.get("ResourceARNList"):
        beside = [name for name in ("TagFilters", "ResourceTypeFilters", *_OF_PAGES) if request.get(name)]
        if beside:
            raise _invalid(f"ResourceARNList cannot be combined with {' and '.join(beside)}; name either.")
        _arns(request, MAX_ARNS_TO_READ)
    filters = request.get("TagFilters") or ()
    if len(filters) > MAX_FILTERS or any(len(one.get("Values") or ()) > MAX_VALUES for one in filters):
        raise _invalid(f"TagFilters: at most {MAX_FILTERS} filters with {MAX_VALUES} values each are taken.")
    if not all(one.get("Key") for one in filters):
        raise _invalid("TagFilters: each filter must have a Key.")
    if len(request.get("ResourceTypeFilters") or ()) > MAX_TYPES:
        raise _invalid(f"ResourceTypeFilters: at most {MAX_TYPES} types are taken.")
    _check_between(request, "ResourcesPerPage", 1, MAX_RESOURCES_PER_PAGE)
    _check_between(request, "TagsPerPage", *TAGS_PER_PAGE)


def _check_between(request: Mapping[str, Any], member: str, least: int, most: int) -> None:
    value = request.get(member)
    if value is not None and not least <= value <= most:
        raise _invalid(f"{member} must be from {least} to {most}.")


def _check_no_token(request: Mapping[str, Any]) -> None:
    if request.get("PaginationToken"):
        raise _invalid_token()


def _arns(request: Mapping[str, Any], most: int) -> list[str]:
    """Each once. Raises InvalidParameterException."""
    given = list(dict.fromkeys(request["ResourceARNList"]))
    if not 1 <= len(given) <= most:
        raise _invalid(f"ResourceARNList: 1 to {most} resources are taken, not {len(given)}.")
    return given


def _invalid_token() -> AwsError:
    return _invalid("PaginationToken must be what an earlier page has returned; leave it out to start anew.")


def _invalid(message: str) -> AwsError:
    return AwsError("InvalidParameterException", message)


# --- what is answered ----------------------------------------------------------------------------------------------


def _is_of_type(arn: str, asked: str) -> bool:
    """asked: a service, or a service and a type of its resources."""
    _, _, service, _, _, type_word, _ = arn.split(":", 6)
    return asked in (service, f"{service}:{type_word}")


def _passes(held: Mapping[str, str], asked: Mapping[str, Any]) -> bool:
    return asked["Key"] in held and (not asked.get("Values") or held[asked["Key"]] in asked["Values"])


def _page(found: Tagged, resources: int, most_tags: int | None) -> Tagged:
    """The first ones, with all of their tags; one resource never has more tags than a page takes."""
    page: Tagged = {}
    number = 0
    for arn, held in found.items():
        number += len(held)
        if len(page) == resources or (most_tags is not None and number > most_tags):
            break
        page[arn] = held
    return page


def _shown(found: Tagged, token: str) -> dict[str, Any]:
    mappings = [{"ResourceARN": arn, "Tags": show_tags(held)} for arn, held in found.items()]
    return {"ResourceTagMappingList": mappings, "PaginationToken": token}
