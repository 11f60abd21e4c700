"""A stage for the group operations: replies with their fragments built, and a controller's part played by hand."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from botocore.validate import ParamValidator
from msgspec.structs import replace

import cachefleet.api.operations  # noqa: F401 (all of them: what a test calls first depends on which others run)
from cachefleet.interfaces import AnyRow, Store
from cachefleet.model.fragment import Fragment
from cachefleet.model.resource import Key, Kind, Scope
from cachefleet.model.row import GroupRow
from cachefleet.protocol.service import service as service_model
from tests.component.api.stage import Stage, check_strictly, on_each_store
from tests.fakes.api import call
from tests.unit.api.rows import available

NODE_TYPE = "cache.t4g.micro"


class GroupStage(Stage):
    async def call(self, name: str, /, service: Any = "elasticache", **request: Any) -> dict[str, Any]:
        """The reply as a client would have it, checked against the service model's output shape."""
        answered = await call(self.context, name, service, **request)
        check_strictly(str(service), name, answered)
        reply: dict[str, Any] = built(answered)
        report = ParamValidator().validate(reply, service_model(service).model.operation_model(name).output_shape)
        assert not report.has_errors(), report.generate_report()
        return reply

    async def create_group(self, name: str = "demo", /, **request: Any) -> dict[str, Any]:
        request = {"ReplicationGroupDescription": "a demo", "CacheNodeType": NODE_TYPE, "NumCacheClusters": 2, **request}
        if "NumNodeGroups" in request or "NodeGroupConfiguration" in request:
            del request["NumCacheClusters"]
        return view(await self.call("CreateReplicationGroup", ReplicationGroupId=name, **request))

    async def create_cluster(self, name: str = "alone", **request: Any) -> dict[str, Any]:
        return view(await self.call("CreateCacheCluster", CacheClusterId=name, **{"CacheNodeType": NODE_TYPE, **request}))

    async def group(self, name: str = "demo") -> dict[str, Any]:
        return one(await self.call("DescribeReplicationGroups", ReplicationGroupId=name))

    async def cluster(self, name: str, **request: Any) -> dict[str, Any]:
        return one(await self.call("DescribeCacheClusters", CacheClusterId=name, **request))

    def key(self, name: str, kind: Kind = Kind.REPLICATION_GROUP) -> Key:
        return self.context.scope.key(kind, name)

    async def row(self, key: Key) -> GroupRow:
        row = await self.store.get(key)
        assert row is not None
        return row

    async def write(self, row: GroupRow) -> GroupRow:
        """Write a row as its controller does."""
        async with self.store.transaction() as transaction:
            return await transaction.update(row)

    async def settle(self, name: str = "demo", kind: Kind = Kind.REPLICATION_GROUP) -> GroupRow:
        """The controller has made everything that the row asks for."""
        row = await self.row(self.key(name, kind))
        return await self.write(replace(available(row), version=row.version))

    async def put_member_state(self, cluster: str, state: str, name: str = "demo") -> None:
        row = await self.row(self.key(name))
        nodes = {**row.status.nodes, cluster: replace(row.status.nodes[cluster], state=state)}
        await self.write(replace(row, status=replace(row.status, nodes=nodes)))

    async def put_shard_memory(self, name: str = "demo", shard_id: str = "0001", **memory: Any) -> None:
        """What the planner remembers of a shard."""
        row = await self.row(self.key(name))
        shards = {**row.memory.shards, shard_id: replace(row.memory.shards[shard_id], **memory)}
        await self.write(replace(row, memory=replace(row.memory, shards=shards)))

    async def put_state(self, state: str, name: str = "demo", kind: Kind = Kind.REPLICATION_GROUP) -> None:
        row = await self.row(self.key(name, kind))
        await self.write(replace(row, status=replace(row.status, state=state)))


class BusyStore:
    """A store whose rows the controller writes right after each of the first `turns` reads."""

    def __init__(self, store: Store, turns: int) -> None:
        self._store = store
        self._turns = turns

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def get(self, key: Key) -> AnyRow | None:
        return await self._and_write(await self._store.get(key))

    async def owner(self, scope: Scope, member: str) -> AnyRow | None:
        return await self._and_write(await self._store.owner(scope, member))

    async def _and_write(self, row: AnyRow | None) -> AnyRow | None:
        if row is not None and self._turns > 0:
            self._turns -= 1
            async with self._store.transaction() as transaction:
                await transaction.update(replace(row, memory=replace(row.memory, epoch=row.memory.epoch + 1)))
        return row


def built(value: Any) -> Any:
    """A reply with its fragments in place."""
    if isinstance(value, Fragment):
        return built(value.build())
    if isinstance(value, Mapping):
        return {key: built(item) for key, item in value.items()}
    return [built(item) for item in value] if isinstance(value, list | tuple) else value


def view(reply: Mapping[str, Any]) -> dict[str, Any]:
    """The only structure of a reply."""
    (found,) = reply.values()
    return dict(found)


def one(reply: Mapping[str, Any]) -> dict[str, Any]:
    """The only item of a list reply."""
    ((found,),) = reply.values()
    return dict(found)


def on_groups(test: Callable[[GroupStage], Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Make a test of an `async def` that wants a stage; it runs over each kind of store."""

    @functools.wraps(test)
    async def on_stage(stage: Stage) -> None:
        await test(GroupStage(stage.store, stage.clock))

    return on_each_store(on_stage)
