"""One POST to an address that somebody has named: bounded in time and in what is read, follows no redirect.

A connection per message, with asyncio alone: who drips its answer costs no thread, and is left when the time is over. Any
address may be meant: on one's own machines subscribers and collectors are on loopback and in private networks (SECURITY.md).
Called by the courier and by telemetry.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

import httptools
import msgspec

MAX_HEAD_BYTES = 64 << 10
_CHUNK_BYTES = 8 << 10
_PORTS = {"http": 80, "https": 443}


class Unanswered(Exception):
    """There was no answer. The message says why, without the URL and its password."""


class Answer(msgspec.Struct, frozen=True):
    """text: how the body begins, of an answer other than 2xx and where it was asked for."""

    status: int
    reason: str
    text: str

    @property
    def is_good(self) -> bool:
        return 200 <= self.status < 300


async def post(
    url: str, headers: Mapping[str, str], body: bytes, timeout_s: float, trust: ssl.SSLContext | None, text_bytes: int = 0
) -> Answer:
    """url: http or https, with the password in it if there is one. timeout_s: for everything together. trust: for https.
    text_bytes: of the text at most. Raises Unanswered; ValueError for what is no such URL."""
    try:
        async with asyncio.timeout(timeout_s):
            return await _exchange(url, headers, body, trust, text_bytes)
    except TimeoutError:
        raise Unanswered(f"no answer within {timeout_s:g} seconds") from None
    except ssl.SSLCertVerificationError as error:
        raise Unanswered(f"its certificate is not trusted: {error.verify_message}") from None
    except OSError as error:
        raise Unanswered(f"no connection: {error.strerror or str(error) or type(error).__name__}") from None


async def _exchange(url: str, headers: Mapping[str, str], body: bytes, trust: ssl.SSLContext | None, text_bytes: int) -> Answer:
    parts = urlsplit(url)
    scheme, host = parts.scheme.lower(), parts.hostname or ""
    if (scheme == "https") is not (trust is not None):
        raise ValueError("https, and nothing else, needs authorities to trust")
    reader, writer = await asyncio.open_connection(host, parts.port or _PORTS[scheme], ssl=trust)
    try:
        place = parts.netloc.rpartition("@")[2]
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        sent = {**headers, "host": place, "content-length": str(len(body)), "connection": "close", **_credentials(url)}
        head = f"POST {target} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in sent.items()) + "\r\n"
        writer.write(head.encode("latin-1") + body)
        return await _answer(reader, text_bytes)
    finally:
        writer.transport.abort()
        with contextlib.suppress(OSError):  # of which SSLError is one
            await writer.wait_closed()


def _credentials(url: str) -> dict[str, str]:
    """user:password in the URL is sent as SNS does: Basic authentication."""
    parts = urlsplit(url)
    if parts.username is None:
        return {}
    text = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"authorization": f"Basic {base64.b64encode(text.encode()).decode()}"}


class _Parsed:
    """What httptools tells of an answer."""

    def __init__(self) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.status = 0
        self.reason = b""
        self.body = b""
        self.is_complete = False

    def on_message_begin(self) -> None:
        self.reason = b""  # of one that only says that the answer is to come

    def on_status(self, part: bytes) -> None:
        self.reason += part

    def on_headers_complete(self) -> None:
        status = self.parser.get_status_code()
        if status >= 200:
            self.status = self.status or status

    def on_body(self, part: bytes) -> None:
        self.body += part

    def on_message_complete(self) -> None:
        self.is_complete = self.status > 0

    def answer(self, text_bytes: int) -> Answer:
        text = self.body[:text_bytes].decode(errors="replace").strip()
        return Answer(self.status, self.reason.decode(errors="replace"), text)


async def _answer(reader: asyncio.StreamReader, text_bytes: int) -> Answer:
    parsed = _Parsed()
    size_bytes = 0
    while not parsed.status:
        chunk = await reader.read(_CHUNK_BYTES)
        size_bytes += len(chunk)
        if not chunk or size_bytes > MAX_HEAD_BYTES:
            raise Unanswered("it closed the connection without an answer" if not chunk else "its answer's head is too long")
        try:
            parsed.parser.feed_data(chunk)
        except httptools.HttpParserUpgrade:
            raise Unanswered("its answer is not HTTP") from None
        except httptools.HttpParserError:
            if not parsed.status:
                raise Unanswered("its answer is not HTTP") from None
            parsed.is_complete = True
    if not parsed.answer(0).is_good:
        await _read_on(reader, parsed, text_bytes)
    return parsed.answer(text_bytes)


async def _read_on(reader: asyncio.StreamReader, parsed: _Parsed, text_bytes: int) -> None:
    """Until there is so much of the body, or no more."""
    while len(parsed.body) < text_bytes and not parsed.is_complete:
        chunk = await reader.read(_CHUNK_BYTES)
        if not chunk:
            return
        try:
            parsed.parser.feed_data(chunk)
        except httptools.HttpParserError:
            return
