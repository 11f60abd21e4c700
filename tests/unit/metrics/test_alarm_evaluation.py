"""Evaluation of alarms on metrics and on expressions against a small model of what CloudWatch's guide says in words."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachefleet.metrics.alarm_queries import check_shape, queries_of, stored, wanted_of, watched
from cachefleet.metrics.alarms import MORE_PERIODS, Rule, evaluate, is_told_by_few
from cachefleet.metrics.expression_functions import Scene
from cachefleet.metrics.expressions import result
from cachefleet.metrics.lines import Line, Work
from cachefleet.metrics.queries import QueryFailed
from cachefleet.model.alarm import AlarmDesired, AlarmQuery, AlarmValue, Comparison, Missing
from cachefleet.model.metric import Series

END, PERIOD_S = 60_000, 60
SERIES = Series("0", "r", "mine", ())


@st.composite
def situations(draw: st.DrawFn) -> tuple[Rule, list[float | None]]:
    """A rule, and the values of the periods that are looked at, oldest first."""
    periods = draw(st.integers(1, 6))
    rule = Rule(
        periods,
        draw(st.integers(1, periods)),
        draw(st.sampled_from((0.0, 1.0))),
        draw(st.sampled_from(list(Comparison))),
        draw(st.sampled_from(list(Missing))),
    )
    value = st.sampled_from((None, None, -1.0, 0.0, 1.0, 2.0))
    return rule, draw(st.lists(value, min_size=periods + MORE_PERIODS, max_size=periods + MORE_PERIODS))


def by_the_guide(rule: Rule, seen: list[float | None]) -> AlarmValue | None:
    """None: the state stays."""
    signs = {
        Comparison.ABOVE: lambda value: value > rule.threshold,
        Comparison.AT_LEAST: lambda value: value >= rule.threshold,
        Comparison.BELOW: lambda value: value < rule.threshold,
        Comparison.AT_MOST: lambda value: value <= rule.threshold,
    }
    marks = ["-" if value is None else "X" if signs[rule.comparison](value) else "0" for value in seen]
    real = [mark for mark in marks if mark != "-"]
    if len(real) >= rule.evaluation_periods:  # missing data do not matter: the youngest that there are decide
        bad = real[-rule.evaluation_periods :].count("X")
        return AlarmValue.ALARM if bad >= rule.datapoints else AlarmValue.OK
    lacking = rule.evaluation_periods - len(real)
    if rule.missing is Missing.BREACHING:
        return AlarmValue.ALARM if real.count("X") + lacking >= rule.datapoints else AlarmValue.OK
    if rule.missing is Missing.NOT_BREACHING or real.count("X") >= rule.datapoints:
        return AlarmValue.ALARM if real.count("X") >= rule.datapoints else AlarmValue.OK
    if not real:
        return None if rule.missing is Missing.IGNORE else AlarmValue.INSUFFICIENT_DATA
    if "0" in real:
        return AlarmValue.OK
    # Only bad ones, too few: an alarm, once the oldest of them is so old that no better one has come for long enough.
    recent = marks[-rule.evaluation_periods :]
    age = len(recent) - recent.index("X") if "X" in recent else 0
    return AlarmValue.ALARM if rule.missing is Missing.MISSING and age >= rule.datapoints else None


def points(seen: list[float | None]) -> dict[int, float]:
    begins = [END - PERIOD_S * (len(seen) - number) for number in range(len(seen))]
    return {begin: value for begin, value in zip(begins, seen, strict=True) if value is not None}


@given(situations())
def test_states_are_those_of_the_guide(situation: tuple[Rule, list[float | None]]) -> None:
    rule, seen = situation
    found = evaluate(rule, points(seen), END, PERIOD_S)
    assert found.value is by_the_guide(rule, seen)
    assert found.reason or found.value is None


@given(situations(), st.lists(st.sampled_from((None, 0.0, 1.0, 2.0)), min_size=8, max_size=8))
def test_an_expression_is_evaluated_by_what_it_comes_to(
    situation: tuple[Rule, list[float | None]], others: list[float | None]
) -> None:
    """Where one of the two has no point, or nothing to divide by, there is none."""
    rule, seen = situation
    pairs = list(zip(seen, others[: len(seen)], strict=True))
    ratios = [None if one is None or not other else float(Fraction(one) / Fraction(other)) for one, other in pairs]
    alarm = on_expression("m1 / m2", "m1", "m2")
    query = watched(queries_of(alarm))
    lines = {"m1": Line(points(seen), PERIOD_S), "m2": Line(points(others[: len(seen)]), PERIOD_S)}
    scene = Scene(lines, list(lines.items()), {}, lambda period_s: range(0), PERIOD_S, Work())
    assert query.node is not None
    line = result(query.node, scene)
    assert isinstance(line, Line)
    assert evaluate(rule, line.points, END, PERIOD_S).value is by_the_guide(rule, ratios)


def on_expression(expression: str, *names: str, period_s: int = 60) -> AlarmDesired:
    metrics = [
        AlarmQuery(query_id=name, is_watched=False, series=SERIES, metric=name, statistic="Sum", period_s=period_s)
        for name in names
    ]
    return AlarmDesired("a", queries=(AlarmQuery(query_id="e", is_watched=True, expression=expression), *metrics))


@pytest.mark.parametrize(
    "expression",
    [
        "m1 + m2",
        "SUM(METRICS())",
        "IF(m1 > 5, m2, 0 * m1)",
        "FILL(m1, REPEAT)",
        "TIME_SERIES(AVG(m1))",
        "MAX([m1, m2])",
        "RATE(m1)",
        "DIFF(m1)",
        "-m1",
        "METRIC_COUNT(METRICS()) * m1",
        "RUNNING_SUM(m1)",
    ],
)
def test_shapes_that_an_alarm_can_be_on(expression: str) -> None:
    alarm = on_expression(expression, "m1", "m2")
    check_shape(queries_of(alarm))
    kept = tuple(stored(query, text.expression) for query, text in zip(queries_of(alarm), alarm.queries, strict=True))
    assert kept == alarm.queries


@pytest.mark.parametrize("expression", ["METRICS()", "[m1, m2]", "SUM(m1)", "7", "ABS(METRICS())", "SORT(METRICS(), AVG, ASC)"])
def test_shapes_that_no_alarm_can_be_on(expression: str) -> None:
    with pytest.raises(QueryFailed, match="expression 'e'"):
        check_shape(queries_of(on_expression(expression, "m1", "m2")))


def test_what_only_a_later_version_knows_is_said() -> None:
    later = AlarmDesired("a", series=SERIES, metric="m", statistic="mode")
    assert wanted_of(later) is None
    query = AlarmQuery(query_id="m1", is_watched=True, series=SERIES, metric="m", statistic="mode", period_s=60)
    with pytest.raises(QueryFailed, match="mode"):
        queries_of(AlarmDesired("a", queries=(query,)))


@pytest.mark.parametrize(
    ("statistic", "count", "few"),
    [
        ("p90", 99, True),
        ("p90", 100, False),
        ("p99.9", 9999, True),
        ("p99.9", 10000, False),
        ("p10", 99, True),
        ("p10", 100, False),
        ("p50", 20, False),
        ("p50", 19, True),
        ("p100", 1, False),
    ],
)
def test_how_many_measurements_a_percentile_needs(statistic: str, count: float, few: bool) -> None:
    alarm = AlarmDesired("a", series=SERIES, metric="m", statistic=statistic, ignores_few_samples=True)
    assert is_told_by_few(alarm, {60: 1e9, 120: count}) is few
    assert is_told_by_few(alarm, {}) is False
