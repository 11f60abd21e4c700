"""Tags of scalable targets: TagResource, UntagResource, ListTagsForResource."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from cachefleet.api.context import Context
from cachefleet.api.names import quoted
from cachefleet.api.registry import operation
from cachefleet.api.rows import update_row
from cachefleet.api.scaling.scaling_inputs import SERVICE
from cachefleet.api.scaling.scaling_rows import targets
from cachefleet.api.tag_rules import MAX_TAGS, read_other_tags, removed
from cachefleet.model.errors import AwsError
from cachefleet.model.row import ScalableTargetRow
from cachefleet.model.scaling import target_arn


def read_target_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Raises TooManyTagsException, InvalidParameterValue."""
    _check_number(len(tags))
    return read_other_tags([{"Key": key, "Value": value} for key, value in tags.items()], "a scalable target")


def _check_number(count: int) -> None:
    if count > MAX_TAGS:
        raise AwsError("TooManyTagsException", f"{count} tags are too many; a scalable target may have {MAX_TAGS}.")


async def _load(context: Context, arn: str) -> ScalableTargetRow:
    """Raises ResourceNotFoundException."""
    for row in await targets(context):
        if target_arn(context.scope, row.desired) == arn:
            return row
    raise AwsError("ResourceNotFoundException", f"ResourceARN: there is no scalable target {quoted(arn)}.")


@operation("TagResource", service=SERVICE, effective=("ResourceARN", "Tags"))
async def tag_resource(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    row = await _load(context, request["ResourceARN"])
    tags = {**row.tags, **read_target_tags(request["Tags"])}
    _check_number(len(tags))
    await update_row(context, row, replace(row, tags=tags))
    return {}


@operation("UntagResource", service=SERVICE, effective=("ResourceARN", "TagKeys"))
async def untag_resource(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """Keys that are not there are no error."""
    row = await _load(context, request["ResourceARN"])
    await update_row(context, row, replace(row, tags=removed(row.tags, request["TagKeys"])))
    return {}


@operation("ListTagsForResource", service=SERVICE, effective=("ResourceARN",))
async def list_tags_for_resource(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    return {"Tags": dict((await _load(context, request["ResourceARN"])).tags)}
