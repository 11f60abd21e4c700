"""Metric math as text, and as a tree. Pure; bounded in length and depth.

Operators from the loosest to the tightest: OR ||, AND &&, comparisons, + -, * /, unary minus, ^ (from the right). Names begin
with a letter; what they mean is metrics.expressions' business.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping

import msgspec

LONGEST = 2048  # characters
DEEPEST = 40  # parentheses, calls, signs and powers within each other

_TOKEN = re.compile(
    r"""(?P<space>\s+)
    |(?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?)
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<text>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
    |(?P<sign><=|>=|==|!=|&&|\|\||[-+*/^()<>,\[\]])""",
    re.ASCII | re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"""\\(['"\\])""")
# Of each level, as it is written -> what it is called.
_LEVELS: tuple[Mapping[str, str], ...] = (
    {"OR": "OR", "||": "OR"},
    {"AND": "AND", "&&": "AND"},
    {sign: sign for sign in ("<", ">", "<=", ">=", "==", "!=")},
    {sign: sign for sign in "+-"},
    {sign: sign for sign in "*/"},
)


class ExpressionError(Exception):
    """What is wrong with an expression, as a sentence."""


class Number(msgspec.Struct, frozen=True):
    value: float


class Text(msgspec.Struct, frozen=True):
    value: str


class Name(msgspec.Struct, frozen=True):
    """An id, or a word such as REPEAT."""

    value: str


class Call(msgspec.Struct, frozen=True):
    function: str
    arguments: tuple[Node, ...]


class Chain(msgspec.Struct, frozen=True):
    """first op operand op operand ..., of one level, from left to right."""

    first: Node
    rest: tuple[tuple[str, Node], ...]


class Negative(msgspec.Struct, frozen=True):
    operand: Node


class Items(msgspec.Struct, frozen=True):
    items: tuple[Node, ...]


Node = Number | Text | Name | Call | Chain | Negative | Items


class _Token(msgspec.Struct, frozen=True):
    kind: str  # number, name, text, sign, end
    text: str


def parse(expression: str) -> Node:
    """Raises ExpressionError."""
    if not expression.strip():
        raise ExpressionError("The expression is empty")
    if len(expression) > LONGEST:
        raise ExpressionError(f"The expression has more than {LONGEST} characters")
    if re.match(r"\s*SELECT\b", expression, re.IGNORECASE):
        raise ExpressionError("Metrics Insights queries are not there; use SEARCH")
    return _Parser(list(_tokens(expression))).whole()


def parts(node: Node) -> Iterator[Node]:
    """The node and everything below it."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, Call):
            waiting += node.arguments
        elif isinstance(node, Chain):
            waiting += [node.first, *(operand for _, operand in node.rest)]
        elif isinstance(node, Negative):
            waiting.append(node.operand)
        elif isinstance(node, Items):
            waiting += node.items


def names(node: Node) -> set[str]:
    return {part.value for part in parts(node) if isinstance(part, Name)}


def calls(node: Node, function: str = "") -> list[Call]:
    """Of all functions when none is named."""
    return [part for part in parts(node) if isinstance(part, Call) and function in ("", part.function)]


def _tokens(expression: str) -> Iterator[_Token]:
    position = 0
    while position < len(expression):
        found = _TOKEN.match(expression, position)
        if found is None:
            what = "an unfinished text" if expression[position] in "'\"" else f"{expression[position]!r}"
            raise ExpressionError(f"Unexpected {what} at position {position + 1}")
        position = found.end()
        if found.lastgroup == "text":
            yield _Token("text", _ESCAPE.sub(r"\1", found[0][1:-1]))
        elif found.lastgroup != "space":
            yield _Token(found.lastgroup or "", found[0])
    yield _Token("end", "")


class _Parser:
    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0

    def whole(self) -> Node:
        node = self._level(0)
        if self._next.kind != "end":
            raise self._unexpected()
        return node

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _take(self, *signs: str) -> str:
        """The next token when it is one of these (or a word of that spelling), "" else."""
        if self._next.kind in ("sign", "name") and self._next.text in signs:
            self._at += 1
            return self._tokens[self._at - 1].text
        return ""

    def _need(self, sign: str) -> None:
        if not self._take(sign):
            raise self._unexpected(f"; expected {sign!r}")

    def _unexpected(self, more: str = "") -> ExpressionError:
        token = self._next
        what = "end of the expression" if token.kind == "end" else repr(token.text[:40])
        return ExpressionError(f"Unexpected {what}{more}")

    def _level(self, level: int) -> Node:
        return self._chain(lambda: self._level(level + 1), _LEVELS[level]) if level < len(_LEVELS) else self._signed()

    def _chain(self, operand: Callable[[], Node], signs: Mapping[str, str]) -> Node:
        first = operand()
        rest: list[tuple[str, Node]] = []
        while sign := self._take(*signs):
            rest.append((signs[sign], operand()))
        return Chain(first, tuple(rest)) if rest else first

    def _deeper(self, read: Callable[[], Node]) -> Node:
        self._depth += 1
        if self._depth > DEEPEST:
            raise ExpressionError(f"The expression is nested more than {DEEPEST} levels deep")
        node = read()
        self._depth -= 1
        return node

    def _signed(self) -> Node:
        if self._take("-"):
            return Negative(self._deeper(self._signed))
        if self._take("+"):
            return self._deeper(self._signed)
        base = self._operand()
        return Chain(base, (("^", self._deeper(self._signed)),)) if self._take("^") else base

    def _operand(self) -> Node:
        if self._take("("):
            node = self._deeper(lambda: self._level(0))
            self._need(")")
            return node
        if self._take("["):
            return Items(self._list("]"))
        token = self._next
        if token.kind not in ("number", "name", "text") or token.text in ("AND", "OR"):
            raise self._unexpected()
        self._at += 1
        if token.kind == "number":
            return Number(_finite(token.text))
        if token.kind == "text":
            return Text(token.text)
        return Call(token.text.upper(), self._list(")")) if self._take("(") else Name(token.text)

    def _list(self, end: str) -> tuple[Node, ...]:
        if self._take(end):
            return ()
        items = [self._deeper(lambda: self._level(0))]
        while self._take(","):
            items.append(self._deeper(lambda: self._level(0)))
        self._need(end)
        return tuple(items)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ExpressionError(f"The number {text} is too large")
    return number
