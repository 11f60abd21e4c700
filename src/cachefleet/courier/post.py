"""One POST to an endpoint of a subscriber, and what its answer means for the delivery. No answer's body is read."""

from __future__ import annotations

import ssl
from collections.abc import Mapping

from cachefleet import posting
from cachefleet.courier.failure import Undelivered

_TOO_MANY = 429


async def post(endpoint: str, headers: Mapping[str, str], body: bytes, timeout_s: float, trust: ssl.SSLContext | None) -> None:
    """Returns when it was answered with 2xx. endpoint: a URL that was accepted. trust: for https. Raises Undelivered: as SNS
    has it, 5xx and 429 are worth another attempt, any other answer is for good."""
    try:
        answer = await posting.post(endpoint, headers, body, timeout_s, trust)
    except posting.Unanswered as error:
        raise Undelivered(str(error)) from None
    if not answer.is_good:
        raise Undelivered(f"answered with status {answer.status}", lasting=answer.status < 500 and answer.status != _TOO_MANY)
