"""What the operations of CloudWatch Logs have in common: names, ARNs, log groups that have to be there.

Raises AwsError with the codes of that service.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from cachefleet.api.context import Context
from cachefleet.api.names import quoted
from cachefleet.log_interfaces import LogStore
from cachefleet.model.errors import AwsError
from cachefleet.model.log import LogGroup
from cachefleet.model.resource import Scope

SERVICE = "logs"
_GROUP_NAME = re.compile(r"[.\-_/#A-Za-z0-9]{1,512}", re.ASCII)
_STREAM_NAME = re.compile(r"[^:*]{1,512}")
_GROUP_ARN = re.compile(r"arn:aws:logs:([a-z0-9-]+):([0-9]{12}):log-group:([.\-_/#A-Za-z0-9]{1,512})(:\*)?", re.ASCII)


def kept_logs(context: Context) -> LogStore:
    """Raises ServiceUnavailable where no logs are kept."""
    if context.logs is None:
        raise AwsError("ServiceUnavailable", "No logs are kept here.")
    return context.logs


def refused(message: str) -> AwsError:
    return AwsError("InvalidParameterException", message)


def group_arn(scope: Scope, name: str) -> str:
    return f"arn:aws:logs:{scope.region}:{scope.account}:log-group:{name}"


def group_name(request: Mapping[str, Any], member: str = "logGroupName") -> str:
    """Raises InvalidParameterException."""
    return _checked(_GROUP_NAME, request.get(member) or "", member, "letters, digits and . - _ / #")


def stream_name(request: Mapping[str, Any], member: str = "logStreamName") -> str:
    """Raises InvalidParameterException."""
    return _checked(_STREAM_NAME, request.get(member) or "", member, "any characters but : and *")


def _checked(form: re.Pattern[str], name: str, member: str, rule: str) -> str:
    if not form.fullmatch(name) or not name.isprintable():
        raise refused(f"{member} {quoted(name)} must have 1 to 512 characters: {rule}.")
    return name


def named_group(context: Context, request: Mapping[str, Any]) -> str:
    """By logGroupName, or by logGroupIdentifier (a name or an ARN). Raises InvalidParameterException."""
    name, identifier = request.get("logGroupName"), request.get("logGroupIdentifier")
    if bool(name) == bool(identifier):
        raise refused("Give either logGroupName or logGroupIdentifier.")
    if name:
        return group_name(request)
    if str(identifier).startswith("arn:"):
        return arn_group(context, str(identifier), "logGroupIdentifier")
    return group_name(request, "logGroupIdentifier")


def arn_group(context: Context, arn: str, member: str) -> str:
    """The name of the log group. Raises InvalidParameterException."""
    found = _GROUP_ARN.fullmatch(arn)
    scope = context.scope
    if found is None or (found[1], found[2]) != (scope.region, scope.account):
        raise refused(f"{member} {quoted(arn)} is not the ARN of a log group here; one looks like {group_arn(scope, 'name')}.")
    return found[3]


async def there(context: Context, name: str) -> LogGroup:
    """Raises ResourceNotFoundException."""
    group = await kept_logs(context).group(context.scope, name)
    if group is None:
        raise no_group()
    return group


async def require_stream(context: Context, group: str, name: str) -> None:
    """Raises ResourceNotFoundException."""
    if not any(one.name == name for one in await kept_logs(context).streams(context.scope, group, name)):
        raise no_stream()


def no_group() -> AwsError:
    return AwsError("ResourceNotFoundException", "The specified log group does not exist.")


def no_stream() -> AwsError:
    return AwsError("ResourceNotFoundException", "The specified log stream does not exist.")


def limit_of(request: Mapping[str, Any], most: int) -> int:
    """Raises InvalidParameterException."""
    limit = request.get("limit")
    if limit is None:
        return most
    if not 1 <= limit <= most:
        raise refused(f"limit must be from 1 to {most}.")
    return int(limit)


def wrong_token() -> AwsError:
    return refused("The specified nextToken is invalid.")
