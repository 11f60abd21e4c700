"""A control plane that loses the lease at every single instant of a pass: from then on nothing that it does has an effect, and
its successor brings the group to where it ought to be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from inspect import iscoroutinefunction
from typing import Any

import pytest

from cachefleet.control.controller import WAKES_INTERVAL_S, Controller
from cachefleet.control.leadership import LEASE, Leadership
from cachefleet.interfaces import Conflict, Deposed, Permit, always
from tests.component.control.stage import KEY, Stage, seams
from tests.fakes.clock import ManualClock
from tests.fakes.engines import FakeDriver
from tests.fakes.host import FakeHost
from tests.fakes.store import MemoryStore

TOPIC = "arn:aws:sns:local-1:0:news"
RECOVERY = ("Started", "Complete")
LEASE_S = 3.0
LOOKS = ("probe", "adopt", "close")


class Moments:
    """Counts the instants at which a pass can be interrupted: before and after everything that it awaits from outside."""

    def __init__(self) -> None:
        self.count = 0
        self.in_transaction = False
        self.fatal = -1
        self.happen: Callable[[], Awaitable[None]] | None = None

    async def one(self) -> None:
        if self.count == self.fatal and self.happen is not None:
            await self.happen()
        self.count += 1


class Interruptible:
    """The same thing, with a moment before and after each call that waits. permit: asked where real hosts and drivers ask, at
    the instant of an effect."""

    def __init__(self, thing: Any, moments: Moments, permit: Permit = always) -> None:
        self._thing, self._moments, self._permit = thing, moments, permit

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._thing, name)
        if name == "transaction":
            return self._transaction
        if not iscoroutinefunction(found):
            return found

        async def call(*arguments: Any, **options: Any) -> Any:
            await self._moments.one()
            if name not in LOOKS:
                self._permit()
            try:
                return await found(*arguments, **options)
            finally:
                await self._moments.one()

        return call

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Any]:
        await self._moments.one()
        async with self._thing.transaction() as transaction:
            self._moments.in_transaction = True
            try:
                yield Interruptible(transaction, self._moments)
            finally:
                self._moments.in_transaction = False
        await self._moments.one()


class Contest:
    """`old` leads and runs passes that are interrupted; `heir` takes over. gated: hosts and drivers ask before each effect, as
    the real ones do, and are interrupted as well; else only the store is."""

    def __init__(self, gated: bool = True) -> None:
        self.stage = Stage(store=MemoryStore(clock := ManualClock()), clock=clock)
        self.moments = Moments()
        self.driver = FakeDriver(self.stage.machine)
        self.gated = gated
        self.authority = Leadership(self.stage.store, clock, "old", LEASE_S)
        self.old = self._plane(self.authority, self.moments)
        self.taking: asyncio.Task[Any] | None = None
        self.standing: list[str] | None = None  # effects up to the moment in which the lease was lost

    def _plane(self, authority: Leadership, moments: Moments) -> Controller:
        store = Interruptible(self.stage.store, moments)
        host, driver = FakeHost(self.stage.machine), self.driver
        if self.gated:
            gated_host, gated_driver = (Interruptible(thing, moments, authority.permit) for thing in (host, driver))
            return Controller(seams(store, authority, gated_host, gated_driver, self.stage.clock))
        return Controller(seams(store, authority, host, driver, self.stage.clock))

    def effects(self) -> list[str]:
        """What has been done to processes, engines and rules."""
        machine = self.stage.machine
        processes = [f"{name} {'runs' if view.running else 'ended'}" for name, view in sorted(machine.views.items())]
        return [*processes, *self.driver.calls, *map(str, machine.rules)]

    async def freeze(self) -> None:
        """The process does nothing until its lease has run out and another has taken it."""
        self.standing = self.effects()
        self.stage.clock.pass_time(LEASE_S + 1)
        await self.overthrow()

    async def overthrow(self) -> None:
        """The lease is gone and the old one does not know it: the database's clock has jumped."""
        self.taking = asyncio.create_task(self.stage.store.hold_lease(LEASE, "heir", 3600, dead="old"))
        if not self.moments.in_transaction:  # else it has to wait for the end of that
            await self.taking

    async def passes(self, count: int) -> None:
        """Of the old one, as its workers run them."""
        for _ in range(count):
            try:
                again_s = await self.old.step(KEY)
            except (Conflict, Deposed):
                return
            if again_s is None or again_s >= 1:
                return
            self.stage.clock.pass_time(min(again_s, 0.5))

    async def succeed(self) -> None:
        """The heir takes the group to where it ought to be."""
        if self.taking is not None:
            await self.taking
        heir = Leadership(self.stage.store, self.stage.clock, "heir", 3600)
        await heir.obtain()
        self.stage.controller = self._plane(heir, Moments())
        await self.stage.controller.adopt()
        await self.stage.settle(200)


async def made(contest: Contest) -> None:
    await contest.stage.create(nodes=3, topic=TOPIC)


async def widowed(contest: Contest) -> None:
    """Up, and its primary has just died."""
    await _up(contest)
    contest.stage.machine.end(await _primary(contest))


async def rebooting(contest: Contest) -> None:
    await _up(contest)
    row = await contest.stage.row()
    (shard,) = row.desired.shards
    nodes = tuple(_rebooted(node) for node in shard.nodes)
    await contest.stage.change(shards=(_with_nodes(shard, nodes),))


async def unwanted(contest: Contest) -> None:
    await _up(contest)
    await contest.stage.change(deleting=True)


def _rebooted(node: Any) -> Any:
    return type(node)(node.name, node.node_id, node.zone, node.created_at, reboots=node.reboots + 1)


def _with_nodes(shard: Any, nodes: tuple[Any, ...]) -> Any:
    return type(shard)(shard.shard_id, nodes)


async def _up(contest: Contest) -> None:
    await contest.stage.create(nodes=3, topic=TOPIC)
    await contest.passes(60)
    assert (await contest.stage.row()).status.state == "available"


async def _primary(contest: Contest) -> str:
    row = await contest.stage.row()
    name = row.memory.shards["0001"].primary
    return f"feed.{name}.{row.memory.nodes[name].launches}"


async def contested(
    prepare: Callable[[Contest], Awaitable[None]], how: str, fatal: int, passes: int, gated: bool = True
) -> Contest:
    contest = Contest(gated)
    await contest.authority.obtain()
    await contest.old.adopt()
    # The lease is not renewed here; what is prepared takes longer than it lasts.
    contest.authority._deadline = 1e12
    await prepare(contest)
    contest.authority._deadline = contest.stage.clock.monotonic() + LEASE_S
    contest.moments.count, contest.moments.fatal = 0, fatal
    contest.moments.happen = getattr(contest, how)
    await contest.passes(passes)
    return contest


async def told(contest: Contest) -> list[str]:
    """What the topic was told but of nodes that are recovered: each of those begins and ends, unless a hand-over found its node
    ended already."""
    notices = await contest.stage.notices()
    started, ended = ([who for name, who in notices if name == f"ElastiCache:CacheNodeReplace{part}"] for part in RECOVERY)
    assert sorted(started) == sorted(ended) and len(set(started)) == len(started)
    return [f"{name.removeprefix('ElastiCache:')} {who}" for name, who in notices if "NodeReplace" not in name]


def story(prepare: Callable[[Contest], Awaitable[None]]) -> list[str]:
    """What it has to be told, each once, wherever the lease was lost."""
    nodes = ("demo-001", "demo-002", "demo-003")
    lines = ["CreateReplicationGroupComplete demo", *(f"CacheClusterProvisioningComplete {node}" for node in nodes)]
    if prepare is widowed:
        lines.append("FailoverComplete demo-001")
    elif prepare is rebooting:
        lines += [f"{name} {node}" for name in ("CacheNodesRebooted", "FailoverComplete") for node in nodes]
    elif prepare is unwanted:
        lines += [f"DeleteCacheClusterComplete {node}" for node in nodes]
    return sorted(lines)


@pytest.mark.parametrize("how", ["freeze", "overthrow"])
@pytest.mark.parametrize("prepare", [made, widowed, rebooting, unwanted])
def test_at_every_instant(prepare: Callable[[Contest], Awaitable[None]], how: str) -> None:
    async def body() -> None:
        fatal = 0
        while True:
            contest = await contested(prepare, how, fatal, passes=3)
            if contest.moments.count <= fatal:
                break
            if contest.standing is not None:
                assert contest.effects() == contest.standing, f"{how} at {fatal}: it acted after it had lost the lease"
            await contest.succeed()
            row = await contest.stage.store.get(KEY)
            if prepare is unwanted:
                assert row is None and contest.stage.machine.views == {}
            else:
                assert row is not None and row.status.state == "available", f"{how} at {fatal}: {row}"
                assert len(contest.stage.running()) == 3
            assert sorted(await told(contest)) == story(prepare), f"{how} at {fatal}"
            fatal += 1
        assert fatal > 10, "these passes have more moments than that"

    asyncio.run(body())


@pytest.mark.parametrize("prepare", [made, widowed, rebooting, unwanted])
def test_a_saved_plan_is_not_carried_out_by_one_that_was_frozen_since(prepare: Callable[[Contest], Awaitable[None]]) -> None:
    """Whatever hosts and engines would let it do."""

    async def body() -> None:
        fatal, saved = 0, 0
        while True:
            contest = await contested(prepare, "freeze", fatal, passes=3, gated=False)
            if contest.moments.count <= fatal:
                break
            assert contest.effects() == contest.standing, f"at {fatal}"
            saved += (await contest.stage.store.get(KEY)) is None or (await contest.stage.row()).version > 1
            fatal += 1
        assert saved > 3

    asyncio.run(body())


@pytest.mark.parametrize("how", ["freeze", "overthrow"])
def test_what_it_would_save_is_refused(how: str) -> None:
    """Also where the row is still as it read it, so that compare-and-swap alone would let it pass."""

    async def body() -> None:
        refused = 0
        for fatal in range(200):
            contest = await contested(made, how, fatal, passes=1)
            if contest.moments.count <= fatal:
                break
            assert contest.taking is not None
            await contest.taking
            before = (await contest.stage.row()).version
            assert before <= 2
            if before == 1:
                refused += 1
                assert contest.stage.machine.views == {}
                contest.moments.fatal = -1
                with pytest.raises(Deposed):
                    await contest.old.step(KEY)
            assert (await contest.stage.row()).version == before
        assert refused >= 3

    asyncio.run(body())


def test_one_that_leads_again_forgets_what_it_knew() -> None:
    async def body() -> None:
        stage = Stage()
        one = Leadership(stage.store, stage.clock, "one", 3600)
        other = Leadership(stage.store, stage.clock, "other", 3600, is_dead=lambda holder: True)
        await one.obtain()
        first = Controller(seams(stage.store, one, host := FakeHost(stage.machine), stage.driver, stage.clock))
        await first.adopt()
        lost = host.offer("feed", {"": 3, "a": 3})  # offered in its first term, and nothing came of it
        await other.obtain()
        stage.leadership = other
        await stage.restart().adopt()
        await stage.create(nodes=3)
        await stage.settle()
        row = await stage.row()
        held = {node.address for node in row.memory.nodes.values()} | set(row.memory.endpoints.values())
        assert held & {address for zone in lost.values() for address in zone}, "the other one gave them to a group"
        one = Leadership(stage.store, stage.clock, "one again", 3600, is_dead=lambda holder: True)
        await one.obtain()
        first._seams = seams(stage.store, one, host, stage.driver, stage.clock)
        await first.adopt()
        for uid in ("x", "y"):
            offered = host.offer(uid, {"": 3, "a": 3})
            assert not held & {address for zone in offered.values() for address in zone}
        stage.controller = first
        before = stage.running()
        await stage.settle()
        assert stage.running() == before

    asyncio.run(body())


def test_word_from_another_service_is_heard() -> None:
    async def body() -> None:
        stage = Stage()
        await stage.leadership.obtain()
        leader = Controller(
            seams(stage.store, stage.leadership, FakeHost(stage.machine), stage.driver, stage.clock, shared_store=True)
        )
        loop = asyncio.create_task(leader.lead())
        try:
            await stage.clock.advance(1)
            await stage.create()
            await stage.clock.advance(1)
            assert stage.machine.views == {}, "nobody has told"
            async with stage.store.transaction() as transaction:
                await transaction.wake(KEY)
            await stage.clock.advance(WAKES_INTERVAL_S + 0.1)
            assert stage.running()
            assert await stage.store.take_wakes() == []
        finally:
            loop.cancel()
            await asyncio.gather(loop, return_exceptions=True)

    asyncio.run(body())
