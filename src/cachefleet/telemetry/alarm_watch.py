"""Evaluates every alarm when a period of it has ended, and writes down its state. Only where the control loop runs.

Which state follows from which values is decided by metrics.alarms; this reads values and writes rows.
"""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import structlog

from cachefleet.clock import Clock
from cachefleet.interfaces import Conflict, Store, StoreError
from cachefleet.metric_interfaces import Metrics
from cachefleet.metrics.alarms import MORE_PERIODS, evaluate, period_ends, rule_of, state_change
from cachefleet.metrics.dimensions import sources
from cachefleet.metrics.instruments import Counter, Instruments
from cachefleet.metrics.statistics import binned, read_statistic, series_of, together
from cachefleet.model.alarm import AlarmDesired, AlarmState
from cachefleet.model.metric import RESOLUTIONS, names_of
from cachefleet.model.resource import Key, Kind
from cachefleet.model.row import AlarmRow

LOOK_S = 5.0
DELAY_S = 4.0  # values of a period come a moment after its end

log = structlog.get_logger()


class AlarmWatch:
    """run() for each term of leadership, until cancelled."""

    def __init__(
        self, store: Store, metrics: Metrics, clock: Clock, most_nodes: int, evaluations: Counter | None = None
    ) -> None:
        """most_nodes: of a Memcached cluster. evaluations: counts them."""
        self._evaluations = evaluations or Instruments().alarms
        self._store = store
        self._metrics = metrics
        self._clock = clock
        self._most_nodes = most_nodes
        self._evaluated: dict[Key, tuple[int, int]] = {}  # version of the row, end of the last period

    async def run(self) -> None:
        self._evaluated.clear()
        while True:
            await self._clock.sleep(LOOK_S)
            try:
                await self.look()
            except StoreError as error:
                log.warning("alarms were not evaluated: the store failed", why=str(error))

    async def look(self) -> None:
        """Evaluate those of which a period has ended since, or that were changed. Raises StoreError."""
        keys = await self._store.keys((Kind.ALARM,))
        self._evaluated = {key: seen for key, seen in self._evaluated.items() if key in set(keys)}
        for key in keys:
            row: AlarmRow | None = await self._store.get(key)
            if row is None:
                continue
            end = period_ends(self._clock.now(), row.desired.period_s, DELAY_S)
            if self._evaluated.get(key) == (row.version, end):
                continue
            try:
                version = await self._evaluate(row, end)
                self._evaluated[key] = version, end
            except Conflict:  # somebody has changed it: again by the next look
                continue
            except StoreError:
                raise
            except Exception:
                log.exception("an alarm cannot be evaluated", alarm=str(key))
                self._evaluated[key] = row.version, end
            await self._clock.sleep(0)

    async def _evaluate(self, row: AlarmRow, end: int) -> int:
        """The row's version afterwards. A state that stays the same is not written anew. Raises Conflict, StoreError."""
        alarm = row.desired
        self._evaluations.add()
        verdict = evaluate(rule_of(alarm), await self._points(alarm, end), end, alarm.period_s)
        if verdict.value is None or verdict.value is alarm.state.value:
            return row.version
        data = {
            "version": "1.0",
            "queryDate": _iso(self._clock.now()),
            "statistic": alarm.statistic,
            "period": alarm.period_s,
            "recentDatapoints": verdict.recent,
            "threshold": alarm.threshold,
        }
        state = AlarmState(verdict.value, verdict.reason, msgspec.json.encode(data).decode())
        changed = msgspec.structs.replace(row, desired=state_change(alarm, state, self._clock.now()))
        async with self._store.transaction() as transaction:
            stored = await transaction.update(changed)
        log.info("alarm changed", alarm=str(row.key), state=verdict.value.value, reason=verdict.reason)
        return stored.version

    async def _points(self, alarm: AlarmDesired, end: int) -> dict[int, float]:
        """By the begin of the period."""
        statistic = read_statistic(alarm.statistic)
        if statistic is None:  # of a later version
            return {}
        start = end - alarm.period_s * (alarm.evaluation_periods + MORE_PERIODS)
        resolution = RESOLUTIONS[0] if alarm.period_s < 60 else RESOLUTIONS[1]
        series = sources(alarm.series, alarm.metric, self._most_nodes)
        found = await self._metrics.points(series, names_of(alarm.metric, alarm.unit), resolution, start, end)
        return series_of(statistic, binned(together(list(found.values())), start, alarm.period_s))


def _iso(now: float) -> str:
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "+0000"
