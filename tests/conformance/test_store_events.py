"""interfaces.Store on every database: the event log."""

from __future__ import annotations

import asyncio
import math

from cachefleet.interfaces import Store
from cachefleet.model.event import Event
from cachefleet.model.plan import EventDraft
from cachefleet.model.resource import Kind, Scope
from cachefleet.model.row import Row
from cachefleet.model.topic import TopicDesired
from tests.fixtures.databases import SCOPE, opened, scenario, sql_scenario

OTHER = Scope("111111111111", "local-1")


async def record(store: Store, at: float, *drafts: EventDraft, scope: Scope = SCOPE) -> None:
    async with store.transaction() as transaction:
        await transaction.add_events(scope, at, drafts)


async def everything(store: Store, scope: Scope = SCOPE, *, source_type: str = "", source_id: str = "") -> list[Event]:
    return await store.events(scope, start=0.0, end=math.inf, source_type=source_type, source_id=source_id)


async def page_of(store: Store, before_id: int | None, limit: int) -> list[Event]:
    return await store.events(SCOPE, start=0.0, end=math.inf, before_id=before_id, limit=limit)


def draft(message: str, source_id: str = "demo", source_type: str = "replication-group") -> EventDraft:
    return EventDraft(source_type, source_id, message)


def texts(events: list[Event]) -> list[str]:
    return [event.message for event in events]


@scenario
async def test_newest_first_within_a_window(store: Store) -> None:
    await record(store, 10.0, draft("a"), draft("b"))
    await record(store, 20.5, draft("c"))
    await record(store, 30.0)
    await record(store, 30.0, draft("d"), scope=OTHER)
    events = await everything(store)
    assert [(event.message, event.at) for event in events] == [("c", 20.5), ("b", 10.0), ("a", 10.0)]
    assert events[0].id > events[1].id > events[2].id > 0
    assert texts(await store.events(SCOPE, start=10.0, end=20.5)) == ["b", "a"]
    assert texts(await store.events(SCOPE, start=10.1, end=99.0)) == ["c"]
    assert texts(await everything(store, OTHER)) == ["d"]
    assert await store.events(SCOPE, start=50.0, end=10.0) == []


@scenario
async def test_filters(store: Store) -> None:
    await record(store, 1.0, draft("g"), draft("c", "demo-001", "cache-cluster"), draft("h", "other"))
    assert texts(await everything(store, source_type="replication-group")) == ["h", "g"]
    assert texts(await everything(store, source_type="replication-group", source_id="demo")) == ["g"]
    assert texts(await everything(store, source_id="demo-001")) == ["c"]
    assert await everything(store, source_type="cache-cluster", source_id="demo") == []


@scenario
async def test_ten_thousand_events_in_pages(store: Store) -> None:
    for hundred in range(100):
        await record(store, float(hundred), *(draft(f"{hundred * 100 + number}") for number in range(100)))
    seen: list[Event] = []
    before: int | None = None
    while page := await page_of(store, before, 999):
        assert len(page) <= 999
        seen += page
        before = page[-1].id
        if len(seen) < 3000:
            await record(store, 200.0, draft("newer than the pages read so far"))
    assert texts(seen) == [str(number) for number in reversed(range(10_000))]
    assert len(await everything(store)) == 100


@sql_scenario
async def test_page_marks_from_outside_do_no_harm(store: Store) -> None:
    await record(store, 1.0, draft("a"))
    for before_id, expected in ((-(10**30), []), (0, []), (10**30, ["a"])):
        assert texts(await page_of(store, before_id, 10**30)) == expected


@scenario
async def test_old_events_are_forgotten(store: Store) -> None:
    for at in (1.0, 2.0, 3.0):
        await record(store, at, draft(str(at)))
    newest = (await everything(store))[0].id
    assert await store.forget_events(3.0) == 2
    assert await store.forget_events(3.0) == 0
    assert texts(await everything(store)) == ["3.0"]
    assert await store.forget_events(4.0) == 1
    await record(store, 5.0, draft("new"))
    assert (await everything(store))[0].id > newest


@sql_scenario
async def test_any_message_can_be_recorded(store: Store) -> None:
    """A process's last words may hold any bytes."""
    await record(store, 1.0, draft("nul \0 lone \ud800 tail"), draft("größer 😀"))
    first, second = await everything(store)
    assert first.message == "größer 😀"
    assert second.message.startswith("nul \ufffd lone \ufffd") and second.message.endswith(" tail")


async def count(store: Store, since: float, beginning: str, scope: Scope = SCOPE) -> int:
    async with store.transaction() as transaction:
        return await transaction.count_events(scope, since=since, source_type="replication-group", beginning=beginning)


@scenario
async def test_counting_by_the_beginning_of_messages(store: Store) -> None:
    await record(
        store, 10.0, draft("called for 1"), draft("called for 2", "other"), draft("Called for 3"), draft("not called for 4")
    )
    await record(store, 20.0, draft("called for 1"), draft("called for 5", source_type="cache-cluster"))
    await record(store, 20.0, draft("called for 6"), scope=OTHER)
    assert await count(store, 0.0, "called for ") == 3
    assert await count(store, 10.0, "called for ") == 1
    assert await count(store, 20.0, "called for ") == 0
    assert await count(store, 0.0, "called for ", OTHER) == 1
    assert await count(store, 0.0, "called%") == await count(store, 0.0, "called_") == 0
    async with store.transaction() as transaction:
        await transaction.add_events(SCOPE, 30.0, [draft("called for 7")])
        assert await transaction.count_events(SCOPE, since=0.0, source_type="replication-group", beginning="called for ") == 4


async def record_up_to(store: Store, most: int) -> None:
    async with store.transaction() as transaction:
        told = await transaction.count_events(SCOPE, since=0.0, source_type="replication-group", beginning="called")
        await asyncio.sleep(0)
        if told < most:
            await transaction.add_events(SCOPE, 1.0, [draft("called")])


def test_two_stores_never_count_past_each_other(shared_database: str) -> None:
    async def body() -> None:
        async with opened(shared_database) as here, opened(shared_database) as there:
            async with asyncio.timeout(60):
                await asyncio.gather(*(record_up_to(store, 7) for store in (here, there) for _ in range(10)))
            assert len(await everything(here)) == 7

    asyncio.run(body())


async def insert_up_to(store: Store, name: str, most: int) -> None:
    async with store.transaction() as transaction:
        await transaction.take_turn()
        there = await store.count(Kind.TOPIC, SCOPE)
        await asyncio.sleep(0)
        if there < most:
            await transaction.insert(Row(key=SCOPE.key(Kind.TOPIC, name), desired=TopicDesired(name, 0.0)))


def test_two_stores_take_turns(shared_database: str) -> None:
    """What is counted after taking one's turn is what there is until the end."""

    async def body() -> None:
        async with opened(shared_database) as here, opened(shared_database) as there:
            stores = [(store, f"{place}{number}") for place, store in enumerate((here, there)) for number in range(10)]
            async with asyncio.timeout(60):
                await asyncio.gather(*(insert_up_to(store, f"t{name}", 7) for store, name in stores))
            assert await here.count(Kind.TOPIC, SCOPE) == 7

    asyncio.run(body())
