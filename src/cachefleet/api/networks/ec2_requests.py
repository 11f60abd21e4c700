"""What EC2's operations have in common: filters, pages, ids, tags in requests, and the views of tags.

Pure. Filters are exact but for `*` and `?`; values of one filter are alternatives, filters are demands that all hold.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import translate
from functools import lru_cache
from typing import Any, TypeVar

from cachefleet.api.context import Context
from cachefleet.api.names import quoted
from cachefleet.api.paging import Page, page_sequence, read_marker
from cachefleet.api.tag_rules import read_tags
from cachefleet.model.errors import AwsError, invalid_value
from cachefleet.model.network import new_id

T = TypeVar("T")
Values = Callable[[T], Iterable[str]]  # what a resource has for a filter

DRY_RUN = "DryRun"  # see dry_run
PAGES = ("Filters", "MaxResults", "NextToken", DRY_RUN)
_FEWEST, _MOST = 5, 1000
_MOST_VALUES = 200


def drawn_id(context: Context, prefix: str) -> str:
    return new_id(prefix, context.entropy.hex(9))


def word(value: bool) -> str:
    return "true" if value else "false"


def chosen(
    items: Mapping[str, T],
    request: Mapping[str, Any],
    ids: Sequence[str] | None,
    filters: Mapping[str, Values[T]],
    tags: Callable[[T], Mapping[str, str]],
    missing: Callable[[str], AwsError],
) -> dict[str, T]:
    """Those that the request asks for. ids: asked for by name. Raises what `missing` makes of an id that is not there, and
    InvalidParameterValue for a filter that is not known."""
    for wanted in ids or ():
        if wanted not in items:
            raise missing(wanted)
    found = {name: item for name, item in items.items() if not ids or name in ids}
    for asked in request.get("Filters") or ():
        name, patterns = asked.get("Name", ""), _patterns(asked)
        found = {key: item for key, item in found.items() if _has(item, name, patterns, filters, tags)}
        if name not in filters and not name.startswith("tag:") and name != "tag-key":
            raise invalid_value(f"The filter {quoted(name)} is invalid; use {', '.join(sorted(filters))}, tag:KEY or tag-key.")
    return found


def paged(items: Mapping[str, T], request: Mapping[str, Any], kind: str) -> tuple[list[tuple[str, T]], dict[str, str]]:
    """The page's items in the order of ids, and the reply's NextToken where there is another page. Raises
    InvalidParameterValue."""
    limit = request.get("MaxResults")
    if limit is not None and not _FEWEST <= limit <= _MOST:
        raise invalid_value(f"MaxResults is {limit}; it must be between {_FEWEST} and {_MOST}.")
    token = request.get("NextToken") or ""
    page = Page(kind, limit or _MOST, read_marker(kind, token) if token else "")
    shown, marker = page_sequence(sorted(items.items(), key=lambda pair: pair[0]), page, lambda pair: pair[0])
    return shown, {} if marker is None else {"NextToken": marker}


def asked_tags(request: Mapping[str, Any], resource_type: str) -> dict[str, str]:
    """Tags of TagSpecifications. Raises InvalidParameterValue for those of another type of resource."""
    tags: list[Mapping[str, Any]] = []
    for specification in request.get("TagSpecifications") or ():
        asked = specification.get("ResourceType")
        if asked != resource_type:
            raise invalid_value(
                f"TagSpecifications: {quoted(str(asked))} is not what this operation makes; use {resource_type}."
            )
        tags += specification.get("Tags") or ()
    return read_tags(tags, "TagSpecifications", of_network=True)


def show_tags(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": tags[key]} for key in sorted(tags)]


def _patterns(asked: Mapping[str, Any]) -> list[re.Pattern[str]]:
    values = asked.get("Values") or ()
    if len(values) > _MOST_VALUES:
        raise AwsError("FilterLimitExceeded", f"A filter has {len(values)} values; at most {_MOST_VALUES} are allowed.")
    return [_compiled(value) for value in values]


@lru_cache(maxsize=256)
def _compiled(value: str) -> re.Pattern[str]:
    return re.compile(translate(value.replace("[", "[[]")))


def _has(
    item: T,
    name: str,
    patterns: Sequence[re.Pattern[str]],
    filters: Mapping[str, Values[T]],
    tags: Callable[[T], Mapping[str, str]],
) -> bool:
    if name.startswith("tag:"):
        key = name.partition(":")[2]
        values: Iterable[str] = [tags(item)[key]] if key in tags(item) else []
    elif name == "tag-key":
        values = tags(item)
    else:
        values = filters[name](item) if name in filters else ()
    return any(pattern.match(value) for value in values for pattern in patterns)
