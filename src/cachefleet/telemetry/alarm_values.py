"""The values by which alarms are evaluated, of many at once: what several look at is read once.

Called by telemetry.alarm_watch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec
import structlog

from cachefleet.interfaces import StoreError
from cachefleet.metrics.alarm_queries import queries_of, wanted_of, watched
from cachefleet.metrics.alarms import MORE_PERIODS
from cachefleet.metrics.lines import Line, Work
from cachefleet.metrics.queries import Query, QueryFailed, Wanted
from cachefleet.metrics.statistics import Statistic
from cachefleet.model.alarm import AlarmDesired
from cachefleet.model.metric import Series
from cachefleet.model.resource import Key
from cachefleet.monitoring.evaluation import Evaluation, Span
from cachefleet.monitoring.reading import Readings, read_lines

_COUNT = Statistic("SampleCount", "SampleCount")
_AT_ONCE = 20  # alarms whose values are put together before others get their turn
_BATCH = 300  # alarms whose values are read together

log = structlog.get_logger()


class Asked(msgspec.Struct, frozen=True):
    """What an alarm is computed from: one metric, or the queries of an expression. fault: why it cannot be, "" else."""

    queries: tuple[Query, ...] = ()
    fault: str = ""


class Due(msgspec.Struct, frozen=True):
    """end: of the alarm's youngest period."""

    key: Key
    alarm: AlarmDesired
    asked: Asked
    end: int

    @property
    def start(self) -> int:
        return self.end - self.alarm.period_s * (self.alarm.evaluation_periods + MORE_PERIODS)


class Measured(msgspec.Struct, frozen=True):
    """points, counts: by the begin of the period; counts: how many measurements each is of, where the alarm is on a percentile
    and ignores few of them. fault: why there are no points at all, "" else."""

    points: Mapping[int, float] = {}
    counts: Mapping[int, float] = {}
    fault: str = ""


_Stretch = tuple[int, int]  # start and end
_Lines = Mapping[tuple[_Stretch, Wanted], Line]


def asked_by(alarm: AlarmDesired) -> Asked:
    """Of an alarm on a metric or on expressions."""
    if not alarm.queries:
        wanted = wanted_of(alarm)
        return Asked((Query("", "", True, wanted=wanted),)) if wanted else Asked(fault=f"{alarm.statistic} is not known here.")
    try:
        return Asked(tuple(queries_of(alarm)))
    except QueryFailed as error:
        return Asked(fault=str(error))


async def batches(readings: Readings, due: Sequence[Due]) -> list[list[Due]]:
    """Those that look at the same series are in the same one, since what is stored of a series is read as a whole."""
    alike: dict[Series | None, list[Due]] = {}
    for number, one in enumerate(due, 1):
        first = next(_wanted(one), None)
        alike.setdefault(first.metric.series if first is not None else None, []).append(one)
        if number % _BATCH == 0:
            await readings.clock.sleep(0)
    made: list[list[Due]] = []
    for several in alike.values():
        for begin in range(0, len(several), _BATCH):
            some = several[begin : begin + _BATCH]
            if not made or len(made[-1]) + len(some) > _BATCH:
                made.append([])
            made[-1] += some
    return made


async def read_measured(readings: Readings, due: Sequence[Due], now: float) -> dict[Key, Measured]:
    """Raises StoreError."""
    asked: dict[_Stretch, dict[Wanted, None]] = {}
    for one in due:
        asked.setdefault((one.start, one.end), {}).update(dict.fromkeys(_wanted(one)))
    lines: dict[tuple[_Stretch, Wanted], Line] = {}
    for stretch, several in asked.items():
        wanted = list(several)
        # An alarm's periods are bounded, and what is read at once is bounded by portions.
        work = Work(len(wanted) * (stretch[1] - stretch[0]))
        found = await read_lines(readings, wanted, *stretch, now, work)
        lines.update({(stretch, one): line for one, line in zip(wanted, found, strict=True)})
    made: dict[Key, Measured] = {}
    for number, one in enumerate(due, 1):
        made[one.key] = await _measured(readings, one, lines, now)
        if number % _AT_ONCE == 0:
            await readings.clock.sleep(0)
    return made


def _wanted(due: Due) -> Iterator[Wanted]:
    for query in due.asked.queries:
        if query.wanted is not None:
            yield query.wanted
            if _counts(due, query.wanted):
                yield _counting(query.wanted)


def _counts(due: Due, wanted: Wanted) -> bool:
    return due.alarm.ignores_few_samples and wanted.statistic.kind == "p"


def _counting(wanted: Wanted) -> Wanted:
    return msgspec.structs.replace(wanted, statistic=_COUNT)


async def _measured(readings: Readings, due: Due, lines: _Lines, now: float) -> Measured:
    if due.asked.fault:
        return Measured(fault=due.asked.fault)
    stretch = due.start, due.end
    query = watched(due.asked.queries)
    if query.wanted is not None:
        counts = lines[stretch, _counting(query.wanted)].points if _counts(due, query.wanted) else {}
        return Measured(lines[stretch, query.wanted].points, counts)
    known = {one.query_id: lines[stretch, one.wanted] for one in due.asked.queries if one.wanted is not None}
    try:
        evaluation = Evaluation(readings, due.key.scope, due.asked.queries, Span(*stretch, now), known)
        found = await evaluation.lines(query)
    except QueryFailed as error:
        return Measured(fault=str(error))
    except StoreError:
        raise
    except Exception:  # whatever it is, it must not keep others from being evaluated
        log.exception("an expression cannot be computed", alarm=str(due.key))
        return Measured(fault="The expression could not be computed; the log of the service says why.")
    return Measured(found[0].points) if len(found) == 1 else Measured(fault="The expression did not come to one time series.")
