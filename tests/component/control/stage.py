"""A control plane over a fake machine, a store in memory and virtual time, with one group of two nodes to look after."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec

from cachefleet.control.controller import Controller
from cachefleet.control.leadership import Leadership
from cachefleet.control.seams import Authority, Seams
from cachefleet.engine_interfaces import RespDriver
from cachefleet.model.group import DesiredNode, DesiredShard, Engine, GroupDesired, Shape
from cachefleet.model.resource import Key, Kind
from cachefleet.model.row import GroupRow, Row
from cachefleet.model.snapshot_file import Restore
from cachefleet.model.span import Trace, untraced
from cachefleet.model.topic import TopicDesired
from cachefleet.planning.service_updates import ServiceUpdate
from cachefleet.settings import Settings
from tests.fakes.catalogue import StaticCatalogue
from tests.fakes.clock import ManualClock
from tests.fakes.engines import FakeDriver
from tests.fakes.entropy import SeededEntropy
from tests.fakes.host import FakeHost, FakeMachine
from tests.fakes.store import MemoryStore
from tests.fakes.transfers import FakeTransfers

KEY = Key(Kind.REPLICATION_GROUP, "0", "local-1", "demo")


def seams(
    store: Any,
    authority: Authority,
    host: Any,
    driver: Any,
    clock: Any,
    *,
    shared_store: bool = False,
    transfers: FakeTransfers | None = None,
    trace: Trace = untraced,
) -> Seams:
    return Seams(
        store=store,
        authority=authority,
        host=host,
        catalogue=StaticCatalogue(),
        resp=cast(RespDriver, driver),
        memcached=driver,
        discovery=driver,
        node_list_file=lambda address, version, nodes: b"",
        transfers=transfers or FakeTransfers(),
        clock=clock,
        entropy=SeededEntropy(),
        settings=Settings(),
        shared_store=shared_store,
        trace=trace,
    )


@dataclass
class Stage:
    """One control plane at a time; `restart` is its death and the start of the next."""

    machine: FakeMachine = field(default_factory=FakeMachine)
    store: MemoryStore = field(default_factory=MemoryStore)
    clock: Any = field(default_factory=ManualClock)
    trace: Trace = untraced
    updates: tuple[ServiceUpdate, ...] = ()

    def __post_init__(self) -> None:
        self.driver = FakeDriver(self.machine)
        self.leadership = Leadership(self.store, self.clock, "the only one", 3.0, sole=True)
        self.controller = self.restart()

    def restart(self) -> Controller:
        """Another control plane on the same machine and store."""
        self.host = FakeHost(self.machine)
        self.transfers = FakeTransfers()
        made = seams(
            self.store, self.leadership, self.host, self.driver, self.clock, transfers=self.transfers, trace=self.trace
        )
        self.controller = Controller(msgspec.structs.replace(made, updates=self.updates))
        return self.controller

    async def create(self, nodes: int = 2, restore: Restore | None = None, topic: str = "") -> None:
        """topic: its ARN; it is made, too."""
        (version,) = {build.version for build in StaticCatalogue().builds()[:1]}
        members = tuple(DesiredNode(f"demo-{number:03}", "0001", "local-1a", 0.0) for number in range(1, nodes + 1))
        desired = GroupDesired(
            uid="feed", shape=Shape.REPLICATED, engine=Engine.VALKEY, engine_version=version, node_type="cache.t4g.micro",
            port=6379, shards=(DesiredShard("0001", members),), parameter_group="p", subnet_group="default",
            automatic_failover=True, restore=restore, notification_topic=topic,
        )  # fmt: skip
        async with self.store.transaction() as transaction:
            if topic:
                name = topic.rpartition(":")[2]
                await transaction.insert(Row(key=KEY.scope.key(Kind.TOPIC, name), desired=TopicDesired(name, 0.0)))
            await transaction.insert(GroupRow(key=KEY, desired=desired), [member.name for member in members])

    async def row(self) -> GroupRow:
        found = await self.store.get(KEY)
        assert found is not None
        return found

    async def settle(self, passes: int = 60) -> None:
        for _ in range(passes):
            again_s = await self.controller.step(KEY)
            if again_s is None or again_s >= 1:
                return
            self.clock.pass_time(again_s)
        raise AssertionError(f"did not settle: {(await self.row()).status}")

    async def change(self, **changes: Any) -> None:
        row = await self.row()
        async with self.store.transaction() as transaction:
            await transaction.update(msgspec.structs.replace(row, desired=msgspec.structs.replace(row.desired, **changes)))

    async def notices(self) -> list[tuple[str, str]]:
        """What was published, in order: the names of notifications and whom they are about. All to the group's topic."""
        told = [posted.notice for posted in await self.store.outbox.posted(1000)]
        return [pair for notice in told for pair in json.loads(notice.message).items()]

    def running(self) -> list[str]:
        return sorted(name for name, view in self.machine.views.items() if view.running)


def on_stage(test: Callable[[Stage], Awaitable[None]]) -> Callable[[], None]:
    def run() -> None:
        asyncio.run(_run(test))

    run.__name__ = test.__name__
    return run


async def _run(test: Callable[[Stage], Awaitable[None]]) -> None:
    stage = Stage()
    await stage.leadership.obtain()
    await stage.controller.adopt()
    await test(stage)
