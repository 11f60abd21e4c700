"""What alarms may do when their state changes, as ARNs: SNS topics and scaling policies of the own account and region. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from cachefleet.api.metrics.metric_inputs import refuse_query
from cachefleet.api.names import quoted
from cachefleet.model.alarm import AlarmDesired
from cachefleet.model.resource import Scope

MAX_ACTIONS = 5  # of each state
_ARN = re.compile(r"arn:aws[a-z-]*:(?P<service>[a-z0-9-]+):(?P<region>[^:]*):(?P<account>[^:]*):(?P<rest>.+)", re.ASCII)
_TOPIC = re.compile(r"[A-Za-z0-9_-]{1,256}", re.ASCII)
_POLICY = re.compile(
    r"scalingPolicy:[^:/]+:resource/elasticache/(replication-group|cache-cluster)/[^:/]+:policyName/[!-~]{1,256}", re.ASCII
)
_FORMS = {"sns": _TOPIC, "autoscaling": _POLICY}
_LONGEST = 1024


def read_actions(scope: Scope, request: Mapping[str, Any], member: str) -> tuple[str, ...]:
    """Each once, in the order given. Raises ValidationError."""
    given: Sequence[str] = request.get(member) or ()
    if len(given) > MAX_ACTIONS:
        raise refuse_query(f"The collection {member} has {len(given)} members; at most {MAX_ACTIONS} are allowed.")
    for number, arn in enumerate(given, 1):
        _check(scope, arn, f"{member}.member.{number}")
    return tuple(dict.fromkeys(given))


def acts_on(alarm: AlarmDesired, prefix: str) -> bool:
    """Whether one of its actions begins so; with "" every alarm."""
    actions = (*alarm.alarm_actions, *alarm.ok_actions, *alarm.insufficient_actions)
    return not prefix or any(arn.startswith(prefix) for arn in actions)


def _check(scope: Scope, arn: str, where: str) -> None:
    parts = _ARN.fullmatch(arn) if len(arn) <= _LONGEST else None
    if parts is None:
        raise refuse_query(f"Invalid arn syntax: {quoted(arn)} for parameter {where}.")
    form = _FORMS.get(parts["service"])
    if form is None:
        raise refuse_query(
            f"The action {quoted(arn)} for parameter {where} cannot be done here: give the ARN of an SNS topic or of a scaling "
            "policy. A topic's subscriber can do the rest."
        )
    if (parts["region"], parts["account"]) != (scope.region, scope.account):
        raise refuse_query(
            f"The action {quoted(arn)} for parameter {where} must be of this region and account, which are "
            f"{scope.region} and {scope.account}."
        )
    if not form.fullmatch(parts["rest"]):
        raise refuse_query(f"Invalid arn syntax: {quoted(arn)} for parameter {where}.")
    if form is _POLICY and not where.startswith("AlarmActions"):
        raise refuse_query(
            f"The action {quoted(arn)} for parameter {where} is only for AlarmActions: policies scale in ALARM alone."
        )
