"""Operations on a store, without a gateway: each test runs over SQLite and over the in-memory store.

Every reply is written and read again as it reaches a client; nothing may be lost or changed on that way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from botocore.parsers import create_parser

from cachefleet.api.context import Context
from cachefleet.interfaces import AnyRow, Store
from cachefleet.model.errors import AwsError
from cachefleet.model.group import DesiredNode, DesiredShard, Engine, GroupDesired, Shape
from cachefleet.model.network import default_vpc_id
from cachefleet.model.plan import EventDraft
from cachefleet.model.resource import Key, Kind
from cachefleet.model.row import Row
from cachefleet.model.topic import TopicDesired
from cachefleet.model.vpc import SecurityGroupDesired
from cachefleet.protocol.codec import Codecs
from cachefleet.protocol.service import service as service_model
from cachefleet.settings import Settings
from cachefleet.store import open_store
from tests.contract.strict_replies import check_reply
from tests.fakes.api import call, make_context
from tests.fakes.clock import ManualClock
from tests.fakes.store import MemoryStore

_CODECS = Codecs()


def check_strictly(service: str, name: str, reply: Mapping[str, Any]) -> None:
    """As XML, where the service speaks that form, the reply is what its model says, and nothing else."""
    served = service_model(service)
    if "query" in served.protocols:
        check_reply(served, name, _CODECS.query.encode(served, name, reply, "id"))


def _as_a_client_reads(service: str, name: str, reply: Mapping[str, Any]) -> Any:
    """The reply after its way over the wire, in the form that botocore prefers for the service, and through its parser."""
    served = service_model(service)
    protocol = served.model.protocol
    codec = _CODECS.cbor if protocol == _CODECS.cbor.protocol else _CODECS.of_service(served)
    body = codec.encode(served, name, reply, "id")
    shape = served.model.operation_model(name).output_shape
    parsed = create_parser(protocol).parse({"status_code": 200, "headers": {}, "body": body}, shape)
    del parsed["ResponseMetadata"]
    return _plain(parsed)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {member: _plain(below) for member, below in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.timestamp() if isinstance(value, datetime) else value


class Stage:
    """An account in a region with a store; `context` may be replaced to act as another one."""

    def __init__(self, store: Store, clock: ManualClock) -> None:
        self.store = store
        self.clock = clock
        self.woken: list[Key] = []
        self.context: Context = make_context(store=store, clock=clock, woken=self.woken)

    def use(self, settings: Settings) -> None:
        self.context = msgspec.structs.replace(self.context, settings=settings)

    async def call(self, name: str, /, service: str = "elasticache", **request: Any) -> Mapping[str, Any]:
        reply = await call(self.context, name, service, **request)
        check_strictly(service, name, reply)
        assert _as_a_client_reads(service, name, reply) == reply
        return reply

    async def make_security_groups(self, *ids: str) -> None:
        """In the default VPC, with these ids."""
        async with self.store.transaction() as transaction:
            for group_id in ids:
                desired = SecurityGroupDesired(default_vpc_id(self.context.scope), group_id, "for tests")
                await transaction.insert(Row(key=self.context.scope.key(Kind.SECURITY_GROUP, group_id), desired=desired))

    async def make_topics(self, *names: str) -> None:
        """With these names and without subscriptions."""
        async with self.store.transaction() as transaction:
            for name in names:
                desired = TopicDesired(name, self.clock.now())
                await transaction.insert(Row(key=self.context.scope.key(Kind.TOPIC, name), desired=desired))

    async def refused(self, code: str, rule: str, name: str, /, **request: Any) -> None:
        """The operation is refused with this code and a message that matches."""
        with pytest.raises(AwsError, match=rule) as refusal:
            await call(self.context, name, **request)
        assert refusal.value.code == code

    async def events(self) -> list[str]:
        """Messages, newest first."""
        found = await self.store.events(self.context.scope, start=0, end=1e12)
        return [f"{event.source_type} {event.source_id}: {event.message}" for event in found]

    async def add_event(self, source_type: str, source_id: str, message: str) -> None:
        async with self.store.transaction() as transaction:
            await transaction.add_events(self.context.scope, self.clock.now(), [EventDraft(source_type, source_id, message)])

    async def add_group(self, name: str, *, zones: str = "ab", kind: Kind = Kind.REPLICATION_GROUP, **desired: Any) -> AnyRow:
        """A group as the create operations store it: for a standalone cluster the node has the cluster's name."""
        region = self.context.scope.region
        standalone = kind is Kind.CACHE_CLUSTER
        nodes = tuple(
            DesiredNode(name if standalone else f"{name}-{number:03}", "0001", region + zone, self.clock.now())
            for number, zone in enumerate(zones, start=1)
        )
        document = GroupDesired(
            uid=f"uid-{name}",
            shape=Shape.REPLICATED,
            engine=Engine.VALKEY,
            engine_version="9.1.2",
            node_type="cache.t4g.micro",
            port=6379,
            shards=(DesiredShard("0001", nodes),),
            parameter_group="default.valkey9",
            subnet_group="default",
        )
        row: AnyRow = Row(key=self.context.scope.key(kind, name), desired=msgspec.structs.replace(document, **desired))
        async with self.store.transaction() as transaction:
            return await transaction.insert(row, [node.name for node in row.desired.nodes])

    async def touch(self, key: Key) -> None:
        """Write a row as its controller does: with another memory."""
        row = await self.store.get(key)
        assert row is not None
        memory = msgspec.structs.replace(row.memory, epoch=row.memory.epoch + 1)
        async with self.store.transaction() as transaction:
            await transaction.update(msgspec.structs.replace(row, memory=memory))


def on_each_store(test: Callable[[Stage], Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Make a test of an `async def` that wants a stage."""

    @pytest.mark.parametrize("kind", ["sqlite", "memory"])
    def run(kind: str, tmp_path: Path) -> None:
        async def body() -> None:
            clock = ManualClock()
            store: Store = (
                await open_store(f"sqlite+aiosqlite:///{tmp_path}/store.db", clock) if kind == "sqlite" else MemoryStore()
            )
            try:
                await test(Stage(store, clock))
            finally:
                await store.close()

        asyncio.run(body())

    run.__name__, run.__qualname__, run.__doc__, run.__module__ = (
        test.__name__,
        test.__qualname__,
        test.__doc__,
        test.__module__,
    )
    return run
