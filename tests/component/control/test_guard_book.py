"""What is remembered of security groups and their members: nothing is read twice, and nothing stays that is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from msgspec.structs import replace

from cachefleet.control.guard_book import FRESH_S, GuardBook
from cachefleet.model.group import GroupMemory, NodeMemory
from cachefleet.model.network import default_security_group_id
from cachefleet.model.resource import Kind
from cachefleet.model.row import GroupRow, Row, SecurityGroupRow
from cachefleet.model.vpc import MEMBERS, SecurityGroupDesired, SecurityRule
from tests.component.control.stage import KEY
from tests.fakes.clock import ManualClock
from tests.fakes.store import MemoryStore
from tests.unit.planning.groups import replicated


class CountingStore(MemoryStore):
    def __init__(self) -> None:
        super().__init__()
        self.reads = 0

    async def get(self, key: Any) -> Any:
        self.reads += 1
        return await super().get(key)

    async def rows(self, *arguments: Any, **more: Any) -> Any:
        self.reads += 1
        return await super().rows(*arguments, **more)


class Shelf:
    """A book, and what it is about."""

    def __init__(self) -> None:
        self.store = CountingStore()
        self.clock = ManualClock()
        self.guarded = True
        self.book = GuardBook(self.store, lambda uid: self.guarded, self.clock)

    async def put(self, group_id: str, *rules: SecurityRule, tags: dict[str, str] | None = None) -> None:
        key = KEY.scope.key(Kind.SECURITY_GROUP, group_id)
        row: SecurityGroupRow = Row(key=key, desired=SecurityGroupDesired("vpc-1", "n", "d", ingress=rules), tags=tags or {})
        found = await self.store.get(key)
        async with self.store.transaction() as transaction:
            if found is None:
                await transaction.insert(row)
            else:
                await transaction.update(replace(row, version=found.version))

    async def sources(self, row: GroupRow) -> tuple[str, ...]:
        found = await self.book.openings_of(row)
        assert found is not None
        return next((opening.sources for opening in found if opening.port == 6379), ())

    async def reads_of(self, row: GroupRow) -> int:
        before = self.store.reads
        await self.sources(row)
        return self.store.reads - before


def cache(name: str, *groups: str, nodes: tuple[str, ...] = ()) -> GroupRow:
    document = replicated(1, security_groups=groups)
    memory = GroupMemory(nodes={f"{name}-{at}": NodeMemory("local-1a", address) for at, address in enumerate(nodes)})
    return Row(key=KEY.scope.key(Kind.REPLICATION_GROUP, name), desired=document, memory=memory)


async def _run(test: Callable[[Shelf], Awaitable[None]]) -> None:
    await test(Shelf())


def on_shelf(test: Callable[[Shelf], Awaitable[None]]) -> Callable[[], None]:
    def run() -> None:
        asyncio.run(_run(test))

    run.__name__ = test.__name__
    return run


FROM_TEN = SecurityRule("sgr-1", "tcp", 6379, 6379, cidr="10.0.0.0/8")
FROM_APP = SecurityRule("sgr-2", "tcp", 6379, 6379, group_id="sg-app")


@on_shelf
async def test_nothing_is_read_while_nothing_is_said(shelf: Shelf) -> None:
    await shelf.put("sg-mine", FROM_TEN, FROM_APP)
    await shelf.put("sg-app", tags={MEMBERS: "127.0.0.9"})
    mine, other = cache("mine", "sg-mine"), cache("other")
    assert await shelf.sources(mine) == ("10.0.0.0/8", "127.0.0.9/32")
    assert await shelf.reads_of(mine) == 0
    assert await shelf.reads_of(other) == 0  # one reading serves all of the account and region
    shelf.book.hear()
    assert (await shelf.reads_of(mine), await shelf.reads_of(other)) == (1, 0)
    shelf.clock.pass_time(FRESH_S)
    assert (await shelf.reads_of(mine), await shelf.reads_of(other)) == (1, 0)


@on_shelf
async def test_a_word_during_a_reading_leads_to_another(shelf: Shelf) -> None:
    await shelf.put("sg-mine")
    mine = cache("mine", "sg-mine")
    rows = shelf.store.rows

    async def slow(*arguments: Any, **more: Any) -> Any:
        found = await rows(*arguments, **more)
        await asyncio.sleep(0)
        await shelf.put("sg-mine", FROM_TEN)
        shelf.book.hear()
        return found

    shelf.store.rows = slow  # type: ignore[method-assign]
    assert await shelf.sources(mine) == ()
    shelf.store.rows = rows  # type: ignore[method-assign]
    assert await shelf.sources(mine) == ("10.0.0.0/8",)


@on_shelf
async def test_members_come_and_go_without_a_reading(shelf: Shelf) -> None:
    await shelf.put("sg-mine", FROM_APP)
    await shelf.put("sg-app")
    mine = cache("mine", "sg-mine")
    assert shelf.book.note(mine) == []
    assert await shelf.sources(mine) == ()
    app = cache("app", "sg-app", nodes=("127.41.64.1", "127.41.64.2"))
    assert shelf.book.note(cache("app", "sg-app", nodes=("",))) == []
    assert shelf.book.note(app) == [mine.key]
    assert shelf.book.note(app) == []
    assert await shelf.reads_of(mine) == 0
    assert await shelf.sources(mine) == ("127.41.64.1/32", "127.41.64.2/32")
    assert shelf.book.note(replace(app, desired=replace(app.desired, security_groups=("sg-mine",)))) == [mine.key]
    assert await shelf.sources(mine) == ()
    assert shelf.book.note(app) == [mine.key]
    assert shelf.book.note(app, gone=True) == [mine.key]
    assert await shelf.sources(mine) == ()


@on_shelf
async def test_who_lets_in_no_members_is_not_bothered(shelf: Shelf) -> None:
    await shelf.put("sg-mine", FROM_TEN)
    mine = cache("mine", "sg-mine")
    await shelf.sources(mine)
    assert shelf.book.note(cache("app", "sg-mine", nodes=("127.41.64.1",))) == []


@on_shelf
async def test_a_group_that_names_itself_lets_its_own_nodes_in(shelf: Shelf) -> None:
    """As the group `default` of every VPC does."""
    default = default_security_group_id(KEY.scope)
    await shelf.put(default, SecurityRule("sgr-1", group_id=default))
    first, second = cache("first", nodes=("127.41.64.1",)), cache("second", default, nodes=("127.41.64.9",))
    shelf.book.note(first)
    shelf.book.note(second)
    shelf.book.note(cache("third", "sg-else", nodes=("127.41.64.20",)))
    assert await shelf.sources(first) == await shelf.sources(second) == ("127.41.64.1/32", "127.41.64.9/32")


@on_shelf
async def test_members_of_members_are_none(shelf: Shelf) -> None:
    """As in AWS: a rule lets in who has the group that it names, not who may connect to those."""
    await shelf.put("sg-mine", FROM_APP)
    await shelf.put("sg-app", SecurityRule("sgr-3", group_id="sg-far"))
    await shelf.put("sg-far", tags={MEMBERS: "127.0.0.7"})
    assert await shelf.sources(cache("mine", "sg-mine")) == ()


@on_shelf
async def test_ports_and_security_groups_of_the_row_count_at_once(shelf: Shelf) -> None:
    await shelf.put("sg-mine", FROM_TEN)
    await shelf.put("sg-all", SecurityRule("sgr-1", cidr="127.0.0.0/8"))
    mine = cache("mine", "sg-mine")
    assert await shelf.sources(mine) == ("10.0.0.0/8",)
    assert await shelf.book.openings_of(replace(mine, desired=replace(mine.desired, port=7000))) == ()
    both = replace(mine, desired=replace(mine.desired, security_groups=("sg-mine", "sg-all")))
    assert await shelf.sources(both) == ("10.0.0.0/8", "127.0.0.0/8")
    assert await shelf.sources(replace(mine, desired=replace(mine.desired, security_groups=("sg-gone",)))) == ()


@on_shelf
async def test_where_nothing_is_enforced_nothing_is_read(shelf: Shelf) -> None:
    shelf.guarded = False
    assert await shelf.book.openings_of(cache("mine")) is None
    assert shelf.store.reads == 0
