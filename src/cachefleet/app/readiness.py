"""Whether this service can do its work: the database answers, and the control loop leads or stands by.

Looks at most once a second, however often it is asked: anybody may ask. Called by the gateway for GET /readyz.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

import structlog

from cachefleet.clock import Clock
from cachefleet.control.leadership import LEADS, STANDS_BY, Leadership
from cachefleet.gateway.health import Readiness
from cachefleet.interfaces import Store
from cachefleet.model.resource import Kind

FRESH_S = 1.0
PATIENCE_S = 2.0

log = structlog.get_logger()
DATABASE, LOOP = "database", "control_loop"


class ReadinessProbe:
    def __init__(self, store: Store, leadership: Leadership, is_running: Callable[[], bool], clock: Clock) -> None:
        """is_running: whether the task of the control loop has not ended."""
        self._store = store
        self._leadership = leadership
        self._is_running = is_running
        self._clock = clock
        self._looked_at = -math.inf
        self._database = ""
        self._look: asyncio.Task[str] | None = None

    async def ready(self) -> Readiness:
        if self._look is None and self._clock.monotonic() - self._looked_at >= FRESH_S:
            self._look = asyncio.create_task(self._ask())
        if self._look is not None:  # one for all who ask meanwhile; a database that hangs is not asked again
            patience = asyncio.create_task(self._clock.sleep(PATIENCE_S))
            await asyncio.wait([self._look, patience], return_when=asyncio.FIRST_COMPLETED)
            patience.cancel()
        database = self._database if self._look is None else "it does not answer"
        checks = {DATABASE: database or "answers", LOOP: self._leadership.standing if self._is_running() else "has ended"}
        failed = [DATABASE] * bool(database) + [LOOP] * (checks[LOOP] not in (LEADS, STANDS_BY))
        return Readiness(checks, tuple(failed))

    async def _ask(self) -> str:
        """What is wrong with the database; what the store says of it stays in the log."""
        try:
            await self._store.keys((Kind.USER,))
            self._database = ""
        except Exception:  # also of a store that is closed by now
            log.warning("not ready: the database cannot be used", exc_info=True)
            self._database = "it cannot be used; the log says why"
        finally:
            self._looked_at, self._look = self._clock.monotonic(), None
        return self._database
