"""Endpoints of subscriptions: which protocols there are, and what an address of each looks like. Pure.

Called by api.subscriptions. Every check raises InvalidParameter with the member, the rule and what to do.
"""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit

from cachefleet.api.names import quoted
from cachefleet.api.notifications.topic_rows import invalid
from cachefleet.model.topic import DeliveryProtocol, Subscription
from cachefleet.settings import NotificationSettings

SLACK_HOST = "hooks.slack.com"
LONGEST_ENDPOINT = 1024  # as much as conditions of policies see
_MAIL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*", re.ASCII)
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", re.ASCII)
_HIDDEN = "****"


def read_protocol(value: str) -> DeliveryProtocol:
    try:
        return DeliveryProtocol(value)
    except ValueError:
        known = ", ".join(one.value for one in DeliveryProtocol)
        raise invalid("Protocol", f"{quoted(value)} leads nowhere from here; there are {known}.") from None


def check_endpoint(protocol: DeliveryProtocol, endpoint: str, settings: NotificationSettings) -> None:
    if not 1 <= len(endpoint) <= LONGEST_ENDPOINT:
        raise invalid("Endpoint", f"it has 1 to {LONGEST_ENDPOINT} characters.")
    if protocol in (DeliveryProtocol.HTTP, DeliveryProtocol.HTTPS):
        _check_url(protocol, endpoint)
    elif protocol is DeliveryProtocol.FILE:
        if not _FILE.fullmatch(endpoint):
            raise invalid(
                "Endpoint",
                "a file is a name of at most 100 letters, digits and . _ - that begins with none of . and -; it is in the "
                "folder of the setting notifications.folder.",
            )
    else:
        if not settings.smtp_host:
            raise invalid(
                "Protocol", f"no mail can be sent for {protocol.value}: the setting notifications.smtp_host names no relay."
            )
        if not _MAIL.fullmatch(endpoint):
            raise invalid("Endpoint", "it must be a mail address, such as somebody@example.com.")


def _check_url(protocol: DeliveryProtocol, endpoint: str) -> None:
    parts = parsed(endpoint)
    if not endpoint.isascii() or not endpoint.isprintable() or " " in endpoint or parts is None:
        raise invalid("Endpoint", "it must be a URL, without spaces and with other than ASCII characters percent-encoded.")
    if parts.scheme.lower() != protocol.value:
        raise invalid("Endpoint", f"the protocol is {protocol.value}, so it must begin with {protocol.value}://.")


def parsed(endpoint: str) -> SplitResult | None:
    """None for what cannot be asked."""
    try:
        parts = urlsplit(endpoint)
        (parts.hostname or "").encode("idna")  # a name that can be looked up: no part is empty or longer than 63 characters
        return parts if parts.hostname and parts.port != 0 else None
    except ValueError:
        return None


def is_slack(endpoint: str) -> bool:
    parts = parsed(endpoint)
    return parts is not None and parts.hostname == SLACK_HOST


def shown_endpoint(subscription: Subscription, *, listed: bool) -> str:
    """Without the password in it; listed: of a webhook also without the path, since who knows it can write there."""
    parts = parsed(subscription.endpoint)
    if parts is None or subscription.protocol not in (DeliveryProtocol.HTTP, DeliveryProtocol.HTTPS):
        return subscription.endpoint
    place = parts.netloc.rpartition("@")[2]
    if subscription.webhook and listed:
        return f"{parts.scheme}://{place}/{_HIDDEN}"
    if parts.password:
        return subscription.endpoint.replace(parts.netloc, f"{parts.username}:{_HIDDEN}@{place}", 1)
    return subscription.endpoint
