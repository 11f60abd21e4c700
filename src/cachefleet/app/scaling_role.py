"""Auto scaling, and how it calls operations: as the role that AWS has for it, with what that may do, and recorded as such."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from cachefleet.api.context import Caller, Context
from cachefleet.api.registry import dispatch
from cachefleet.api.scaling.scaling_views import ROLE
from cachefleet.app.parts import Parts
from cachefleet.clock import Clock, Entropy, new_uuid
from cachefleet.gateway.audit import Auditor, Call
from cachefleet.metric_interfaces import Metrics
from cachefleet.model.errors import AwsError
from cachefleet.model.resource import Scope
from cachefleet.monitoring.reading import Readings
from cachefleet.policies.credential import Credential
from cachefleet.policies.document import WITH_VARIABLES, read_policy
from cachefleet.scaling.requests import CHANGING
from cachefleet.settings import Settings
from cachefleet.telemetry.scaler import Scaler

_WHO = "elasticache.application-autoscaling.amazonaws.com"
_SERVICE = "elasticache"
_ACTIONS = [f"{_SERVICE}:{name}" for names in CHANGING.values() for name in names]
_STATEMENT = {"Effect": "Allow", "Resource": "*", "Action": _ACTIONS}
_POLICY = read_policy(msgspec.json.encode({"Version": WITH_VARIABLES, "Statement": [_STATEMENT]}).decode())


def scaler(
    settings: Settings,
    parts: Parts,
    metrics: Metrics,
    contexts: Callable[[Caller], Context],
    auditor: Auditor,
    clock: Clock,
    entropy: Entropy,
) -> Scaler:
    """contexts: what operations of a caller are given."""
    readings = Readings(metrics, clock, settings.api.memcached_nodes)
    operate = scaling_role(contexts, auditor.tell, entropy)
    return Scaler(parts.store, readings, operate, entropy, parts.leadership.permit)


def scaling_role(
    contexts: Callable[[Caller], Context], tell: Callable[[Call], None], entropy: Entropy
) -> Callable[[Scope, str, Mapping[str, Any]], Awaitable[Mapping[str, Any]]]:
    """What telemetry.scaler calls ElastiCache's operations by; it raises AwsError. tell: of each call, for the audit log."""

    async def operate(scope: Scope, operation: str, request: Mapping[str, Any]) -> Mapping[str, Any]:
        role = _role(scope.account)
        caller = Caller(
            account=scope.account,
            region=scope.region,
            access_key_id="",
            arn=role.arn,
            user_id=role.user_id,
            request_id=new_uuid(entropy),
            policies=role.policies,
            source_address=_WHO,
            user_agent=_WHO,
        )
        reply: Mapping[str, Any] | None = None
        error = AwsError("", "")
        try:
            reply = await dispatch(contexts(caller), _SERVICE, operation, request)
        except AwsError as refusal:
            error = refusal
            raise
        finally:
            tell(_call(caller, role, operation, request, reply, error))
        return reply

    return operate


def _role(account: str) -> Credential:
    return Credential(
        access_key_id="",
        secret_access_key="",
        account=account,
        arn=f"arn:aws:sts::{account}:assumed-role/{ROLE}/AutoScaling",
        user_id=f"{ROLE}:AutoScaling",
        policies=(_POLICY,),
    )


def _call(
    caller: Caller,
    role: Credential,
    operation: str,
    request: Mapping[str, Any],
    reply: Mapping[str, Any] | None,
    error: AwsError,
) -> Call:
    return Call(
        request_id=caller.request_id,
        service=_SERVICE,
        operation=operation,
        region=caller.region,
        source_address=caller.source_address,
        user_agent=caller.user_agent,
        access_key_id="",
        credential=role,
        parameters=request,
        reply=reply,
        error_code=error.code,
        error_message=error.message,
    )
