"""Search expressions: which metrics the first argument of SEARCH() finds. Pure.

`{Namespace,Dimension,...}` demands that namespace and exactly these dimensions. Then terms, which all have to hold unless OR is
between them; NOT and parentheses work. A term is a word (a part of a name or value, in whatever case) or "in quotes" (the whole
of it), anywhere or after `MetricName=`, `Namespace=` or `Dimension=`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import msgspec

from cachefleet.metrics.expression_syntax import ExpressionError

Pairs = Sequence[tuple[str, str]]
Test = Callable[[str, str, Pairs], bool]  # namespace, name, dimensions -> whether it holds

LONGEST = 1024  # characters of a search
DEEPEST = 20
_SCHEMA = re.compile(r'\s*\{((?:[^{}"]|"[^"]*")*)\}')
_SCHEMA_ITEM = re.compile(r'\s*(?:"([^"]+)"|([^",\s][^",]*?))\s*(?:,|$)')
_TOKEN = re.compile(r'\s*(?:(?P<sign>[()=])|"(?P<exact>[^"]*)"|(?P<word>[^\s()="{}]+))')
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_SPLIT = re.compile(r"[^A-Za-z0-9]+")
_ACCOUNT = ":aws.AccountId"


class SearchQuery(msgspec.Struct, frozen=True):
    """namespace: "" any. dimensions: None whichever."""

    namespace: str
    dimensions: frozenset[str] | None
    test: Test

    def finds(self, namespace: str, name: str, dimensions: Pairs) -> bool:
        if self.namespace not in ("", namespace):
            return False
        if self.dimensions is not None and self.dimensions != {key for key, _ in dimensions}:
            return False
        return self.test(namespace, name, dimensions)


def read_search(text: str) -> SearchQuery:
    """Raises ExpressionError."""
    if len(text) > LONGEST:
        raise ExpressionError(f"A search has at most {LONGEST} characters")
    namespace, dimensions, rest = "", None, text
    if schema := _SCHEMA.match(text):
        items = _schema_items(schema[1])
        namespace, dimensions, rest = items[0], frozenset(items[1:]), text[schema.end() :]
    tokens = _tokens(rest)
    if not tokens and not namespace:
        raise ExpressionError("A search needs {Namespace,Dimension} or a term")
    return SearchQuery(namespace, dimensions, _Terms(tokens).whole() if tokens else _anything)


def _schema_items(text: str) -> list[str]:
    items: list[str] = []
    position = 0
    while position < len(text):
        found = _SCHEMA_ITEM.match(text, position)
        if found is None or found.end() == position:
            raise ExpressionError("A search begins with {Namespace,Dimension,...}; names with a comma need double quotes")
        items.append(found[1] or found[2])
        position = found.end()
    if not items:
        raise ExpressionError("A search's {} needs a namespace")
    return items


def _tokens(text: str) -> list[tuple[str, str]]:
    """(kind, text)."""
    found: list[tuple[str, str]] = []
    position, text = 0, text.rstrip()
    while position < len(text):
        token = _TOKEN.match(text, position)
        if token is None:
            raise ExpressionError(f"Unexpected {text[position:].strip()[:1]!r} in a search")
        found.append((token.lastgroup or "", token[token.lastgroup or 0]))
        position = token.end()
    return found


def _anything(namespace: str, name: str, dimensions: Pairs) -> bool:
    return True


class _Terms:
    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens = [*tokens, ("end", "")]
        self._at = 0
        self._depth = 0

    def whole(self) -> Test:
        test = self._any("")
        if self._tokens[self._at][0] != "end":
            raise self._unexpected()
        return test

    def _take(self, kind: str, text: str) -> bool:
        if self._tokens[self._at] != (kind, text):
            return False
        self._at += 1
        return True

    def _unexpected(self) -> ExpressionError:
        kind, text = self._tokens[self._at]
        return ExpressionError(f"Unexpected {'end of the search' if kind == 'end' else repr(text[:40])} in a search")

    def _any(self, of: str) -> Test:
        """of: the property that the terms are about, "" any."""
        self._depth += 1
        if self._depth > DEEPEST:
            raise ExpressionError(f"A search is nested more than {DEEPEST} levels deep")
        tests = [self._all(of)]
        while self._take("word", "OR"):
            tests.append(self._all(of))
        self._depth -= 1
        return tests[0] if len(tests) == 1 else lambda *metric: any(test(*metric) for test in tests)

    def _all(self, of: str) -> Test:
        tests = [self._not(of)]
        while self._tokens[self._at] not in (("end", ""), ("sign", ")"), ("word", "OR")):
            self._take("word", "AND")
            tests.append(self._not(of))
        return tests[0] if len(tests) == 1 else lambda *metric: all(test(*metric) for test in tests)

    def _not(self, of: str) -> Test:
        turned = False
        while self._take("word", "NOT"):
            turned = not turned
        test = self._term(of)
        return (lambda *metric: not test(*metric)) if turned else test

    def _term(self, of: str) -> Test:
        if self._take("sign", "("):
            test = self._any(of)
            if not self._take("sign", ")"):
                raise self._unexpected()
            return test
        kind, text = self._tokens[self._at]
        if kind not in ("word", "exact") or (kind == "word" and text in ("AND", "OR")):
            raise self._unexpected()
        self._at += 1
        if not of and self._take("sign", "="):
            if text == _ACCOUNT:
                raise ExpressionError(f"{_ACCOUNT} is not there: metrics of other accounts cannot be searched")
            return self._term(text)
        return _exactly(of, text) if kind == "exact" else _partly(of, text)


def _exactly(of: str, text: str) -> Test:
    return lambda *metric: any(text == found for found in _texts(of, *metric))


def _partly(of: str, word: str) -> Test:
    wanted = _words(word)
    return lambda *metric: any(wanted <= _words(found) or word.lower() == found.lower() for found in _texts(of, *metric))


def _texts(of: str, namespace: str, name: str, dimensions: Pairs) -> list[str]:
    if of == "MetricName":
        return [name]
    if of == "Namespace":
        return [namespace]
    if of:
        return [value for key, value in dimensions if key == of]
    return [namespace, name, *(text for pair in dimensions for text in pair)]


def _words(text: str) -> frozenset[str]:
    """demo-001 -> demo, 001; CPUUtilization -> cpuutilization, cpu, utilization. What has none is a word itself."""
    pieces = [piece for piece in _SPLIT.split(text) if piece]
    parts = [part for piece in pieces for part in _PART.findall(piece)]
    return frozenset(part.lower() for part in (*pieces, *parts)) or frozenset((text.lower(),))
