"""The seams of notifications: the outbox, in which notices wait for their subscribers, and how they reach them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from cachefleet.model.notice import Delivery, Posted


class Outbox(Protocol):
    """What Transaction.publish left, and what became of it. Durable: a notice is there until it was handed out, a delivery
    until it is done. Every method raises interfaces.StoreError when the database cannot be used."""

    async def posted(self, limit: int) -> list[Posted]:
        """Those that were not handed out yet, oldest first."""

    async def hand_out(self, posted: Sequence[tuple[Posted, Sequence[str]]]) -> None:
        """In the place of each notice, a delivery to each of these subscriptions: all, or none. One that somebody else has
        handed out meanwhile is left alone."""

    async def waiting(self) -> dict[str, int]:
        """How many deliveries each subscription has that has any."""

    async def next_delivery(self, subscription: str) -> Delivery | None:
        """The oldest of the subscription."""

    async def postpone(self, delivery: Delivery) -> None:
        """Keep its attempts and due_at."""

    async def done(self, delivery: Delivery) -> None:
        """It has arrived, or it is given up."""

    async def forget(self, subscription: str, before: float) -> int:
        """Drop the subscription's deliveries of notices from before that time (epoch seconds); returns how many."""

    def on_publish(self, callback: Callable[[], None]) -> None:
        """callback() in the event loop after each commit of this process that has published. Others' are found by looking."""
