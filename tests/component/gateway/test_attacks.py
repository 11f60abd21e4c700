"""Requests that two readers could take for different ones, text that could become a header or markup, very many connections:
on the wire, to the real server."""

from __future__ import annotations

import contextlib
import select
import socket
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote_plus

import pytest

from cachefleet.gateway import server
from tests.component.gateway.test_server import is_well, read_to_end, wire
from tests.fixtures.gateway import URL, Call, make_gateway, serving, sign
from tests.fixtures.limits import open_files

HIDDEN = b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n"
AMBIGUOUS = {
    "two lengths": [b"Content-Length: 0", b"Content-Length: %d"],
    "two lengths in one line": [b"Content-Length: 0, %d"],
    "a length and chunks": [b"Content-Length: %d", b"Transfer-Encoding: chunked"],
    "chunks and a length": [b"Transfer-Encoding: chunked", b"Content-Length: %d"],
    "chunks that are not the last encoding": [b"Transfer-Encoding: chunked, identity", b"Content-Length: %d"],
    "chunks by another name": [b"Transfer-Encoding: xchunked", b"Content-Length: %d"],
    "chunks twice": [b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity", b"Content-Length: %d"],
    "a blank before the colon": [b"Transfer-Encoding : chunked", b"Content-Length: %d"],
    "a length with a sign": [b"Content-Length: +%d"],
    "a negative length": [b"Content-Length: -%d"],
    "a length in other digits": [b"Content-Length: 0x%d"],
    "a folded header": [b"Content-Length: 0\r\n %d"],
    "a bare line feed in a header": [b"X: y\nContent-Length: 0", b"Content-Length: %d"],
    "a zero byte in a header": [b"X: \x00", b"Content-Length: %d"],
}


@pytest.mark.parametrize("headers", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_a_request_is_never_hidden_in_another(headers: list[bytes]) -> None:
    """Whoever stands before us may have read the hidden one as a body: it must not be answered as a request of its own."""
    head = b"\r\n".join(line % len(HIDDEN) if b"%d" in line else line for line in headers)
    with serving(make_gateway()) as port, wire(port) as connection:
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            connection.sendall(b"POST / HTTP/1.1\r\nHost: h\r\n" + head + b"\r\n\r\n" + HIDDEN)
            connection.shutdown(socket.SHUT_WR)
        said = read_to_end(connection)
        assert b"\r\n\r\nok" not in said
        assert b"HTTP/1.1 200" not in said
        with wire(port) as other:
            assert is_well(other)


INJECTIONS = [
    "a\r\nSet-Cookie: x=1",
    "a\nSet-Cookie: x=1",
    "a\r\n\r\nHTTP/1.1 200 OK",
    "]]></Message><Code>Mine</Code>",
    "a\u2028b",
    "a%0d%0aX: y",
]


@pytest.mark.parametrize("text", INJECTIONS)
def test_text_of_a_client_stays_text(text: str) -> None:
    """Echoed in a reply it is neither a header nor markup."""

    async def echo(call: Call) -> Mapping[str, Any]:
        return {"Events": [{"Message": call[3]["SourceIdentifier"]}]}

    body = f"Action=DescribeEvents&Version=2015-02-02&SourceIdentifier={quote_plus(text)}".encode()
    with serving(make_gateway(echo)) as port, wire(port) as connection:
        request = sign(body, url=URL)
        lines = [f"{name}: {value}" for name, value in request.headers.items()]
        head = "\r\n".join(["POST / HTTP/1.1", *lines, f"content-length: {len(body)}", "connection: close"])
        connection.sendall(head.encode() + b"\r\n\r\n" + body)
        head_bytes, _, answer = read_to_end(connection).partition(b"\r\n\r\n")
    names = {line.partition(b":")[0].lower() for line in head_bytes.split(b"\r\n")[1:]}
    assert names <= {b"date", b"content-type", b"content-length", b"x-amzn-requestid", b"connection"}
    assert head_bytes.startswith(b"HTTP/1.1 200")
    assert b"<Code>" not in answer
    assert answer.count(b"<Message>") == 1


@pytest.mark.parametrize("header", ["X-Amz-Date", "Authorization", "X-Amz-Security-Token", "Content-Type"])
def test_a_header_of_the_request_comes_back_in_no_header(header: str) -> None:
    with serving(make_gateway()) as port, wire(port) as connection:
        connection.sendall(f"POST / HTTP/1.1\r\nHost: h\r\n{header}: injected-value\r\nContent-Length: 0\r\n\r\n".encode())
        connection.shutdown(socket.SHUT_WR)
        head = read_to_end(connection).partition(b"\r\n\r\n")[0]
    assert head.startswith(b"HTTP/1.1 4")
    assert b"injected-value" not in head


def test_ten_thousand_connections_keep_nobody_out() -> None:
    """Whoever comes meanwhile is served; when they have gone, all is as before."""
    with serving(make_gateway()) as port, open_files(16_000), contextlib.ExitStack() as stack:
        for number in range(10_000):
            connection = stack.enter_context(socket.socket())
            connection.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                connection.connect(("127.0.0.1", port))
            if number % 1000 == 999:
                with wire(port) as other:
                    assert is_well(other)
        stack.close()
        with wire(port) as other:
            assert is_well(other)


SLOW = {
    "says nothing": b"",
    "is slow with its head": b"POST / HTTP/1.1\r\nHost: h\r\nX-",
    "is slow with its body": b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\nAct",
    "is slow with its next request": HIDDEN + b"POST / HT",
    "has had its answer": HIDDEN,
    "reads no answer": HIDDEN * server.MAX_PIPELINED,
    "asks for more than it can read": HIDDEN * 200,
}


@pytest.mark.parametrize("said", SLOW.values(), ids=SLOW)
def test_slow_clients_keep_nobody_out(said: bytes) -> None:
    """Three times as many as there may be connections; those that are left go on byte by byte."""
    with serving(make_gateway()) as port, open_files(4_000), contextlib.ExitStack() as stack:
        slow = [stack.enter_context(wire(port)) for _ in range(3 * server.MAX_CONNECTIONS)]
        for connection in slow:
            with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                connection.sendall(said)
        for turn in range(20):
            with wire(port) as other:
                assert is_well(other)
            for connection in slow[turn::20]:
                with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                    connection.sendall(b"x")
        ended = select.poll()
        for connection in slow:
            ended.register(connection, select.POLLRDHUP)
        assert len(slow) - len(ended.poll(0)) <= server.MAX_CONNECTIONS
