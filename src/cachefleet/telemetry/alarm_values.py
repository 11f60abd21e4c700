"""The values by which alarms are evaluated, of many at once: those that look at the same stretch of time are read together.

Called by telemetry.alarm_watch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import structlog

from cachefleet.interfaces import StoreError
from cachefleet.metrics.alarm_queries import queries_of, wanted_of, watched
from cachefleet.metrics.alarms import MORE_PERIODS
from cachefleet.metrics.lines import Line, Work
from cachefleet.metrics.queries import QueryFailed, Wanted
from cachefleet.metrics.statistics import read_statistic
from cachefleet.model.alarm import AlarmDesired
from cachefleet.model.resource import Key
from cachefleet.monitoring.evaluation import Evaluation, Span
from cachefleet.monitoring.reading import Readings, read_lines

log = structlog.get_logger()

_COUNT = read_statistic("SampleCount")


class Measured(msgspec.Struct, frozen=True):
    """points, counts: by the begin of the period; counts: how many measurements each is of, where the alarm is on a percentile
    and ignores few of them. fault: why there are no points at all, "" else."""

    points: Mapping[int, float] = {}
    counts: Mapping[int, float] = {}
    fault: str = ""


async def read_measured(readings: Readings, alarms: Sequence[tuple[Key, AlarmDesired, int]], now: float) -> dict[Key, Measured]:
    """alarms: on metrics or expressions, each with the end of its youngest period. Raises StoreError."""
    made: dict[Key, Measured] = {}
    alike: dict[tuple[int, int], list[tuple[Key, Wanted, bool]]] = {}
    for key, alarm, end in alarms:
        start = end - alarm.period_s * (alarm.evaluation_periods + MORE_PERIODS)
        if alarm.queries:
            made[key] = await _computed(readings, key, alarm, Span(start, end, now))
        elif wanted := wanted_of(alarm):
            counted = alarm.ignores_few_samples and wanted.statistic.kind == "p"
            alike.setdefault((start, end), []).append((key, wanted, counted))
        else:
            made[key] = Measured(fault=f"{alarm.statistic} is not a statistic that is known here")
    for (start, end), several in alike.items():
        made.update(await _read(readings, several, Span(start, end, now)))
    return made


async def _read(readings: Readings, several: Sequence[tuple[Key, Wanted, bool]], span: Span) -> dict[Key, Measured]:
    assert _COUNT is not None
    counts = [msgspec.structs.replace(wanted, statistic=_COUNT) for _, wanted, counted in several if counted]
    asked = [wanted for _, wanted, _ in several] + counts
    lines = await read_lines(readings, asked, span.start, span.end, span.now, Work(_any_number(asked, span)))
    counted_lines = iter(lines[len(several) :])
    return {
        key: Measured(line.points, next(counted_lines).points if counted else {})
        for (key, _, counted), line in zip(several, lines[: len(several)], strict=True)
    }


def _any_number(wanted: Sequence[Wanted], span: Span) -> int:
    """Of points: an alarm's periods are bounded, and what is read is bounded by portions."""
    return len(wanted) * int(span.end - span.start)


async def _computed(readings: Readings, key: Key, alarm: AlarmDesired, span: Span) -> Measured:
    try:
        queries = queries_of(alarm)
        lines: list[Line] = await Evaluation(readings, key.scope, queries, span).lines(watched(queries))
    except QueryFailed as error:
        return Measured(fault=str(error))
    except StoreError:
        raise
    except Exception:  # whatever it is, it must not keep others from being evaluated
        log.exception("an expression cannot be computed", alarm=str(key))
        return Measured(fault="The expression could not be computed; the log of the service says why.")
    return Measured(lines[0].points) if len(lines) == 1 else Measured(fault="The expression did not come to one time series.")
