"""Filter patterns of FilterLogEvents: terms, "quoted terms", ?optional, -excluded, and comparisons of JSON fields. Pure.

`{ ($.Duration > 1000 && $.Command = "GET*") || $.Id = 7 }`. Patterns of space-separated fields ([...]) and regular
expressions (%...%) are not understood, and refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec

Matches = Callable[[str], bool]
LONGEST = 1024
DEEPEST = 20

_TERM = re.compile(r'\s*([?-]?)(?:"((?:[^"\\]|\\.)*)"|([^\s"]+))')
_TOKEN = re.compile(
    r"\s*(?:(?P<field>\$(?:\.[A-Za-z0-9_@-]+|\[[0-9]{1,6}\]|\[\"(?:[^\"\\]|\\.)*\"\]|\['[^']*'\])+)"
    r'|(?P<text>"(?:[^"\\]|\\.)*")'
    r"|(?P<sign>\|\||&&|!=|>=|<=|[=<>(){}])"
    r"|(?P<word>[^\s=<>!(){}|&]+))"
)
_STEP = re.compile(r"\.([A-Za-z0-9_@-]+)|\[([0-9]{1,6})\]|\[\"((?:[^\"\\]|\\.)*)\"\]|\['([^']*)'\]")
_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "=": lambda left, right: left == right,
    "!=": lambda left, right: left != right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
}
_MISSING = object()


class PatternError(Exception):
    """What is wrong with a pattern, and what is possible."""


def read_pattern(text: str) -> Matches:
    """Raises PatternError."""
    if len(text) > LONGEST:
        raise PatternError(f"it is longer than {LONGEST} characters.")
    stripped = text.strip()
    if not stripped:
        return lambda message: True
    if stripped.startswith("["):
        raise PatternError('patterns of space-separated fields are not supported; use terms, or { $.field = "value" }.')
    if stripped.startswith("{"):
        return _read_comparisons(stripped)
    return _read_terms(stripped)


def _read_terms(text: str) -> Matches:
    """All that are required, none that is excluded; and where nothing is required, one of the optional ones."""
    required, optional, excluded = list[str](), list[str](), list[str]()
    place = 0
    while place < len(text):
        found = _TERM.match(text, place)
        if found is None:
            raise PatternError("a quotation mark has no partner.")
        sign, quoted, word = found.groups()
        if word is not None and word.startswith("%"):
            raise PatternError("regular expressions are not supported.")
        term = word if quoted is None else _unescaped(quoted)
        if not term:
            raise PatternError("a term is empty.")
        {"?": optional, "-": excluded}.get(sign, required).append(term)
        place = found.end()
        if not text[place:].strip():
            break

    def matches(message: str) -> bool:
        if any(term in message for term in excluded) or not all(term in message for term in required):
            return False
        return bool(required) or not optional or any(term in message for term in optional)

    return matches


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


# --- comparisons of JSON fields ------------------------------------------------------------------------------------

_Test = Callable[[Any], bool]


def _read_comparisons(text: str) -> Matches:
    test = _Parser(_tokens(text)).read()

    def matches(message: str) -> bool:
        try:
            document = msgspec.json.decode(message)
        except (msgspec.DecodeError, RecursionError, UnicodeError):
            return False
        return test(document)

    return matches


def _tokens(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    place = 0
    while text[place:].strip():
        token = _TOKEN.match(text, place)
        if token is None or token.lastgroup is None:
            raise PatternError(f"it cannot be read from {text[place : place + 20].strip()!r} on.")
        found.append((token.lastgroup, token[token.lastgroup]))
        place = token.end()
    return found


class _Parser:
    """{ or }, or: and || and, and: one && one, one: (or) | comparison"""

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens = tokens
        self._place = 0
        self._depth = 0

    def read(self) -> _Test:
        self._expect("{")
        test = self._any_of()
        self._expect("}")
        if self._place != len(self._tokens):
            raise PatternError("something stands behind the closing brace.")
        return test

    def _any_of(self) -> _Test:
        self._depth += 1
        if self._depth > DEEPEST:
            raise PatternError(f"it is nested deeper than {DEEPEST}.")
        tests = [self._all_of()]
        while self._take("||"):
            tests.append(self._all_of())
        self._depth -= 1
        return lambda document: any(test(document) for test in tests)

    def _all_of(self) -> _Test:
        tests = [self._one()]
        while self._take("&&"):
            tests.append(self._one())
        return lambda document: all(test(document) for test in tests)

    def _one(self) -> _Test:
        if self._take("("):
            test = self._any_of()
            self._expect(")")
            return test
        return self._comparison()

    def _comparison(self) -> _Test:
        kind, text = self._next()
        if kind != "field":
            raise PatternError(f"a field such as $.Command is expected instead of {text!r}.")
        path = _path(text)
        kind, sign = self._next()
        if sign.upper() in ("IS", "NOT") and kind == "word":
            return self._state(path, sign.upper())
        if kind != "sign" or sign not in _COMPARISONS:
            raise PatternError(f"one of = != > >= < <= IS, NOT EXISTS is expected instead of {sign!r}.")
        kind, value = self._next()
        if kind not in ("text", "word"):
            raise PatternError(f"a value is expected instead of {value!r}.")
        if kind == "word" and value.startswith("%"):
            raise PatternError("regular expressions are not supported.")
        number = _number(value) if kind == "word" else None
        if number is not None:
            return _compared(path, sign, number)
        if sign not in ("=", "!="):
            raise PatternError(f"{sign} compares numbers only.")
        return _alike(path, _unescaped(value[1:-1]) if kind == "text" else value, equal=sign == "=")

    def _state(self, path: list[str | int], word: str) -> _Test:
        _, what = self._next()
        if word == "NOT" and what.upper() == "EXISTS":
            return lambda document: _at(document, path) is _MISSING
        values = {"TRUE": True, "FALSE": False, "NULL": None}
        if word != "IS" or what.upper() not in values:
            raise PatternError("NOT EXISTS, IS TRUE, IS FALSE or IS NULL is expected.")
        wanted = values[what.upper()]
        return lambda document: _at(document, path) is wanted

    def _next(self) -> tuple[str, str]:
        if self._place == len(self._tokens):
            raise PatternError("it ends too early.")
        self._place += 1
        return self._tokens[self._place - 1]

    def _take(self, sign: str) -> bool:
        if self._place < len(self._tokens) and self._tokens[self._place] == ("sign", sign):
            self._place += 1
            return True
        return False

    def _expect(self, sign: str) -> None:
        if not self._take(sign):
            raise PatternError(f"{sign} is missing.")


def _path(text: str) -> list[str | int]:
    found: list[str | int] = []
    for name, number, quoted, single in _STEP.findall(text):
        found.append(int(number) if number else name or _unescaped(quoted) or single)
    return found


def _at(document: Any, path: list[str | int]) -> Any:
    for step in path:
        if isinstance(step, int):
            inside = isinstance(document, list) and step < len(document)
        else:
            inside = isinstance(document, dict) and step in document
        if not inside:
            return _MISSING
        document = document[step]
    return document


def _number(text: str) -> float | None:
    if not re.fullmatch(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?", text, re.ASCII):
        return None
    return float(text)


def _compared(path: list[str | int], sign: str, wanted: float) -> _Test:
    compare = _COMPARISONS[sign]

    def test(document: Any) -> bool:
        found = _at(document, path)
        if isinstance(found, bool) or not isinstance(found, int | float):
            return False
        return compare(found, wanted)

    return test


def _alike(path: list[str | int], wanted: str, *, equal: bool) -> _Test:
    """* stands for any characters."""
    parts = wanted.split("*")

    def test(document: Any) -> bool:
        found = _at(document, path)
        return isinstance(found, str) and _fits(found, parts) is equal

    return test


def _fits(text: str, parts: list[str]) -> bool:
    """Whether the text consists of these parts, in order, and anything in between. In linear time."""
    first, *middle = parts
    if not middle:
        return text == first
    last = middle.pop()
    if len(text) < len(first) + len(last) or not text.startswith(first) or not text.endswith(last):
        return False
    place, end = len(first), len(text) - len(last)
    for part in middle:
        place = text.find(part, place, end)
        if place < 0:
            return False
        place += len(part)
    return True
