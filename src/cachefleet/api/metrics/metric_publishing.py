"""PutMetricData: values of one's own. Everything is checked before anything is recorded."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from cachefleet.api.context import Context
from cachefleet.api.metrics.metric_inputs import checked_unit, read_metric, refuse_value
from cachefleet.api.names import quoted
from cachefleet.api.registry import Refusal, operation
from cachefleet.metrics.periods import AHEAD_S
from cachefleet.metrics.queries import Metric
from cachefleet.metrics.values import Value, measured, single
from cachefleet.model.errors import AwsError, invalid_combination
from cachefleet.model.metric import BEYOND_AWS, DAY_S, MetricName

MAX_METRICS = 1000
MAX_VALUES = 150
OLDEST_S = 14 * DAY_S
SMALLEST, LARGEST = 8.515920e-109, 1.174271e108
_NAMESPACE = re.compile(r"[0-9A-Za-z.\-_/#: ]+", re.ASCII)
_HIGH, _STANDARD = 1, 60  # StorageResolution
_ENTITIES = "entities are not there; put the data into MetricData"


class Datum(msgspec.Struct, frozen=True):
    metric: Metric
    unit: str
    at: float
    value: Value
    fine: bool


@operation(
    "PutMetricData",
    service="monitoring",
    effective=("Namespace", "MetricData"),
    refused={
        "EntityMetricData": Refusal(_ENTITIES, ([],)),
        "StrictEntityValidation": Refusal(_ENTITIES, (False,)),
    },
)
async def put_metric_data(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    namespace = request["Namespace"]
    if namespace.startswith("AWS/") or not _NAMESPACE.fullmatch(namespace):
        raise refuse_value(
            f"The value {quoted(namespace)} for parameter Namespace is invalid: it must not begin with AWS/, and have "
            "letters, digits, spaces and . - _ / # : only."
        )
    if namespace == BEYOND_AWS:
        raise refuse_value(f"The value {quoted(namespace)} for parameter Namespace is invalid: only this service writes to it.")
    given = request.get("MetricData") or ()
    if not given:
        raise AwsError("MissingParameter", "The parameter MetricData is required.")
    if len(given) > MAX_METRICS:
        raise refuse_value(f"The collection MetricData must not have a size greater than {MAX_METRICS}; it has {len(given)}.")
    now = context.clock.now()
    data = [_datum(context, namespace, one, f"MetricData.member.{number}", now) for number, one in enumerate(given, 1)]
    if context.metrics.is_full():
        raise AwsError("ServiceUnavailable", "There are too many metrics that were not stored yet; try again in a moment.")
    for datum in data:
        name = MetricName(datum.metric.name, datum.unit or "None")
        context.metrics.record(datum.metric.series, datum.at, {name: datum.value}, fine=datum.fine)
    return {}


def _datum(context: Context, namespace: str, given: Mapping[str, Any], where: str, now: float) -> Datum:
    metric = read_metric(context, {**given, "Namespace": namespace}, f"{where}.", refuse_value)
    at = float(given.get("Timestamp", now))
    if not now - OLDEST_S <= at <= now + AHEAD_S:
        raise refuse_value(
            f"The parameter {where}.Timestamp must specify a time no more than two weeks in the past, and no more than two "
            "hours in the future."
        )
    resolution = given.get("StorageResolution", _STANDARD)
    if resolution not in (_HIGH, _STANDARD):
        raise refuse_value(f"The value {resolution} for parameter {where}.StorageResolution is invalid: it must be 1 or 60.")
    unit = checked_unit(given.get("Unit"), f"{where}.Unit", refuse_value)
    return Datum(metric, unit, at, _value(given, where), resolution == _HIGH)


def _value(given: Mapping[str, Any], where: str) -> Value:
    forms = [member for member in ("Value", "Values", "StatisticValues") if member in given]
    if not forms:
        raise invalid_combination(
            f"At least one of the parameters {where}.Value, {where}.Values and {where}.StatisticValues must be specified."
        )
    if len(forms) > 1:
        raise invalid_combination(
            f"The parameters {where}.{forms[0]} and {where}.{forms[1]} are mutually exclusive and you have specified both."
        )
    if "Counts" in given and forms != ["Values"]:
        raise invalid_combination(f"The parameter {where}.Counts needs {where}.Values.")
    if forms == ["Value"]:
        return single(_number(given["Value"], f"{where}.Value"))
    if forms == ["Values"]:
        return _measured(given, where)
    return _statistic_set(given["StatisticValues"], f"{where}.StatisticValues")


def _measured(given: Mapping[str, Any], where: str) -> Value:
    values, counts = given["Values"], given.get("Counts")
    for member, items in (("Values", values), ("Counts", counts or ())):
        if len(items) > MAX_VALUES:
            raise refuse_value(f"The collection {where}.{member} must not have a size greater than {MAX_VALUES}.")
    counts = [1.0] * len(values) if counts is None else counts
    if len(counts) != len(values) or not values:
        raise invalid_combination(
            f"The parameters {where}.Values and {where}.Counts must have the same number of members, one or more."
        )
    measurements: dict[float, float] = {}
    for number, (value, count) in enumerate(zip(values, counts, strict=True), 1):
        checked = _number(value, f"{where}.Values.member.{number}")
        times = _count(count, f"{where}.Counts.member.{number}")
        measurements[checked] = measurements.get(checked, 0.0) + times
    return measured(measurements)


def _statistic_set(given: Mapping[str, Any], where: str) -> Value:
    count = _count(given["SampleCount"], f"{where}.SampleCount")
    total, lowest, highest = (_number(given[member], f"{where}.{member}") for member in ("Sum", "Minimum", "Maximum"))
    if lowest > highest:
        raise refuse_value(f"The parameter {where}.Minimum must not be greater than {where}.Maximum.")
    return Value(total, count, lowest, highest)


def _number(given: float, where: str) -> float:
    number = float(given)
    if not math.isfinite(number) or (number != 0 and not SMALLEST <= abs(number) <= LARGEST):
        raise refuse_value(
            f"The value {number} for parameter {where} is invalid: it must be 0, or from {SMALLEST} to {LARGEST} in size."
        )
    return number


def _count(given: float, where: str) -> float:
    number = _number(given, where)
    if number <= 0:
        raise refuse_value(f"The value {number} for parameter {where} is invalid: it must be greater than 0.")
    return number
