"""One connection to an engine on which questions overlap: they are answered in the order in which they were sent.

Knows no format: subclasses cut what arrives into replies. Replies to questions that nobody waits for any more are taken all
the same; too many of those end the connection, and so does a reply to nothing. Kept by OpenConnections.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

R = TypeVar("R")
_MOST_UNANSWERED = 8  # a frozen process is asked again on the same connection; a network that lost us needs a new one


class ConnectionEnded(Exception):
    """The connection is over before everything was answered; the message says why."""


class _Question(Generic[R]):
    """Asked and not answered in full yet. future: None when only the answer's coming matters."""

    __slots__ = ("complete", "future", "replies")

    def __init__(self, complete: Callable[[list[R]], bool], future: asyncio.Future[list[R]] | None) -> None:
        self.complete = complete
        self.future = future
        self.replies: list[R] = []


class Conversation(asyncio.Protocol, Generic[R]):
    """pulse: a question that costs the other side nothing; pulse_complete: whether these replies are all of its answer."""

    def __init__(self, pulse: bytes, pulse_complete: Callable[[list[R]], bool]) -> None:
        self.ended = ""
        self.closed = asyncio.Event()
        self._pulse = pulse
        self._pulse_complete = pulse_complete
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[_Question[R]] = deque()
        self._unanswered: _Question[R] | None = None  # the first such at the last pulse

    def ask(self, data: bytes, complete: Callable[[list[R]], bool]) -> asyncio.Future[list[R]]:
        """Write at once, without waiting for the replies (they are taken in order all the same). Raises ConnectionEnded."""
        future: asyncio.Future[list[R]] = asyncio.get_running_loop().create_future()
        if self.ended or self._transport is None:
            raise ConnectionEnded(self.ended or "not connected")
        self._waiting.append(_Question(complete, future))
        self._transport.write(data)
        return future

    async def answer(self, future: asyncio.Future[list[R]]) -> list[R]:
        """What `ask` promised. Raises ConnectionEnded."""
        try:
            return await future
        except asyncio.CancelledError:
            if len(self._waiting) > _MOST_UNANSWERED:
                self.abort("too many questions were not answered in time")
            raise

    def pulse(self) -> bool | None:
        """Whether nothing is unanswered, or what was at the last call no longer is (a verb may ask without a pause); asks for
        another sign of life where nothing is. Any answer is one, an error too. None: ended."""
        if self.ended or self._transport is None:
            return None
        before, self._unanswered = self._unanswered, self._waiting[0] if self._waiting else None
        if self._waiting:
            return before not in (None, self._waiting[0])
        self._waiting.append(_Question(self._pulse_complete, None))
        self._transport.write(self._pulse)
        return True

    def abort(self, why: str) -> None:
        """Close at once. What was written is still sent where the socket takes it."""
        self.ended = self.ended or why
        if self._transport is not None:
            self._transport.close()

    def take(self, reply: R) -> None:
        """The next reply, for subclasses."""
        if not self._waiting:
            self.abort("answered what was not asked")
            return
        question = self._waiting[0]
        question.replies.append(reply)
        if question.complete(question.replies):
            self._waiting.popleft()
            if question.future is not None and not question.future.done():
                question.future.set_result(question.replies)

    def peer_certificate(self) -> Any:
        """What the other side has proven of itself, as Python's ssl gives it; None without TLS."""
        return None if self._transport is None else self._transport.get_extra_info("peercert")

    # --- asyncio.Protocol ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transports are no subclass of it

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set()
        self.ended = self.ended or (f"connection lost: {exc}" if exc else "connection closed by the engine")
        while self._waiting:
            future = self._waiting.popleft().future
            if future is not None and not future.done():
                future.set_exception(ConnectionEnded(self.ended))
                future.exception()  # nobody may be waiting any more: that is no error
