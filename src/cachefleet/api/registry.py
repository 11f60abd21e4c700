"""Which operations there are, and what becomes of each input member. Modules of this package register theirs by decorator.

A member that an operation does not name is refused: nothing is accepted and ignored. docs/api-coverage.md is generated
from here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from cachefleet.api.access.authorization import authorize
from cachefleet.api.context import Context
from cachefleet.api.networks.dry_run import on_trial, would_succeed
from cachefleet.interfaces import Conflict
from cachefleet.model.errors import AwsError, invalid_value

Handler = Callable[[Context, Any], Awaitable[Any]]

ATTEMPTS = 50  # the controller writes the same rows; each attempt that is lost means that somebody else made progress


class Refusal(msgspec.Struct, frozen=True):
    """Why a member is refused, and the values that ask for nothing and so pass (False, "" ...)."""

    why: str
    unless: tuple[object, ...] = ()
    code: str = "InvalidParameterValue"


class Operation(msgspec.Struct, frozen=True):
    service: str  # signing name: elasticache, sts
    name: str
    handler: Handler
    effective: frozenset[str]  # members that have their effect
    recorded: Mapping[str, str]  # members that change nothing here, and why
    refused: Mapping[str, Refusal]
    refuses: str = ""  # why it never succeeds, whatever it is asked for


OPERATIONS: dict[tuple[str, str], Operation] = {}


def operation(
    name: str,
    *,
    service: str = "elasticache",
    effective: tuple[str, ...] = (),
    recorded: Mapping[str, str] | None = None,
    refused: Mapping[str, Refusal] | None = None,
    refuses: str = "",
) -> Callable[[Handler], Handler]:
    """Register the decorated `async def f(context, request) -> reply`; request and reply are dicts by the model's shapes."""

    def register(handler: Handler) -> Handler:
        OPERATIONS[service, name] = Operation(
            service, name, handler, frozenset(effective), recorded or {}, refused or {}, refuses
        )
        return handler

    return register


def require(service: str, name: str) -> Operation:
    """The operation. Raises AwsError: InvalidAction when it is not built."""
    found = OPERATIONS.get((service, name))
    if found is None:
        raise AwsError("InvalidAction", f"The action {name} is not implemented yet by Cachefleet; see docs/api-coverage.md.")
    return found


async def dispatch(context: Context, service: str, name: str, request: Mapping[str, Any]) -> Mapping[str, Any]:
    """Run an operation; again, from its first check on, when a row that it read was changed by someone else before it wrote.

    Raises AwsError: InvalidAction for one that is not built, AccessDenied (of EC2: UnauthorizedOperation), DryRunOperation,
    Refusal.code for a member that has no effect (yet), ServiceUnavailable when the row never stands still."""
    found = require(service, name)
    await authorize(context, service, name, request)
    for member, value in request.items():
        if member in found.effective or member in found.recorded:
            continue
        refusal = found.refused.get(member)
        if refusal is None:
            raise invalid_value(f"{member} is not implemented yet for {name}; leave it out.")
        if value not in refusal.unless:
            raise AwsError(refusal.code, f"{member}: {refusal.why}")
    for attempt in range(ATTEMPTS):
        if attempt:
            await authorize(context, service, name, request)  # it may hang on what has changed
        try:
            if request.get("DryRun"):
                await found.handler(on_trial(context), request)
                raise would_succeed()
            reply: Mapping[str, Any] = await found.handler(context, request)
        except Conflict:
            continue
        return reply
    raise AwsError("ServiceUnavailable", "The resource is being changed by others without a pause; try again in a moment.")
