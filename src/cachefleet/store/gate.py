"""A bounded number of users of a thing, first come first served, and an end that waits for those who are inside.

Keeps connection pools from running over. Used by database.py.
"""

from __future__ import annotations

import asyncio

from cachefleet.store.errors import StoreError


class Gate:
    """`async with gate:` waits for one of `width` places. Raises StoreError once it is closed."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._places = asyncio.Semaphore(width)
        self._closed = False

    async def __aenter__(self) -> None:
        self._refuse_when_closed()
        await self._places.acquire()
        try:
            self._refuse_when_closed()
        except StoreError:
            self._places.release()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._places.release()

    async def close(self) -> None:
        """Let nobody in any more, return when the last one has left. Whoever calls it again waits as well."""
        self._closed = True
        taken = 0
        try:
            while taken < self._width:
                await self._places.acquire()
                taken += 1
        finally:
            for _ in range(taken):  # so that those in the queue come to the front, and are refused
                self._places.release()

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise StoreError("the store is closed")
