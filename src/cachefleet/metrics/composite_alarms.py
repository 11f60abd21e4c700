"""In which state a composite alarm is, by the states of its children; and why, in CloudWatch's words. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

from cachefleet.metrics.alarm_messages import iso
from cachefleet.metrics.alarm_rules import AlarmRule, holds
from cachefleet.model.alarm import AlarmState, AlarmValue, alarm_arn
from cachefleet.model.resource import Scope

REASON_LENGTH = 1023
DATA_LENGTH = 4000


def composite_state(scope: Scope, rule: AlarmRule, states: Mapping[str, AlarmState]) -> AlarmState:
    """states: of its children, by their names; those that are gone are not among them. Those that changed last are named as the
    reason."""
    value = AlarmValue.ALARM if holds(rule, {name: state.value for name, state in states.items()}) else AlarmValue.OK
    latest = max((state.transitioned_at for state in states.values()), default=0.0)
    moved = {name: state for name, state in states.items() if state.transitioned_at == latest}
    if not moved:
        return AlarmState(
            value, f"The rule names no alarm that is there, and is {'true' if value is AlarmValue.ALARM else 'false'}."
        )
    told = ", ".join(
        f"{alarm_arn(scope, name)} transitioned to {state.value.value} at {_long(state.transitioned_at)}"
        for name, state in moved.items()
    )
    return AlarmState(value, told if len(told) <= REASON_LENGTH else told[: REASON_LENGTH - 3] + "...", _data(scope, moved))


def _data(scope: Scope, moved: Mapping[str, AlarmState]) -> str:
    """As many of them as fit."""
    triggering: list[object] = []
    data = "{}"
    for name, state in moved.items():
        seen = {"value": state.value.value, "timestamp": iso(state.transitioned_at)}
        triggering.append({"arn": alarm_arn(scope, name), "state": seen})
        longer = msgspec.json.encode({"triggeringAlarms": triggering}).decode()
        if len(longer) > DATA_LENGTH:
            break
        data = longer
    return data


def _long(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%A %d %B, %Y %H:%M:%S UTC")
