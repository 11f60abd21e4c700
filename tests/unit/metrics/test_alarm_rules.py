"""Rules of composite alarms, against Python's own logic."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachefleet.metrics.alarm_rules import RuleError, children, holds, in_order, read_rule
from cachefleet.model.alarm import AlarmValue
from cachefleet.model.resource import Scope

SCOPE = Scope("000000000000", "local-1")
ARN = "arn:aws:cloudwatch:local-1:000000000000:alarm:"
NAMES = ("a", "b", "c d", 'say "x"')
OK, ALARM, UNKNOWN = AlarmValue.OK, AlarmValue.ALARM, AlarmValue.INSUFFICIENT_DATA


@st.composite
def checks(draw: st.DrawFn) -> tuple[str, str]:
    """A condition on one alarm, as a rule and in Python."""
    name, value = draw(st.sampled_from(NAMES)), draw(st.sampled_from(list(AlarmValue)))
    quoted = '"' + name.replace('"', '\\"') + '"'
    forms = [quoted, f'"{ARN}{quoted[1:]}'] if '"' in name else [quoted, f'"{ARN}{name}"', name, ARN + name]
    space = draw(st.sampled_from(("", " ", "\n")))
    return f"{value.value}({space}{draw(st.sampled_from(forms))}{space})", f"(states[{name!r}] == {value.value!r})"


def joined(word: str, parts: list[tuple[str, str]]) -> tuple[str, str]:
    return f" {word} ".join(part[0] for part in parts), f" {word.lower()} ".join(part[1] for part in parts)


def written(inner: st.SearchStrategy[tuple[str, str]]) -> st.SearchStrategy[tuple[str, str]]:
    several = st.lists(inner, min_size=1, max_size=3)
    return st.one_of(
        inner.map(lambda part: (f"({part[0]})", f"({part[1]})")),
        inner.map(lambda part: (f"NOT ({part[0]})", f"not ({part[1]})")),
        several.map(lambda parts: joined("AND", [(f"({text})", f"({python})") for text, python in parts])),
        # Without parentheses: which operator is the stronger one is the same in Python.
        several.map(lambda parts: joined("OR", parts)),
    )


constants = st.sampled_from((("TRUE", "True"), ("FALSE", "False")))
RULES = st.recursive(st.one_of(checks(), constants), written, max_leaves=12)


@given(RULES, st.lists(st.sampled_from(list(AlarmValue)), min_size=len(NAMES), max_size=len(NAMES)))
def test_a_rule_holds_when_it_holds_in_python(rule: tuple[str, str], values: list[AlarmValue]) -> None:
    states = dict(zip(NAMES, values, strict=True))
    text, python = rule
    expected = eval(python, {"states": states})
    assert holds(read_rule(text, SCOPE), states) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ALARM(a) OR ALARM(b) AND ALARM(c)", ("a", "b", "c")),
        ("not alarm(b) and ok(a) or alarm( b )", ("b", "a")),
        ("TRUE", ()),
        (f'INSUFFICIENT_DATA("{ARN}with: colons")', ("with: colons",)),
    ],
)
def test_children_are_named_once_in_their_order(text: str, expected: tuple[str, ...]) -> None:
    assert children(read_rule(text, SCOPE)) == expected


def test_not_is_stronger_than_and_which_is_stronger_than_or() -> None:
    rule = read_rule("ALARM(a) OR ALARM(b) AND NOT ALARM(c)", SCOPE)
    assert holds(rule, {"a": ALARM, "b": OK, "c": ALARM})
    assert holds(rule, {"a": OK, "b": ALARM, "c": OK})
    assert not holds(rule, {"a": OK, "b": ALARM, "c": ALARM})


def test_an_alarm_that_is_gone_is_in_no_state() -> None:
    assert not holds(read_rule("ALARM(a) OR OK(a) OR INSUFFICIENT_DATA(a)", SCOPE), {})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "unexpected end"),
        ("ALARM(a) AND", "unexpected end"),
        ("ALARM(a) ALARM(b)", "unexpected"),
        ("(ALARM(a)", "unexpected end"),
        ("ALARM(a))", r"unexpected '\)'"),
        ("ALARM()", "is empty"),
        (f"ALARM({ARN})", "is empty"),
        ("ALARM(a", "position 1"),
        ("ALARM(a) XOR ALARM(b)", "position 9"),
        ("BROKEN(a)", "position 1"),
        ("OR ALARM(a)", "unexpected 'OR'"),
        ("ALARM(arn:aws:cloudwatch:local-1:111111111111:alarm:a)", "region and account"),
        ("ALARM(arn:aws:sns:local-1:000000000000:topic)", "no ARN of an alarm"),
        ("(" * 41 + "TRUE" + ")" * 41, "40 levels"),
        ("NOT " * 41 + "TRUE", "40 levels"),
        (" OR ".join(f"ALARM(a{number})" for number in range(101)), "101 alarms"),
        (" OR ".join(["TRUE"] * 501), "500 elements"),
        ("TRUE" + " " * 10_240 + "OR TRUE", "characters"),
    ],
)
def test_what_is_no_rule_says_why(text: str, why: str) -> None:
    with pytest.raises(RuleError, match=why):
        read_rule(text, SCOPE)


@given(st.text(alphabet='ALRMOKNDTUEF()" \\a', max_size=60))
def test_whatever_is_written_is_a_rule_or_refused(text: str) -> None:
    with suppress(RuleError):
        children(read_rule(text, SCOPE))


def test_children_come_first_and_circles_are_left_out() -> None:
    needs = {"top": ("two", "m"), "two": ("one",), "one": ("m",), "x": ("y",), "y": ("x", "one"), "z": ("y",)}
    assert in_order(needs) == ["one", "two", "top"]
    assert in_order({}) == []


@given(st.dictionaries(st.integers(0, 12), st.lists(st.integers(0, 12), max_size=4), max_size=13))
def test_without_circles_everything_is_in_order(drawn: dict[int, list[int]]) -> None:
    needs = {str(one): tuple(str(other) for other in others if other < one) for one, others in drawn.items()}
    order = in_order(needs)
    assert sorted(order) == sorted(needs)
    for name, children_ in needs.items():
        assert all(order.index(child) < order.index(name) for child in children_ if child in needs)
