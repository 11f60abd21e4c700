"""log_interfaces.LogStore over SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from msgspec.structs import replace

from cachefleet.interfaces import StoreError
from cachefleet.log_interfaces import CursorMoved, LogGroupGone
from cachefleet.model.log import Cursor, Delivery, EventQuery, LogEvent, LogGroup, LogStream, NewEvent, Parcel, Position
from cachefleet.model.resource import Scope
from cachefleet.store import SqlLogStore, open_log_store
from cachefleet.store.log_tables import log_about

SCOPE, ELSEWHERE = Scope("000000000000", "local-1"), Scope("000000000000", "other-1")
DAY_MS = 86_400_000
BEGIN = Cursor("u.shop-001.1", "slow-log", "")
MUCH = 1 << 30


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[SqlLogStore]:
    store = await open_log_store(url)
    try:
        yield store
    finally:
        await store.close()


def on(url: str, body: Callable[[SqlLogStore], Awaitable[None]]) -> None:
    async def run() -> None:
        async with opened(url) as store:
            await body(store)

    asyncio.run(run())


def delivery(before: Cursor, place: str, *messages: str, stream: str = "s", at_ms: int = 100) -> Delivery:
    events = tuple(NewEvent(at_ms + number, message) for number, message in enumerate(messages))
    return Delivery(before=before, place=place, log_group="caches", stream=stream, events=events)


async def found(store: SqlLogStore, **query: Any) -> list[LogEvent]:
    return await store.events(SCOPE, "caches", EventQuery(**{"limit": 1000, "most_bytes": MUCH, **query}))


async def read(store: SqlLogStore, *streams: str, **query: Any) -> list[str]:
    return [event.message for event in await found(store, streams=streams or None, **query)]


async def filled(store: SqlLogStore) -> None:
    assert await store.create_group(SCOPE, LogGroup("caches", 1))


def test_groups_and_streams(shared_database: str) -> None:
    async def body(store: SqlLogStore) -> None:
        for name in ("b_", "a", "b%", "bc"):
            assert await store.create_group(SCOPE, LogGroup(name, 5, tags={"a": "b"}))
        assert not await store.create_group(SCOPE, LogGroup("a", 6))
        assert await store.create_group(ELSEWHERE, LogGroup("a", 6))
        assert [group.name for group in await store.groups(SCOPE)] == ["a", "b%", "b_", "bc"]
        assert [group.name for group in await store.groups(SCOPE, "b_")] == ["b_"]
        assert [group.name for group in await store.groups(SCOPE, "b", "b%")] == ["b_", "bc"]
        kept = LogGroup("a", 5, 7, {"c": "d"})
        assert await store.change_group(SCOPE, kept)
        assert await store.group(SCOPE, "a") == kept
        assert not await store.change_group(SCOPE, LogGroup("none", 5))
        assert await store.create_stream(SCOPE, "a", LogStream("s/1", 9))
        assert not await store.create_stream(SCOPE, "a", LogStream("s/1", 9))
        assert await store.create_stream(SCOPE, "a", LogStream("t", 9))
        assert [stream.name for stream in await store.streams(SCOPE, "a", "s")] == ["s/1"]
        assert await store.delete_stream(SCOPE, "a", "t")
        assert not await store.delete_stream(SCOPE, "a", "t")
        with pytest.raises(LogGroupGone):
            await store.create_stream(SCOPE, "none", LogStream("t", 9))
        assert await store.delete_group(SCOPE, "a")
        assert not await store.delete_group(SCOPE, "a")
        assert await store.group(SCOPE, "a") is None and await store.streams(SCOPE, "a") == []
        assert await store.group(ELSEWHERE, "a") is not None

    on(shared_database, body)


def test_events_are_read_by_time_from_both_ends(shared_database: str) -> None:
    async def body(store: SqlLogStore) -> None:
        await filled(store)
        for name in ("s", "t"):
            await store.create_stream(SCOPE, "caches", LogStream(name, 1))
        await store.put(SCOPE, "caches", "s", [NewEvent(30, "three"), NewEvent(10, "one"), NewEvent(10, "one again")], 1000)
        await store.put(SCOPE, "caches", "t", [NewEvent(20, "two")], 1001)
        assert not await store.put(SCOPE, "caches", "none", [NewEvent(20, "x")], 1001)
        assert await read(store) == ["one", "one again", "two", "three"]
        assert await read(store, "s") == ["one", "one again", "three"]
        assert await read(store, start_ms=11, end_ms=30) == ["two"]
        assert await read(store, most_bytes=12) == ["one", "one again"]
        assert await read(store, most_bytes=1) == ["one"]
        second = (await found(store))[1].position
        assert await read(store, after=second) == ["two", "three"]
        assert await read(store, before=Position(30, 0), newest=True, limit=2) == ["one again", "two"]
        (stream, _) = await store.streams(SCOPE, "caches")
        assert stream == LogStream("s", 1, 10, 30, 1000)
        group = await store.group(SCOPE, "caches")
        assert group is not None and group.stored_bytes == len("three" + "one" + "one again" + "two")

    on(shared_database, body)


def test_a_delivery_is_stored_with_its_cursor_or_not_at_all(shared_database: str) -> None:
    async def body(store: SqlLogStore) -> None:
        with pytest.raises(LogGroupGone):
            await store.deliver(SCOPE, delivery(BEGIN, "3", "a"), 1000)
        assert await store.cursors("u") == {}
        await filled(store)
        await store.deliver(SCOPE, delivery(BEGIN, "3", "a", "b"), 1000)
        for stale in (BEGIN, replace(BEGIN, place="2")):
            with pytest.raises(CursorMoved):
                await store.deliver(SCOPE, delivery(stale, "4", "again", stream="other"), 1000)
        await store.deliver(SCOPE, delivery(replace(BEGIN, place="3"), "4", "c", at_ms=200), 1000)
        await store.deliver(SCOPE, delivery(replace(BEGIN, place="4"), "5"), 1000)
        assert await read(store) == ["a", "b", "c"]
        assert [stream.name for stream in await store.streams(SCOPE, "caches")] == ["s"]
        at_last = replace(BEGIN, place="5")
        assert await store.cursors("u") == {(BEGIN.launch, "slow-log"): at_last}
        assert await store.cursors("v") == {}
        await store.forget_cursors([at_last])
        assert await store.cursors("u") == {}

    on(shared_database, body)


def test_of_two_who_deliver_the_same_one_does(shared_database: str) -> None:
    async def body() -> None:
        async with opened(shared_database) as store, opened(shared_database) as other:
            await filled(store)
            for round_number in range(10):
                cursor = replace(BEGIN, place=str(round_number) if round_number else "")
                made = delivery(cursor, str(round_number + 1), f"{round_number}")
                results = await asyncio.gather(
                    store.deliver(SCOPE, made, 1), other.deliver(SCOPE, made, 1), return_exceptions=True
                )
                assert [type(result) for result in results if result is not None] == [CursorMoved]
            assert await read(store) == [str(number) for number in range(10)]

    asyncio.run(body())


def test_parcels_wait_in_order_until_they_are_sent(shared_database: str) -> None:
    async def body(store: SqlLogStore) -> None:
        parcels = tuple(Parcel("out", number, f"m{number}", {"cluster": "a"}) for number in range(3))
        await store.deliver(SCOPE, Delivery(before=BEGIN, place="3", parcels=(*parcels, Parcel("else", 9, "x"))), 1)
        assert await store.waiting() == {"out": 3, "else": 1}
        first = await store.parcels("out", 2)
        assert [(parcel.message, parcel.labels) for parcel in first] == [("m0", {"cluster": "a"}), ("m1", {"cluster": "a"})]
        await store.sent("out", first[-1].number)
        assert [parcel.message for parcel in await store.parcels("out", 9)] == ["m2"]
        assert await store.waiting() == {"out": 1, "else": 1}

    on(shared_database, body)


def test_what_is_too_old_or_too_much_goes(shared_database: str) -> None:
    async def body(store: SqlLogStore) -> None:
        await filled(store)
        await store.create_group(SCOPE, LogGroup("short", 1, retention_days=1))
        for group in ("caches", "short"):
            await store.create_stream(SCOPE, group, LogStream("s", 1))
            await store.put(SCOPE, group, "s", [NewEvent(DAY_MS * day, "x" * 10) for day in range(5)], 1)
        now_ms = DAY_MS * 4 + 1
        assert await store.trim(now_ms, MUCH) == 4
        assert await store.trim(now_ms, MUCH) == 0
        assert (await store.group(SCOPE, "short") or LogGroup("", 0)).stored_bytes == 10
        assert len(await read(store)) == 5
        assert await store.trim(now_ms, 59) == 6 and await store.trim(now_ms, 59) == 0
        assert await read(store) == []

    on(shared_database, body)


def test_text_that_databases_do_not_take(shared_database: str) -> None:
    async def body(store: SqlLogStore) -> None:
        await filled(store)
        await store.deliver(SCOPE, delivery(BEGIN, "1", "a\0b", "\ud800", "ü"), 1)
        assert await read(store) == ["a�b", "���", "ü"]

    on(shared_database, body)


def test_a_database_of_a_newer_version_is_left_alone(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("logs") / "logs.db"

    async def body() -> None:
        async with opened(f"sqlite+aiosqlite:///{path}") as store:
            await store._changed(log_about.update().values(schema_version=99))
        with pytest.raises(StoreError, match="version 99"):
            await open_log_store(f"sqlite+aiosqlite:///{path}")

    asyncio.run(body())
