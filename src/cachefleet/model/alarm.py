"""An alarm, on a metric, an expression or other alarms: a row of its own, with the state it is in and how it got there."""

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


class AlarmQuery(msgspec.Struct, frozen=True, kw_only=True):
    """A metric (series, metric, statistic, unit), or an expression on others. is_watched: it is what is compared with the
    threshold; one of an alarm's queries is. period_s: of an expression 0 where it was not said."""

    query_id: str
    is_watched: bool
    label: str = ""
    period_s: int = 0
    expression: str = ""
    series: Series | None = None
    metric: str = ""
    statistic: str = ""
    unit: str = ""


class AlarmDesired(msgspec.Struct, frozen=True):
    """The row's name is the alarm's. statistic: as it was given. unit: "" any. Alarms on expressions have queries in place of
    a series; composite ones have a rule in place of all that is about values."""

    name: str
    series: Series = Series("", "", "", ())
    metric: str = ""
    statistic: str = ""
    period_s: int = 60
    evaluation_periods: int = 1
    datapoints: int = 1  # of these, that have to breach
    threshold: float = 0.0
    comparison: Comparison = Comparison.AT_LEAST
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
    queries: tuple[AlarmQuery, ...] = ()
    rule: str = ""  # metrics.alarm_rules

    @property
    def is_composite(self) -> bool:
        return bool(self.rule)

    def actions(self, value: AlarmValue) -> tuple[str, ...]:
        """What it is to do when that state begins."""
        if value is AlarmValue.ALARM:
            return self.alarm_actions
        return self.ok_actions if value is AlarmValue.OK else self.insufficient_actions


def alarm_arn(scope: Scope, name: str) -> str:
    return f"arn:aws:cloudwatch:{scope.region}:{scope.account}:alarm:{name}"


def changed(alarm: AlarmDesired, change: AlarmChange) -> tuple[AlarmChange, ...]:
    """Its history from then on."""
    return (change, *alarm.history)[:HISTORY]
