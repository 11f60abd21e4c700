"""What GET /readyz answers to anybody: whether this service can do its work, and what keeps it from it. Says nothing secret.

/healthz, beside it, says only that the process answers. Called by the gateway; app knows what there is to look at.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import msgspec

from cachefleet.gateway.exchange import Reply

_JSON = "application/json"
_UNCACHED = (b"cache-control", b"no-store")


class Readiness(msgspec.Struct, frozen=True):
    """checks: what was looked at, and how it is, in words of ours. failed: those that keep the service from its work."""

    checks: Mapping[str, str] = {}
    failed: tuple[str, ...] = ()


Ready = Callable[[], Awaitable[Readiness]]


async def always_ready() -> Readiness:
    return Readiness()


def readiness_reply(found: Readiness) -> Reply:
    told = {"ready": not found.failed, "checks": found.checks, "failed": found.failed}
    return Reply(503 if found.failed else 200, _JSON, msgspec.json.encode(told) + b"\n", (_UNCACHED,))
