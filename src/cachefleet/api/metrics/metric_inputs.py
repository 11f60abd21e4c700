"""What the operations on metrics have in common: names, dimensions, units, periods, times.

Pure. Operations differ in the code of their refusals, so every check is given what makes one of a message.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cachefleet.api.context import Context
from cachefleet.api.names import quoted
from cachefleet.metrics.periods import PERIOD_RULE, is_period
from cachefleet.metrics.queries import Metric
from cachefleet.metrics.statistics import Statistic, read_statistic
from cachefleet.model.errors import AwsError
from cachefleet.model.metric import UNITS, Series
from cachefleet.monitoring.reading import Readings

Refuse = Callable[[str], AwsError]

MAX_DIMENSIONS = 30
NAME_LENGTH = 255
VALUE_LENGTH = 1024
STATISTIC_RULE = "SampleCount, Average, Sum, Minimum, Maximum, p99, tm99, tc99, ts99, wm99, TM(10%:90%), PR(:300), IQM"


def refuse_value(message: str) -> AwsError:
    return AwsError("InvalidParameterValue", message)


def refuse_query(message: str) -> AwsError:
    """GetMetricData's."""
    return AwsError("ValidationError", message)


def read_metric(context: Context, given: Mapping[str, Any], where: str, refuse: Refuse) -> Metric:
    """given: with Namespace, MetricName and Dimensions. where: what stands before them in messages, "" or with a dot at its
    end. Raises MissingParameter and what refuse makes."""
    for member in ("Namespace", "MetricName"):
        if not given.get(member):
            raise AwsError("MissingParameter", f"The parameter {where}{member} is required.")
    namespace = checked_name(given["Namespace"], f"{where}Namespace", refuse)
    name = checked_name(given["MetricName"], f"{where}MetricName", refuse)
    pairs = read_dimensions(given.get("Dimensions") or (), f"{where}Dimensions", refuse)
    scope = context.scope
    return Metric(Series(scope.account, scope.region, namespace, pairs), name)


def read_dimensions(given: Sequence[Mapping[str, Any]], where: str, refuse: Refuse) -> tuple[tuple[str, str], ...]:
    """Sorted by name."""
    if len(given) > MAX_DIMENSIONS:
        raise refuse(f"The collection {where} has {len(given)} members; at most {MAX_DIMENSIONS} are allowed.")
    pairs: dict[str, str] = {}
    for number, one in enumerate(given, 1):
        field = f"{where}.member.{number}"
        name = checked_name(one["Name"], f"{field}.Name", refuse)
        if name in pairs:
            raise refuse("No metric may specify the same dimension name twice.")
        pairs[name] = checked_text(one["Value"], f"{field}.Value", VALUE_LENGTH, refuse)
    return tuple(sorted(pairs.items()))


def checked_name(text: str, where: str, refuse: Refuse) -> str:
    if text.startswith(":"):
        raise refuse(f"The value {quoted(text)} for parameter {where} is invalid: it must not begin with a colon.")
    return checked_text(text, where, NAME_LENGTH, refuse)


def checked_text(text: str, where: str, longest: int, refuse: Refuse) -> str:
    if not 1 <= len(text) <= longest or not text.strip() or not text.isprintable() or not text.isascii():
        raise refuse(
            f"The value {quoted(text)} for parameter {where} is invalid: it must have 1 to {longest} printable ASCII "
            "characters, not only spaces."
        )
    return text


def checked_unit(unit: str | None, where: str, refuse: Refuse) -> str:
    """None: ""."""
    if unit is not None and unit not in UNITS:
        raise refuse(f"The parameter {where} must be a value in the set [ {', '.join(UNITS)} ].")
    return unit or ""


def checked_period(seconds: int, where: str, refuse: Refuse) -> int:
    if not is_period(seconds):
        raise refuse(f"The value {seconds} for parameter {where} is invalid: it {PERIOD_RULE}.")
    return seconds


def checked_statistic(text: str, where: str, refuse: Refuse) -> Statistic:
    found = read_statistic(text)
    if found is None:
        raise refuse(f"The value {quoted(text)} for parameter {where} is not a valid statistic: use {STATISTIC_RULE}.")
    return found


def checked_times(request: Mapping[str, Any], refuse: Refuse) -> tuple[float, float]:
    start, end = float(request["StartTime"]), float(request["EndTime"])
    if start >= end:
        raise refuse("The parameter StartTime must be less than the parameter EndTime.")
    return start, end


def readings(context: Context) -> Readings:
    return Readings(context.metrics, context.clock, context.settings.api.memcached_nodes)


def shown_metric(series: Series, name: str) -> dict[str, Any]:
    return {
        "Namespace": series.namespace,
        "MetricName": name,
        "Dimensions": [{"Name": key, "Value": value} for key, value in series.dimensions],
    }
