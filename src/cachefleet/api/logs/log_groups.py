"""Log groups of CloudWatch Logs: made, listed, deleted; retention and tags."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from cachefleet.api.context import Context
from cachefleet.api.logs.log_inputs import (
    SERVICE,
    arn_group,
    group_arn,
    group_name,
    kept_logs,
    limit_of,
    no_group,
    refused,
    there,
    wrong_token,
)
from cachefleet.api.paging import after_of, write_marker
from cachefleet.api.registry import Refusal, operation
from cachefleet.api.tag_rules import MAX_TAGS, read_plain_tags
from cachefleet.model.errors import AwsError
from cachefleet.model.log import LogGroup
from cachefleet.model.resource import Scope

MOST_RECORDS = 50
_WEEKS = (1, 3, 5, 7, 14)
_MONTHS = (30, 60, 90, 120, 150, 180, 365, 400, 545)
RETENTION_DAYS = (*_WEEKS, *_MONTHS, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653)
_NO_LINKS = Refusal("accounts are not linked here; leave it out", (False, []))
_NO_KEYS = Refusal("log groups are not encrypted with keys of one's own; leave it out", ("",))


@operation(
    "CreateLogGroup",
    service=SERVICE,
    effective=("logGroupName", "tags"),
    refused={
        "kmsKeyId": _NO_KEYS,
        "logGroupClass": Refusal("there is only the class STANDARD", ("STANDARD",)),
        "deletionProtectionEnabled": Refusal("log groups cannot be protected from deletion; leave it out", (False,)),
    },
)
async def create_log_group(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    name = group_name(request)
    tags = _checked_tags(request.get("tags") or {})
    group = LogGroup(name, int(context.clock.now() * 1000), tags=tags)
    if not await kept_logs(context).create_group(context.scope, group):
        raise AwsError("ResourceAlreadyExistsException", "The specified log group already exists")
    return {}


@operation("DeleteLogGroup", service=SERVICE, effective=("logGroupName",))
async def delete_log_group(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """Groups of caches whose logs go there show an error from then on."""
    if not await kept_logs(context).delete_group(context.scope, group_name(request)):
        raise no_group()
    return {}


@operation(
    "DescribeLogGroups",
    service=SERVICE,
    effective=("logGroupNamePrefix", "logGroupNamePattern", "logGroupClass", "logGroupIdentifiers", "nextToken", "limit"),
    refused={"accountIdentifiers": _NO_LINKS, "includeLinkedAccounts": _NO_LINKS},
)
async def describe_log_groups(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    limit, after = limit_of(request, MOST_RECORDS), after_of("log-groups", request.get("nextToken"), wrong_token())
    prefix, pattern = request.get("logGroupNamePrefix") or "", request.get("logGroupNamePattern") or ""
    if prefix and pattern:
        raise refused("LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.")
    if request.get("logGroupClass") not in (None, "STANDARD"):
        return {"logGroups": []}
    groups = await kept_logs(context).groups(context.scope, prefix, after)
    wanted = {_identified(context, one) for one in request.get("logGroupIdentifiers") or ()}
    found = [group for group in groups if pattern.lower() in group.name.lower() and (not wanted or group.name in wanted)]
    views = [_view(context.scope, group) for group in found[:limit]]
    if len(found) <= limit:
        return {"logGroups": views}
    return {"logGroups": views, "nextToken": write_marker("log-groups", found[limit - 1].name)}


@operation("PutRetentionPolicy", service=SERVICE, effective=("logGroupName", "retentionInDays"))
async def put_retention_policy(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    days = request["retentionInDays"]
    if days not in RETENTION_DAYS:
        raise refused(f"retentionInDays must be one of {', '.join(map(str, RETENTION_DAYS))}.")
    return await _change(context, group_name(request), days)


@operation("DeleteRetentionPolicy", service=SERVICE, effective=("logGroupName",))
async def delete_retention_policy(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    return await _change(context, group_name(request), 0)


async def _change(context: Context, name: str, days: int) -> dict[str, Any]:
    group = await there(context, name)
    if not await kept_logs(context).change_group(context.scope, replace(group, retention_days=days)):
        raise no_group()
    return {}


# --- tags ----------------------------------------------------------------------------------------------------------


@operation("TagResource", service=SERVICE, effective=("resourceArn", "tags"))
async def tag_resource(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    return await _tag(context, arn_group(context, request["resourceArn"], "resourceArn"), request["tags"], ())


@operation("UntagResource", service=SERVICE, effective=("resourceArn", "tagKeys"))
async def untag_resource(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    return await _tag(context, arn_group(context, request["resourceArn"], "resourceArn"), {}, request["tagKeys"])


@operation("ListTagsForResource", service=SERVICE, effective=("resourceArn",))
async def list_tags_for_resource(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    group = await there(context, arn_group(context, request["resourceArn"], "resourceArn"))
    return {"tags": group.tags}


@operation("TagLogGroup", service=SERVICE, effective=("logGroupName", "tags"))
async def tag_log_group(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    return await _tag(context, group_name(request), request["tags"], ())


@operation("UntagLogGroup", service=SERVICE, effective=("logGroupName", "tags"))
async def untag_log_group(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    return await _tag(context, group_name(request), {}, request["tags"])


@operation("ListTagsLogGroup", service=SERVICE, effective=("logGroupName",))
async def list_tags_log_group(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    return {"tags": (await there(context, group_name(request))).tags}


async def _tag(context: Context, name: str, more: Mapping[str, str], fewer: Any) -> dict[str, Any]:
    group = await there(context, name)
    tags = {key: value for key, value in {**group.tags, **more}.items() if key not in fewer}
    if more and len(tags) > MAX_TAGS:
        raise AwsError("TooManyTagsException", f"A log group can have {MAX_TAGS} tags.")
    if not await kept_logs(context).change_group(context.scope, replace(group, tags=_checked_tags(tags))):
        raise no_group()
    return {}


def _checked_tags(tags: Mapping[str, str]) -> dict[str, str]:
    if len(tags) > MAX_TAGS:
        raise refused(f"tags: a log group can have {MAX_TAGS} tags.")
    return read_plain_tags(tags.items(), lambda why: refused(f"tags: {why}"))


# --- shown ---------------------------------------------------------------------------------------------------------


def _identified(context: Context, identifier: str) -> str:
    return arn_group(context, identifier, "logGroupIdentifiers") if identifier.startswith("arn:") else identifier


def _view(scope: Scope, group: LogGroup) -> dict[str, Any]:
    view: dict[str, Any] = {
        "logGroupName": group.name,
        "creationTime": group.created_ms,
        "metricFilterCount": 0,
        "arn": f"{group_arn(scope, group.name)}:*",
        "storedBytes": group.stored_bytes,
        "logGroupClass": "STANDARD",
        "logGroupArn": group_arn(scope, group.name),
    }
    if group.retention_days:
        view["retentionInDays"] = group.retention_days
    return view
