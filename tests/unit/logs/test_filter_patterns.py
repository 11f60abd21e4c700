"""Patterns of FilterLogEvents: what they find, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachefleet.logs.filter_patterns import PatternError, read_pattern

SLOW = (
    '{"Id": 7, "Duration (us)": 1200, "Command": "GET ... (1 more arguments)", "Nested": {"list": [1, true, null]}, "No": null}'
)


@pytest.mark.parametrize(
    ("pattern", "message", "found"),
    [
        ("", "anything", True),
        ("ERROR", "an ERROR here", True),
        ("ERROR", "an error here", False),
        ("ERROR disk", "disk ERROR", True),
        ("ERROR disk", "ERROR", False),
        ('"disk is full"', "the disk is full now", True),
        ('"disk is full"', "the disk is not full", False),
        (r'"a \"b\""', 'x a "b" y', True),
        ("?WARN ?ERROR", "an ERROR", True),
        ("?WARN ?ERROR", "nothing", False),
        ("ERROR -disk", "ERROR of disk", False),
        ("ERROR -disk", "ERROR of net", True),
        ('ERROR -"exit 0"', "ERROR exit 0", False),
        ("-quiet", "loud", True),
        ("ERROR ?disk", "ERROR", True),
    ],
)
def test_terms(pattern: str, message: str, found: bool) -> None:
    assert read_pattern(pattern)(message) is found


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("{ $.Id = 7 }", True),
        ("{$.Id=7}", True),
        ("{ $.Id != 7 }", False),
        ('{ $.["Duration (us)"] > 1000 }', None),
        ('{ $["Duration (us)"] > 1000 }', True),
        ("{ $['Duration (us)'] <= 1000 }", False),
        ('{ $.Command = "GET*" }', True),
        ("{ $.Command = GET* }", True),
        ('{ $.Command = "GET" }', False),
        ('{ $.Command = "*more*arguments)" }', True),
        ('{ $.Command != "SET*" }', True),
        ("{ $.Nested.list[0] = 1 }", True),
        ("{ $.Nested.list[1] IS TRUE }", True),
        ("{ $.Nested.list[9] = 1 }", False),
        ("{ $.No IS NULL }", True),
        ("{ $.Id IS NULL }", False),
        ("{ $.Absent NOT EXISTS }", True),
        ("{ $.Id NOT EXISTS }", False),
        ("{ $.Absent = 1 }", False),
        ("{ $.Absent != 1 }", False),
        ("{ $.Id = 7 && $.Command = SET* }", False),
        ("{ $.Id = 8 || $.Command = GET* }", True),
        ("{ ($.Id = 8 || $.Id = 7) && ($.Id < 9) }", True),
        ("{ $.Id = 8 && $.Id = 8 || $.Id = 7 }", True),
        ("{ $.Id = 7.0e0 }", True),
    ],
)
def test_comparisons(pattern: str, found: bool | None) -> None:
    if found is None:
        with pytest.raises(PatternError):
            read_pattern(pattern)
        return
    assert read_pattern(pattern)(SLOW) is found
    assert read_pattern(pattern)("no JSON") is False


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("[ip, user, status=500]", "space-separated"),
        ("%ERR[0-9]+%", "regular expressions"),
        ("{ $.a = %x% }", "regular expressions"),
        ('"open', "no partner"),
        ("{ $.a = 1", "} is missing"),
        ("{ a = 1 }", "a field such as"),
        ("{ $.a > b }", "numbers only"),
        ("{ $.a ~ 1 }", "is expected"),
        ("{ $.a IS 5 }", "NOT EXISTS, IS TRUE"),
        ("{ $.a = }", "a value is expected"),
        ("{ $.a = 1 } x", "behind the closing"),
        ("{", "too early"),
        ("{" + "(" * 30 + "$.a = 1" + ")" * 30 + "}", "deeper"),
        ("x" * 1025, "longer"),
    ],
)
def test_what_is_refused(pattern: str, why: str) -> None:
    with pytest.raises(PatternError, match=why):
        read_pattern(pattern)


@given(st.text(max_size=60) | st.from_regex(r"\{ \$[.a-z\[\]0-9]+ (=|<|IS) .{0,10}\}", fullmatch=True), st.text())
def test_any_pattern_is_read_or_refused(pattern: str, message: str) -> None:
    try:
        matches = read_pattern(pattern)
    except PatternError:
        return
    assert matches(message) in (True, False)


@given(st.lists(st.text("ab*", max_size=3), min_size=1, max_size=5), st.text("ab", max_size=8))
def test_stars_stand_for_anything(parts: list[str], text: str) -> None:
    """Against a reading letter by letter."""
    wanted = "*".join(parts)
    assert read_pattern('{ $.x = "' + wanted + '" }')('{"x": "' + text + '"}') is _like(text, wanted)


def _like(text: str, wanted: str) -> bool:
    if not wanted:
        return not text
    if wanted[0] == "*":
        return _like(text, wanted[1:]) or (bool(text) and _like(text[1:], wanted))
    return bool(text) and text[0] == wanted[0] and _like(text[1:], wanted[1:])
