"""Hands notices out to the subscriptions of their topics, and brings each subscription its own: one after the other, so that
they keep their order, and no subscription waits for another one.

A delivery is removed after it has arrived: who dies in between brings it again (at least once). One that fails is tried again
as its policy says, and holds up what is behind it; when the policy is exhausted it has expired, and so has all that is older
than an hour. Runs where the control loop does; nothing is remembered but in the outbox.
"""

from __future__ import annotations

import asyncio
from collections import Counter as Counted
from collections.abc import Sequence
from typing import Protocol

import msgspec
import structlog

from cachefleet.clock import Clock
from cachefleet.courier.failure import Undelivered
from cachefleet.interfaces import Store, StoreError
from cachefleet.metrics.instruments import Counter, Instruments
from cachefleet.model.notice import Delivery, Notice, Posted
from cachefleet.model.row import TopicRow
from cachefleet.model.topic import DeliveryProtocol, Subscription, TopicDesired, subscription_arn, topic_key
from cachefleet.notice_interfaces import Outbox
from cachefleet.notices.backoff import OF_MAIL, PolicyRefused, RetryPolicy, delay_s, effective
from cachefleet.notices.filters import accepts
from cachefleet.notices.messages import wants

LOOK_S = 1.0  # for what other services have published; what this one has is told at once
AT_ONCE = 50  # notices that are handed out together
ATTEMPTS_AT_ONCE = 256  # each is a connection
LONGEST_WAIT_S = 3600.0  # what is older is given up along with one that expires

log = structlog.get_logger()


class Sends(Protocol):
    async def send(self, topic: TopicDesired, subscription: Subscription, arn: str, notice: Notice) -> None:
        """One attempt. Raises Undelivered."""


class Courier:
    """run() for each term of leadership, until cancelled."""

    def __init__(
        self, store: Store, outbox: Outbox, senders: Sends, clock: Clock, most_waiting: int, outcomes: Counter | None = None
    ) -> None:
        """most_waiting: for one subscription. outcomes: counts deliveries by how they ended."""
        self._store = store
        self._outbox = outbox
        self._senders = senders
        self._clock = clock
        self._most_waiting = most_waiting
        self._outcomes = outcomes or Instruments().notices
        self._published = asyncio.Event()
        self._waiting: dict[str, int] = {}
        self._workers: dict[str, asyncio.Task[None]] = {}
        self._gate = asyncio.Semaphore(ATTEMPTS_AT_ONCE)
        outbox.on_publish(self._published.set)

    async def run(self) -> None:
        try:
            await self._go_on()
            while True:
                self._published.clear()
                if not await self._look_safely():
                    await self._pause()
        finally:
            workers, self._workers = list(self._workers.values()), {}
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    async def _go_on(self) -> None:
        """With what another term has left."""
        while True:
            try:
                self._waiting = await self._outbox.waiting()
                break
            except StoreError as error:
                log.warning("notices were not looked at: the store failed", why=str(error))
                await self._clock.sleep(LOOK_S)
        for subscription in self._waiting:
            self._employ(subscription)

    async def _pause(self) -> None:
        """Until something is published, a second at most."""
        waits = [asyncio.ensure_future(self._published.wait()), asyncio.ensure_future(self._clock.sleep(LOOK_S))]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _look_safely(self) -> bool:
        try:
            return await self._look()
        except StoreError as error:
            log.warning("notices were not handed out: the store failed", why=str(error))
        except Exception:
            log.exception("notices were not handed out")
        return False

    async def _look(self) -> bool:
        """Hand out what was published; whether there may be more. Raises StoreError."""
        posted = await self._outbox.posted(AT_ONCE)
        if not posted:
            return False
        handed_out = await self._receivers(posted)
        await self._outbox.hand_out(handed_out)
        for _, subscriptions in handed_out:
            for subscription in subscriptions:
                self._waiting[subscription] = self._waiting.get(subscription, 0) + 1
                self._employ(subscription)
        return len(posted) == AT_ONCE

    async def _receivers(self, posted: Sequence[Posted]) -> list[tuple[Posted, list[str]]]:
        """With ARNs of subscriptions. Raises StoreError."""
        found = []
        more = Counted[str]()
        for one in posted:
            taken = []
            for arn in await self._wanted(one.notice):
                if self._waiting.get(arn, 0) + more[arn] < self._most_waiting:
                    more[arn] += 1
                    taken.append(arn)
                else:
                    self._outcomes.add("lost")
                    log.warning("a notice is lost: too many wait", subscription=arn, notice=one.notice.notice_id)
            found.append((one, taken))
        return found

    async def _wanted(self, notice: Notice) -> list[str]:
        key = topic_key(notice.topic_arn)
        row: TopicRow | None = await self._store.get(key[0]) if key is not None else None
        if row is None:
            log.warning("a notice has no topic", topic=notice.topic_arn, notice=notice.notice_id)
            return []
        return [notice.subscription] if notice.subscription else _subscribers(row, notice)

    def _employ(self, subscription: str) -> None:
        if subscription not in self._workers:
            self._workers[subscription] = asyncio.create_task(self._work(subscription))

    async def _work(self, subscription: str) -> None:
        """Until nothing waits for the subscription any more. Between the last look and the end nobody else gets a turn, so that
        whoever hands out afterwards finds no worker, and employs another."""
        while True:
            before = self._waiting.get(subscription, 0)
            try:
                delivery = await self._outbox.next_delivery(subscription)
                if delivery is not None:
                    await self._clock.sleep(self._patience_s(delivery))
                    async with self._gate:
                        await self._attempt(delivery)
                elif before == self._waiting.get(subscription, 0):
                    break
            except StoreError as error:
                log.warning("deliveries wait: the store failed", subscription=subscription, why=str(error))
                await self._clock.sleep(LOOK_S)
            except Exception:
                log.exception("deliveries wait", subscription=subscription)
                await self._clock.sleep(LOOK_S)
        self._waiting.pop(subscription, None)
        self._workers.pop(subscription, None)

    def _patience_s(self, delivery: Delivery) -> float:
        """Never more than an hour, should the machine's clock have been set back."""
        return min(max(0.0, delivery.due_at - self._clock.now()), LONGEST_WAIT_S) if delivery.attempts else 0.0

    async def _attempt(self, delivery: Delivery) -> None:
        """Raises StoreError."""
        arn, notice = delivery.subscription, delivery.notice
        topic, subscription = await self._find(arn)
        if topic is None or subscription is None or not wants(subscription, notice.kind):
            await self._end(delivery, "dropped")
            return
        try:
            await self._senders.send(topic, subscription, arn, notice)
        except Undelivered as error:
            await self._failed(delivery, _policy(topic, subscription), str(error), lasting=error.lasting)
        except Exception as error:
            log.exception("a message cannot be sent", subscription=arn, notice=notice.notice_id)
            await self._failed(delivery, _policy(topic, subscription), type(error).__name__, lasting=False)
        else:
            await self._end(delivery, "delivered")

    async def _find(self, arn: str) -> tuple[TopicDesired | None, Subscription | None]:
        found = topic_key(arn)
        row: TopicRow | None = await self._store.get(found[0]) if found is not None else None
        if row is None or found is None:
            return None, None
        return row.desired, next((one for one in row.desired.subscriptions if one.uid == found[1]), None)

    async def _failed(self, delivery: Delivery, policy: RetryPolicy, why: str, *, lasting: bool) -> None:
        arn, attempts = delivery.subscription, delivery.attempts + 1
        told = {"subscription": arn, "notice": delivery.notice.notice_id, "attempts": attempts, "why": why}
        again_s = None if lasting else delay_s(policy, attempts)
        if again_s is not None:
            due_at = self._clock.now() + again_s
            await self._outbox.postpone(msgspec.structs.replace(delivery, attempts=attempts, due_at=due_at))
            log.info("a delivery has failed and is tried again", **told, again_in_s=round(again_s, 1))
            return
        await self._end(delivery, "expired")
        log.warning("a delivery has expired", **told)
        if lasting:
            return
        forgotten = await self._outbox.forget(arn, self._clock.now() - LONGEST_WAIT_S)
        if forgotten:
            self._waiting[arn] = max(0, self._waiting.get(arn, 0) - forgotten)
            self._outcomes.add("expired", by=forgotten)
            log.warning("deliveries older than an hour have expired along with it", subscription=arn, count=forgotten)

    async def _end(self, delivery: Delivery, outcome: str) -> None:
        await self._outbox.done(delivery)
        self._outcomes.add(outcome)
        self._waiting[delivery.subscription] = max(0, self._waiting.get(delivery.subscription, 0) - 1)


def _subscribers(row: TopicRow, notice: Notice) -> list[str]:
    return [
        subscription_arn(row.key, one.uid) for one in row.desired.subscriptions if one.is_confirmed and _lets_pass(one, notice)
    ]


def _lets_pass(subscription: Subscription, notice: Notice) -> bool:
    """A filter that a later version has written, and this one cannot read, keeps nobody else from the message."""
    try:
        return accepts(subscription.filter_policy, subscription.filter_scope, notice)
    except Exception:
        log.exception("a filter cannot be applied", subscription=subscription.uid, notice=notice.notice_id)
        return False


def _policy(topic: TopicDesired, subscription: Subscription) -> RetryPolicy:
    if subscription.protocol in (DeliveryProtocol.EMAIL, DeliveryProtocol.EMAIL_JSON):
        return OF_MAIL
    try:
        return effective(topic.delivery_policy, subscription.delivery_policy)
    except PolicyRefused:  # as a later version has written it
        return RetryPolicy()
