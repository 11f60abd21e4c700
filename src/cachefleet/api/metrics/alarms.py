"""Alarms made, changed, deleted and switched; their states are evaluated by telemetry.alarm_watch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from cachefleet.api.context import Context
from cachefleet.api.metrics.alarm_inputs import read_alarm, read_composite_alarm
from cachefleet.api.metrics.alarm_rows import checked_names, children_of, find_alarm, load_alarm, parents_of
from cachefleet.api.metrics.alarm_tags import read_alarm_tags
from cachefleet.api.metrics.metric_inputs import refuse_query, refuse_value
from cachefleet.api.names import quoted
from cachefleet.api.registry import Refusal, operation
from cachefleet.api.rows import update_row
from cachefleet.model.alarm import AlarmChange, AlarmDesired, AlarmState, AlarmValue, alarm_arn, changed
from cachefleet.model.errors import AwsError
from cachefleet.model.resource import Kind
from cachefleet.model.row import AlarmRow, Row
from cachefleet.monitoring.transitions import change_state

REASON_LENGTH = 1023
REASON_DATA_LENGTH = 4000
QUOTA = 5000  # alarms of a region
_NO_CONFIGURATION = Refusal("actions have no settings here; leave it out.")
_NO_BANDS = Refusal("there is no anomaly detection here; give Threshold and leave it out.")
_NO_WINDOWS = Refusal("alarms are evaluated over the last EvaluationPeriods at any time; leave it out.")
_NO_PROMQL = Refusal("there are no alarms on PromQL here; name metrics with MetricName or Metrics.")
_NO_SUPPRESSOR = Refusal("actions are not suppressed by other alarms here; put NOT ALARM(...) into AlarmRule instead.")
_ACTIONS = ("ActionsEnabled", "AlarmActions", "OKActions", "InsufficientDataActions")


@operation(
    "PutMetricAlarm",
    service="monitoring",
    effective=(
        "AlarmName",
        "AlarmDescription",
        *_ACTIONS,
        "MetricName",
        "Namespace",
        "Statistic",
        "ExtendedStatistic",
        "Dimensions",
        "Period",
        "Unit",
        "Metrics",
        "EvaluationPeriods",
        "DatapointsToAlarm",
        "Threshold",
        "ComparisonOperator",
        "TreatMissingData",
        "EvaluateLowSampleCountPercentile",
        "Tags",
    ),
    refused={
        "ThresholdMetricId": _NO_BANDS,
        **dict.fromkeys(("EvaluationWindow", "WarmUpConfiguration"), _NO_WINDOWS),
        **dict.fromkeys(("EvaluationCriteria", "EvaluationInterval"), _NO_PROMQL),
        "ActionConfiguration": _NO_CONFIGURATION,
    },
)
async def put_metric_alarm(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """Tags are those of a new one; on an alarm that is there already they are left as they are, as in CloudWatch."""
    alarm = read_alarm(context, request)
    return await _put(context, alarm, request, ())


@operation(
    "PutCompositeAlarm",
    service="monitoring",
    effective=("AlarmName", "AlarmDescription", *_ACTIONS, "AlarmRule", "Tags"),
    refused={
        **dict.fromkeys(
            ("ActionsSuppressor", "ActionsSuppressorWaitPeriod", "ActionsSuppressorExtensionPeriod"), _NO_SUPPRESSOR
        ),
        "ActionConfiguration": _NO_CONFIGURATION,
    },
)
async def put_composite_alarm(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    alarm = read_composite_alarm(context, request)
    named = {name: await find_alarm(context, name) for name in children_of(context, alarm)}
    missing = [alarm_arn(context.scope, name) for name, row in named.items() if row is None]
    if missing:
        told = ", ".join(missing[:10])
        raise refuse_query(f"Could not save the composite alarm as alarms [{told}] in the alarm rule do not exist.")
    children = [row for row in named.values() if row is not None]
    await _check_no_circle(context, alarm.name, children)
    return await _put(context, alarm, request, children)


async def _put(
    context: Context, alarm: AlarmDesired, request: Mapping[str, Any], children: Sequence[AlarmRow]
) -> dict[str, Any]:
    """children: are written anew as they are, so that none of them is deleted or made composite at the same moment."""
    tags = read_alarm_tags(request.get("Tags") or ())
    row = await find_alarm(context, alarm.name)
    if row is None and await context.store.count(Kind.ALARM, context.scope) >= QUOTA:
        raise AwsError("LimitExceeded", f"There are {QUOTA} alarms already, which is the limit.")
    if row is not None:  # its state stays until it is evaluated
        if row.desired.is_composite is not alarm.is_composite:
            raise refuse_query(
                f"There is an alarm {quoted(alarm.name)} of the other type; delete it first, or use another name."
            )
        alarm = replace(alarm, state=row.desired.state, history=row.desired.history)
    alarm = _noted(context, alarm, f'Alarm "{alarm.name}" {"created" if row is None else "updated"}')
    async with context.store.transaction() as transaction:
        for child in children:
            await transaction.update(child)
        if row is None:
            await transaction.insert(Row(key=context.scope.key(Kind.ALARM, alarm.name), desired=alarm, tags=tags))
        else:
            await transaction.update(replace(row, desired=alarm))
    return {}


async def _check_no_circle(context: Context, name: str, children: Sequence[AlarmRow]) -> None:
    """Raises ValidationError when one of them depends on the alarm of this name."""
    waiting, seen = list(children), {row.key.name for row in children}
    while waiting:
        row = waiting.pop()
        if row.key.name == name:
            raise refuse_query(
                f"The alarm {quoted(name)} would depend on itself; name no alarm in AlarmRule that depends on it."
            )
        for child in set(children_of(context, row.desired)) - seen:
            seen.add(child)
            found = await find_alarm(context, child)
            if found is not None:
                waiting.append(found)


@operation("DeleteAlarms", service="monitoring", effective=("AlarmNames",))
async def delete_alarms(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """Those that there are, also when others are not there. Alarms of scaling policies go like any other, as in CloudWatch."""
    names = checked_names(request["AlarmNames"])
    rows = [row for name in names if (row := await find_alarm(context, name)) is not None]
    there = {row.key.name for row in rows}
    if sum(row.desired.is_composite for row in rows) > 1:
        raise refuse_query("At most one composite alarm can be deleted in one operation; delete them one after the other.")
    for name, parents in (await parents_of(context, sorted(there))).items():
        others = [parent for parent in parents if parent not in there]
        if others:
            raise refuse_query(
                f"Cannot delete {name} as there are composite alarm(s) depending on it: {', '.join(others[:10])}."
            )
    async with context.store.transaction() as transaction:
        for row in rows:
            await transaction.delete(row)
    missing = [name for name in names if name not in there]
    if missing:
        told = ", ".join(map(quoted, missing[:10]))
        rest = "; the others are deleted." if rows else "."
        raise AwsError("ResourceNotFound", f"There is no alarm {told}{rest}")
    return {}


@operation("SetAlarmState", service="monitoring", effective=("AlarmName", "StateValue", "StateReason", "StateReasonData"))
async def set_alarm_state(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """Until it is evaluated next; of a composite alarm, until one of its children changes."""
    row = await load_alarm(context, request["AlarmName"])
    try:
        value = AlarmValue(request["StateValue"])
    except ValueError:
        choices = ", ".join(one.value for one in AlarmValue)
        raise refuse_value(f"The parameter StateValue must be a value in the set [ {choices} ].") from None
    data = request.get("StateReasonData") or "{}"
    for member, text, longest in (
        ("StateReason", request["StateReason"], REASON_LENGTH),
        ("StateReasonData", data, REASON_DATA_LENGTH),
    ):
        if len(text) > longest:
            raise refuse_value(f"The parameter {member} has {len(text)} characters; at most {longest}.")
    try:
        msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError):
        raise AwsError("InvalidFormat", "StateReasonData is not JSON.") from None
    await change_state(context.store, row, AlarmState(value, request["StateReason"], data), context.clock.now())
    return {}


@operation("EnableAlarmActions", service="monitoring", effective=("AlarmNames",))
async def enable_alarm_actions(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    return await _switch(context, request, on=True)


@operation("DisableAlarmActions", service="monitoring", effective=("AlarmNames",))
async def disable_alarm_actions(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    return await _switch(context, request, on=False)


async def _switch(context: Context, request: Mapping[str, Any], *, on: bool) -> dict[str, Any]:
    for name in checked_names(request["AlarmNames"]):
        row = await load_alarm(context, name)
        if row.desired.actions_enabled is not on:
            alarm = replace(row.desired, actions_enabled=on)
            await update_row(context, row, replace(row, desired=_noted(context, alarm, f'Alarm "{name}" updated')))
    return {}


def _noted(context: Context, alarm: AlarmDesired, summary: str) -> AlarmDesired:
    """With a change of its configuration in its history."""
    told = {"version": "1.0", "type": "Update", "alarmArn": alarm_arn(context.scope, alarm.name)}
    change = AlarmChange(context.clock.now(), "ConfigurationUpdate", summary, msgspec.json.encode(told).decode())
    return replace(alarm, history=changed(alarm, change))
