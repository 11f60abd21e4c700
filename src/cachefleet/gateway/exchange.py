"""Between ASGI and plain data: reads a whole request within its limits, sends a whole reply.

Knows neither AWS nor signatures. Called by the gateway.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

import msgspec

from cachefleet.model.errors import AwsError
from cachefleet.protocol.message import HeaderPairs, HttpRequest

AsgiScope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

CROWDED = "cachefleet.crowded"  # key of the ASGI scope: true on a connection beyond the limit

_DRAIN_FACTOR = 8  # of an oversized body we read and drop this many times the limit, so that the client sees our answer


class Disconnected(Exception):
    """The client went away before its request was complete."""


class Reply(msgspec.Struct, frozen=True):
    """content_type: "" when there is no body."""

    status: int
    content_type: str
    body: bytes
    headers: HeaderPairs = ()


def read_head(scope: AsgiScope) -> HttpRequest:
    """All of a request that is there at once; its body is empty."""
    return HttpRequest(
        method=scope["method"],
        path=scope["path"],
        query=scope["query_string"].decode("latin-1"),
        headers=_headers(scope),
        body=b"",
    )


async def read_request(
    scope: AsgiScope, head: HttpRequest, receive: Receive, *, max_body_bytes: int, timeout_s: float
) -> HttpRequest:
    """The request with its body. Holds at most max_body_bytes and a chunk.

    Raises AwsError (ServiceUnavailable, RequestEntityTooLarge, RequestTimeout) and Disconnected."""
    if scope.get(CROWDED):
        raise AwsError("ServiceUnavailable", "There are too many connections; try again later.")
    try:
        async with asyncio.timeout(timeout_s):
            body = await _body(receive, max_body_bytes)
    except TimeoutError:
        raise AwsError("RequestTimeout", f"The request's body did not arrive within {timeout_s:g} seconds.") from None
    return msgspec.structs.replace(head, body=body)


async def send_reply(send: Send, reply: Reply) -> None:
    headers = [
        *([(b"content-type", reply.content_type.encode())] if reply.content_type else []),
        (b"content-length", b"%d" % len(reply.body)),
        *reply.headers,
    ]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})


def _headers(scope: AsgiScope) -> Mapping[str, str]:
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    return headers


async def _body(receive: Receive, max_body_bytes: int) -> bytes:
    chunks: list[bytes] = []
    size_bytes = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        chunk = message.get("body", b"")
        size_bytes += len(chunk)
        if size_bytes <= max_body_bytes:
            chunks.append(chunk)
        else:
            chunks.clear()
        more = message.get("more_body", False)
        if size_bytes > max_body_bytes and (not more or size_bytes > _DRAIN_FACTOR * max_body_bytes):
            raise AwsError("RequestEntityTooLarge", f"The request's body is larger than {max_body_bytes} bytes.")
        if not more:
            return b"".join(chunks)
