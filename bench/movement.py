"""When slots begin to move away from their owners, and when the last of them has arrived: looked at from outside, without a
pause, in the owners' own words. The same for whoever moves them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import msgspec
import redis

from bench.clients import Where

LOOK_EVERY_S = 0.01


class Span(msgspec.Struct, frozen=True):
    since_s: float  # of time.perf_counter()
    until_s: float

    @property
    def seconds(self) -> float:
        return self.until_s - self.since_s


class Movement:
    """Watches inside the block. sources: who owns slots now; kept: how many all of them together shall own in the end."""

    def __init__(self, sources: Sequence[Where], kept: int) -> None:
        self._sources, self._kept = sources, kept
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._begun_s = self._ended_s = 0.0
        self._failure: Exception | None = None

    def __enter__(self) -> Movement:
        self._thread.start()
        return self

    def __exit__(self, *ended: object) -> None:
        self._stop.set()
        self._thread.join(30)

    def seen(self) -> Span | None:
        """None before its end."""
        if self._failure is not None:
            raise AssertionError(f"the movement could not be watched: {self._failure}")
        return Span(self._begun_s, self._ended_s) if self._ended_s else None

    def _run(self) -> None:
        try:
            self._watch()
        except Exception as error:
            self._failure = error

    def _watch(self) -> None:
        with ExitStack() as stack:
            sources = [stack.enter_context(_raw(where)) for where in self._sources]
            while not self._stop.wait(LOOK_EVERY_S):
                now_s = time.perf_counter()
                if not self._begun_s:
                    self._begun_s = now_s if any(_moves(source) for source in sources) else 0.0
                elif sum(_owned(source) for source in sources) <= self._kept:
                    self._ended_s = now_s
                    return


@contextmanager
def _raw(where: Where) -> Iterator[Any]:
    """One connection, replies as they come."""
    with redis.Redis(*where, socket_timeout=10, decode_responses=True) as client:
        client.response_callbacks.clear()
        yield client


def _owned(source: Any) -> int:
    nodes = source.execute_command("CLUSTER NODES")
    (own,) = [line.split(" ")[8:] for line in nodes.splitlines() if "myself" in line.split(" ")[2]]
    spans = [span.partition("-") for span in own if not span.startswith("[")]
    return sum(int(last or first) - int(first) + 1 for first, _, last in spans)


def _moves(source: Any) -> bool:
    if "->-" in source.execute_command("CLUSTER NODES"):
        return True
    try:
        return bool(source.execute_command("CLUSTER GETSLOTMIGRATIONS"))
    except redis.exceptions.ResponseError:  # before Valkey 9
        return False
