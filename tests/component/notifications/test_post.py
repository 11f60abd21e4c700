"""One POST to a real server of the test: what counts as arrived, and that no server makes it wait or read without a bound."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cachefleet.courier.failure import Undelivered
from cachefleet.courier.post import post
from tests.component.notifications.listening import Answering, listening

TRUST = ssl.create_default_context()


@asynccontextmanager
async def serving(answer: Answering, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Its URL without a path."""
    async with listening(answer, tls) as port:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{port}"


def answering(reply: bytes, got: list[bytes] | None = None) -> Answering:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(next(line for line in head.split(b"\r\n") if line.startswith(b"content-length")).partition(b":")[2])
        body = await reader.readexactly(length)
        if got is not None:
            got.append(head + body)
        writer.write(reply)

    return answer


async def sent(reply: bytes, path: str = "/") -> bytes:
    got: list[bytes] = []
    async with serving(answering(reply, got)) as url:
        await post(url + path, {"x-a": "1"}, "größer".encode(), 30.0, None)
    return got[0]


async def refused(answer: Answering, timeout_s: float = 30.0) -> Undelivered:
    async with serving(answer) as url:
        with pytest.raises(Undelivered) as failure:
            await post(url, {}, b"body", timeout_s, None)
    return failure.value


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.0 299 Fine\r\ncontent-length: 100000000000\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 202 Accepted\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nno chunk",
    ],
)
def test_answers_with_2xx_count_as_arrived_whatever_follows(reply: bytes) -> None:
    asyncio.run(sent(reply))


def test_the_request_is_what_the_endpoint_says() -> None:
    request = asyncio.run(sent(b"HTTP/1.1 200 OK\r\n\r\n", "/a%20b?c=d&e"))
    head, _, body = request.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert (lines[0], body) == (b"POST /a%20b?c=d&e HTTP/1.1", "größer".encode())
    assert {b"x-a: 1", b"connection: close", b"content-length: 8"} <= set(lines)
    assert not any(line.startswith(b"authorization") for line in lines)


def test_a_password_in_the_url_goes_into_a_header_and_nowhere_else() -> None:
    async def body() -> bytes:
        got: list[bytes] = []
        async with serving(answering(b"HTTP/1.1 200 OK\r\n\r\n", got)) as url:
            await post(url.replace("//", "//me:a%40b@"), {}, b"", 30.0, None)
        return got[0]

    request = asyncio.run(body())
    assert b"authorization: Basic bWU6YUBi\r\n" in request and b"me:" not in request and b"@" not in request


@pytest.mark.parametrize(
    ("status", "lasting"),
    [(500, False), (503, False), (429, False), (404, True), (400, True), (410, True), (301, True), (302, True), (307, True)],
)
def test_other_answers_are_failures_that_last_or_do_not(status: int, lasting: bool) -> None:
    reply = b"HTTP/1.1 %d Odd\r\nlocation: http://127.0.0.1:1/\r\n\r\n" % status
    failure = asyncio.run(refused(answering(reply)))
    assert (str(failure), failure.lasting) == (f"answered with status {status}", lasting)


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (b"", "without an answer"),
        (b"HTTP/1.1 2", "without an answer"),
        (b"SSH-2.0-OpenSSH\r\n", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 200_000, "head is too long|not HTTP"),
    ],
)
def test_what_is_no_answer_is_worth_another_attempt(reply: bytes, why: str) -> None:
    failure = asyncio.run(refused(answering(reply)))
    assert not failure.lasting
    with pytest.raises(Undelivered, match=why):
        raise failure


def test_nobody_who_drips_an_answer_is_waited_for() -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nx: ")
        while True:
            writer.write(b"y")
            await writer.drain()
            await asyncio.sleep(0.01)

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    for answer in (silent, drip):
        failure = asyncio.run(refused(answer, 0.2))
        assert (str(failure), failure.lasting) == ("no answer within 0.2 seconds", False)


def test_nobody_listens() -> None:
    async def body() -> str:
        async with serving(answering(b"")) as url:
            pass
        with pytest.raises(Undelivered) as failure:
            await post(url, {}, b"", 30.0, None)
        assert not failure.value.lasting
        return str(failure.value)

    assert asyncio.run(body()).startswith("no connection")


def test_only_a_certificate_that_is_trusted_and_for_the_host_will_do(tmp_path: Path) -> None:
    async def attempt(trust: ssl.SSLContext, host: str) -> str:
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
        async with serving(answering(b"HTTP/1.1 200 OK\r\n\r\n"), server) as url:
            try:
                await post(url.replace("127.0.0.1", host), {}, b"x", 30.0, trust)
            except Undelivered as error:
                return str(error)
        return ""

    _certificate(tmp_path)
    trusted = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
    assert asyncio.run(attempt(trusted, "127.0.0.1")) == ""
    assert "not trusted" in asyncio.run(attempt(trusted, "localhost"))
    assert "not trusted" in asyncio.run(attempt(TRUST, "127.0.0.1"))


def _certificate(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "key.pem").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
