from __future__ import annotations

import asyncio

import pytest

from cachefleet.store.errors import StoreError
from cachefleet.store.gate import Gate


def test_no_more_than_its_width_are_inside_and_the_first_come_first() -> None:
    async def body() -> None:
        gate, inside, order = Gate(3), 0, list[int]()
        most = 0

        async def visit(number: int) -> None:
            nonlocal inside, most
            async with gate:
                order.append(number)
                inside += 1
                most = max(most, inside)
                await asyncio.sleep(0)
                inside -= 1

        await asyncio.gather(*(visit(number) for number in range(20)))
        assert (most, order) == (3, list(range(20)))

    asyncio.run(body())


def test_closing_waits_for_those_inside_and_refuses_those_in_the_queue() -> None:
    async def body() -> None:
        gate, go = Gate(1), asyncio.Event()

        async def visit() -> str:
            async with gate:
                await go.wait()
                return "was inside"

        visits = [asyncio.create_task(visit()) for _ in range(3)]
        await asyncio.sleep(0)
        visits[1].cancel()
        closers = [asyncio.create_task(gate.close()) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(StoreError, match="closed"):
            await visit()
        assert not any(closer.done() for closer in closers)
        go.set()
        await asyncio.gather(*closers)
        first, second, third = await asyncio.gather(*visits, return_exceptions=True)
        assert first == "was inside"
        assert isinstance(second, asyncio.CancelledError)
        assert isinstance(third, StoreError)

    asyncio.run(body())


def test_a_cancelled_closing_can_be_tried_again() -> None:
    async def body() -> None:
        gate = Gate(2)
        async with gate:
            closer = asyncio.create_task(gate.close())
            await asyncio.sleep(0)
            closer.cancel()
            await asyncio.gather(closer, return_exceptions=True)
        async with asyncio.timeout(1):
            await gate.close()

    asyncio.run(body())
