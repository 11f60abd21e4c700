"""One attempt to bring a message to one subscription, by its protocol. Decides nothing about when. Called by the courier."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from cachefleet.courier.failure import Undelivered
from cachefleet.courier.files import append_line
from cachefleet.courier.mail import MailRelay
from cachefleet.courier.post import post
from cachefleet.model.notice import Notice
from cachefleet.model.topic import DeliveryProtocol, Subscription, TopicDesired
from cachefleet.notices.messages import (
    USER_AGENT,
    Links,
    document,
    headers,
    mail_subject,
    mail_text,
    text_for,
    webhook_body,
)
from cachefleet.settings import NotificationSettings

FOLDER = "notifications"  # in the data folder


class Signer(Protocol):
    """Signs messages of topics by the installation's own certificate."""

    async def certificate_path(self) -> str:
        """Of the URL at which the gateway shows the certificate. Makes it when there is none yet."""

    def sign(self, text: bytes, version: str) -> str:
        """SignatureVersion 1: SHA-1, 2: SHA-256; in Base64. After certificate_path."""


class Senders:
    """send() raises Undelivered."""

    def __init__(self, settings: NotificationSettings, data_dir: Path, signer: Signer, base_url: Callable[[], str]) -> None:
        """base_url: of the API, known once it listens."""
        self._settings = settings
        self._folder = Path(settings.folder).expanduser() if settings.folder else data_dir / FOLDER
        self._signer = signer
        self._base_url = base_url
        self._relay = MailRelay(settings)
        self._trust: ssl.SSLContext | None = None

    async def send(self, topic: TopicDesired, subscription: Subscription, arn: str, notice: Notice) -> None:
        """arn: of the subscription."""
        protocol = subscription.protocol
        if protocol in (DeliveryProtocol.HTTP, DeliveryProtocol.HTTPS):
            await self._post(topic, subscription, arn, notice)
        elif protocol is DeliveryProtocol.FILE:
            await asyncio.to_thread(
                append_line, self._folder, subscription.endpoint, await self._body(topic, subscription, arn, notice)
            )
        else:
            await self._mail(topic, subscription, arn, notice)

    async def _post(self, topic: TopicDesired, subscription: Subscription, arn: str, notice: Notice) -> None:
        if subscription.webhook:
            body = webhook_body(notice)
            sent = {"content-type": "application/json; charset=utf-8", "user-agent": USER_AGENT}
        else:
            body = await self._body(topic, subscription, arn, notice)
            sent = headers(notice, arn, raw=_is_raw(subscription, notice))
        trust = await self._trusted() if subscription.protocol is DeliveryProtocol.HTTPS else None
        await post(subscription.endpoint, sent, body, self._settings.attempt_timeout_s, trust)

    async def _mail(self, topic: TopicDesired, subscription: Subscription, arn: str, notice: Notice) -> None:
        if subscription.protocol is DeliveryProtocol.EMAIL:
            text = mail_text(notice, arn, await self._links())
        else:
            text = (await self._body(topic, subscription, arn, notice)).decode() + "\n"
        name = topic.display_name or topic.name
        await self._relay.send(subscription.endpoint, name, mail_subject(notice), text, notice.notice_id, notice.at)

    async def _body(self, topic: TopicDesired, subscription: Subscription, arn: str, notice: Notice) -> bytes:
        if _is_raw(subscription, notice):
            return text_for(notice, subscription.protocol).encode(errors="replace")
        links = await self._links()
        return document(notice, arn, subscription.protocol, links, topic.signature_version, self._signer.sign)

    async def _links(self) -> Links:
        base = (self._settings.url or self._base_url()).rstrip("/")
        return Links(base, base + await self._signer.certificate_path())

    async def _trusted(self) -> ssl.SSLContext:
        """Read when it is first needed. Raises Undelivered."""
        if self._trust is None:
            self._trust = await asyncio.to_thread(_authorities, self._settings.ca_file)
        return self._trust


def _authorities(file: str) -> ssl.SSLContext:
    """Those of the machine, and those of the file ("" none). Blocking. Raises Undelivered."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if file:
        try:
            context.load_verify_locations(Path(file).expanduser())
        except OSError as error:  # of which SSLError is one
            raise Undelivered(f"notifications.ca_file cannot be used: {error.strerror}") from None
    return context


def _is_raw(subscription: Subscription, notice: Notice) -> bool:
    """What confirms is never raw."""
    return subscription.raw and not notice.token
