"""The courier in virtual time: order, retries, expiry, restarts, and that nobody waits for somebody else."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from cachefleet.courier.courier import Courier
from cachefleet.courier.failure import Undelivered
from cachefleet.interfaces import StoreError
from cachefleet.model.notice import Notice
from tests.component.notifications.stage import TOPIC, Stage, on_stage

A, B = "http://a/", "http://b/"


def policy(**members: Any) -> str:
    return json.dumps({"healthyRetryPolicy": members})


def again(why: str = "busy") -> Undelivered:
    return Undelivered(why)


@on_stage
async def test_each_subscriber_gets_everything_in_order(stage: Stage) -> None:
    await stage.topic()
    for endpoint in (A, B):
        await stage.subscribed(endpoint)
    for number in range(120):
        await stage.call("Publish", TopicArn=TOPIC, Message=str(number))
    await stage.clock.settle()
    expected = [str(number) for number in range(120)]
    assert stage.recipients.texts(A) == stage.recipients.texts(B) == expected
    assert await stage.store.outbox.waiting() == {}


@on_stage
async def test_what_fails_is_tried_again_by_its_policy_and_keeps_its_place(stage: Stage) -> None:
    await stage.topic()
    await stage.subscribed(A, DeliveryPolicy=policy(numRetries=3, numNoDelayRetries=1, minDelayTarget=5, maxDelayTarget=7))
    stage.recipients.failing[A] = [again(), again(), again()]
    before = len(stage.recipients.tried)
    await stage.publish("first")
    await stage.publish("second")
    assert len(stage.recipients.tried) - before == 2  # the second at once
    await stage.clock.advance(4.9)
    assert len(stage.recipients.tried) - before == 2
    await stage.clock.advance(0.2)
    assert len(stage.recipients.tried) - before == 3
    await stage.clock.advance(7.0)
    assert stage.recipients.texts(A) == ["first", "second"]
    assert stage.outcomes.counts[("delivered",)] == 3  # the confirmation, too


@on_stage
async def test_what_expires_is_counted_and_makes_room_for_the_next(stage: Stage) -> None:
    await stage.topic()
    await stage.subscribed(A)
    stage.recipients.failing[A] = [again() for _ in range(4)]
    await stage.publish("lost")
    await stage.publish("kept")
    await stage.clock.advance(60.5)
    assert stage.recipients.texts(A) == ["kept"]
    assert stage.outcomes.counts[("expired",)] == 1


@on_stage
async def test_a_lasting_refusal_is_not_tried_again(stage: Stage) -> None:
    await stage.topic()
    await stage.subscribed(A)
    stage.recipients.failing[A] = [Undelivered("status 404", lasting=True)]
    await stage.publish("refused")
    await stage.publish("next")
    assert stage.recipients.texts(A) == ["next"]
    assert stage.outcomes.counts[("expired",)] == 1


@on_stage
async def test_an_error_of_our_own_is_tried_again(stage: Stage) -> None:
    await stage.topic()
    await stage.subscribed(A)
    stage.recipients.failing[A] = [ZeroDivisionError()]
    await stage.publish("odd")
    await stage.clock.advance(20.5)
    assert stage.recipients.texts(A) == ["odd"]


@on_stage
async def test_who_is_slow_or_dead_holds_up_nobody_else(stage: Stage) -> None:
    await stage.topic()
    for endpoint in (A, B, "http://c/"):
        await stage.subscribed(endpoint)
    stage.recipients.held[A] = asyncio.Event()
    stage.recipients.dead.add(B)
    for number in range(5):
        await stage.publish(str(number))
    assert stage.recipients.texts("http://c/") == ["0", "1", "2", "3", "4"]
    stage.recipients.held[A].set()
    stage.recipients.dead.clear()
    await stage.clock.advance(21.0)
    assert stage.recipients.texts(A) == stage.recipients.texts(B) == ["0", "1", "2", "3", "4"]


@on_stage
async def test_filters_decide_who_gets_what(stage: Stage) -> None:
    await stage.topic()
    await stage.subscribed(A, FilterPolicy='{"level":["high"]}')
    await stage.subscribed(B, FilterPolicy='{"level":["high"]}', FilterPolicyScope="MessageBody")
    high = {"level": {"DataType": "String", "StringValue": "high"}}
    await stage.publish("by attribute", MessageAttributes=high)
    await stage.publish('{"level":"high"}')
    assert stage.recipients.texts(A) == ["by attribute"]
    assert stage.recipients.texts(B) == ['{"level":"high"}']


@on_stage
async def test_what_waits_for_who_has_gone_is_dropped(stage: Stage) -> None:
    await stage.topic()
    arn = await stage.subscribed(A)
    await stage.subscribed(B)
    stage.recipients.dead |= {A, B}
    await stage.publish("one")
    await stage.publish("two")
    await stage.call("Unsubscribe", SubscriptionArn=arn)
    await stage.call("DeleteTopic", TopicArn=TOPIC)
    stage.recipients.dead.clear()
    await stage.clock.advance(21.0)
    assert await stage.store.outbox.waiting() == {}
    assert (stage.recipients.texts(A), stage.recipients.texts(B)) == ([], [])
    assert stage.outcomes.counts[("dropped",)] == 4


@on_stage
async def test_a_notice_of_a_topic_that_is_not_there_is_lost_alone(stage: Stage) -> None:
    await stage.topic()
    await stage.subscribed(A)
    elsewhere = Notice(topic_arn=f"{TOPIC}-gone", message="x", at=0.0, notice_id="1")
    nowhere = Notice(topic_arn="no arn", message="x", at=0.0, notice_id="2")
    here = Notice(topic_arn=TOPIC, message="here", at=0.0, notice_id="3")
    async with stage.store.transaction() as transaction:
        await transaction.publish([elsewhere, nowhere, here])
    await stage.clock.settle()
    assert stage.recipients.texts(A) == ["here"]
    assert await stage.store.outbox.posted(9) == []


@on_stage
async def test_another_leader_goes_on_where_the_last_one_stopped(stage: Stage) -> None:
    await stage.topic()
    await stage.subscribed(A)
    stage.recipients.dead.add(A)
    await stage.publish("one")
    await stage.publish("two")
    await stage.stop()
    await stage.call("Publish", TopicArn=TOPIC, Message="three")  # while nobody leads
    stage.recipients.dead.clear()
    stage.courier = Courier(stage.store, stage.store.outbox, stage.recipients, stage.clock, 1000)
    stage.start()
    await stage.clock.advance(21.0)
    assert stage.recipients.texts(A) == ["one", "two", "three"]


@on_stage
async def test_a_term_that_ends_in_the_middle_of_an_attempt_is_repeated_by_the_next(stage: Stage) -> None:
    await stage.topic()
    await stage.subscribed(A)
    stage.recipients.held[A] = asyncio.Event()
    await stage.publish("one")
    await stage.stop()
    assert stage.recipients.texts(A) == []
    del stage.recipients.held[A]
    stage.start()
    await stage.clock.settle()
    assert stage.recipients.texts(A) == ["one"]


@on_stage
async def test_what_another_service_published_is_found(stage: Stage) -> None:
    await stage.topic()
    await stage.subscribed(A)
    stage.store.outbox.published = lambda: None  # type: ignore[method-assign]
    await stage.publish("from elsewhere")
    await stage.clock.advance(1.1)
    assert stage.recipients.texts(A) == ["from elsewhere"]


@on_stage
async def test_with_what_expires_goes_all_that_is_older_than_an_hour(stage: Stage) -> None:
    await stage.topic()
    await stage.subscribed(A)
    await stage.stop()
    for number in range(3):
        await stage.call("Publish", TopicArn=TOPIC, Message=f"old {number}")
    stage.clock.pass_time(3700.0)
    await stage.call("Publish", TopicArn=TOPIC, Message="young")
    stage.recipients.failing[A] = [again() for _ in range(4)]
    stage.start()
    await stage.clock.advance(61.0)
    assert stage.recipients.texts(A) == ["young"]
    assert stage.outcomes.counts[("expired",)] == 3


@on_stage
async def test_what_is_old_arrives_all_the_same_where_the_endpoint_lives(stage: Stage) -> None:
    await stage.topic()
    await stage.subscribed(A)
    await stage.stop()
    await stage.call("Publish", TopicArn=TOPIC, Message="old")
    stage.clock.pass_time(86_400.0)
    stage.start()
    await stage.clock.settle()
    assert stage.recipients.texts(A) == ["old"]


def test_no_more_wait_for_one_than_are_allowed() -> None:
    async def body() -> None:
        stage = Stage(most_waiting=3)
        stage.start()
        await stage.topic()
        await stage.subscribed(A)
        await stage.subscribed(B)
        stage.recipients.dead.add(A)
        for number in range(5):
            await stage.publish(str(number))
        assert len(stage.recipients.texts(B)) == 5
        assert stage.outcomes.counts[("lost",)] == 2
        stage.recipients.dead.clear()
        await stage.clock.advance(21.0)
        assert stage.recipients.texts(A) == ["0", "1", "2"]
        await stage.publish("5")
        assert stage.recipients.texts(A) == ["0", "1", "2", "5"]
        await stage.stop()

    asyncio.run(body())


@on_stage
async def test_a_store_that_fails_for_a_while_loses_nothing(stage: Stage) -> None:
    await stage.topic()
    await stage.subscribed(A)
    outbox = stage.store.outbox
    kept = {name: getattr(outbox, name) for name in ("posted", "hand_out", "next_delivery", "done")}

    def failing(name: str) -> Any:
        left = [3]

        async def call(*arguments: Any) -> Any:
            left[0] -= 1
            if left[0] >= 0:
                raise StoreError("away")
            return await kept[name](*arguments)

        return call

    for name in kept:
        setattr(outbox, name, failing(name))
    for number in range(3):
        await stage.publish(str(number))
    await stage.clock.advance(30.0)
    got = stage.recipients.texts(A)
    assert list(dict.fromkeys(got)) == ["0", "1", "2"]  # what arrived and could not be noted arrives again
    assert await outbox.waiting() == {}


@pytest.mark.parametrize("protocol", ["http", "email"])
def test_mail_is_tried_for_longer(protocol: str) -> None:
    @on_stage
    async def run(stage: Stage) -> None:
        await stage.topic()
        endpoint = A if protocol == "http" else "me@example.com"
        await stage.subscribed(endpoint, protocol)
        stage.recipients.dead.add(endpoint)
        await stage.publish("x")
        await stage.clock.advance(65.0)
        stage.recipients.dead.clear()
        await stage.clock.advance(45.0)
        assert stage.recipients.texts(endpoint) == ([] if protocol == "http" else ["x"])

    run()
