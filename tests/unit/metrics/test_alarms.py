"""The tables of CloudWatch's guide on missing data, and M of N."""

from __future__ import annotations

import pytest

from cachefleet.metrics.alarms import Rule, evaluate, period_ends
from cachefleet.model.alarm import AlarmValue, Comparison, Missing

END, PERIOD_S = 6000, 60
OK, ALARM, UNKNOWN = AlarmValue.OK, AlarmValue.ALARM, AlarmValue.INSUFFICIENT_DATA
TREATMENTS = (Missing.MISSING, Missing.IGNORE, Missing.BREACHING, Missing.NOT_BREACHING)


def rule(missing: Missing = Missing.MISSING, datapoints: int = 3, periods: int = 3) -> Rule:
    return Rule(periods, datapoints, 1.0, Comparison.ABOVE, missing)


def points(shown: str) -> dict[int, float]:
    """X above the threshold, 0 below, - missing; the youngest last."""
    begins = [END - PERIOD_S * (len(shown) - number) for number in range(len(shown))]
    return {begin: 5.0 if mark == "X" else 0.0 for begin, mark in zip(begins, shown, strict=True) if mark != "-"}


@pytest.mark.parametrize(
    ("shown", "datapoints", "expected"),
    [
        ("0-X-X", 3, (OK, OK, OK, OK)),
        ("0----", 3, (OK, OK, OK, OK)),
        ("-----", 3, (UNKNOWN, None, ALARM, OK)),
        ("0XX-X", 3, (ALARM, ALARM, ALARM, ALARM)),
        ("--X--", 3, (ALARM, None, ALARM, OK)),
        ("0-X-X", 2, (ALARM, ALARM, ALARM, ALARM)),
        ("00X0X", 2, (ALARM, ALARM, ALARM, ALARM)),
        ("0-X--", 2, (OK, OK, ALARM, OK)),
        ("----0", 2, (OK, OK, ALARM, OK)),
        ("---X-", 2, (ALARM, None, ALARM, OK)),
    ],
)
def test_the_tables_of_the_guide(shown: str, datapoints: int, expected: tuple[AlarmValue | None, ...]) -> None:
    found = tuple(evaluate(rule(missing, datapoints), points(shown), END, PERIOD_S).value for missing in TREATMENTS)
    assert found == expected


def test_as_many_bad_values_as_asked_for_are_enough_among_too_few() -> None:
    four = [rule(missing, 2, 4) for missing in (Missing.MISSING, Missing.IGNORE)]
    assert [evaluate(one, points("---0XX"), END, PERIOD_S).value for one in four] == [ALARM, ALARM]


def test_one_bad_value_alone_changes_nothing_yet() -> None:
    assert evaluate(rule(), points("----X"), END, PERIOD_S).value is None


@pytest.mark.parametrize(
    ("comparison", "value", "breaches"),
    [
        (Comparison.AT_LEAST, 1.0, True),
        (Comparison.ABOVE, 1.0, False),
        (Comparison.BELOW, 1.0, False),
        (Comparison.AT_MOST, 1.0, True),
    ],
)
def test_comparisons_at_the_threshold(comparison: Comparison, value: float, breaches: bool) -> None:
    found = evaluate(Rule(1, 1, 1.0, comparison, Missing.MISSING), {END - 60: value}, END, PERIOD_S)
    assert found.value is (ALARM if breaches else OK)


def test_reasons_are_in_the_words_of_cloudwatch() -> None:
    told = evaluate(rule(datapoints=2), points("00X0X"), END, PERIOD_S).reason
    assert told == (
        "Threshold Crossed: 2 out of the last 3 datapoints [5.0 (01/01/70 01:37:00), 5.0 (01/01/70 01:39:00)] were greater "
        "than the threshold (1.0) (minimum 2 datapoints for OK -> ALARM transition)."
    )
    assert evaluate(rule(), {}, END, PERIOD_S).reason == "Insufficient Data: 3 datapoints were unknown."
    told = evaluate(rule(Missing.NOT_BREACHING), {}, END, PERIOD_S).reason
    assert told == (
        "Threshold Crossed: no datapoints were received for 3 periods and 3 missing datapoints were treated as [NonBreaching]."
    )
    told = evaluate(rule(), points("00000"), END, PERIOD_S).reason
    assert told.endswith("were not greater than the threshold (1.0) (minimum 1 datapoint for ALARM -> OK transition).")


def test_long_periods_end_at_every_minute_and_short_ones_at_their_multiples() -> None:
    assert period_ends(6017.0, 300, 5.0) == 6000
    assert period_ends(6003.0, 300, 5.0) == 5940
    assert period_ends(6017.0, 10, 5.0) == 6010
