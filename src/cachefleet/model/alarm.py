"""An alarm on a metric: a row of its own, with the state it is in and how it got there."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from cachefleet.model.metric import Series
from cachefleet.model.resource import Scope

HISTORY = 100  # changes that are kept


class AlarmValue(StrEnum):
    OK = "OK"
    ALARM = "ALARM"
    INSUFFICIENT_DATA = "INSUFFICIENT_DATA"


class Missing(StrEnum):
    """How periods without a value count (TreatMissingData)."""

    MISSING = "missing"
    IGNORE = "ignore"
    BREACHING = "breaching"
    NOT_BREACHING = "notBreaching"


class Comparison(StrEnum):
    AT_LEAST = "GreaterThanOrEqualToThreshold"
    ABOVE = "GreaterThanThreshold"
    BELOW = "LessThanThreshold"
    AT_MOST = "LessThanOrEqualToThreshold"


class AlarmState(msgspec.Struct, frozen=True):
    """reason_data: JSON. Times in epoch seconds."""

    value: AlarmValue
    reason: str
    reason_data: str = "{}"
    updated_at: float = 0.0  # value, reason or data
    transitioned_at: float = 0.0  # value


class AlarmChange(msgspec.Struct, frozen=True):
    """kind: ConfigurationUpdate, StateUpdate, Action. data: JSON."""

    at: float
    kind: str
    summary: str
    data: str


class AlarmDesired(msgspec.Struct, frozen=True):
    """The row's name is the alarm's. statistic: as it was given. unit: "" any."""

    name: str
    series: Series
    metric: str
    statistic: str
    period_s: int
    evaluation_periods: int
    datapoints: int  # of these, that have to breach
    threshold: float
    comparison: Comparison
    missing: Missing = Missing.MISSING
    unit: str = ""
    description: str = ""
    ignores_few_samples: bool = False  # EvaluateLowSampleCountPercentile: ignore
    actions_enabled: bool = True
    configured_at: float = 0.0
    state: AlarmState = AlarmState(AlarmValue.INSUFFICIENT_DATA, "Unchecked: Initial alarm creation")
    history: tuple[AlarmChange, ...] = ()  # newest first
    alarm_actions: tuple[str, ...] = ()  # ARNs, this and the next two: when that state begins
    ok_actions: tuple[str, ...] = ()
    insufficient_actions: tuple[str, ...] = ()


def alarm_arn(scope: Scope, name: str) -> str:
    return f"arn:aws:cloudwatch:{scope.region}:{scope.account}:alarm:{name}"


def changed(alarm: AlarmDesired, change: AlarmChange) -> tuple[AlarmChange, ...]:
    """Its history from then on."""
    return (change, *alarm.history)[:HISTORY]
