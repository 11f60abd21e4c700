"""Work with a database driver that a cancellation must not tear apart.

A connection whose statement was abandoned half-way cannot be used again, and a new one that nobody waits for any more is never
closed. So a cancellation waits for the driver: milliseconds, at worst one of the driver's own time limits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def uninterrupted(work: Coroutine[Any, Any, T]) -> T:
    """What the work returns or raises. A cancellation of the caller counts when the work is done, and wins over its result."""
    task = asyncio.create_task(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        if not task.cancelled():
            task.exception()  # looked at, so that nobody complains that it was never seen
        raise cancelled
    return task.result()
