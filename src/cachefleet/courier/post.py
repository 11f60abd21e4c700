"""One POST to an endpoint of a subscriber: bounded in time and in what is read, follows no redirect, reads no reply's body.

A connection per message, with asyncio alone: who drips its answer costs no thread, and is left when the time is over. Any
address may be an endpoint: on one's own machines subscribers are on loopback and in private networks (SECURITY.md).
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

import httptools

from cachefleet.courier.failure import Undelivered

MAX_HEAD_BYTES = 64 << 10
_CHUNK_BYTES = 8 << 10
_PORTS = {"http": 80, "https": 443}
_TOO_MANY = 429


async def post(endpoint: str, headers: Mapping[str, str], body: bytes, timeout_s: float, trust: ssl.SSLContext | None) -> None:
    """Returns when it was answered with 2xx. endpoint: a URL that was accepted. trust: for https. Raises Undelivered: as SNS
    has it, 5xx and 429 are worth another attempt, any other answer is for good."""
    try:
        async with asyncio.timeout(timeout_s):
            status = await _exchange(endpoint, headers, body, trust)
    except TimeoutError:
        raise Undelivered(f"no answer within {timeout_s:g} seconds") from None
    except ssl.SSLCertVerificationError as error:
        raise Undelivered(f"its certificate is not trusted: {error.verify_message}") from None
    except OSError as error:
        raise Undelivered(f"no connection: {error.strerror or type(error).__name__}") from None
    if not 200 <= status < 300:
        raise Undelivered(f"answered with status {status}", lasting=status < 500 and status != _TOO_MANY)


async def _exchange(endpoint: str, headers: Mapping[str, str], body: bytes, trust: ssl.SSLContext | None) -> int:
    parts = urlsplit(endpoint)
    scheme, host = parts.scheme.lower(), parts.hostname or ""
    if (scheme == "https") is not (trust is not None):
        raise ValueError("https, and nothing else, needs authorities to trust")
    reader, writer = await asyncio.open_connection(host, parts.port or _PORTS[scheme], ssl=trust)
    try:
        place = parts.netloc.rpartition("@")[2]
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        sent = {**headers, "host": place, "content-length": str(len(body)), "connection": "close", **_credentials(endpoint)}
        head = f"POST {target} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in sent.items()) + "\r\n"
        writer.write(head.encode("latin-1") + body)
        return await _status(reader)
    finally:
        writer.transport.abort()
        with contextlib.suppress(OSError):  # of which SSLError is one
            await writer.wait_closed()


def _credentials(endpoint: str) -> dict[str, str]:
    """user:password in the URL is sent as SNS does: Basic authentication."""
    parts = urlsplit(endpoint)
    if parts.username is None:
        return {}
    text = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"authorization": f"Basic {base64.b64encode(text.encode()).decode()}"}


class _Head:
    """What httptools tells of an answer."""

    def __init__(self) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.status = 0

    def on_headers_complete(self) -> None:
        status = self.parser.get_status_code()
        if status >= 200:  # before that it only says that the answer is to come
            self.status = self.status or status


async def _status(reader: asyncio.StreamReader) -> int:
    head = _Head()
    size_bytes = 0
    while not head.status:
        chunk = await reader.read(_CHUNK_BYTES)
        size_bytes += len(chunk)
        if not chunk or size_bytes > MAX_HEAD_BYTES:
            raise Undelivered("it closed the connection without an answer" if not chunk else "its answer's head is too long")
        try:
            head.parser.feed_data(chunk)
        except httptools.HttpParserUpgrade:
            raise Undelivered("its answer is not HTTP") from None
        except httptools.HttpParserError:
            if not head.status:
                raise Undelivered("its answer is not HTTP") from None
    return head.status
