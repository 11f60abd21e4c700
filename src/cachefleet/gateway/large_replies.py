"""Replies of many items are encoded in a thread, one at a time: the event loop, which watches caches, does not wait for them.

Called by the gateway.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from cachefleet.protocol.codec import Codecs
from cachefleet.protocol.message import HttpRequest
from cachefleet.protocol.service import Service

MANY = 5_000  # single values: about 15 ms


def is_large(reply: Mapping[str, Any]) -> bool:
    """Whether its lists have that many single values. Other large replies are of structures, which are kept encoded."""
    return _values(reply) > MANY


class LargeReplies:
    """With codecs of its own: those of the gateway are not for threads."""

    def __init__(self) -> None:
        self._codecs = Codecs()
        self._one = asyncio.Lock()

    async def encode(
        self, request: HttpRequest, served: Service, operation: str, reply: Mapping[str, Any], request_id: str
    ) -> bytes:
        """As the codec that the request chooses does."""
        codec = self._codecs.choose(request, served)
        async with self._one:
            return await asyncio.to_thread(codec.encode, served, operation, reply, request_id)


def _values(part: Any) -> int:
    if isinstance(part, Mapping):
        return sum(_values(below) for below in part.values())
    if not isinstance(part, list) or not part:
        return 0
    return sum(map(_values, part)) if isinstance(part[0], Mapping | list) else len(part)
