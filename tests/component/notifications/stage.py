"""The operations of SNS through the gateway, with the courier behind them, in virtual time.

Requests are written and replies read by botocore; what is sent to subscribers is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from functools import wraps
from typing import Any
from urllib.parse import urlencode, urlsplit

import msgspec
import pytest
from botocore.parsers import create_parser
from botocore.serialize import create_serializer

import cachefleet.api.operations  # noqa: F401  (registers them)
from cachefleet.api.context import Caller, Context
from cachefleet.api.notifications.unsigned import unsigned_call
from cachefleet.api.registry import dispatch
from cachefleet.courier.courier import Courier
from cachefleet.courier.failure import Undelivered
from cachefleet.gateway.gateway import Gateway
from cachefleet.metrics.instruments import Counter
from cachefleet.model.notice import Notice
from cachefleet.model.topic import Subscription, TopicDesired
from cachefleet.notices.messages import Links
from cachefleet.policies.credential import Credential
from cachefleet.protocol.message import HttpRequest
from cachefleet.protocol.service import service
from cachefleet.settings import NotificationSettings, Settings
from tests.fakes.api import ACCOUNT, REGION, make_context
from tests.fakes.clock import ManualClock
from tests.fakes.entropy import SeededEntropy
from tests.fakes.store import MemoryStore
from tests.fixtures.gateway import KEY, URL, Answer, ask_async, sign

TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:alarms"
LINKS = Links(URL.rstrip("/"), "")


class Refused(Exception):
    def __init__(self, code: str, message: str, status: int) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.status = code, message, status


class Recipients:
    """courier.Sends: remembers what arrived, and fails as it is told, by endpoint."""

    def __init__(self) -> None:
        self.got: list[tuple[str, Notice]] = []
        self.tried: list[str] = []
        self.failing: dict[str, list[Undelivered | Exception]] = {}
        self.dead: set[str] = set()
        self.held: dict[str, asyncio.Event] = {}

    async def send(self, topic: TopicDesired, subscription: Subscription, arn: str, notice: Notice) -> None:
        endpoint = subscription.endpoint
        self.tried.append(endpoint)
        if endpoint in self.held:
            await self.held[endpoint].wait()
        if endpoint in self.dead:
            raise Undelivered("dead")
        if self.failing.get(endpoint):
            raise self.failing[endpoint].pop(0)
        self.got.append((endpoint, notice))

    def texts(self, endpoint: str) -> list[str]:
        return [notice.message for one, notice in self.got if one == endpoint and not notice.token]

    def confirmation(self, endpoint: str) -> Notice:
        """The last one."""
        return [notice for one, notice in self.got if one == endpoint and notice.token][-1]


class Stage:
    def __init__(self, most_waiting: int = 1000) -> None:
        self.clock = ManualClock()
        self.store = MemoryStore(self.clock)
        self.recipients = Recipients()
        self.outcomes = Counter("outcomes", "", ("outcome",))
        settings = Settings(notifications=NotificationSettings(smtp_host="127.0.0.1"))
        self.context = make_context(store=self.store, clock=self.clock, settings=settings)
        self.caller: Credential = KEY
        self.gateway = Gateway(
            self._authenticate, self._context, dispatch, self.clock, SeededEntropy(1), Settings(), unsigned=unsigned_call
        )
        self.courier = Courier(self.store, self.store.outbox, self.recipients, self.clock, most_waiting, self.outcomes)
        self._running: asyncio.Task[None] | None = None

    async def _authenticate(self, access_key_id: str) -> Credential | None:
        return self.caller

    def _context(self, caller: Caller) -> Context:
        return msgspec.structs.replace(self.context, caller=caller)

    async def call(self, name: str, /, **request: Any) -> dict[str, Any]:
        """Raises Refused."""
        operation = service("sns").operation(name)
        made = create_serializer("query", include_validation=False).serialize_to_request(request, operation)
        body = urlencode(made["body"]).encode()
        answer = await ask_async(self.gateway, sign(body, at=self.clock.now(), service="sns"))
        return self._read(name, answer)

    def _read(self, name: str, answer: Answer) -> dict[str, Any]:
        read = {"status_code": answer.status, "headers": answer.headers, "body": answer.body}
        parsed: dict[str, Any] = create_parser("query").parse(read, service("sns").operation(name).output_shape)
        if answer.status >= 300:
            raise Refused(parsed["Error"]["Code"], parsed["Error"]["Message"], answer.status)
        parsed.pop("ResponseMetadata", None)
        return parsed

    async def refused(self, code: str, rule: str, name: str, /, **request: Any) -> None:
        with pytest.raises(Refused, match=rule) as refusal:
            await self.call(name, **request)
        known = {shape.metadata["error"]["code"]: shape.metadata["error"]["httpStatusCode"] for shape in _errors()}
        assert (refusal.value.code, refusal.value.status) == (code, known.get(code, 400))

    async def follow(self, url: str) -> Answer:
        """Open a link, as a browser does."""
        parts = urlsplit(url)
        return await ask_async(self.gateway, HttpRequest("GET", parts.path, parts.query, {"host": parts.netloc}, b""))

    # --- with the courier ---

    def start(self) -> None:
        self._running = asyncio.create_task(self.courier.run())

    async def stop(self) -> None:
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
            self._running = None

    async def topic(self, **attributes: str) -> str:
        return str((await self.call("CreateTopic", Name="alarms", Attributes=attributes))["TopicArn"])

    async def subscribed(self, endpoint: str, protocol: str = "http", **attributes: str) -> str:
        """Confirmed; the courier must run."""
        reply = await self.call(
            "Subscribe",
            TopicArn=TOPIC,
            Protocol=protocol,
            Endpoint=endpoint,
            Attributes=attributes,
            ReturnSubscriptionArn=True,
        )
        await self.clock.settle()
        token = self.recipients.confirmation(endpoint).token
        await self.call("ConfirmSubscription", TopicArn=TOPIC, Token=token)
        return str(reply["SubscriptionArn"])

    async def publish(self, message: str, **more: Any) -> str:
        sent = await self.call("Publish", TopicArn=TOPIC, Message=message, **more)
        await self.clock.settle()
        return str(sent["MessageId"])

    async def attributes(self, subscription: str) -> Mapping[str, str]:
        found: Mapping[str, str] = (await self.call("GetSubscriptionAttributes", SubscriptionArn=subscription))["Attributes"]
        return found


def _errors() -> Any:
    return [shape for shape in service("sns").model.error_shapes if "error" in shape.metadata]


def on_stage(test: Callable[[Stage], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Make a test of an `async def` that wants a stage on which the courier runs."""

    @wraps(test)
    def run() -> None:
        async def body() -> None:
            stage = Stage()
            stage.start()
            try:
                await test(stage)
            finally:
                await stage.stop()

        asyncio.run(body())

    del run.__wrapped__
    return run
