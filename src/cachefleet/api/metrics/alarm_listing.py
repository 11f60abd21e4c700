"""Alarms and what happened to them: DescribeAlarms, DescribeAlarmsForMetric, DescribeAlarmHistory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from cachefleet.api.context import Context
from cachefleet.api.metrics.alarm_actions import acts_on
from cachefleet.api.metrics.alarm_rows import all_alarms, checked_names, children_of, find_alarm, load_alarm, parents_of
from cachefleet.api.metrics.alarm_views import (
    COMPOSITE_ALARM,
    METRIC_ALARM,
    alarm_type,
    alarm_view,
    child_view,
    history_view,
    parent_view,
)
from cachefleet.api.metrics.metric_inputs import read_metric, refuse_query, refuse_value
from cachefleet.api.paging import after_of, page_from, place_of, write_marker
from cachefleet.api.registry import Refusal, operation
from cachefleet.model.alarm import AlarmChange, AlarmDesired, AlarmValue
from cachefleet.model.errors import AwsError, invalid_combination
from cachefleet.model.resource import Scope
from cachefleet.model.row import AlarmRow

MAX_RECORDS = 100
DEFAULT_RECORDS = 50
_MOST_AT_ONCE = 10_000  # items of histories that are sorted in one go
_CHOICES = {
    "AlarmTypes": (METRIC_ALARM, COMPOSITE_ALARM),
    "StateValue": tuple(AlarmValue),
    "HistoryItemType": (
        "ConfigurationUpdate",
        "StateUpdate",
        "Action",
        "AlarmContributorStateUpdate",
        "AlarmContributorAction",
    ),
    "ScanBy": ("TimestampDescending", "TimestampAscending"),
}

View = Callable[[Scope, AlarmDesired], dict[str, Any]]


@operation(
    "DescribeAlarms",
    service="monitoring",
    effective=(
        "AlarmNames",
        "AlarmNamePrefix",
        "AlarmTypes",
        "ChildrenOfAlarmName",
        "ParentsOfAlarmName",
        "StateValue",
        "ActionPrefix",
        "MaxRecords",
        "NextToken",
    ),
)
async def describe_alarms(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """Metric alarms only, as long as AlarmTypes says nothing else."""
    _check_choices(request)
    for member in ("ChildrenOfAlarmName", "ParentsOfAlarmName"):
        if member in request:
            return await _describe_relatives(context, request, member)
    names, prefix, state = (
        checked_names(request.get("AlarmNames") or ()),
        request.get("AlarmNamePrefix") or "",
        request.get("StateValue"),
    )
    if names and prefix:
        raise invalid_combination("AlarmNamePrefix and AlarmNames cannot be used together; give one of them.")
    types, action = _types(request), request.get("ActionPrefix") or ""

    def matches(alarm: AlarmDesired) -> bool:
        if alarm_type(alarm) not in types or not alarm.name.startswith(prefix):
            return False
        return state in (None, alarm.state.value.value) and acts_on(alarm, action)

    after = _after(request)
    rows = _by_name(context, sorted(name for name in names if name > after)) if names else all_alarms(context, after)
    return await _page(context, request, rows, matches, alarm_view)


async def _describe_relatives(context: Context, request: Mapping[str, Any], member: str) -> dict[str, Any]:
    others = sorted(set(request) - {member, "MaxRecords", "NextToken"})
    if others:
        raise refuse_query(f"{member} can only be used with MaxRecords and NextToken; leave out {', '.join(others)}.")
    alarm = (await load_alarm(context, request[member])).desired
    if member == "ChildrenOfAlarmName":
        found, view = list(children_of(context, alarm)), child_view
    else:
        found, view = (await parents_of(context, [alarm.name])).get(alarm.name, []), parent_view
    after = _after(request)
    rows = _by_name(context, sorted(name for name in found if name > after))
    return await _page(context, request, rows, lambda _: True, view)


@operation(
    "DescribeAlarmsForMetric",
    service="monitoring",
    effective=("MetricName", "Namespace", "Statistic", "ExtendedStatistic", "Dimensions", "Period", "Unit"),
)
async def describe_alarms_for_metric(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """Alarms on expressions are not told of, as in CloudWatch."""
    metric = read_metric(context, request, "", refuse_value)
    asked = {
        "statistic": request.get("Statistic") or request.get("ExtendedStatistic"),
        "period_s": request.get("Period"),
        "unit": request.get("Unit"),
    }
    found = [
        row.desired
        async for row in all_alarms(context)
        if (row.desired.series, row.desired.metric) == (metric.series, metric.name)
        and all(value is None or getattr(row.desired, field) == value for field, value in asked.items())
    ]
    return {"MetricAlarms": [alarm_view(context.scope, alarm) for alarm in found]}


@operation(
    "DescribeAlarmHistory",
    service="monitoring",
    effective=("AlarmName", "AlarmTypes", "HistoryItemType", "StartDate", "EndDate", "MaxRecords", "NextToken", "ScanBy"),
    refused={"AlarmContributorId": Refusal("alarms have no contributors here; leave it out.")},
)
async def describe_alarm_history(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    _check_choices(request)
    start, end = float(request.get("StartDate") or 0.0), float(request.get("EndDate") or 1e12)
    kind, name, types = request.get("HistoryItemType"), request.get("AlarmName"), _types(request)
    size, begin = _size(request), place_of("alarm-history", request.get("NextToken"), _wrong_token())
    newest_first = request.get("ScanBy") != "TimestampAscending"
    found: list[tuple[AlarmChange, AlarmDesired]] = []
    async for row in _by_name(context, [name]) if name is not None else all_alarms(context):
        if alarm_type(row.desired) not in types:
            continue
        history = row.desired.history if newest_first else row.desired.history[::-1]
        found += [(one, row.desired) for one in history if kind in (None, one.kind) and start <= one.at <= end]
        if len(found) > _MOST_AT_ONCE + 2 * (begin + size):  # so that no page needs the history of all alarms at once
            found.sort(key=_moment, reverse=newest_first)
            del found[begin + size + 1 :]
    found.sort(key=_moment, reverse=newest_first)
    shown, token = page_from(begin, found, size, "alarm-history")
    return {"AlarmHistoryItems": [history_view(alarm, change) for change, alarm in shown], "NextToken": token}


def _moment(item: tuple[AlarmChange, AlarmDesired]) -> float:
    return item[0].at


async def _by_name(context: Context, names: list[str]) -> AsyncIterator[AlarmRow]:
    for name in names:
        row = await find_alarm(context, name)
        if row is not None:
            yield row


async def _page(
    context: Context,
    request: Mapping[str, Any],
    rows: AsyncIterator[AlarmRow],
    matches: Callable[[AlarmDesired], bool],
    view: View,
) -> dict[str, Any]:
    size = _size(request)
    found: list[AlarmRow] = []
    async for row in rows:
        if matches(row.desired):
            found.append(row)
        if len(found) > size:
            break
    shown = [row.desired for row in found[:size]]
    return {
        "MetricAlarms": [view(context.scope, alarm) for alarm in shown if not alarm.is_composite],
        "CompositeAlarms": [view(context.scope, alarm) for alarm in shown if alarm.is_composite],
        "NextToken": write_marker("alarms", shown[-1].name) if len(found) > size else None,
    }


def _check_choices(request: Mapping[str, Any]) -> None:
    """Raises InvalidParameterValue."""
    for member, choices in _CHOICES.items():
        given = request.get(member) or ()
        if any(one not in choices for one in ([given] if isinstance(given, str) else given)):
            raise refuse_value(f"The parameter {member} must be a value in the set [ {', '.join(choices)} ].")


def _types(request: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(request.get("AlarmTypes") or (METRIC_ALARM,))


def _size(request: Mapping[str, Any]) -> int:
    size = request.get("MaxRecords")
    if size is None:
        return DEFAULT_RECORDS
    if not 1 <= size <= MAX_RECORDS:
        raise refuse_value(f"The parameter MaxRecords must be 1 to {MAX_RECORDS}.")
    return int(size)


def _after(request: Mapping[str, Any]) -> str:
    return after_of("alarms", request.get("NextToken"), _wrong_token())


def _wrong_token() -> AwsError:
    return AwsError("InvalidNextToken", "NextToken is not one that this operation has given.")
