"""Evaluates every alarm when a period of it has ended, and writes down its state. Only where the control loop runs.

Which state follows from which values or from which other alarms is decided by metrics.alarms and metrics.composite_alarms; this
reads values and writes rows. Rows are read again only when they have changed, and all is done in pages, so that thousands of
alarms do not hold up anything else.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import structlog

from cachefleet.clock import Clock
from cachefleet.interfaces import Conflict, Store, StoreError
from cachefleet.metric_interfaces import Metrics
from cachefleet.metrics.alarm_messages import iso
from cachefleet.metrics.alarm_rules import AlarmRule, RuleError, children, in_order, read_rule
from cachefleet.metrics.alarms import Verdict, evaluate, is_told_by_few, period_ends, period_step, rule_of
from cachefleet.metrics.composite_alarms import composite_state
from cachefleet.metrics.instruments import Counter, Instruments
from cachefleet.model.alarm import AlarmDesired, AlarmState, AlarmValue
from cachefleet.model.resource import Key, Kind, Scope
from cachefleet.model.row import AlarmRow
from cachefleet.monitoring.reading import Readings
from cachefleet.monitoring.transitions import change_state
from cachefleet.telemetry.alarm_values import Asked, Due, Measured, asked_by, batches, read_measured

LOOK_S = 5.0
DELAY_S = 4.0  # values of a period come a moment after its end
_PAGE = 500  # alarms that are looked at in one go
_AT_ONCE = 20  # alarms that are evaluated before others get their turn

log = structlog.get_logger()


class _Known(msgspec.Struct):
    """alarm: without its history. rests: from when until when it need not be evaluated. rule, children: of a composite one;
    asked: of others."""

    version: int
    alarm: AlarmDesired
    rests: tuple[float, float] = (0.0, 0.0)
    asked: Asked = Asked()
    rule: AlarmRule | None = None
    children: frozenset[str] = frozenset()


class AlarmWatch:
    """run() for each term of leadership, until cancelled."""

    def __init__(
        self, store: Store, metrics: Metrics, clock: Clock, most_nodes: int, evaluations: Counter | None = None
    ) -> None:
        """most_nodes: of a Memcached cluster. evaluations: counts them."""
        self._evaluations = evaluations or Instruments().alarms
        self._store = store
        self._clock = clock
        self._readings = Readings(metrics, clock, most_nodes)
        self._known: dict[Key, _Known] = {}
        self._moved: set[Key] = set()  # whose state changed, or that are gone, since composites were looked at
        self._unsettled: set[Key] = set()  # composites that have to be evaluated whatever moved
        self._orders: dict[Scope, list[Key]] = {}  # composites, children first; dropped when one of them is another

    async def run(self) -> None:
        """What was known is forgotten: another one may have led since. Alarms are evaluated by what is now, not by what was
        missed."""
        for known in (self._known, self._orders, self._moved, self._unsettled):
            known.clear()
        while True:
            await self._clock.sleep(LOOK_S)
            try:
                await self.look()
            except StoreError as error:
                log.warning("alarms were not evaluated: the store failed", why=str(error))
            except Exception:
                log.exception("alarms were not evaluated")

    async def look(self) -> None:
        """Evaluate those of which a period has ended since, or that were changed; then composites whose children moved. Raises
        StoreError."""
        there: set[Key] = set()
        due: list[Due] = []
        now = self._clock.now()
        after: Key | None = None
        while page := await self._store.versions(Kind.ALARM, after, _PAGE):
            for key, version in page:
                if key not in self._known or self._known[key].version != version:
                    await self._learn(key)
            due += self._due([key for key, _ in page], now)
            there.update(key for key, _ in page)
            after = page[-1][0]
            if len(page) < _PAGE:
                break
            await self._clock.sleep(0)
        for key in self._known.keys() - there:
            self._forget(key)
        await self._evaluate_due(due, now)
        if self._moved or self._unsettled:
            await self._evaluate_composites()

    # --- what is known ---

    async def _learn(self, key: Key) -> None:
        row: AlarmRow | None = await self._store.get(key)
        if row is None:
            return
        before, alarm = self._known.get(key), row.desired
        known = self._known[key] = _Known(row.version, msgspec.structs.replace(alarm, history=()))
        if before is None or before.alarm.state.value is not alarm.state.value:
            self._moved.add(key)
        if alarm.is_composite and (before is None or _configuration(before.alarm) != _configuration(alarm)):
            self._unsettled.add(key)
            self._orders.pop(key.scope, None)
        if not alarm.is_composite:
            known.asked = asked_by(alarm)
        else:
            try:
                known.rule = read_rule(alarm.rule, key.scope)
                known.children = frozenset(children(known.rule))
            except RuleError as error:  # of a later version
                log.error("the rule of an alarm cannot be read", alarm=str(key), why=str(error))

    def _forget(self, key: Key) -> None:
        known = self._known.pop(key)
        self._moved.add(key)
        self._unsettled.discard(key)
        if known.alarm.is_composite:
            self._orders.pop(key.scope, None)

    # --- alarms on metrics and expressions ---

    def _due(self, keys: list[Key], now: float) -> Iterator[Due]:
        for key in keys:
            known = self._known.get(key)
            if known is not None and not known.alarm.is_composite and not known.rests[0] <= now < known.rests[1]:
                yield Due(key, known.alarm, known.asked, period_ends(now, known.alarm.period_s, DELAY_S))

    async def _evaluate_due(self, due: list[Due], now: float) -> None:
        for batch in await batches(self._readings, due):
            await self._evaluate_batch(batch, now)

    async def _evaluate_batch(self, due: list[Due], now: float) -> None:
        measured = await read_measured(self._readings, due, now)
        for number, one in enumerate(due, 1):
            self._evaluations.add()
            try:
                await self._evaluate(one.key, one.alarm, one.end, measured[one.key])
            except Conflict:  # somebody has changed it: again by the next look
                continue
            except StoreError:
                raise
            except Exception:
                log.exception("an alarm cannot be evaluated", alarm=str(one.key))
            self._known[one.key].rests = one.end + DELAY_S, one.end + DELAY_S + period_step(one.alarm.period_s)
            if number % _AT_ONCE == 0:
                await self._clock.sleep(0)

    async def _evaluate(self, key: Key, alarm: AlarmDesired, end: int, measured: Measured) -> None:
        """A state that stays the same is not written anew. Raises Conflict, StoreError."""
        if measured.fault:
            verdict = Verdict(AlarmValue.INSUFFICIENT_DATA, measured.fault)
        elif is_told_by_few(alarm, measured.counts):
            return
        else:
            verdict = evaluate(rule_of(alarm), measured.points, end, alarm.period_s)
        if verdict.value is None or verdict.value is alarm.state.value:
            return
        data = {
            "version": "1.0",
            "queryDate": iso(self._clock.now()),
            **({"statistic": alarm.statistic} if alarm.statistic else {}),
            "period": alarm.period_s,
            "recentDatapoints": verdict.recent,
            "threshold": alarm.threshold,
        }
        await self._change(key, AlarmState(verdict.value, verdict.reason, msgspec.json.encode(data).decode()))

    async def _change(self, key: Key, state: AlarmState) -> None:
        """Raises Conflict when it is no longer as it was when this was decided, StoreError."""
        known = self._known[key]
        row: AlarmRow | None = await self._store.get(key)
        if row is None or row.version != known.version:
            raise Conflict(f"{key} has no version {known.version} any more")
        stored = await change_state(self._store, row, state, self._clock.now())
        known.version, known.alarm = stored.version, msgspec.structs.replace(stored.desired, history=())
        self._moved.add(key)
        log.info("alarm changed", alarm=str(key), state=state.value.value, reason=state.reason)

    # --- composite alarms ---

    async def _evaluate_composites(self) -> None:
        """Children first, so that a change goes all the way up in one look."""
        for scope in {key.scope for key in (*self._moved, *self._unsettled)}:
            moved = {key.name for key in self._moved if key.scope == scope}
            for number, key in enumerate(self._in_order(scope)):
                known = self._known[key]
                if number % _PAGE == _PAGE - 1:
                    await self._clock.sleep(0)
                if known.rule is None or (key not in self._unsettled and known.children.isdisjoint(moved)):
                    continue
                self._unsettled.add(key)  # until it is done
                self._evaluations.add()
                try:
                    if await self._evaluate_composite(key, known.rule, known.children):
                        moved.add(key.name)
                except Conflict:
                    continue
                except StoreError:
                    raise
                except Exception:
                    log.exception("an alarm cannot be evaluated", alarm=str(key))
                self._unsettled.discard(key)
            self._moved = {key for key in self._moved if key.scope != scope}

    async def _evaluate_composite(self, key: Key, rule: AlarmRule, names: frozenset[str]) -> bool:
        """Whether its state has changed."""
        found = {name: self._known.get(key.scope.key(Kind.ALARM, name)) for name in sorted(names)}
        state = composite_state(key.scope, rule, {name: one.alarm.state for name, one in found.items() if one is not None})
        if state.value is self._known[key].alarm.state.value:
            return False
        await self._change(key, state)
        return True

    def _in_order(self, scope: Scope) -> list[Key]:
        if scope not in self._orders:
            needs = {
                key.name: tuple(known.children)
                for key, known in self._known.items()
                if key.scope == scope and known.alarm.is_composite
            }
            self._orders[scope] = [scope.key(Kind.ALARM, name) for name in in_order(needs)]
        return self._orders[scope]


def _configuration(alarm: AlarmDesired) -> tuple[float, str]:
    """By which a rule that was put anew, also the same one, is told from a state that was set."""
    return alarm.configured_at, alarm.rule
