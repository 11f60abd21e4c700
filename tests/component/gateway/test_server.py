"""The real server: real clients through it, and clients that misbehave on the wire."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import signal
import socket
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from cachefleet.clock import SystemClock
from cachefleet.gateway import server
from cachefleet.model.errors import AwsError
from cachefleet.protocol.message import HttpRequest
from cachefleet.protocol.service import service
from tests.fixtures.gateway import KEY, Call, make_gateway, no_reply, serving, sign

BAD = b"GET /" + b"a" * (server.MAX_HEAD_BYTES + 1)
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n"


@contextlib.contextmanager
def client_of(name: str, port: int, **options: Any) -> Iterator[Any]:
    settings: dict[str, Any] = {
        "endpoint_url": f"http://127.0.0.1:{port}",
        "region_name": "local-1",
        "aws_access_key_id": KEY.access_key_id,
        "aws_secret_access_key": KEY.secret_access_key,
        "config": Config(retries={"total_max_attempts": 1}),
        **options,
    }
    client = boto3.client(name, **settings)
    try:
        yield client
    finally:
        client.close()


@contextlib.contextmanager
def wire(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        yield connection


def read_to_end(connection: socket.socket) -> bytes:
    """Everything until the server closes."""
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while chunk := connection.recv(65536):
            received += chunk
    return received


def as_sent(request: HttpRequest, *more: str) -> bytes:
    """With these header lines, too."""
    lines = [f"{name}: {value}" for name, value in request.headers.items()]
    head = [f"{request.method} / HTTP/1.1", *lines, f"content-length: {len(request.body)}", *more]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + request.body


def is_well(connection: socket.socket) -> bool:
    """One health check over an open connection."""
    connection.sendall(HEALTH)
    received = b""
    while not received.endswith(b"\r\n\r\nok"):
        chunk = connection.recv(65536)
        if not chunk:
            return False
        received += chunk
    return received.startswith(b"HTTP/1.1 200")


def test_boto3_speaks_to_both_services() -> None:
    async def operate(call: Call) -> Mapping[str, Any]:
        if call[1] == "sts":
            return {"Account": call[0].account, "Arn": call[0].arn, "UserId": call[0].user_id}
        return {"ReplicationGroups": [{"ReplicationGroupId": str(call[3]["ReplicationGroupId"])}], "Marker": ""}

    with serving(make_gateway(operate, clock=SystemClock())) as port:
        with client_of("elasticache", port) as client:
            reply = client.describe_replication_groups(ReplicationGroupId="d\u00e9mo & <co>")
            assert reply["ReplicationGroups"][0]["ReplicationGroupId"] == "d\u00e9mo & <co>"
            assert reply["ResponseMetadata"]["HTTPHeaders"]["x-amzn-requestid"] == reply["ResponseMetadata"]["RequestId"]
        with client_of("sts", port) as client:
            assert client.get_caller_identity()["Arn"] == KEY.arn
        with client_of("sts", port, aws_secret_access_key="wrong") as client, pytest.raises(ClientError) as refused:
            client.get_caller_identity()
        assert refused.value.response["Error"]["Code"] == "SignatureDoesNotMatch"


def test_every_modelled_error_is_raised_by_the_client_as_its_exception() -> None:
    async def operate(call: Call) -> Mapping[str, Any]:
        raise AwsError(str(call[3]["ReplicationGroupId"]), "no")

    shapes = service("elasticache").model.error_shapes
    with serving(make_gateway(operate, clock=SystemClock())) as port, client_of("elasticache", port) as client:
        for shape in shapes:
            with pytest.raises(getattr(client.exceptions, shape.name)) as refused:
                client.describe_replication_groups(ReplicationGroupId=shape.metadata["error"]["code"])
            assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == shape.metadata["error"]["httpStatusCode"]
    assert len(shapes) > 50


def test_a_connection_serves_many_requests() -> None:
    with serving(make_gateway()) as port, wire(port) as connection:
        for _ in range(3):
            assert is_well(connection)


def test_who_waits_for_no_answer_is_closed() -> None:
    with serving(make_gateway()) as port, wire(port) as connection:
        connection.sendall(HEALTH * server.MAX_PIPELINED)
        received = b""
        while received.count(b"\r\n\r\nok") < server.MAX_PIPELINED:
            received += connection.recv(65536)
        connection.sendall(HEALTH * 50)
        assert read_to_end(connection).count(b"\r\n\r\nok") <= server.MAX_PIPELINED + 1


def test_answers_leave_at_once() -> None:
    """A hundred answers held back for a delayed acknowledgement (40 ms each) would take 4 s."""
    clock = SystemClock()
    with serving(make_gateway()) as port, wire(port) as connection:
        before = clock.monotonic()
        assert all(is_well(connection) for _ in range(100))
        assert clock.monotonic() - before < 3


def test_an_oversized_body_is_answered_not_cut() -> None:
    with serving(make_gateway()) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        with contextlib.closing(connection):
            connection.request("POST", "/", body=b"x" * (3 << 20))
            response = connection.getresponse()
            assert response.status == 413
            assert b"RequestEntityTooLarge" in response.read()


def test_an_endless_body_is_cut() -> None:
    sent = 0
    with serving(make_gateway()) as port, wire(port) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while sent < 256 << 20:
                connection.sendall(chunk)
                sent += 65536
    assert 0 < sent < 64 << 20


@pytest.mark.parametrize("head", [BAD, b"GET / HTTP/1.1\r\nHost: h\r\n" + b"X-Y: z\r\n" * 10_000])
def test_an_endless_head_is_cut(head: bytes) -> None:
    with serving(make_gateway()) as port, wire(port) as connection:
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            connection.sendall(head)
        assert b" 200 " not in read_to_end(connection)
        with wire(port) as other:
            assert is_well(other)


@pytest.mark.parametrize(
    "start", [b"", b"POST / HTTP/1.1\r\nHost", b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nAct"]
)
def test_a_request_that_never_ends_is_cut(start: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MESSAGE_TIMEOUT_S", 0.2)
    with serving(make_gateway()) as port, wire(port) as connection:
        connection.sendall(start)
        assert read_to_end(connection) == b""


def test_a_quiet_connection_may_wait_for_its_next_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MESSAGE_TIMEOUT_S", 0.2)
    with serving(make_gateway()) as port, wire(port) as idle:
        assert is_well(idle)
        with wire(port) as silent:
            assert read_to_end(silent) == b""  # this one was cut, so the time is over for the other too
        assert is_well(idle)


@contextlib.contextmanager
def busy(count: int) -> Iterator[tuple[int, list[socket.socket]]]:
    """A server with so many requests under way, none of which ends within the block."""
    began = threading.Semaphore(0)

    async def operate(call: Call) -> Mapping[str, Any]:
        began.release()
        await asyncio.Event().wait()
        return {}

    with contextlib.ExitStack() as stack:
        port = stack.enter_context(serving(make_gateway(operate)))
        connections = [stack.enter_context(wire(port)) for _ in range(count)]
        for connection in connections:
            connection.sendall(as_sent(sign(b"Action=DescribeEvents&Version=2015-02-02")))
            assert began.acquire(timeout=10)
        yield port, connections


def test_too_many_connections_are_told_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is closed whose request is under way."""
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 2)
    with busy(2) as (port, _), wire(port) as third:
        third.sendall(as_sent(sign(b"Action=DescribeEvents&Version=2015-02-02"), "connection: close"))
        said = read_to_end(third)
        assert said.startswith(b"HTTP/1.1 503")
        assert b"<Code>ServiceUnavailable" in said


def test_far_too_many_connections_are_closed_unheard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "REFUSED_CONNECTIONS", 2)
    with busy(2) as (port, connections), wire(port) as third:
        assert read_to_end(third) == b""
        for connection in connections:
            connection.setblocking(False)
            with pytest.raises(BlockingIOError):
                connection.recv(1)  # it is still there


def test_who_waits_makes_room_for_who_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """First who takes long over a request, then who has none; who has just begun last."""
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 3)
    monkeypatch.setattr(server, "PATIENCE_S", 0.1)
    with serving(make_gateway()) as port, wire(port) as idle, wire(port) as slow, contextlib.ExitStack() as stack:
        assert is_well(idle)
        slow.sendall(b"POST / HTTP/1.1\r\nHo")
        clock = SystemClock()
        before = clock.monotonic()
        while clock.monotonic() - before < 0.2:
            assert is_well(idle)
        news = [stack.enter_context(wire(port)) for _ in range(2)]
        assert is_well(news[0])  # both have arrived
        assert read_to_end(slow) == b""
        monkeypatch.setattr(server, "PATIENCE_S", 1000.0)  # from here on nobody has taken long, however slow this machine is
        before = clock.monotonic()
        while clock.monotonic() - before < 0.02:  # the server's clock counts milliseconds
            assert is_well(idle)
        news[1].sendall(HEALTH[:9])
        last = stack.enter_context(wire(port))
        assert is_well(last)
        assert read_to_end(news[0]) == b""  # it is idle for longer than `idle`
        news[1].sendall(HEALTH[9:])
        assert b"200" in news[1].recv(65536)


def test_an_answer_that_nobody_reads_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "KEEP_ALIVE_S", 0.2)
    large = {"Events": [{"Message": "x" * 10_000_000}]}

    async def operate(call: Call) -> Mapping[str, Any]:
        return large

    with serving(make_gateway(operate)) as port, wire(port) as connection:
        connection.sendall(as_sent(sign(b"Action=DescribeEvents&Version=2015-02-02")))
        assert connection.recv(1)
        with wire(port) as idle:
            assert is_well(idle)
            assert read_to_end(idle) == b""  # its time is over, and so is the other's, who was answered before
        assert len(read_to_end(connection)) < 10_000_000


def test_stopping_does_not_wait_for_a_stuck_operation_but_answers_its_client() -> None:
    began = threading.Event()
    answers: list[Any] = []

    async def operate(call: Call) -> Mapping[str, Any]:
        began.set()
        await asyncio.Event().wait()
        return {}

    with serving(make_gateway(operate, clock=SystemClock())) as port, client_of("elasticache", port) as client:

        def call() -> None:
            try:
                client.describe_events()
            except ClientError as error:
                answers.append(error.response["Error"]["Code"])

        thread = threading.Thread(target=call)
        thread.start()
        assert began.wait(10)
    thread.join(10)
    assert not thread.is_alive()
    assert answers == ["ServiceUnavailable"]


def test_signals_stay_with_whoever_runs_the_loop() -> None:
    async def scenario() -> Any:
        sock = socket.socket()
        sock.bind(("127.0.0.1", 0))
        stop = asyncio.Event()
        served = asyncio.create_task(server.serve(make_gateway(no_reply).app, sock, stop))
        await asyncio.sleep(0)
        during = signal.getsignal(signal.SIGTERM)
        stop.set()
        await served
        return during

    before = signal.getsignal(signal.SIGTERM)
    assert asyncio.run(scenario()) is before
