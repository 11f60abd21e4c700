from __future__ import annotations

import asyncio

import pytest

from cachefleet.store.cancellation import uninterrupted


def test_results_and_errors_come_through() -> None:
    async def give() -> int:
        return 7

    async def fail() -> int:
        raise ZeroDivisionError

    assert asyncio.run(uninterrupted(give())) == 7
    with pytest.raises(ZeroDivisionError):
        asyncio.run(uninterrupted(fail()))


@pytest.mark.parametrize("fails", [False, True])
def test_a_cancellation_counts_when_the_work_is_done(fails: bool) -> None:
    async def body() -> None:
        begun, go, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def work() -> None:
            begun.set()
            await go.wait()
            done.set()
            if fails:
                raise ZeroDivisionError

        task = asyncio.create_task(uninterrupted(work()))
        await begun.wait()
        for _ in range(3):
            task.cancel()
            await asyncio.sleep(0)
            assert not task.done()
        go.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert done.is_set()

    asyncio.run(body())
