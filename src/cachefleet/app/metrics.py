"""What metrics are kept in (a file beside the database, or the same database where several services share one), and who may
scrape them."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import os
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

from cachefleet.app.tasks import end
from cachefleet.clock import Clock, Entropy
from cachefleet.metric_interfaces import MetricStore
from cachefleet.metrics.instruments import Instruments
from cachefleet.settings import Settings
from cachefleet.store import MetricFile, open_metric_store
from cachefleet.telemetry.exposition import Exposition
from cachefleet.telemetry.recorder import Recorder

FILE = "metrics.db"
SCRAPERS_FILE = "metrics.token"


async def open_metrics(
    settings: Settings, clock: Clock, entropy: Entropy, stack: AsyncExitStack, instruments: Instruments
) -> Recorder:
    """It writes what it is told until the stack ends. A file of ours that cannot be used keeps nobody from starting; the
    database that is shared has to have room for metrics. Raises StoreError."""
    url = settings.database_url
    store: MetricStore = await open_metric_store(url) if url else MetricFile(settings.data_dir / FILE)
    stack.push_async_callback(store.close)
    recorder = Recorder(store, clock, entropy.hex(8), instruments.values_lost)
    instruments.gauge(
        "cachefleet_metric_blocks_waiting", "Blocks of measured values that are not stored yet.", recorder.waiting
    )
    task = asyncio.create_task(recorder.run())
    stack.push_async_callback(end, task)
    return recorder


class Scrapes:
    """Who may read GET /metrics: whoever shows the token of the data folder, or everybody by the setting metrics.open."""

    def __init__(self, settings: Settings, entropy: Entropy, exposition: Exposition) -> None:
        """Raises OSError."""
        self._open = settings.metrics.open
        self._expected = _token(settings.data_dir / SCRAPERS_FILE, entropy)
        self._exposition = exposition

    def answer(self, authorization: str) -> bytes | None:
        """None for who may not."""
        scheme, _, shown = authorization.partition(" ")
        if not self._open and not (scheme.lower() == "bearer" and hmac.compare_digest(shown.strip().encode(), self._expected)):
            return None
        return self._exposition.text()


def _token(file: Path, entropy: Entropy) -> bytes:
    """Made when it is not there, or empty; several services of one data folder may do so at once."""
    descriptor, fresh = tempfile.mkstemp(prefix=".metrics-", dir=file.parent)  # 0600
    try:
        os.write(descriptor, f"{entropy.hex(32)}\n".encode())
        os.close(descriptor)
        with contextlib.suppress(FileExistsError):
            os.link(fresh, file)
        if not file.read_bytes().strip():
            Path(fresh).replace(file)
    finally:
        Path(fresh).unlink(missing_ok=True)
    return file.read_bytes().strip()
