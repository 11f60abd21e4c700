"""Mails through a relay of the test, files, and the installation's signing key."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from cachefleet.app.message_signing import MessageSigner
from cachefleet.courier.failure import Undelivered
from cachefleet.courier.files import append_line
from cachefleet.courier.senders import Senders
from cachefleet.model.notice import Notice
from cachefleet.model.topic import DeliveryProtocol, Subscription, TopicDesired
from cachefleet.notices.messages import canonical
from cachefleet.settings import NotificationSettings
from tests.component.notifications.listening import listening
from tests.component.notifications.stage import TOPIC
from tests.fakes.clock import ManualClock

NOTICE = Notice(topic_arn=TOPIC, message="größer\n.\nend", at=1_700_000_000.0, notice_id="an-id", subject="größer")
ARN = f"{TOPIC}:uid"


class Relay:
    """Speaks as much SMTP as smtplib wants."""

    def __init__(self) -> None:
        self.letters: list[tuple[list[str], bytes]] = []
        self.refusal = ""

    @asynccontextmanager
    async def open(self) -> AsyncIterator[int]:
        async with listening(self._speak) as port:
            yield port

    async def _speak(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        envelope: list[str] = []
        writer.write(b"220 relay\r\n")
        while line := await reader.readline():
            word = line[:4].upper()
            answer = b"250 ok\r\n"
            if word == b"RCPT" and self.refusal:
                answer = f"{self.refusal} no\r\n".encode()
            elif word in (b"MAIL", b"RCPT"):
                envelope.append(line.decode().strip())
            elif word == b"DATA":
                writer.write(b"354 go on\r\n")
                written = await reader.readuntil(b"\r\n.\r\n")
                self.letters.append((envelope, written[:-3].replace(b"\r\n..", b"\r\n.")))
            elif word == b"QUIT":
                answer = b"221 bye\r\n"
            writer.write(answer)


def senders(tmp_path: Path, **settings: Any) -> Senders:
    chosen = NotificationSettings(**settings)
    return Senders(chosen, tmp_path, MessageSigner(tmp_path, ManualClock()), lambda: "http://127.0.0.1:8300")


async def send(by: Senders, protocol: DeliveryProtocol, endpoint: str, *, raw: bool = False, version: str = "1") -> None:
    topic = TopicDesired("alarms", 0.0, display_name="Alarms", signature_version=version)
    await by.send(topic, Subscription("uid", protocol, endpoint, 0.0, 1.0, raw=raw), ARN, NOTICE)


def verified(document: bytes, certificate: bytes) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(document)
    key = x509.load_pem_x509_certificate(certificate).public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    digest = hashes.SHA1() if fields["SignatureVersion"] == "1" else hashes.SHA256()
    key.verify(base64.b64decode(fields["Signature"]), canonical(fields), padding.PKCS1v15(), digest)
    return fields


def test_a_mail_arrives_for_people_and_for_programs(tmp_path: Path) -> None:
    async def body() -> None:
        relay = Relay()
        async with relay.open() as port:
            by = senders(tmp_path, smtp_host="127.0.0.1", smtp_port=port, smtp_from="caches@example.com")
            for protocol in (DeliveryProtocol.EMAIL, DeliveryProtocol.EMAIL_JSON):
                await send(by, protocol, "me@example.com")
        (envelope, plain), (_, program) = relay.letters
        assert envelope == ["mail FROM:<caches@example.com>", "rcpt TO:<me@example.com>"]
        mail = message_from_bytes(plain)
        assert (mail["To"], mail["From"]) == ("me@example.com", "Alarms <caches@example.com>")
        text = mail.get_payload(decode=True)
        assert isinstance(text, bytes)
        assert text.decode().replace("\r\n", "\n").startswith("größer\n.")
        assert "Action=Unsubscribe" in text.decode()
        document = message_from_bytes(program).get_payload(decode=True)
        assert isinstance(document, bytes)
        assert verified(document, (tmp_path / "sns" / "signing.pem").read_bytes())["Subject"] == "größer"

    asyncio.run(body())


@pytest.mark.parametrize(("refusal", "lasting"), [("550", True), ("450", False)])
def test_what_the_relay_refuses(tmp_path: Path, refusal: str, lasting: bool) -> None:
    async def body() -> None:
        relay = Relay()
        relay.refusal = refusal
        async with relay.open() as port:
            with pytest.raises(Undelivered, match=refusal) as failure:
                by = senders(tmp_path, smtp_host="127.0.0.1", smtp_port=port)
                await send(by, DeliveryProtocol.EMAIL, "me@example.com")
        assert (failure.value.lasting, relay.letters) == (lasting, [])

    asyncio.run(body())


def test_no_relay(tmp_path: Path) -> None:
    async def body() -> None:
        async with Relay().open() as port:
            pass
        with pytest.raises(Undelivered, match="cannot be used") as failure:
            await send(senders(tmp_path, smtp_host="127.0.0.1", smtp_port=port), DeliveryProtocol.EMAIL, "me@example.com")
        assert not failure.value.lasting
        with pytest.raises(Undelivered, match="the setting notifications") as failure:
            await send(senders(tmp_path), DeliveryProtocol.EMAIL, "me@example.com")
        assert failure.value.lasting
        assert not [thread for thread in threading.enumerate() if thread.name == "mail" and not thread.daemon]

    asyncio.run(body())


def test_each_message_is_a_line_of_a_file_that_only_its_owner_reads(tmp_path: Path) -> None:
    async def body() -> None:
        by = senders(tmp_path)
        for version in ("1", "2"):
            await send(by, DeliveryProtocol.FILE, "a.jsonl", version=version)
        await send(senders(tmp_path, folder=str(tmp_path / "other")), DeliveryProtocol.FILE, "raw", raw=True)

    asyncio.run(body())
    file = tmp_path / "notifications" / "a.jsonl"
    certificate = (tmp_path / "sns" / "signing.pem").read_bytes()
    assert [verified(line, certificate)["SignatureVersion"] for line in file.read_bytes().splitlines()] == ["1", "2"]
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert (tmp_path / "other" / "raw").read_text() == "größer\n.\nend\n"


def test_a_line_that_a_crash_has_cut_off_spoils_no_other(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b'{"a":1}\n{"b"')
    append_line(tmp_path, "f", b'{"c":1}')
    assert (tmp_path / "f").read_bytes() == b'{"a":1}\n{"b"\n{"c":1}\n'


def test_no_file_outside_of_the_folder_is_written(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "link").symlink_to(outside)
    with pytest.raises(Undelivered, match="cannot be written"):
        append_line(tmp_path / "folder", "link", b"x")
    with pytest.raises(Undelivered, match="cannot be written"):
        append_line(outside, "f", b"x")
    assert outside.read_bytes() == b"mine"


def test_several_services_make_one_signing_key(tmp_path: Path) -> None:
    async def body() -> None:
        signers = [MessageSigner(tmp_path, ManualClock()) for _ in range(4)]
        paths = await asyncio.gather(*(signer.certificate_path() for signer in signers))
        assert len(set(paths)) == 1
        assert len({signer.sign(b"text", "2") for signer in signers}) == 1
        page = MessageSigner(tmp_path, ManualClock()).page(paths[0])
        assert page == (tmp_path / "sns" / "signing.pem").read_bytes()
        for other in ("/SimpleNotificationService-0.pem", "/", "/sns/signing.key"):
            assert signers[0].page(other) is None

    assert MessageSigner(tmp_path, ManualClock()).page("/SimpleNotificationService-0.pem") is None
    asyncio.run(body())
    assert (tmp_path / "sns" / "signing.key").stat().st_mode & 0o777 == 0o600
    assert b"PRIVATE" not in (tmp_path / "sns" / "signing.pem").read_bytes()
