"""Opens what metrics are kept in: a file beside the database, or the same database where several services share one."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from cachefleet.clock import Clock, Entropy
from cachefleet.settings import Settings
from cachefleet.store import open_metric_store
from cachefleet.telemetry.recorder import Recorder

FILE = "metrics.db"


async def open_metrics(settings: Settings, clock: Clock, entropy: Entropy, stack: AsyncExitStack) -> Recorder:
    """It writes what it is told until the stack ends. Raises StoreError."""
    store = await open_metric_store(settings.database_url or f"sqlite+aiosqlite:///{settings.data_dir / FILE}")
    stack.push_async_callback(store.close)
    recorder = Recorder(store, clock, entropy.hex(8))
    task = asyncio.create_task(recorder.run())
    stack.push_async_callback(_end, task)
    return recorder


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
