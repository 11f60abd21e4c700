"""What a look at many alarms costs: what is read, and how often others get their turn."""

from __future__ import annotations

import asyncio
from typing import Any

from cachefleet.model.alarm import AlarmDesired, AlarmQuery
from cachefleet.model.metric import Series
from cachefleet.model.resource import Kind
from cachefleet.model.row import Row
from cachefleet.telemetry.alarm_watch import AlarmWatch
from tests.component.metrics.stage import Stage, on_stage
from tests.component.metrics.watched import AT_ONCE, SERIES, Watched
from tests.fakes.api import ACCOUNT, REGION


class Counting:
    """Whatever it stands for, with the calls counted."""

    def __init__(self, inner: Any, counts: dict[str, int]) -> None:
        self._inner, self._counts = inner, counts

    def __getattr__(self, name: str) -> Any:
        self._counts[name] = self._counts.get(name, 0) + 1
        return getattr(self._inner, name)


async def insert(stage: Stage, *alarms: AlarmDesired) -> None:
    async with stage.context.store.transaction() as transaction:
        for alarm in alarms:
            await transaction.insert(Row(key=stage.context.scope.key(Kind.ALARM, alarm.name), desired=alarm))


def watch_of(stage: Stage, counts: dict[str, int]) -> AlarmWatch:
    return AlarmWatch(Counting(stage.context.store, counts), Counting(stage.recorder, counts), stage.clock, 40)


async def looked(stage: Stage, watch: AlarmWatch, counts: dict[str, int], seconds: float) -> dict[str, int]:
    """What a look after that time asks for."""
    stage.clock.pass_time(seconds)
    counts.clear()
    await watch.look()
    return dict(counts)


@on_stage
async def test_values_of_a_series_are_read_once_for_all_of_its_alarms(stage: Stage) -> None:
    counts: dict[str, int] = {}
    watch = watch_of(stage, counts)
    await insert(
        stage,
        *(
            AlarmDesired(f"alarm-{number:04d}", series=SERIES, metric=f"m{number % 7}", statistic="Sum", threshold=50.0)
            for number in range(290)
        ),
        *(AlarmDesired(f"ratio-{number}", queries=ratio(number)) for number in range(10)),
    )
    first = await looked(stage, watch, counts, 64.0)
    assert first == {"versions": 1, "get": 300, "points": 1}
    assert await looked(stage, watch, counts, 5.0) == {"versions": 1}  # nothing is due
    assert await looked(stage, watch, counts, 60.0) == {"versions": 1, "points": 1}
    await stage.call("SetAlarmState", AlarmName="alarm-0007", StateValue="INSUFFICIENT_DATA", StateReason="x")
    assert await looked(stage, watch, counts, 1.0) == {"versions": 1, "get": 1, "points": 1}


def ratio(number: int) -> tuple[AlarmQuery, ...]:
    metrics = (
        AlarmQuery(query_id=name, is_watched=False, series=SERIES, metric=name, statistic="Sum", period_s=60)
        for name in ("m1", "m2")
    )
    return (AlarmQuery(query_id="e", is_watched=True, expression=f"m1 / m2 + {number}"), *metrics)


@on_stage
async def test_others_get_their_turn_during_a_look(stage: Stage) -> None:
    watch = AlarmWatch(stage.context.store, stage.recorder, stage.clock, 40)
    series = [Series(ACCOUNT, REGION, "mine", (("place", str(number)),)) for number in range(1000)]
    alarms = [AlarmDesired(f"alarm-{number:04d}", series=one, metric="m", statistic="Sum") for number, one in enumerate(series)]
    await insert(stage, *alarms)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    await watch.look()
    stage.clock.pass_time(60.0)
    task = asyncio.create_task(others())
    await watch.look()
    task.cancel()
    assert turns >= 1000 / 20 * 2


@on_stage
async def test_a_new_term_of_leadership_forgets_what_was_known(stage: Stage) -> None:
    """As run() does it: states may have changed meanwhile, by another leader."""
    watched = Watched(stage)
    await stage.call("PutMetricAlarm", AlarmName="hot", **AT_ONCE)
    first, second = (AlarmWatch(stage.context.store, stage.recorder, stage.clock, 40) for _ in range(2))
    for watch, value in ((first, 90.0), (second, 10.0), (first, 90.0)):
        watched.measure(value)
        stage.clock.pass_time(65.0)
        await watch.look()
        stage.clock.pass_time(-5.0)
    changes = [item["HistorySummary"] for item in await watched.history("hot", "StateUpdate")]
    assert changes == [
        "Alarm updated from OK to ALARM",
        "Alarm updated from ALARM to OK",
        "Alarm updated from INSUFFICIENT_DATA to ALARM",
    ]
