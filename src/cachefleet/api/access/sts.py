"""STS GetCallerIdentity: who signed the request."""

from __future__ import annotations

from typing import Any

from cachefleet.api.context import Context
from cachefleet.api.registry import operation


@operation("GetCallerIdentity", service="sts")
async def get_caller_identity(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    caller = context.caller
    return {"UserId": caller.user_id, "Account": caller.account, "Arn": caller.arn}
