"""Ends what runs beside a service."""

from __future__ import annotations

import asyncio


async def end(task: asyncio.Task[None]) -> None:
    """Cancelled, and over, however it ended."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
