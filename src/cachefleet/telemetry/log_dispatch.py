"""Sends what waits in the store to folders and HTTP collectors, and again until it has arrived. Run by LogCollector."""

from __future__ import annotations

import asyncio

import structlog

from cachefleet.interfaces import Deposed, StoreError
from cachefleet.telemetry.log_reading import LogSources

AT_ONCE = 500  # events in one request
LONGEST_PAUSE_S = 60.0

log = structlog.get_logger()


class LogDispatch:
    def __init__(self, sources: LogSources) -> None:
        self._sources = sources
        self._waiting: dict[str, int] = {}
        self._failures: dict[str, tuple[str, int, float]] = {}  # by stream: why, how often in a row, when to try again

    def failure(self, stream: str) -> str:
        """Why nothing arrives there at present, "" when it does or nothing was sent yet."""
        return self._failures.get(stream, ("", 0, 0.0))[0]

    def is_full(self, stream: str) -> bool:
        return self._waiting.get(stream, 0) >= self._sources.settings.waiting_events

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._sources.clock.sleep(self._sources.settings.interval_s)
            try:
                await self.look()
            except Deposed:
                continue
            except StoreError as error:
                log.warning("logs were not sent: the store failed", why=str(error))
            except Exception:
                log.exception("logs cannot be sent")

    async def look(self) -> None:
        """Raises Deposed, StoreError."""
        self._waiting = await self._sources.logs.waiting()
        now = self._sources.clock.monotonic()
        due = [stream for stream in self._waiting if self._failures.get(stream, ("", 0, 0.0))[2] <= now]
        await asyncio.gather(*map(self._send, due))

    async def _send(self, stream: str) -> None:
        sources = self._sources
        while True:
            sources.permit()
            parcels = await sources.logs.parcels(stream, AT_ONCE)
            why = await sources.sender.send(stream, parcels) if parcels else ""
            if why:
                times = self._failures.get(stream, ("", 0, 0.0))[1] + 1
                pause_s = min(LONGEST_PAUSE_S, sources.settings.interval_s * 2**times)
                self._failures[stream] = why, times, sources.clock.monotonic() + pause_s
                return
            self._failures.pop(stream, None)
            if not parcels:
                return
            await sources.logs.sent(stream, parcels[-1].number)
