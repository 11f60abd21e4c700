"""A service over a store in memory that the AWS CLI reaches through HTTP, and what its examples say there is beforehand."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from cachefleet.api.registry import dispatch
from cachefleet.clock import SystemClock
from cachefleet.gateway.gateway import Gateway
from cachefleet.gateway.server import serve
from cachefleet.model.group import Engine, Form, Settled
from cachefleet.model.resource import Kind
from cachefleet.planning.service_updates import ServiceUpdate
from cachefleet.policies.credential import Credential
from cachefleet.store import LogFile
from tests.component.api_groups.access_stage import admit, with_tls
from tests.component.api_groups.snapshot_stage import SnapshotStage
from tests.component.logs.stage import LogStage, to_group
from tests.fakes.entropy import SeededEntropy
from tests.fixtures.gateway import KEY

REGION = "local-1"
TOPIC = "My_Topic"
SUBNET_GROUP = "kxkxk"


class HelpStage(LogStage, SnapshotStage):
    """settle and keep stand in for the control loop."""

    @property
    def topic_arn(self) -> str:
        return f"arn:aws:sns:{self.context.scope.region}:{self.context.scope.account}:{TOPIC}"

    async def replication_group(self, name: str, **request: Any) -> None:
        """Available. As in the examples: of Redis, with a topic, a subnet group and a security group."""
        asked = {"Engine": "redis", "CacheNodeType": "cache.r5.large", **await self._surroundings(), **request}
        await self.create_group(name, **asked)
        await self.settle(name)

    async def cache_cluster(self, name: str, **request: Any) -> None:
        """Available, of one node."""
        asked = {"Engine": "redis", "CacheNodeType": "cache.r5.large", **await self._surroundings(), **request}
        await self.create_cluster(name, **asked)
        await self.settle(name, Kind.CACHE_CLUSTER)

    async def _surroundings(self) -> dict[str, Any]:
        if await self.store.get(self.key(TOPIC, Kind.TOPIC)) is None:
            await self.make_topics(TOPIC)
            await self.make_security_groups("sg-0123456789abcdef0")
            await self.logs("CreateLogGroup", logGroupName="test-log")
            await self.subnet_group(SUBNET_GROUP)
        return {
            "NotificationTopicArn": self.topic_arn,
            "SecurityGroupIds": ["sg-0123456789abcdef0"],
            "CacheSubnetGroupName": SUBNET_GROUP,
            "LogDeliveryConfigurations": [to_group(log_group="test-log", log_format="text")],
        }

    async def default_subnets(self) -> list[str]:
        """One in each zone."""
        return [subnet["SubnetId"] for subnet in (await self.call("DescribeSubnets", "ec2"))["Subnets"]]

    async def subnet_group(self, name: str) -> None:
        named = {"CacheSubnetGroupName": name, "CacheSubnetGroupDescription": "my subnet group"}
        await self.call("CreateCacheSubnetGroup", **named, SubnetIds=await self.default_subnets())

    async def users(self) -> None:
        """user1 and user2, and a group that has neither."""
        for number in (1, 2):
            named = {"UserId": f"user{number}", "UserName": f"myUser{number}", "Engine": "redis"}
            await self.call("CreateUser", **named, Passwords=["mYnuUzrpAxXw2rdzx"], AccessString="on ~app::* -@all +@read")
        await self.call("CreateUserGroup", UserGroupId="myusergroup", Engine="redis", UserIds=["default"])

    async def snapshot(self, name: str, **of: str) -> None:
        """Complete."""
        await self.call("CreateSnapshot", SnapshotName=name, **of)
        await self.keep(name)

    async def parameter_group(self, name: str) -> None:
        named = {"CacheParameterGroupName": name, "CacheParameterGroupFamily": "redis7", "Description": name}
        await self.call("CreateCacheParameterGroup", **named)

    async def cache_with_users(self) -> None:
        """Of a user group."""
        with_tls(self)
        await self.users()
        await self.replication_group("demo", TransitEncryptionEnabled=True, UserGroupIds=["myusergroup"])
        await admit(self)

    async def update(self) -> None:
        """A service update for a replication group and a cache cluster, and one that has had its day."""
        now = self.clock.now()
        update = ServiceUpdate(
            name="elc-xxxxx406-xxx",
            engine=Engine.REDIS,
            version="7.0.15",
            minor=False,
            severity="important",
            status="available",
            released_at=now,
            apply_by=now + 1,
            ended_at=0.0,
            automatic=True,
        )
        former = replace(update, name="elc-xxxxx405-xxx", version="7.0.14", status="expired", ended_at=now)
        self.context = replace(self.context, updates=(former, update))
        await self.replication_group("test-cluster")
        await self.cache_cluster("alone")
        for key in (self.key("test-cluster"), self.key("alone", Kind.CACHE_CLUSTER)):
            row = await self.row(key)
            desired = replace(row.desired, engine_version="7.0.10")
            form = Form(desired.engine, desired.engine_version, desired.port)
            nodes = {name: replace(node, form=form) for name, node in row.memory.nodes.items()}
            settled = Settled(form, desired.parameter_group, desired.subnet_group, desired.node_type)
            await self.write(replace(row, desired=desired, memory=replace(row.memory, nodes=nodes, settled=settled)))

    async def offering(self, **asked: str) -> str:
        """The id of an offering of reserved nodes."""
        found = (await self.call("DescribeReservedCacheNodesOfferings", **asked))["ReservedCacheNodesOfferings"]
        offering: str = found[0]["ReservedCacheNodesOfferingId"]
        return offering

    async def reservation(self) -> None:
        offering = await self.offering(OfferingType="No Upfront")
        await self.call("PurchaseReservedCacheNodesOffering", ReservedCacheNodesOfferingId=offering)


@contextlib.asynccontextmanager
async def served(stage: HelpStage) -> AsyncIterator[str]:
    """The stage's operations behind the real gateway and server; yields its URL."""

    async def authenticate(access_key_id: str) -> Credential | None:
        return KEY if access_key_id == KEY.access_key_id else None

    gateway = Gateway(
        authenticate, lambda caller: stage.context, dispatch, SystemClock(), SeededEntropy(), stage.context.settings
    )
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen(64)
    stop = asyncio.Event()
    serving = asyncio.create_task(serve(gateway.app, sock, stop))
    try:
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"
    finally:
        stop.set()
        await serving


@contextlib.asynccontextmanager
async def help_stage(folder: Path) -> AsyncIterator[HelpStage]:
    logs = LogFile(folder / "logs.db")
    try:
        yield HelpStage(logs, folder)
    finally:
        await logs.close()
