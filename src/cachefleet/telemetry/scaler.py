"""Scales what is registered for it: looks at targets, alarms and groups, and asks for another capacity through the API.

What is wanted is decided by scaling; here rows are read and written and operations called. What is going to be asked for is
written down before it is asked for, so that after our own death nothing is asked for twice. Only where the control loop runs.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec
import structlog
from msgspec.structs import replace

from cachefleet.clock import Entropy
from cachefleet.interfaces import Conflict, Deposed, Permit, Store, StoreError, always
from cachefleet.metrics.alarms import period_ends
from cachefleet.model.errors import AwsError
from cachefleet.model.plan import EventDraft
from cachefleet.model.resource import Key, Kind, Scope
from cachefleet.model.row import AlarmRow, GroupRow, ScalableTargetRow
from cachefleet.model.scaling import (
    ActivityStatus,
    Dimension,
    ScalableTargetDesired,
    ScalingActivity,
    ScalingPolicy,
    StepScaling,
    policy_arn,
)
from cachefleet.monitoring.reading import Readings
from cachefleet.scaling.decisions import (
    Verdict,
    decide,
    ended,
    is_pressing,
    is_retry,
    noted,
    outcome,
    scheduled,
    seen,
    under_way,
    with_activity,
)
from cachefleet.scaling.requests import capacity_of, change_request
from cachefleet.scaling.wishes import Signal, Wish, step_wishes, tracking_wish
from cachefleet.telemetry.alarm_values import Due, asked_by, read_measured
from cachefleet.telemetry.alarm_watch import DELAY_S
from cachefleet.telemetry.raised_alarms import RaisedAlarms

LOOK_S = 1.0
REST_S = 10.0  # a target for which nothing is due and no alarm speaks is looked at so often
AVAILABLE = "available"
ATTEMPT = "Attempting to scale due to alarm triggered"
Operate = Callable[[Scope, str, Mapping[str, Any]], Awaitable[object]]  # (of whom, ElastiCache's operation, input); AwsError

_JOINED: dict[str, Callable[[Sequence[float]], float]] = {
    "Average": lambda values: sum(values) / len(values),
    "Minimum": min,
    "Maximum": max,
}

log = structlog.get_logger()


class Scaler:
    """run() for each term of leadership, until cancelled."""

    def __init__(self, store: Store, readings: Readings, operate: Operate, entropy: Entropy, permit: Permit = always) -> None:
        """operate: what the service's own role may do."""
        self._permit = permit
        self._attended: dict[Key, float] = {}  # when, by the clock that is never set
        self._store = store
        self._readings = readings
        self._operate = operate
        self._clock = readings.clock
        self._entropy = entropy
        self._raised = RaisedAlarms(store, readings.clock)

    async def run(self) -> None:
        while True:
            await self._clock.sleep(LOOK_S)
            try:
                await self.look()
            except StoreError as error:
                log.warning("nothing is scaled: the store failed", why=str(error))

    async def look(self) -> None:
        """At every target that may have something to do, once. Raises StoreError."""
        keys = set(await self._store.keys((Kind.SCALABLE_TARGET,)))
        self._attended = {key: at for key, at in self._attended.items() if key in keys}
        rows: list[ScalableTargetRow] = []
        for scope in sorted({key.scope for key in keys}):
            rows += await self._store.rows(Kind.SCALABLE_TARGET, scope)
        if any(row.desired.policies for row in rows):
            await self._raised.look()
        for row in rows:
            if self._rests(row):
                continue
            self._attended[row.key] = self._clock.monotonic()
            try:
                await self._attend(row)
            except Conflict:  # somebody has changed it: again by the next look
                del self._attended[row.key]
            except Deposed:
                return
            except StoreError:
                raise
            except Exception:
                log.exception("a target cannot be scaled", target=str(row.key))
            await self._clock.sleep(0)

    def _rests(self, row: ScalableTargetRow) -> bool:
        scope, target = row.key.scope, row.desired
        if is_pressing(target, self._clock.now()):
            return False
        if any(self._raised.invoking(scope, policy_arn(scope, target, policy)) for policy in target.policies):
            return False
        return self._clock.monotonic() - self._attended.get(row.key, -math.inf) < REST_S

    async def _attend(self, row: ScalableTargetRow) -> None:
        """Raises Conflict, StoreError."""
        target, now = row.desired, self._clock.now()
        group: GroupRow | None = await self._store.get(row.key.scope.key(target.dimension.kind, target.resource))
        if group is None or group.desired.uid != target.group_uid:
            await self._forget(row)
            return
        target, refused = scheduled(target, now)
        for one in refused:
            capacity = capacity_of(group, target.dimension)
            failed = self._activity(one.cause, capacity, capacity, ActivityStatus.FAILED)
            target = noted(target, replace(failed, message=one.why, ended_at=now), now)
        current = under_way(target)
        if current is not None:
            await self._go_on(row, target, group, current)
        elif group.status.state == AVAILABLE and not group.desired.deleting:
            await self._consider(row, target, group)
        else:
            await self._write(row, target)

    async def _forget(self, row: ScalableTargetRow) -> None:
        """Its group is gone."""
        async with self._store.transaction() as transaction:
            for policy in row.desired.policies:
                for alarm in await self._alarms(row.key.scope, policy):
                    await transaction.delete(alarm)
            await transaction.delete(row)
        log.info("a scalable target went with what it scaled", target=str(row.key))

    # --- what is under way ---

    async def _go_on(
        self, row: ScalableTargetRow, target: ScalableTargetDesired, group: GroupRow, activity: ScalingActivity
    ) -> None:
        """A pending one may have been asked for by us before we died; then its capacity is what is asked for."""
        capacity, available = capacity_of(group, target.dimension), group.status.state == AVAILABLE
        if activity.status is ActivityStatus.PENDING and capacity != activity.after:
            row = await self._write(row, target)
            if available:
                await self._ask(row, group, activity)
            return
        status = outcome(activity, capacity, available=available)
        if status is ActivityStatus.IN_PROGRESS:
            await self._write(row, with_activity(target, _waiting(activity)))
            return
        message = {
            ActivityStatus.SUCCESSFUL: f"{_told(activity.after)} Change successfully fulfilled by elasticache.",
            ActivityStatus.OVERRIDDEN: f"Somebody else has set another capacity meanwhile, which is {capacity}.",
        }.get(status, f"Capacity is {capacity} and not {activity.after}; the events of {target.resource} say why.")
        await self._write(row, ended(target, activity, status, message, self._clock.now()))

    async def _ask(self, row: ScalableTargetRow, group: GroupRow, activity: ScalingActivity) -> None:
        """Raises Conflict, Deposed, StoreError."""
        self._permit()
        dimension = row.desired.dimension
        operation, request = change_request(group, dimension, capacity_of(group, dimension), activity.after)
        try:
            await self._operate(row.key.scope, operation, request)
        except AwsError as error:
            now = self._clock.now()
            message = f"Failed to set desired capacity to {activity.after}. Reason: {error.message}"
            await self._write(row, ended(row.desired, activity, ActivityStatus.FAILED, message, now))
            log.warning("a target could not be scaled", target=str(row.key), capacity=activity.after, why=str(error))
            return
        await self._write(row, with_activity(row.desired, _waiting(activity)))

    # --- what to do next ---

    async def _consider(self, row: ScalableTargetRow, target: ScalableTargetDesired, group: GroupRow) -> None:
        now, capacity = self._clock.now(), capacity_of(group, target.dimension)
        target = seen(target, capacity, now)
        verdict = decide(target, capacity, await self._wishes(row.key.scope, target, capacity), now)
        if verdict is None:
            await self._write(row, target)
        elif verdict.not_scaled is not None:
            kept = self._activity(verdict.cause, capacity, capacity, ActivityStatus.UNFULFILLED)
            kept = replace(kept, description=ATTEMPT, not_scaled=verdict.not_scaled, ended_at=now)
            await self._write(row, noted(target, kept, now))
        else:
            await self._begin(row, target, group, verdict)

    async def _begin(self, row: ScalableTargetRow, target: ScalableTargetDesired, group: GroupRow, verdict: Verdict) -> None:
        activity = self._activity(verdict.cause, target.capacity, verdict.capacity, ActivityStatus.PENDING)
        source = "cache-cluster" if target.dimension is Dimension.NODES else "replication-group"
        told = EventDraft(source, target.resource, f"Auto scaling: {activity.description} {verdict.cause}")
        events = () if is_retry(target, verdict) else (told,)
        stored = await self._write(row, noted(target, activity, activity.began_at), *events)
        log.info("scaling", target=str(row.key), before=activity.before, after=activity.after, cause=activity.cause)
        await self._ask(stored, group, activity)

    async def _wishes(self, scope: Scope, target: ScalableTargetDesired, capacity: int) -> list[Wish]:
        made: list[Wish] = []
        for policy in target.policies:
            raised = self._raised.invoking(scope, policy_arn(scope, target, policy))
            if isinstance(policy.rule, StepScaling):
                made += step_wishes(policy, capacity, await self._signals(target, raised, policy.rule))
                continue
            raised = [row for row in raised if row.desired.name in policy.alarms]
            values = await self._measured(target, raised[0]) if raised else []
            wish = tracking_wish(policy, target.dimension, capacity, [row.desired.name for row in raised], values)
            if wish is not None:
                made.append(wish)
        return made

    async def _signals(self, target: ScalableTargetDesired, raised: Sequence[AlarmRow], rule: StepScaling) -> list[Signal]:
        made = []
        for row in raised:
            values = (await self._measured(target, row))[-row.desired.evaluation_periods :]
            value = _JOINED.get(rule.aggregation, _JOINED["Average"])(values) if values else None
            made.append(Signal(row.desired.name, row.desired.threshold, value))
        return made

    async def _alarms(self, scope: Scope, policy: ScalingPolicy) -> list[AlarmRow]:
        """Of its own those that there are."""
        keys: list[Key] = [scope.key(Kind.ALARM, name) for name in policy.alarms]
        return [row for key in keys if (row := await self._store.get(key)) is not None]

    async def _measured(self, target: ScalableTargetDesired, row: AlarmRow) -> list[float]:
        """What the alarm looks at, of periods that began since the capacity changed, oldest first."""
        alarm, now = row.desired, self._clock.now()
        due = Due(row.key, alarm, asked_by(alarm), period_ends(now, alarm.period_s, DELAY_S))
        points = (await read_measured(self._readings, [due], now))[row.key].points
        return [points[begin] for begin in sorted(points) if begin >= target.changed_at]

    # --- rows ---

    def _activity(self, cause: str, before: int, after: int, status: ActivityStatus) -> ScalingActivity:
        return ScalingActivity(
            uid=self._entropy.hex(16),
            cause=cause,
            description=f"Setting desired capacity to {after}.",
            began_at=self._clock.now(),
            status=status,
            before=before,
            after=after,
        )

    async def _write(self, row: ScalableTargetRow, target: ScalableTargetDesired, *told: EventDraft) -> ScalableTargetRow:
        """What says the same is not written. Raises Conflict, StoreError."""
        if target == row.desired:
            return row
        async with self._store.transaction() as transaction:
            stored: ScalableTargetRow = await transaction.update(msgspec.structs.replace(row, desired=target))
            await transaction.add_events(row.key.scope, self._clock.now(), told)
        return stored


def _told(capacity: int) -> str:
    return f"Successfully set desired capacity to {capacity}."


def _waiting(activity: ScalingActivity) -> ScalingActivity:
    message = f"{_told(activity.after)} Waiting for change to be fulfilled by elasticache."
    return replace(activity, status=ActivityStatus.IN_PROGRESS, message=message)
