"""Counts nodes that run, once a minute, into the ledger of used nodes. Only where the control loop runs.

What is written is decided by costs.ledger. It is written under the token of the lease, so that two services never count the
same minute; one that takes over goes on with the spans that it finds.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

from cachefleet.clock import Clock
from cachefleet.costs.ledger import Seen, entries, seen
from cachefleet.costs.offerings import cost_per_hour
from cachefleet.interfaces import Conflict, Deposed, Store, StoreError
from cachefleet.model.resource import GROUP_KINDS, Key
from cachefleet.model.row import GroupRow
from cachefleet.model.usage import Use
from cachefleet.settings import Settings
from cachefleet.usage_interfaces import UsageLedger

COST = "cachefleet_on_demand_cost_per_hour"
LOOK_S = 60.0
DAY_S = 86_400.0
KEPT_S = 400 * DAY_S  # 13 months
_PAGE = 100  # groups that are looked at in one go

log = structlog.get_logger()


class UsageCounter:
    """run() for each term of leadership, until cancelled."""

    def __init__(
        self, store: Store, ledger: UsageLedger, clock: Clock, lease: str, token: Callable[[], int], settings: Settings
    ) -> None:
        """token: of our lease; raises Deposed where it is not ours. settings: with the price list."""
        self._settings = settings
        self._uses: list[Use] = []  # as they were counted last in this term
        self._store = store
        self._ledger = ledger
        self._clock = clock
        self._lease = lease
        self._token = token

    def cost_per_hour(self) -> float:
        """On demand, of what was counted last; 0 where the control loop does not run."""
        return cost_per_hour(self._uses, self._settings)

    async def run(self) -> None:
        try:
            await self._count()
        finally:
            self._uses = []

    async def _count(self) -> None:
        while True:
            await self._clock.sleep(LOOK_S)
            try:
                await self.look()
            except (StoreError, Conflict) as error:
                log.warning("nodes were not counted: the store failed", why=str(error))
            except Deposed:
                continue
            except Exception:
                log.exception("nodes were not counted")

    async def look(self) -> None:
        """At every group, once. Raises Deposed, StoreError."""
        token = self._token()
        now = self._clock.now()
        counted = await self._ledger.counted()
        going_on = await self._ledger.going_on()
        groups = await self._groups(now)
        found = entries(going_on, groups, min(counted.until, now) if counted is not None else now, now)
        await self._ledger.write(self._lease, token, now, found.closed, found.begun)
        self._uses = [one.use for one in groups.values()]
        if counted is None or now // DAY_S != counted.until // DAY_S:
            await self._ledger.forget(now - KEPT_S)

    async def _groups(self, now: float) -> dict[Key, Seen]:
        found: dict[Key, Seen] = {}
        for scope in sorted({key.scope for key in await self._store.keys(GROUP_KINDS)}):
            for kind in GROUP_KINDS:
                after = ""
                while rows := await self._store.rows(kind, scope, after, _PAGE):
                    found.update(_seen(rows, now))
                    after = rows[-1].key.name
                    await self._clock.sleep(0)
        return found


def _seen(rows: list[GroupRow], now: float) -> dict[Key, Seen]:
    return {row.key: one for row in rows if (one := seen(row, now)) is not None}
