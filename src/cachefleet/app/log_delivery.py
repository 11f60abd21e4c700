"""Where logs are kept (a file beside the database, or that one where several services share it), and who fills it."""

from __future__ import annotations

from contextlib import AsyncExitStack

from cachefleet.app.parts import Parts
from cachefleet.clock import Clock
from cachefleet.log_interfaces import LogStore
from cachefleet.settings import Settings
from cachefleet.store import LogFile, open_log_store
from cachefleet.telemetry.log_collector import LogCollector
from cachefleet.telemetry.log_reading import LogSources
from cachefleet.telemetry.log_sending import SettingsLogSender

FILE = "logs.db"


async def open_logs(settings: Settings, stack: AsyncExitStack) -> LogStore:
    """A file of ours that cannot be used keeps nobody from starting; the database that is shared has to have room for logs.
    Raises StoreError."""
    url = settings.database_url
    store: LogStore = await open_log_store(url) if url else LogFile(settings.data_dir / FILE)
    stack.push_async_callback(store.close)
    return store


def log_collector(settings: Settings, parts: Parts, logs: LogStore, clock: Clock) -> LogCollector:
    sources = LogSources(
        store=parts.store,
        logs=logs,
        files=parts.host.log_files,
        resp=parts.resp,
        sender=SettingsLogSender(settings.logs),
        clock=clock,
        settings=settings.logs,
        permit=parts.leadership.permit,
    )
    return LogCollector(sources)
