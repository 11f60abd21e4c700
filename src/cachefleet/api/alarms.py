"""Alarms on metrics: made, changed, listed, deleted; their states are evaluated by telemetry.alarm_watch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from cachefleet.api.alarm_actions import acts_on
from cachefleet.api.alarm_inputs import checked_alarm_name, read_alarm
from cachefleet.api.alarm_views import alarm_view, history_view
from cachefleet.api.context import Context
from cachefleet.api.metric_inputs import read_metric, refuse_value
from cachefleet.api.names import quoted
from cachefleet.api.paging import read_marker, write_marker
from cachefleet.api.registry import Refusal, operation
from cachefleet.metrics.alarms import state_change
from cachefleet.model.alarm import AlarmChange, AlarmDesired, AlarmState, AlarmValue, alarm_arn, changed
from cachefleet.model.errors import AwsError, invalid_combination
from cachefleet.model.resource import Kind
from cachefleet.model.row import AlarmRow, Row

MAX_RECORDS = 100
DEFAULT_RECORDS = 50
QUOTA = 5000  # alarms of a region
_NO_MATH = Refusal("alarms on expressions are not implemented yet; name one metric with Namespace and MetricName.", ((), []))
_NO_CONFIGURATION = Refusal("actions have no settings here; leave it out.")
_ALONE = Refusal("it belongs to alarms on expressions, which are not implemented yet.")
_NO_OTHERS = Refusal("there are no composite alarms; leave it out.")


@operation(
    "PutMetricAlarm",
    service="monitoring",
    effective=(
        "AlarmName",
        "AlarmDescription",
        "ActionsEnabled",
        "MetricName",
        "Namespace",
        "Statistic",
        "ExtendedStatistic",
        "Dimensions",
        "Period",
        "Unit",
        "EvaluationPeriods",
        "DatapointsToAlarm",
        "Threshold",
        "ComparisonOperator",
        "TreatMissingData",
        "EvaluateLowSampleCountPercentile",
        "AlarmActions",
        "OKActions",
        "InsufficientDataActions",
    ),
    refused={
        **dict.fromkeys(("Metrics", "Tags"), _NO_MATH),
        **dict.fromkeys(
            ("ThresholdMetricId", "EvaluationWindow", "WarmUpConfiguration", "EvaluationCriteria", "EvaluationInterval"), _ALONE
        ),
        "ActionConfiguration": _NO_CONFIGURATION,
    },
)
async def put_metric_alarm(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    alarm = read_alarm(context, request)
    key = context.scope.key(Kind.ALARM, alarm.name)
    row: AlarmRow | None = await context.store.get(key)
    if row is None and await context.store.count(Kind.ALARM, context.scope) >= QUOTA:
        raise AwsError("LimitExceeded", f"There are {QUOTA} alarms already, which is the limit.")
    if row is not None:  # its state stays until it is evaluated
        alarm = replace(alarm, state=row.desired.state, history=row.desired.history)
    alarm = _noted(context, alarm, "ConfigurationUpdate", f'Alarm "{alarm.name}" {"created" if row is None else "updated"}', {})
    async with context.store.transaction() as transaction:
        if row is None:
            await transaction.insert(Row(key=key, desired=alarm))
        else:
            await transaction.update(replace(row, desired=alarm))
    return {}


@operation(
    "DescribeAlarms",
    service="monitoring",
    effective=("AlarmNames", "AlarmNamePrefix", "AlarmTypes", "StateValue", "ActionPrefix", "MaxRecords", "NextToken"),
    refused=dict.fromkeys(("ChildrenOfAlarmName", "ParentsOfAlarmName"), _NO_OTHERS),
)
async def describe_alarms(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    names, prefix, state = request.get("AlarmNames"), request.get("AlarmNamePrefix") or "", request.get("StateValue")
    if names and prefix:
        raise invalid_combination("AlarmNamePrefix and AlarmNames cannot be used together; give one of them.")
    if "MetricAlarm" not in (request.get("AlarmTypes") or ("MetricAlarm",)):
        return {"MetricAlarms": [], "CompositeAlarms": []}
    wanted, action = set(names or ()), request.get("ActionPrefix") or ""

    def matches(alarm: AlarmDesired) -> bool:
        named = alarm.name.startswith(prefix) and (not wanted or alarm.name in wanted)
        return named and state in (None, alarm.state.value.value) and acts_on(alarm, action)

    rows, marker = await _page(context, request, matches)
    return {
        "MetricAlarms": [alarm_view(context.scope, row.desired) for row in rows],
        "CompositeAlarms": [],
        "NextToken": marker,
    }


@operation(
    "DescribeAlarmsForMetric",
    service="monitoring",
    effective=("MetricName", "Namespace", "Statistic", "ExtendedStatistic", "Dimensions", "Period", "Unit"),
)
async def describe_alarms_for_metric(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    metric = read_metric(context, request, "", refuse_value)
    asked = {
        "statistic": request.get("Statistic") or request.get("ExtendedStatistic"),
        "period_s": request.get("Period"),
        "unit": request.get("Unit"),
    }
    rows: list[AlarmRow] = await context.store.rows(Kind.ALARM, context.scope)
    found = [
        row.desired
        for row in rows
        if (row.desired.series, row.desired.metric) == (metric.series, metric.name)
        and all(value is None or getattr(row.desired, field) == value for field, value in asked.items())
    ]
    return {"MetricAlarms": [alarm_view(context.scope, alarm) for alarm in found]}


@operation("DeleteAlarms", service="monitoring", effective=("AlarmNames",))
async def delete_alarms(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """All or none."""
    rows = [await _load(context, name) for name in _named(request)]
    async with context.store.transaction() as transaction:
        for row in rows:
            await transaction.delete(row)
    return {}


@operation("SetAlarmState", service="monitoring", effective=("AlarmName", "StateValue", "StateReason", "StateReasonData"))
async def set_alarm_state(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """Until it is evaluated next."""
    row = await _load(context, request["AlarmName"])
    try:
        value = AlarmValue(request["StateValue"])
    except ValueError:
        choices = ", ".join(one.value for one in AlarmValue)
        raise refuse_value(f"The parameter StateValue must be a value in the set [ {choices} ].") from None
    data = request.get("StateReasonData") or "{}"
    try:
        msgspec.json.decode(data)
    except msgspec.DecodeError:
        raise AwsError("InvalidFormat", "StateReasonData is not JSON.") from None
    state = AlarmState(value, request["StateReason"], data)
    await _update(context, row, state_change(row.desired, state, context.clock.now()))
    return {}


@operation("EnableAlarmActions", service="monitoring", effective=("AlarmNames",))
async def enable_alarm_actions(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    return await _switch(context, request, on=True)


@operation("DisableAlarmActions", service="monitoring", effective=("AlarmNames",))
async def disable_alarm_actions(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    return await _switch(context, request, on=False)


@operation(
    "DescribeAlarmHistory",
    service="monitoring",
    effective=("AlarmName", "AlarmTypes", "HistoryItemType", "StartDate", "EndDate", "MaxRecords", "NextToken", "ScanBy"),
    refused={"AlarmContributorId": _NO_OTHERS},
)
async def describe_alarm_history(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    if "MetricAlarm" not in (request.get("AlarmTypes") or ("MetricAlarm",)):
        return {"AlarmHistoryItems": []}
    rows: list[AlarmRow] = await context.store.rows(Kind.ALARM, context.scope)
    start, end = float(request.get("StartDate") or 0.0), float(request.get("EndDate") or 1e12)
    kind, name = request.get("HistoryItemType"), request.get("AlarmName")
    found = [
        (change, row.desired)
        for row in rows
        for change in row.desired.history
        if name in (None, row.desired.name) and kind in (None, change.kind) and start <= change.at <= end
    ]
    found.sort(key=lambda item: (item[0].at, item[1].name), reverse=request.get("ScanBy") != "TimestampAscending")
    size, begin = _size(request), _offset(request)
    items = [history_view(alarm, change) for change, alarm in found[begin : begin + size]]
    more = str(begin + size) if begin + size < len(found) else None
    return {"AlarmHistoryItems": items, "NextToken": write_marker("alarm-history", more) if more else None}


# --- rows ----------------------------------------------------------------------------------------------------------


async def _load(context: Context, name: str) -> AlarmRow:
    """Raises ResourceNotFound, InvalidParameterValue."""
    row: AlarmRow | None = await context.store.get(context.scope.key(Kind.ALARM, checked_alarm_name(name)))
    if row is None:
        raise AwsError("ResourceNotFound", f"There is no alarm {quoted(name)}.")
    return row


async def _update(context: Context, row: AlarmRow, alarm: AlarmDesired) -> None:
    async with context.store.transaction() as transaction:
        await transaction.update(replace(row, desired=alarm))


async def _switch(context: Context, request: Mapping[str, Any], *, on: bool) -> dict[str, Any]:
    for name in _named(request):
        row = await _load(context, name)
        if row.desired.actions_enabled is not on:
            alarm = replace(row.desired, actions_enabled=on)
            await _update(context, row, _noted(context, alarm, "ConfigurationUpdate", f'Alarm "{name}" updated', {}))
    return {}


def _noted(context: Context, alarm: AlarmDesired, kind: str, summary: str, data: Mapping[str, Any]) -> AlarmDesired:
    """data: what else is in HistoryData."""
    told = {"version": "1.0", "type": "Update", "alarmArn": alarm_arn(context.scope, alarm.name), **data}
    change = AlarmChange(context.clock.now(), kind, summary, msgspec.json.encode(told).decode())
    return replace(alarm, history=changed(alarm, change))


def _named(request: Mapping[str, Any]) -> Sequence[str]:
    names: Sequence[str] = list(dict.fromkeys(request["AlarmNames"]))
    if len(names) > MAX_RECORDS:
        raise refuse_value(f"The collection AlarmNames has {len(names)} members; at most {MAX_RECORDS} are allowed.")
    return names


# --- pages ---------------------------------------------------------------------------------------------------------


async def _page(
    context: Context, request: Mapping[str, Any], matches: Callable[[AlarmDesired], bool]
) -> tuple[list[AlarmRow], str | None]:
    size, token = _size(request), request.get("NextToken")
    rows: list[AlarmRow] = await context.store.rows(Kind.ALARM, context.scope, _read("alarms", token) if token else "")
    found = [row for row in rows if matches(row.desired)]
    return found[:size], write_marker("alarms", found[size - 1].key.name) if len(found) > size else None


def _size(request: Mapping[str, Any]) -> int:
    size = request.get("MaxRecords")
    if size is None:
        return DEFAULT_RECORDS
    if not 1 <= size <= MAX_RECORDS:
        raise refuse_value(f"The parameter MaxRecords must be 1 to {MAX_RECORDS}.")
    return int(size)


def _offset(request: Mapping[str, Any]) -> int:
    token = request.get("NextToken")
    text = _read("alarm-history", token) if token else "0"
    if not text.isdecimal():
        raise _wrong_token()
    return int(text)


def _read(kind: str, token: str) -> str:
    try:
        return read_marker(kind, token)
    except AwsError:
        raise _wrong_token() from None


def _wrong_token() -> AwsError:
    return AwsError("InvalidNextToken", "NextToken is not one that this operation has given.")
