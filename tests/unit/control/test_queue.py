"""The keyed queue: nothing lost, nothing doubled, one worker per key, in order of time."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from cachefleet.clock import SystemClock
from cachefleet.control.queue import KeyedQueue


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(test)


def test_a_key_that_is_added_twice_comes_once() -> None:
    async def test() -> None:
        queue: KeyedQueue[str] = KeyedQueue(SystemClock())
        queue.add("a")
        queue.add("a")
        queue.add("b")
        assert [await queue.get(), await queue.get()] == ["a", "b"]
        queue.done("a")
        queue.done("b")
        assert queue.overdue() == (0, 0.0)

    run(test())


def test_an_earlier_time_wins() -> None:
    async def test() -> None:
        queue: KeyedQueue[str] = KeyedQueue(SystemClock())
        queue.add("late", 3600)
        queue.add("soon", 0.01)
        queue.add("late", 0)
        queue.add("late", 7200)
        assert await queue.get() == "late"
        assert await queue.get() == "soon"

    run(test())


def test_a_key_added_while_its_worker_runs_comes_again_only_afterwards() -> None:
    async def test() -> None:
        queue: KeyedQueue[str] = KeyedQueue(SystemClock())
        queue.add("a")
        assert await queue.get() == "a"
        queue.add("a")
        queue.add("b")
        assert await queue.get() == "b"
        waiting = asyncio.create_task(queue.get())
        await asyncio.sleep(0)
        assert not waiting.done(), "one worker per key"
        queue.done("a")
        assert await waiting == "a"

    run(test())


def test_many_workers_see_every_key_as_often_as_it_was_due() -> None:
    async def test() -> None:
        queue: KeyedQueue[int] = KeyedQueue(SystemClock())
        running: set[int] = set()
        seen: list[int] = []
        enough = asyncio.Event()

        async def work() -> None:
            while True:
                key = await queue.get()
                assert key not in running
                running.add(key)
                await asyncio.sleep(0)
                seen.append(key)
                if len(seen) == 60:
                    enough.set()
                running.discard(key)
                queue.done(key)
                if seen.count(key) < 3:
                    queue.add(key)

        workers = [asyncio.create_task(work()) for _ in range(4)]
        for key in range(20):
            queue.add(key)
        async with asyncio.timeout(5):
            await enough.wait()
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        assert sorted(seen) == sorted(list(range(20)) * 3)

    run(test())
