"""What is asked by a path of its own, signed as any request, since AWS has no operation for it. Called by the gateway."""

from __future__ import annotations

from typing import Any

from cachefleet.api.context import Context
from cachefleet.api.costs.costs import get_cost
from cachefleet.api.insights import get_insight, start_insight
from cachefleet.api.reasons import reasons
from cachefleet.protocol.message import HttpRequest


async def report(context: Context, request: HttpRequest) -> Any:
    """What goes into the reply, as JSON. The gateway lets only known paths and methods through. Raises AwsError."""
    if request.path == "/status":
        return await reasons(context)
    if request.path == "/cost":
        return await get_cost(context, request.query)
    answer = start_insight if request.method == "POST" else get_insight
    return await answer(context, request.query)
