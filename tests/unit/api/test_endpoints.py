"""Which URLs may be endpoints of subscriptions: those that can be asked."""

from __future__ import annotations

import pytest

from cachefleet.api.notifications.endpoints import check_endpoint
from cachefleet.model.errors import AwsError
from cachefleet.model.topic import DeliveryProtocol
from cachefleet.settings import NotificationSettings

CANNOT_BE = [
    "http://a..b/",
    "http://.../",
    f"http://{'a' * 64}.com/",
    "http://127.0.0.1:99999/",
    "http://127.0.0.1:0/",
    "http://[::1/",
    "http:///x",
    "http://127.0.0.1/a b",
    "http://127.0.0.1/\ta",
    "http://127.0.0.1/\u20ac",
]
CAN_BE = ["http://127.0.0.1:8000/hook", "http://[::1]:8000", "http://user:word@host.example./?a=b", f"http://{'a' * 63}/"]


@pytest.mark.parametrize("url", CANNOT_BE)
def test_what_can_never_be_asked_is_refused(url: str) -> None:
    with pytest.raises(AwsError, match="Endpoint Reason: it must be a URL"):
        check_endpoint(DeliveryProtocol.HTTP, url, NotificationSettings())


@pytest.mark.parametrize("url", CAN_BE)
def test_what_can_be_asked_is_taken(url: str) -> None:
    check_endpoint(DeliveryProtocol.HTTP, url, NotificationSettings())
