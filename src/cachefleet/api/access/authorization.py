"""Whether a caller may do what it asks for: its policies, over every resource that the request names. Raises, or lets it pass.

The root may do everything, anybody else what policies allow and none denies. Whether a resource exists is told only to those
who may ask for it. Called by the registry before each operation, and for what is no operation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from cachefleet.api.access.condition_values import asks_for_resources, values_of_action, values_of_request, values_of_resource
from cachefleet.api.access.permissions import action_of, needs
from cachefleet.api.access.request_resources import LOG_GROUP, NAME_CHARACTERS, Asked, asked_for
from cachefleet.api.context import Context
from cachefleet.api.snapshots.snapshot_rows import find_snapshot
from cachefleet.interfaces import AnyRow
from cachefleet.model.errors import AwsError
from cachefleet.model.group import GroupDesired
from cachefleet.model.resource import Kind
from cachefleet.policies.evaluation import Decision, Question, decide
from cachefleet.policies.patterns import Values
from cachefleet.policies.values import values_of_tags

MAX_RESOURCES = 200  # that one request may name
GET_STATUS = "cachefleet:GetStatus"  # what GET /status needs; no operation of AWS, nor are these:
GET_INSIGHT, START_INSIGHT = "cachefleet:GetInsight", "cachefleet:StartInsight"  # GET and POST /insight
GET_COST = "cachefleet:GetCost"  # GET /cost
_CREATE_CLUSTER = "elasticache:CreateCacheCluster"
_KINDS = {kind.value: kind for kind in Kind}
_WHY = {
    Decision.NOT_ALLOWED: "because no identity-based policy allows the {action} action",
    Decision.DENIED: "with an explicit deny in an identity-based policy",
}


async def authorize(context: Context, service: str, operation: str, request: Mapping[str, Any]) -> None:
    """Raises AccessDenied (of EC2: UnauthorizedOperation), ValidationError for more resources than can be looked at."""
    caller = context.caller
    if caller.is_root:
        return
    known = needs(service, operation)
    if known is not None and (known.free or (known.unsigned and not caller.access_key_id)):
        return
    own = action_of(service, operation)
    if known is None:
        raise _refusal(context, Asked(own, "*"), Decision.NOT_ALLOWED)
    asked = await asked_for(context, service, own, known.named, request)
    if len(asked) > MAX_RESOURCES:
        raise AwsError("ValidationError", f"The request names {len(asked)} resources; at most {MAX_RESOURCES} are taken.")
    values = {**values_of_request(context, request), **values_of_action(own, request)}
    reads = asks_for_resources(key for policy in caller.policies for key in policy.keys)
    for one in asked:
        of_it = await _values_of(context, service, one, request) if reads else {}
        decision = decide(caller.policies, Question(one.action, one.arn, {**values, **of_it}))
        if decision is not Decision.ALLOWED:
            raise _refusal(context, one, decision)


async def authorize_action(context: Context, action: str) -> None:
    """For an action on no resource that is no operation. Raises AccessDenied."""
    if context.caller.is_root:
        return
    decision = decide(context.caller.policies, Question(action, "*", values_of_request(context, {})))
    if decision is not Decision.ALLOWED:
        raise _refusal(context, Asked(action, "*"), decision)


async def _values_of(context: Context, service: str, asked: Asked, request: Mapping[str, Any]) -> Values:
    if asked.type_word == LOG_GROUP:
        return values_of_tags(await _log_group_tags(context, asked.name))
    row = await _row_of(context, asked)
    tags = values_of_tags(_tags_of(row, asked.name)) if row is not None else {}
    if service not in ("elasticache", "tagging"):
        return tags
    said = request if asked.main else _said_beside(asked, row)
    held = row.desired if row is not None else await _restored(context, said)
    return {**tags, **values_of_resource(asked.type_word, held, said)}


def _said_beside(asked: Asked, row: AnyRow | None) -> Mapping[str, Any]:
    """Of a resource that is not what the request is about. A cluster that joins a group is one more replica of its shard."""
    joined = row.desired if row is not None and asked.action == _CREATE_CLUSTER else None
    return {"NewReplicaCount": len(joined.nodes)} if isinstance(joined, GroupDesired) else {}


async def _restored(context: Context, request: Mapping[str, Any]) -> GroupDesired | None:
    """What a creation takes over from a snapshot where it says nothing (api.restoring_defaults)."""
    row = await find_snapshot(context, request["SnapshotName"][:NAME_CHARACTERS]) if request.get("SnapshotName") else None
    if row is None:
        return None
    return replace(row.desired.group, transit="", auth=None, parameter_group="", snapshot_retention_days=0)


async def _log_group_tags(context: Context, name: str) -> Mapping[str, str]:
    group = await context.logs.group(context.scope, name) if context.logs is not None and name else None
    return group.tags if group is not None else {}


async def _row_of(context: Context, asked: Asked) -> AnyRow | None:
    if not asked.name:
        return None
    if asked.type_word == Kind.CACHE_CLUSTER:
        return await context.store.owner(context.scope, asked.name)
    kind = _KINDS.get(asked.type_word)
    return await context.store.get(context.scope.key(kind, asked.name)) if kind is not None else None


def _tags_of(row: AnyRow, name: str) -> Mapping[str, str]:
    """A member of a replication group has tags of its own in the group's row."""
    if isinstance(row.desired, GroupDesired) and row.key.name != name:
        return next((node.tags for node in row.desired.nodes if node.name == name), {})
    return row.tags


def _refusal(context: Context, asked: Asked, decision: Decision) -> AwsError:
    text = f"User: {context.caller.arn} is not authorized to perform: {asked.action} on resource: {asked.arn} "
    text += _WHY[decision].format(action=asked.action)
    if asked.action.startswith("ec2:"):
        return AwsError("UnauthorizedOperation", f"You are not authorized to perform this operation. {text}")
    return AwsError("AuthorizationError" if asked.action.startswith("sns:") else "AccessDenied", text)
