"""GetMetricStatistics: statistics of one metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cachefleet.api.context import Context
from cachefleet.api.metrics.metric_inputs import (
    checked_period,
    checked_statistic,
    checked_times,
    checked_unit,
    read_metric,
    readings,
    refuse_value,
)
from cachefleet.api.registry import operation
from cachefleet.metrics.periods import count
from cachefleet.metrics.queries import Wanted
from cachefleet.metrics.statistics import SIMPLE, Statistic
from cachefleet.metrics.values import Value
from cachefleet.model.errors import invalid_combination
from cachefleet.monitoring.reading import read_values

MAX_DATAPOINTS = 1440
MAX_EXTENDED = 10


@operation(
    "GetMetricStatistics",
    service="monitoring",
    effective=(
        "Namespace",
        "MetricName",
        "Dimensions",
        "StartTime",
        "EndTime",
        "Period",
        "Statistics",
        "ExtendedStatistics",
        "Unit",
    ),
)
async def get_metric_statistics(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    metric = read_metric(context, request, "", refuse_value)
    start, end = checked_times(request, refuse_value)
    period_s = checked_period(request["Period"], "Period", refuse_value)
    statistics = _statistics(request)
    asked = count(start, end, period_s)
    if asked > MAX_DATAPOINTS:
        raise invalid_combination(
            f"You have requested up to {asked} datapoints, which exceeds the limit of {MAX_DATAPOINTS}. You may reduce the "
            "datapoints requested by increasing Period, or decreasing the time range."
        )
    unit = checked_unit(request.get("Unit"), "Unit", refuse_value)
    wanted = Wanted(metric, unit, statistics[0], period_s)
    found = await read_values(readings(context), wanted, start, end, context.clock.now())
    points = sorted((time, unit) for unit, values in found.items() for time in values)
    shown = [_datapoint(time, unit, found[unit][time], statistics) for time, unit in points]
    return {"Label": metric.name, "Datapoints": [point for point in shown if point is not None]}


def _statistics(request: Mapping[str, Any]) -> list[Statistic]:
    simple, extended = request.get("Statistics") or (), request.get("ExtendedStatistics") or ()
    if not simple and not extended:
        raise invalid_combination("At least one of the parameters Statistics and ExtendedStatistics must be specified.")
    if simple and extended:
        raise invalid_combination("The parameters Statistics and ExtendedStatistics are mutually exclusive; give one of them.")
    for number, text in enumerate(simple, 1):
        if text not in SIMPLE:
            raise refuse_value(f"The parameter Statistics.member.{number} must be a value in the set [ {', '.join(SIMPLE)} ].")
    if len(extended) > MAX_EXTENDED:
        raise refuse_value(f"The collection ExtendedStatistics must not have a size greater than {MAX_EXTENDED}.")
    named = [(f"ExtendedStatistics.member.{number}", text) for number, text in enumerate(extended, 1)]
    made = [checked_statistic(text, "Statistics", refuse_value) for text in simple]
    for where, text in named:
        statistic = checked_statistic(text, where, refuse_value)
        if not statistic.is_extended:
            raise refuse_value(f"The value {text} for parameter {where} is invalid: give it in Statistics.")
        made.append(statistic)
    return made


def _datapoint(time: int, unit: str, value: Value, statistics: Sequence[Statistic]) -> dict[str, Any] | None:
    """None where none of the statistics can be told."""
    shown: dict[str, Any] = {"Timestamp": float(time), "Unit": unit}
    extended: dict[str, float] = {}
    for statistic in statistics:
        number = statistic.of(value)
        if number is not None:
            (extended if statistic.is_extended else shown)[statistic.text] = number
    if extended:
        shown["ExtendedStatistics"] = extended
    return shown if len(shown) > 2 else None
