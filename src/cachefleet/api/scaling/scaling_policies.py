"""PutScalingPolicy, DeleteScalingPolicy, DescribeScalingPolicies, and the alarms that belong to target tracking."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from cachefleet.api.context import Context
from cachefleet.api.metrics.alarms import QUOTA as ALARM_QUOTA
from cachefleet.api.registry import Refusal, operation
from cachefleet.api.scaling.scaling_inputs import (
    SERVICE,
    TARGET,
    TargetName,
    page,
    read_name,
    read_target_name,
    refused,
)
from cachefleet.api.scaling.scaling_policy_inputs import (
    CONFIGURATIONS,
    STEPS,
    TRACKING,
    own_alarms_of,
    read_steps,
    read_tracking,
)
from cachefleet.api.scaling.scaling_rows import (
    load_scaled,
    load_target,
    named_parts,
    not_found,
    own_alarms,
    put_target,
    require_may_change,
)
from cachefleet.api.scaling.scaling_views import alarms_view, policy_view, told
from cachefleet.clock import new_uuid
from cachefleet.interfaces import AnyRow
from cachefleet.model.errors import AwsError
from cachefleet.model.resource import Kind
from cachefleet.model.row import Row
from cachefleet.model.scaling import ScalableTargetDesired, ScalingPolicy, StepScaling, TargetTracking, policy_arn

MOST_POLICIES = 50
_PREDICTIVE = "PredictiveScalingPolicyConfiguration"


@operation(
    "PutScalingPolicy",
    service=SERVICE,
    effective=(*TARGET, "PolicyName", "PolicyType", *CONFIGURATIONS.values()),
    refused={_PREDICTIVE: Refusal("there is no predictive scaling; use scheduled actions for loads that come every day.")},
)
async def put_scaling_policy(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    name = read_target_name(request)
    policy_name = read_name(request["PolicyName"], "PolicyName")
    await require_may_change(context, name)
    row = await load_target(context, name)
    group = await load_scaled(context, name)
    before = next((one for one in row.desired.policies if one.name == policy_name), None)
    rule = _rule(context, name, request, before)
    _require_alone(row.desired, policy_name, rule)
    policy = ScalingPolicy(
        name=policy_name,
        uid=before.uid if before is not None else new_uuid(context.entropy),
        rule=rule,
        created_at=before.created_at if before is not None else context.clock.now(),
    )
    new: list[AnyRow] = []
    if isinstance(rule, TargetTracking):
        arn = policy_arn(context.scope, row.desired, policy)
        alarms = own_alarms_of(context, name, group, rule, (new_uuid(context.entropy), new_uuid(context.entropy)), arn)
        policy = replace(policy, alarms=tuple(alarm.name for alarm in alarms))
        new = [Row(key=context.scope.key(Kind.ALARM, alarm.name), desired=alarm) for alarm in alarms]
    gone = await own_alarms(context, before) if before is not None else []
    if await context.store.count(Kind.ALARM, context.scope) + len(new) - len(gone) > ALARM_QUOTA:
        raise AwsError("FailedResourceAccessException", f"There are {ALARM_QUOTA} alarms already; the policy needs two.")
    others = [one for one in row.desired.policies if one.name != policy_name]
    if len(others) >= MOST_POLICIES:
        raise AwsError("LimitExceededException", f"The target has {MOST_POLICIES} policies already, which is the limit.")
    kept = tuple(sorted((*others, policy), key=lambda one: one.name))
    await put_target(context, row, replace(row.desired, policies=kept), new=new, gone=gone)
    return {"PolicyARN": policy_arn(context.scope, row.desired, policy), "Alarms": alarms_view(context.scope, policy)}


def _rule(
    context: Context, name: TargetName, request: Mapping[str, Any], before: ScalingPolicy | None
) -> TargetTracking | StepScaling:
    """As it is asked for, or as it was before. Raises ValidationException, MissingParameter."""
    present = None if before is None else TRACKING if isinstance(before.rule, TargetTracking) else STEPS
    kind = request.get("PolicyType") or present
    if kind not in CONFIGURATIONS:
        raise refused(f"PolicyType must be {TRACKING} or {STEPS}; there is no other kind of scaling here.")
    if present is not None and kind != present:
        raise refused(f"PolicyType: the policy is of type {present}; delete it first to make it another.")
    wrong = next((member for one, member in CONFIGURATIONS.items() if one != kind and request.get(member)), "")
    if wrong:
        raise refused(f"{wrong} is not for a policy of type {kind}; give {CONFIGURATIONS[kind]}.")
    given = request.get(CONFIGURATIONS[kind])
    if given is None:
        if before is None:
            raise refused(f"{CONFIGURATIONS[kind]} is required for a new policy of type {kind}.")
        return before.rule
    return read_tracking(context, name, given) if kind == TRACKING else read_steps(given)


def _require_alone(target: ScalableTargetDesired, name: str, rule: TargetTracking | StepScaling) -> None:
    """One policy for a metric (reference 9). Raises ValidationException."""
    if not isinstance(rule, TargetTracking):
        return
    for other in target.policies:
        present = other.rule
        if other.name == name or not isinstance(present, TargetTracking):
            continue
        if (rule.series, rule.metric, rule.queries) == (present.series, present.metric, present.queries):
            raise refused(
                f"Only one {TRACKING} policy for a given metric specification is allowed: {other.name} has the same metric."
            )


@operation("DeleteScalingPolicy", service=SERVICE, effective=(*TARGET, "PolicyName"))
async def delete_scaling_policy(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """With its alarms."""
    name = read_target_name(request)
    row = await load_target(context, name)
    policy = next((one for one in row.desired.policies if one.name == request["PolicyName"]), None)
    if policy is None:
        raise not_found("scaling policy", name, f", policy name: {read_name(request['PolicyName'], 'PolicyName')}")
    kept = tuple(one for one in row.desired.policies if one is not policy)
    await put_target(context, row, replace(row.desired, policies=kept), gone=await own_alarms(context, policy))
    return {}


@operation(
    "DescribeScalingPolicies",
    service=SERVICE,
    effective=("PolicyNames", "ServiceNamespace", "ResourceId", "ScalableDimension", "MaxResults", "NextToken"),
)
async def describe_scaling_policies(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    found = await named_parts(context, request, "PolicyNames", lambda target: target.policies)
    shown, token = page(request, found, "scaling-policies")
    views = [policy_view(context.scope, target, policy) for policy, target in shown]
    return told({"ScalingPolicies": views, "NextToken": token})
