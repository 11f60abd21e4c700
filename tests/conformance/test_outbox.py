"""notice_interfaces.Outbox on every database: what is published is there with the commit, and waits for each subscription."""

from __future__ import annotations

import asyncio

import pytest

from cachefleet.interfaces import Store
from cachefleet.model.notice import Delivery, Notice, NoticeAttribute, NoticeKind, Posted
from cachefleet.notice_interfaces import Outbox
from cachefleet.store import SqlStore
from tests.fakes.store import MemoryStore
from tests.fixtures.databases import opened, scenario, sql_scenario

TOPIC = "arn:aws:sns:local-1:000000000000:alarms"
FIRST, SECOND = f"{TOPIC}:first", f"{TOPIC}:second"


def outbox_of(store: Store) -> Outbox:
    assert isinstance(store, SqlStore | MemoryStore)
    return store.outbox


def notice(message: str, at: float = 1.0) -> Notice:
    return Notice(topic_arn=TOPIC, message=message, at=at, notice_id="an id")


async def publish(store: Store, *notices: Notice) -> None:
    async with store.transaction() as transaction:
        await transaction.publish(notices)


async def hand_out(store: Store, *subscriptions: str) -> None:
    outbox = outbox_of(store)
    await outbox.hand_out([(posted, subscriptions) for posted in await outbox.posted(100)])


async def head(store: Store, subscription: str = FIRST) -> Delivery:
    found = await outbox_of(store).next_delivery(subscription)
    assert found is not None
    return found


def messages(posted: list[Posted]) -> list[str]:
    return [one.notice.message for one in posted]


@scenario
async def test_it_comes_with_the_commit_and_in_order(store: Store) -> None:
    told: list[int] = []
    outbox = outbox_of(store)
    outbox.on_publish(lambda: told.append(1))
    await publish(store)
    assert (await outbox.posted(9), told) == ([], [])
    async with store.transaction() as transaction:
        await transaction.publish([notice("a"), notice("b")])
        assert (await outbox.posted(9), told) == ([], [])
    assert told == [1]
    await publish(store, notice("c"))
    assert messages(await outbox.posted(9)) == ["a", "b", "c"]
    assert messages(await outbox.posted(2)) == ["a", "b"]
    assert told == [1, 1]


@scenario
async def test_what_is_rolled_back_is_not_published(store: Store) -> None:
    told: list[int] = []
    outbox_of(store).on_publish(lambda: told.append(1))
    with pytest.raises(ZeroDivisionError):
        async with store.transaction() as transaction:
            await transaction.publish([notice("a")])
            raise ZeroDivisionError
    assert (await outbox_of(store).posted(9), told) == ([], [])


@scenario
async def test_everything_of_a_notice_is_kept(store: Store) -> None:
    full = Notice(
        topic_arn=TOPIC,
        message="größer 😀\n",
        at=1700000000.25,
        notice_id="an id",
        subject="subject",
        attributes={"n": NoticeAttribute("Number", "1.5")},
        by_protocol={"http": "other"},
        kind=NoticeKind.CONFIRMATION,
        subscription=FIRST,
        token="a token",
    )
    await publish(store, full)
    assert [one.notice for one in await outbox_of(store).posted(9)] == [full]
    await hand_out(store, FIRST)
    assert (await head(store)).notice == full


@sql_scenario
async def test_any_message_can_be_published(store: Store) -> None:
    await publish(store, notice("nul \0 lone \ud800 tail"))
    (posted,) = await outbox_of(store).posted(9)
    assert posted.notice.message.startswith("nul \ufffd lone \ufffd") and posted.notice.message.endswith(" tail")


@scenario
async def test_each_subscription_has_its_own_in_order(store: Store) -> None:
    outbox = outbox_of(store)
    await publish(store, notice("a"), notice("b"))
    await hand_out(store, FIRST, SECOND)
    assert await outbox.posted(9) == []
    assert await outbox.waiting() == {FIRST: 2, SECOND: 2}
    first = await head(store)
    assert (first.notice.message, first.subscription, first.attempts, first.due_at) == ("a", FIRST, 0, 1.0)
    await outbox.done(first)
    await outbox.done(first)
    assert (await head(store)).notice.message == "b"
    assert (await head(store, SECOND)).notice.message == "a"
    assert await outbox.waiting() == {FIRST: 1, SECOND: 2}
    await outbox.done(await head(store))
    assert await outbox.next_delivery(FIRST) is None
    assert await outbox.next_delivery("nul \0") is None


@scenario
async def test_a_postponed_delivery_stays_first_and_remembers(store: Store) -> None:
    await publish(store, notice("a"), notice("b"))
    await hand_out(store, FIRST)
    delivery = await head(store)
    await outbox_of(store).postpone(Delivery(delivery.id, FIRST, delivery.notice, 2, 99.5))
    again = await head(store)
    assert (again.id, again.attempts, again.due_at) == (delivery.id, 2, 99.5)


@scenario
async def test_what_nobody_subscribes_to_is_gone(store: Store) -> None:
    await publish(store, notice("a"))
    await hand_out(store)
    assert (await outbox_of(store).posted(9), await outbox_of(store).waiting()) == ([], {})


@scenario
async def test_handed_out_once_only(store: Store) -> None:
    outbox = outbox_of(store)
    await publish(store, notice("a"), notice("b"))
    seen = await outbox.posted(9)
    await outbox.hand_out([(seen[0], [FIRST])])
    await outbox.hand_out([(one, [FIRST, SECOND]) for one in seen])
    assert await outbox.waiting() == {FIRST: 2, SECOND: 1}


@scenario
async def test_old_ones_are_forgotten(store: Store) -> None:
    outbox = outbox_of(store)
    await publish(store, *(notice(str(at), at) for at in (1.0, 2.0, 3.0)))
    await hand_out(store, FIRST, SECOND)
    assert await outbox.forget(FIRST, 3.0) == 2
    assert await outbox.forget(FIRST, 3.0) == 0
    assert await outbox.waiting() == {FIRST: 1, SECOND: 3}
    assert (await head(store)).notice.message == "3.0"


def test_it_is_there_after_a_restart(shared_database: str) -> None:
    async def body() -> None:
        async with opened(shared_database) as store:
            await publish(store, notice("a"))
            await hand_out(store, FIRST)
            await publish(store, notice("b"))
        async with opened(shared_database) as store:
            assert messages(await outbox_of(store).posted(9)) == ["b"]
            assert (await head(store)).notice.message == "a"

    asyncio.run(body())
