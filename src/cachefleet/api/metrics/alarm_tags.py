"""Tags of alarms: TagResource, UntagResource and ListTagsForResource of CloudWatch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from cachefleet.api.context import Context
from cachefleet.api.metrics.alarm_rows import find_alarm
from cachefleet.api.metrics.metric_inputs import refuse_value
from cachefleet.api.names import quoted
from cachefleet.api.registry import operation
from cachefleet.api.rows import update_row
from cachefleet.api.tag_rules import MAX_TAGS, read_plain_tags, removed, show_tags
from cachefleet.model.alarm import alarm_arn
from cachefleet.model.errors import AwsError
from cachefleet.model.row import AlarmRow


@operation("TagResource", service="monitoring", effective=("ResourceARN", "Tags"))
async def tag_resource(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    row = await _load(context, request["ResourceARN"])
    tags = {**row.tags, **read_alarm_tags(request["Tags"])}
    _check_number(tags)
    await update_row(context, row, replace(row, tags=tags))
    return {}


@operation("UntagResource", service="monitoring", effective=("ResourceARN", "TagKeys"))
async def untag_resource(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """Keys that are not there are no error."""
    row = await _load(context, request["ResourceARN"])
    await update_row(context, row, replace(row, tags=removed(row.tags, request["TagKeys"])))
    return {}


@operation("ListTagsForResource", service="monitoring", effective=("ResourceARN",))
async def list_tags_for_resource(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    return {"Tags": show_tags((await _load(context, request["ResourceARN"])).tags)}


def read_alarm_tags(given: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Raises InvalidParameterValue."""
    tags = read_plain_tags(((tag["Key"], tag.get("Value") or "") for tag in given), lambda why: refuse_value(f"Tags: {why}"))
    _check_number(tags)
    return tags


def _check_number(tags: Mapping[str, str]) -> None:
    if len(tags) > MAX_TAGS:
        raise refuse_value(f"{len(tags)} tags are too many; an alarm may have {MAX_TAGS}.")


async def _load(context: Context, arn: str) -> AlarmRow:
    """Raises ResourceNotFoundException, InvalidParameterValue."""
    own = alarm_arn(context.scope, "")
    if not arn.startswith(own):
        raise refuse_value(f"ResourceARN {quoted(arn)} is no ARN of an alarm of this region and account: {own}NAME.")
    row = await find_alarm(context, arn.removeprefix(own))
    if row is None:
        raise AwsError("ResourceNotFoundException", f"There is no alarm {quoted(arn.removeprefix(own))}.")
    return row
