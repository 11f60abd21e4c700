"""Which actions on which resources a request asks for: the members that api.permissions lists, as ARNs.

Names are folded as the operations fold them, so that no other spelling of a name gets past a policy. Called by
api.authorization.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from cachefleet.api.access.permissions import ARN, BUCKET, OBJECT, Named
from cachefleet.api.arns import parse_arn
from cachefleet.api.context import Context
from cachefleet.api.names import folded
from cachefleet.api.networks import networks
from cachefleet.api.snapshots.snapshot_rows import find_snapshot
from cachefleet.model.alarm import alarm_arn
from cachefleet.model.errors import AwsError
from cachefleet.model.iam import iam_scope, user_arn
from cachefleet.model.network import default_vpc_id
from cachefleet.model.resource import Kind
from cachefleet.model.row import IamUserRow
from cachefleet.model.topic import topic_arn, topic_key

LOG_GROUP = "log-group"
NAME_CHARACTERS = 600  # longer names and ARNs are cut: no resource has one
_TAGGING = {
    "elasticache": ("Tags", "AddTagsToResource"),
    "ec2": ("TagSpecifications", "CreateTags"),
    "sns": ("Tags", "TagResource"),
    "cloudwatch": ("Tags", "TagResource"),
    "logs": ("tags", "TagResource"),
    "application-autoscaling": ("Tags", "TagResource"),
}
_OF_TAGS = ("logs:TagLogGroup", "logs:UntagLogGroup")  # older forms, which are permitted by their own names
_EC2_TYPES = {"vpc": "vpc", "subnet": "subnet", "sg": "security-group", "sgr": "security-group-rule"}


class Asked(msgspec.Struct, frozen=True):
    """One action ("service:Operation") on one resource. type_word and name: "" where no row can belong to it. main: what the
    request is about, and does not only refer to."""

    action: str
    arn: str
    type_word: str = ""
    name: str = ""
    main: bool = False


async def asked_for(
    context: Context, service: str, own: str, named: tuple[Named, ...], request: Mapping[str, Any]
) -> list[Asked]:
    """Everything that has to be allowed. own: the operation's action, on "*" when no resource is named; tags at a creation are
    an action of their own."""
    found: list[Asked] = []
    for number, one in enumerate(named):
        given = request.get(one.member) or ()
        texts = [given] if isinstance(given, str) else list(given)
        for text in texts or ([""] if one.always else []):
            made = await _resource(context, service, one, text[:NAME_CHARACTERS], request)
            found.append(msgspec.structs.replace(made, action=one.action or own, main=number == 0))
    if not any(one.action == own for one in found):
        found.append(Asked(own, "*", main=True))
    prefix = own.partition(":")[0]
    member, tagging = _TAGGING.get(prefix, ("", ""))
    if request.get(member) and own not in (f"{prefix}:{tagging}", *_OF_TAGS):
        main = next((one for one in found if one.main), found[0])
        found.append(msgspec.structs.replace(main, action=f"{prefix}:{tagging}"))
    return list(dict.fromkeys(found))


async def _resource(context: Context, service: str, named: Named, text: str, request: Mapping[str, Any]) -> Asked:
    """text: what the request has for it; "" all of the type."""
    if named.type_word == BUCKET:
        return Asked("", f"arn:aws:s3:::{text}/*")
    if named.type_word == OBJECT:
        return Asked("", _arn_or_all(text))
    if service == "iam":
        return Asked("", await _iam_arn(context, named, text, request))
    if service == "ec2":
        return await _ec2_resource(context, named, text, request)
    if service == "logs":
        return _log_group(context, _log_arn(context, named, text, request))
    if service == "monitoring":
        return _alarm(context, named, text)
    if service == "sns":
        return _topic(context, text)
    if named.type_word == ARN:
        try:
            arn = parse_arn(text, context.scope)
        except AwsError:
            return Asked("", _arn_or_all(text))  # which the operation is going to refuse
        return Asked("", context.scope.arn(arn.type_word, arn.name), arn.type_word, arn.name)
    name = await _name_of(context, named.type_word, text)
    return Asked("", context.scope.arn(named.type_word, name or "*"), named.type_word, name)


async def _name_of(context: Context, type_word: str, text: str) -> str:
    """As the operations find it: of snapshots, exported ones may have capitals."""
    found = await find_snapshot(context, text) if type_word == Kind.SNAPSHOT and text else None
    return found.key.name if found is not None else folded(text)


def _log_group(context: Context, arn: str) -> Asked:
    """name: of the group that it is of, which has the tags."""
    own = f"arn:aws:logs:{context.scope.region}:{context.scope.account}:log-group:"
    name = arn.removeprefix(own).partition(":")[0] if arn.startswith(own) else ""
    return Asked("", arn, LOG_GROUP, name)


def _log_arn(context: Context, named: Named, text: str, request: Mapping[str, Any]) -> str:
    """Of a log group as policies name it, so that both `...:NAME:*` and, for tags, `...:NAME` hold."""
    if text.startswith("arn:") or named.type_word == ARN:
        return _arn_or_all(text) if named.type_word == ARN else f"{text.removesuffix(':*')}:log-stream:"
    stream = text if named.type_word == "log-stream" else ""
    group = text if named.type_word == "log-group" else request.get("logGroupName") or request.get("logGroupIdentifier") or "*"
    group = group[:NAME_CHARACTERS].removesuffix(":*")
    if not group.startswith("arn:"):
        group = f"arn:aws:logs:{context.scope.region}:{context.scope.account}:log-group:{group or '*'}"
    return f"{group}:log-stream:{stream}"


def _arn_or_all(text: str) -> str:
    return text if text.startswith("arn:") else "*"


def _alarm(context: Context, named: Named, text: str) -> Asked:
    own = alarm_arn(context.scope, "")
    if named.type_word == ARN:
        name = text.removeprefix(own) if text.startswith(own) else ""
        return Asked("", _arn_or_all(text), Kind.ALARM if name else "", name)
    return Asked("", f"{own}{text or '*'}", Kind.ALARM, text)


def _topic(context: Context, text: str) -> Asked:
    """text: a topic's ARN or name, or a subscription's ARN, which stands for its topic."""
    if not text.startswith("arn:"):
        return Asked("", topic_arn(context.scope, text or "*"), Kind.TOPIC, text)
    found = topic_key(text)
    if found is None or found[0].scope != context.scope:
        return Asked("", text)  # which the operation is going to refuse
    return Asked("", topic_arn(context.scope, found[0].name), Kind.TOPIC, found[0].name)


async def _iam_arn(context: Context, named: Named, text: str, request: Mapping[str, Any]) -> str:
    account = context.caller.account
    if named.type_word == "users":
        return user_arn(account, text if text.startswith("/") else "/", "")
    name = text or context.caller.user_name
    row: IamUserRow | None = await context.store.get(iam_scope(account).key(Kind.IAM_USER, name.lower())) if name else None
    there = row is not None and row.desired.name == name
    return user_arn(account, row.desired.path if row is not None and there else request.get("Path") or "/", name)


async def _ec2_resource(context: Context, named: Named, text: str, request: Mapping[str, Any]) -> Asked:
    type_word, name = named.type_word, text
    if not type_word:
        type_word = _EC2_TYPES.get(text.partition("-")[0], "")
    if type_word == Kind.SECURITY_GROUP and named.member and not name:
        name = await _security_group(context, request.get("GroupName") or "")
    if not type_word:
        return Asked("", "*")
    return Asked("", f"arn:aws:ec2:{context.scope.region}:{context.scope.account}:{type_word}/{name or '*'}", type_word, name)


async def _security_group(context: Context, group_name: str) -> str:
    """The id of the group that a request names by its name, which is one of the default VPC; "" when there is none."""
    wanted = (default_vpc_id(context.scope), group_name)
    groups = await networks.security_groups(context) if group_name else {}
    return next((name for name, row in groups.items() if (row.desired.vpc_id, row.desired.name) == wanted), "")
