"""Metric math: each operator and function, and random expressions against a naive reading of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachefleet.metrics.expression_functions import FUNCTIONS, Scene, Search
from cachefleet.metrics.expression_syntax import DEEPEST, LONGEST, ExpressionError, parse
from cachefleet.metrics.expressions import check, evaluated, needed, order, result, searches
from cachefleet.metrics.lines import Line, Value, Work, number_of

Points = Mapping[int, float]
GRID = range(0, 600, 60)
M1 = {0: 1.0, 60: 2.0, 180: 4.0, 240: 0.0}
M2 = {0: 10.0, 120: 20.0, 180: 40.0, 240: 5.0}


def scene(values: Mapping[str, Value], work: Work | None = None) -> Scene:
    metrics = [(name, value) for name, value in values.items() if isinstance(value, Line) and name.startswith("m")]
    return Scene(values, metrics, {}, lambda period_s: range(0, 600, period_s), 60, work or Work())


def line(points: Points) -> Line:
    return Line(dict(points), 60)


def compute(text: str, **values: Any) -> Any:
    """Points of a series, a list of them for an array, or a number."""
    lines = {name: line(value) if isinstance(value, dict) else value for name, value in values.items()}
    node = parse(text)
    check(node, dict.fromkeys(lines, True))
    return shown(evaluated(node, scene(lines)))


def shown(value: Value) -> Any:
    if isinstance(value, Line):
        return dict(value.points)
    return [dict(one.points) for one in value] if isinstance(value, tuple) else value


def of(text: str) -> Any:
    return compute(text, m1=M1, m2=M2)


def error(text: str, **values: Any) -> str:
    with pytest.raises(ExpressionError) as caught:
        node = parse(text)
        check(node, dict.fromkeys(values or {"m1": M1, "m2": M2}, True))
        result(node, scene({name: line(value) for name, value in (values or {"m1": M1, "m2": M2}).items()}))
    return str(caught.value)


def test_operators_bind_as_in_arithmetic() -> None:
    assert of("2 + 3 * 4") == 14
    assert of("(2 + 3) * 4") == 20
    assert of("2 - 3 - 4") == -5
    assert of("2 ^ 3 ^ 2") == 512
    assert of("-2 ^ 2") == -4
    assert of("2 ^ -1") == 0.5
    assert of("8 / 4 / 2") == 1
    assert of("1e3 + .5 + 1.5e-1") == 1000.65
    assert of("1 + 2 > 2 && 3 == 3 || 0") == 1
    assert of("1 OR 0 AND 0") == 1
    assert of("+3 - -2") == 5


def test_two_series_have_points_where_both_have() -> None:
    assert of("m1 + m2") == {0: 11, 180: 44, 240: 5}
    assert of("m2 / m1") == {0: 10, 180: 10}  # nothing where it is divided by zero
    assert of("m1 * 2") == {0: 2, 60: 4, 180: 8, 240: 0}
    assert of("m1 > 1") == {0: 0, 60: 1, 180: 1, 240: 0}
    assert of("m1 >= 2 AND m2 > 30") == {0: 0, 180: 1, 240: 0}
    assert of("(0 - 2) ^ (m1 / 2)") == {60: -2, 180: 4, 240: 1}  # no complex numbers
    assert of("m1 + 1/0") == {}


def test_arrays_are_computed_series_by_series() -> None:
    assert of("[m1, m2] * 2") == [of("m1 * 2"), of("m2 * 2")]
    assert of("m1 + [m1, m2]") == [of("m1 + m1"), of("m1 + m2")]
    assert of("-METRICS()") == [of("-m1"), of("-m2")]
    assert of("METRICS('2')") == [M2]
    assert "Two arrays" in error("[m1] + [m2]")


def test_one_series_of_many_takes_what_there_is_at_each_time() -> None:
    assert of("SUM(METRICS())") == {0: 11, 60: 2, 120: 20, 180: 44, 240: 5}
    assert of("AVG([m1, m2])") == {0: 5.5, 60: 2, 120: 20, 180: 22, 240: 2.5}
    assert of("MIN([m1, m2])") == {0: 1, 60: 2, 120: 20, 180: 4, 240: 0}
    assert of("MAX([m1, m2])") == {0: 10, 60: 2, 120: 20, 180: 40, 240: 5}
    assert of("DATAPOINT_COUNT([m1, m2])") == {0: 2, 60: 1, 120: 1, 180: 2, 240: 2}
    assert of("STDDEV([m1, m2])")[0] == pytest.approx(4.5)


def test_a_number_of_one_series() -> None:
    assert [of(f"{name}(m1)") for name in ("SUM", "AVG", "MIN", "MAX", "DATAPOINT_COUNT")] == [7, 1.75, 0, 4, 4]
    assert of("STDDEV(m1)") == pytest.approx(math.sqrt(2.1875))
    assert of("m1 / MAX(m1)") == {0: 0.25, 60: 0.5, 180: 1, 240: 0}
    assert of("PERIOD(m1)") == 60
    assert of("METRIC_COUNT(METRICS())") == 2
    assert compute("DATAPOINT_COUNT(m1)", m1={}) == 0
    assert math.isnan(compute("SUM(m1)", m1={}))
    assert compute("m2 - AVG(m1)", m1={}, m2=M2) == {}
    assert compute("m2 * (AVG(m1) > 3)", m1={}, m2=M2) == {}


def test_along_a_series() -> None:
    assert of("DIFF(m1)") == {60: 1, 180: 2, 240: -4}
    assert of("RATE(m1)") == {60: 1 / 60, 180: 2 / 120, 240: -4 / 60}
    assert of("DIFF_TIME(m1)") == {60: 60, 180: 120, 240: 60}
    assert of("RUNNING_SUM(m1)") == {0: 1, 60: 3, 180: 7, 240: 7}
    assert of("RATE([m1])") == [of("RATE(m1)")]
    assert of("ABS(0 - m1)") == M1
    assert of("CEIL(m1 / 3)") == {0: 1, 60: 1, 180: 2, 240: 0}
    assert of("FLOOR(m1 / 3)") == {0: 0, 60: 0, 180: 1, 240: 0}
    assert of("LOG10(m1 * 10)")[0] == 1
    assert 240 not in of("LOG(m1)")
    assert of("HOUR(m1)") == {0: 0, 60: 0, 180: 0, 240: 0}
    assert of("MINUTE(m1)") == {0: 0, 60: 1, 180: 3, 240: 4}
    assert (of("DAY(m1)")[0], of("DATE(m1)")[0], of("MONTH(m1)")[0], of("YEAR(m1)")[0]) == (4, 1, 1, 1970)
    assert of("EPOCH(m1)") == {time: time for time in M1}


def test_filling_gaps() -> None:
    assert of("FILL(m1, 0)") == {time: M1.get(time, 0.0) for time in GRID}
    assert of("FILL(m1, REPEAT)") == {0: 1, 60: 2, 120: 2, 180: 4, **dict.fromkeys(range(240, 600, 60), 0.0)}
    assert of("FILL(m1, LINEAR)") == {0: 1, 60: 2, 120: 3, 180: 4, 240: 0}
    assert compute("FILL(m1, REPEAT)", m1={120: 5.0})[120] == 5
    assert 0 not in compute("FILL(m1, REPEAT)", m1={120: 5.0})
    assert of("FILL(m1, MAX(m2))")[120] == 40
    assert compute("FILL(m1, 7)", m1={}) == dict.fromkeys(GRID, 7.0)
    assert of("SUM(FILL(METRICS(), 0))")[120] == 20
    assert of("TIME_SERIES(3)") == dict.fromkeys(GRID, 3.0)
    assert "FILL() fills" in error("FILL(m1, m2)")


def test_choosing() -> None:
    assert of("IF(m1 > 1, m2, 0)") == {0: 0, 180: 40, 240: 0}  # m2 has nothing at 60
    assert of("IF(m1 > 1, 7)") == {60: 7, 180: 7}
    assert of("IF(1, m1, m2)") == M1
    assert of("IF(0, m1, m2)") == M2
    assert of("IF(0, m1)") == {}
    assert of("IF(m1, METRICS())") == [{0: 1, 60: 2, 180: 4}, {0: 10, 180: 40}]
    assert of("FIRST(METRICS())") == M1
    assert of("LAST(METRICS())") == M2
    assert of("SLICE(METRICS(), 1)") == [M2]
    assert of("SLICE(METRICS(), 0, 1)") == [M1]
    assert of("SORT(METRICS(), MAX, DESC)") == [M2, M1]
    assert of("SORT(METRICS(), AVG, ASC, 1)") == [M1]
    assert compute("SORT(METRICS(), AVG, DESC)", m1={}, m2=M2) == [M2, {}]
    assert compute("REMOVE_EMPTY(METRICS())", m1={}, m2=M2) == [M2]


def test_whatever_is_too_large_is_a_gap() -> None:
    huge = {0: 1e300, 60: 1.0}
    assert compute("m1 * 1e300", m1=huge) == {60: 1e300}
    assert compute("m1 ^ 3", m1=huge) == {60: 1}
    assert compute("SUM([m1 * 1e8, m1 * 1e8, m1 * -1e8])", m1={0: 1e300}) == {}
    assert math.isnan(compute("AVG(m1 * 1e8)", m1={0: 1e300, 60: 1e300}))


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "empty"),
        ("m1 +", "end of the expression"),
        ("(m1", "expected ')'"),
        ("m1 m2", "'m2'"),
        ("m3 + 1", "'m3'"),
        ("NOPE(m1)", "NOPE()"),
        ("ANOMALY_DETECTION_BAND(m1)", "no function"),
        ("SUM()", "takes 1 arguments, not 0"),
        ("IF(m1)", "2 to 3"),
        ("5", "single value"),
        ("MAX(m1)", "single value"),
        ("'text'", "single value"),
        ("m1 + 'x'", "text or word"),
        ("m1 + REPEAT", "text or word"),
        ("SUM(3)", "array"),
        ("[m1, 3]", "TIME_SERIES"),
        ("m1 ; m2", "';'"),
        ("SUM('x", "unfinished text"),
        ("SORT(METRICS(), STDDEV, DESC)", "'STDDEV'"),
        ("SORT(METRICS(), AVG, m1)", "SORT()"),
        ("SLICE(METRICS(), 1.5)", "whole numbers"),
        ("SELECT AVG(x) FROM y", "Metrics Insights"),
        ("(" * (DEEPEST + 1) + "m1" + ")" * (DEEPEST + 1), "nested"),
        ("-" * 100 + "m1", "nested"),
        ("m1" + "+1" * LONGEST, "characters"),
        ("SEARCH(m1, 'Average')", "SEARCH() takes"),
        ("SEARCH('x', 'Average', -1)", "SEARCH() takes"),
    ],
)
def test_what_is_refused_says_why(text: str, part: str) -> None:
    assert part in error(text)


def test_a_long_sum_is_no_deep_one() -> None:
    assert compute("+".join(["m1"] * 680), m1={0: 1.0}) == {0: 680}


def test_work_is_bounded() -> None:
    with pytest.raises(ExpressionError, match="Too much data"):
        result(parse("m1 + m1 + m1 + m1"), scene({"m1": line(M1)}, Work(20)))


def test_what_expressions_are_computed_from() -> None:
    ids = {"m1": True, "m2": True, "errors": True, "e1": False}
    assert needed(parse("m1 + e1 * 2"), ids) == {"m1", "e1"}
    assert needed(parse("SUM(METRICS())"), ids) == {"m1", "m2", "errors"}
    assert needed(parse("SUM(METRICS('m'))"), ids) == {"m1", "m2"}
    assert searches(parse("SUM(SEARCH('{N,D} x', 'Average', 300))")) == [Search("{N,D} x", "Average", 300)]
    assert searches(parse("""SEARCH('M="X"', "p99")""")) == [Search('M="X"', "p99", 0)]


def test_each_comes_after_what_it_needs() -> None:
    found = order({"e2": {"e1", "m1"}, "e1": {"m1"}, "m1": set()})
    assert found == ["m1", "e1", "e2"]
    with pytest.raises(ExpressionError, match="circle"):
        order({"e1": {"e2"}, "e2": {"e1"}})
    with pytest.raises(ExpressionError, match="circle"):
        order({"e1": {"e1"}})
    assert len(order({f"e{n}": {f"e{n + 1}"} for n in range(499)})) == 500


# --- against a naive reading ---

Tree = Any  # a number, "m1", "m2", ("-", tree), (sign, tree, tree)
SIGNS = ["+", "-", "*", "/", "<", ">", "<=", ">=", "==", "!="]
TREES = st.recursive(
    st.one_of(st.integers(0, 9).map(float), st.sampled_from(["m1", "m2"])),
    lambda below: st.one_of(st.tuples(st.just("-"), below), st.tuples(st.sampled_from(SIGNS), below, below)),
    max_leaves=12,
)


def written(tree: Tree) -> str:
    if isinstance(tree, tuple):
        return f"(-{written(tree[1])})" if len(tree) == 2 else f"({written(tree[1])} {tree[0]} {written(tree[2])})"
    return str(tree)


def naive(tree: Tree, time: int | None, data: Mapping[str, Points]) -> float:
    """NaN where there is no value. time: None for what depends on none."""
    if isinstance(tree, float):
        return tree
    if isinstance(tree, str):
        return data[tree].get(time if time is not None else -1, math.nan)
    numbers = [naive(part, time, data) for part in tree[1:]]
    if any(math.isnan(number) for number in numbers):
        return math.nan
    if len(numbers) == 1:
        return -numbers[0]
    one, other = numbers
    if tree[0] == "/" and other == 0:
        return math.nan
    return number_of(float(eval(f"one {tree[0]} other", {"one": one, "other": other})))


@given(TREES, st.dictionaries(st.sampled_from(list(GRID)), st.integers(-9, 9).map(float)))
def test_expressions_are_what_they_are_at_each_time(tree: Tree, m1: dict[int, float]) -> None:
    data = {"m1": dict(sorted(m1.items())), "m2": M2}
    found = compute(written(tree), **data)
    if isinstance(found, float):
        wanted = naive(tree, None, data)
        assert found == wanted or (math.isnan(found) and math.isnan(wanted))
        return
    at_each = {time: naive(tree, time, data) for time in GRID}
    assert found == {time: number for time, number in at_each.items() if not math.isnan(number)}


PIECES = st.sampled_from(["m1", "m2", "(", ")", "[", "]", ",", "+", "-", "^", "/", "<", "AND", "1", "1e300", "'x'", *FUNCTIONS])


@given(st.lists(PIECES, max_size=25), st.text(max_size=5))
def test_nothing_that_is_written_ends_in_anything_but_an_expression_error(pieces: list[str], tail: str) -> None:
    try:
        node = parse(" ".join(pieces) + tail)
        check(node, {"m1": True, "m2": True})
        if not searches(node):
            result(node, scene({"m1": line(M1), "m2": line(M2)}))
    except ExpressionError as refused:
        assert str(refused)
