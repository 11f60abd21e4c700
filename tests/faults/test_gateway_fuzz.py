"""Nonsense of every kind at the gateway: never a 500, never a crash, never much memory."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote_plus

import msgspec
import psutil
import pytest
from botocore.model import ListShape, Shape, StructureShape
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cachefleet.protocol.message import HttpRequest
from cachefleet.protocol.service import service
from tests.fixtures.gateway import NOW, Answer, ask, ask_async, make_gateway, serving, sign

BUSY = settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
GATEWAY = make_gateway()
MODEL = service("elasticache").model
SIGNED = sign(b"Action=DescribeEvents&Version=2015-02-02")

HEADER_TEXT = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\x00"), max_size=40)


def fragments(text: str) -> st.SearchStrategy[str]:
    """Pieces of a well-formed text, and nonsense, in any order."""
    pieces = ["=", ",", "/", ";", " ", "&", ".", "%", "AWS4-HMAC-SHA256", *text.replace(",", " ").replace("=", " ").split()]
    return st.lists(st.sampled_from(pieces) | HEADER_TEXT, max_size=12).map("".join)


def member_names(shape: Shape | None, depth: int = 4) -> set[str]:
    if isinstance(shape, ListShape):
        return {shape.member.serialization.get("name", "member")} | member_names(shape.member, depth - 1)
    if isinstance(shape, StructureShape) and depth:
        return set(shape.members).union(*(member_names(member, depth - 1) for member in shape.members.values()))
    return set()


STEPS = st.sampled_from(
    ["1", "2", "3", "0", "-1", "01", "10", "999999999", "9" * 400, "member", "entry", "key", "value", ""]
) | st.text(max_size=4)
VALUES = st.sampled_from(
    ["", "true", "false", "1", "-1", "2147483648", "1e9", "nan", "inf", "2026-11-22T12:00:00Z", "\x00", "\ufffe"]
) | st.text(max_size=10)


@st.composite
def forms(draw: st.DrawFn) -> bytes:
    """Parameters of a real operation, mostly by real names, put together wrongly."""
    action = draw(st.sampled_from(MODEL.operation_names))
    names = sorted(member_names(MODEL.operation_model(action).input_shape) or {"Nothing"})
    path = st.lists(st.sampled_from(names) | STEPS, min_size=1, max_size=7).map(".".join)
    pairs = draw(st.lists(st.tuples(path, VALUES), max_size=8))
    form = "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in pairs)
    return f"Action={action}&Version=2015-02-02&{form}".encode()


def decent(answer: Answer) -> bool:
    """An answer that a client can use: no 500, nothing of our inside, with a request id."""
    return answer.status < 500 and b"Traceback" not in answer.body and bool(answer.headers["x-amzn-requestid"])


@BUSY
@given(
    st.sampled_from(["GET", "POST", "PUT", "HEAD", "OPTIONS", "X"]),
    st.sampled_from(["/", "/healthz"]) | st.text(max_size=8).map(lambda text: f"/{text}"),
    HEADER_TEXT,
    st.dictionaries(st.sampled_from(sorted(SIGNED.headers)) | HEADER_TEXT, HEADER_TEXT, max_size=6),
    st.binary(max_size=100),
)
def test_random_requests(method: str, path: str, query: str, headers: dict[str, str], body: bytes) -> None:
    assert decent(ask(GATEWAY, HttpRequest(method, path, query, headers, body)))


@BUSY
@given(
    fragments(SIGNED.headers["authorization"]), st.sampled_from(["authorization", "x-amz-date", "host", "x-amz-content-sha256"])
)
def test_broken_signatures(text: str, header: str) -> None:
    answer = ask(GATEWAY, msgspec.structs.replace(SIGNED, headers={**SIGNED.headers, header: text}))
    assert decent(answer)
    assert answer.status in (400, 403) or text.strip(" ") == SIGNED.headers.get(header)


@BUSY
@given(st.data())
def test_authorizations_with_one_change(data: st.DataObject) -> None:
    header = SIGNED.headers["authorization"]
    at = data.draw(st.integers(0, len(header) - 1))
    changed = header[:at] + data.draw(HEADER_TEXT) + header[at + data.draw(st.integers(0, 20)) :]
    assert decent(ask(GATEWAY, msgspec.structs.replace(SIGNED, headers={**SIGNED.headers, "authorization": changed})))


@BUSY
@given(forms())
def test_wrong_parameters_of_real_operations(body: bytes) -> None:
    assert decent(ask(GATEWAY, sign(body)))


@BUSY
@given(st.binary(max_size=300), st.binary(max_size=50))
def test_random_bodies_with_a_good_signature(body: bytes, more: bytes) -> None:
    assert decent(ask(GATEWAY, sign(body)))
    assert decent(ask(GATEWAY, sign(b"Action=CreateReplicationGroup&Version=2015-02-02&" + more)))


@pytest.mark.parametrize(
    "body",
    [
        b"Tags.Tag.1.Key=" + b"k" * 900_000,
        b"&".join(b"Tags.Tag.%d.Key=a" % number for number in range(1, 24_990)),
        b"&".join(b"NodeGroupConfiguration.member.%d.a.b.c.d.e.f=1" % number for number in range(1, 19_990)),
        b"A" + b".member.1" * 100_000 + b"=1",
        b"Tags.member.99999999999999999999.Key=1",
        b"%" * 1_000_000,
        b"&" * 1_000_000,
        b"=" * 1_000_000,
        b"." * 1_000_000,
        b"\xff" * 1_000_000,
        b"NumCacheClusters=" + b"9" * 1_000_000,
        b"SnapshotWindow=" + b"\xf0\x9f\x92\xa9" * 200_000,
    ],
)
def test_large_forms(body: bytes) -> None:
    request = sign(b"Action=CreateReplicationGroup&Version=2015-02-02&" + body)
    answer = ask(GATEWAY, request)
    assert decent(answer)
    assert answer.status == 400
    assert len(answer.body) < 2_000


def resident_bytes() -> int:
    size: int = psutil.Process().memory_info().rss
    return size


def test_many_oversized_bodies_at_once_are_never_all_in_memory() -> None:
    """64 clients each send 8 MB: 512 MB in all, of which a bounded part is held."""

    async def one() -> Answer:
        left = 128

        async def receive() -> dict[str, Any]:
            nonlocal left
            left -= 1
            await asyncio.sleep(0)
            return {"type": "http.request", "body": bytes(65536), "more_body": left > 0}

        sent: list[Mapping[str, Any]] = []

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": []}
        await GATEWAY.app(scope, receive, send)
        return Answer(sent[0]["status"], {}, sent[1]["body"])

    async def scenario() -> tuple[set[int], int]:
        before = resident_bytes()
        peak = before
        tasks = [asyncio.create_task(one()) for _ in range(64)]
        while not all(task.done() for task in tasks):
            peak = max(peak, resident_bytes())
            await asyncio.sleep(0)
        return {task.result().status for task in tasks}, peak - before

    statuses, growth = asyncio.run(scenario())
    assert statuses == {413}
    assert growth < 160 << 20


def test_refusals_leave_nothing_behind() -> None:
    requests = [
        sign(b"Action=CreateReplicationGroup&Version=2015-02-02&x%d=" % number + b"y" * 100_000) for number in range(20)
    ]
    requests += [sign(b"Action=DescribeEvents&Version=2015-02-02", at=NOW, region=f"r-{number}") for number in range(300)]

    async def rounds(count: int) -> None:
        for _ in range(count):
            for request in requests:
                await ask_async(GATEWAY, request)

    asyncio.run(rounds(1))
    before = resident_bytes()
    asyncio.run(rounds(3))
    assert resident_bytes() - before < 24 << 20


def garbage(chance: random.Random) -> bytes:
    """Bytes for a connection: noise, or HTTP that is broken somewhere."""
    lines = [
        b"POST / HTTP/1.1", b"GET /?Action=%ff HTTP/1.0", b"GET * HTTP/1.1", b"CONNECT a:1 HTTP/1.1",
        b"GET http://[::1 HTTP/1.1", b"PRI * HTTP/2.0", b"Host: h", b"Content-Length: -1",
        b"Content-Length: 99999999999999999999", b"Content-Length: 5",
        b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked", b"Upgrade: websocket", b"Connection: Upgrade",
        b"Expect: 100-continue", b"Authorization: AWS4-HMAC-SHA256 Credential=a/b/c/d/e", b"X: " + b"y" * 9000, b"", b"",
        b"ffffffffffffffff", b"5", b"hello", b"0", b"\x00\x01", chance.randbytes(chance.randrange(200)),
    ]  # fmt: skip
    return b"\r\n".join(chance.choice(lines) for _ in range(chance.randrange(1, 12))) + b"\r\n\r\n"


@pytest.mark.parametrize("seed", range(4))
def test_garbage_on_the_wire(seed: int) -> None:
    chance = random.Random(seed)
    with serving(make_gateway()) as port:
        for _ in range(60):
            with (
                socket.create_connection(("127.0.0.1", port), timeout=10) as connection,
                contextlib.suppress(ConnectionResetError, BrokenPipeError),
            ):
                connection.sendall(garbage(chance))
                connection.shutdown(socket.SHUT_WR)
                received = b""
                while chunk := connection.recv(65536):
                    received += chunk
                assert b" 500 " not in received.split(b"\r\n")[0]
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            received = b""
            while chunk := connection.recv(65536):
                received += chunk
            assert received.endswith(b"ok")
