"""Rules of composite alarms: text to tree, and whether a rule holds. Pure; bounded in length, depth and number of elements.

`ALARM(name)`, `OK("name or ARN")`, `INSUFFICIENT_DATA(name)`, TRUE and FALSE, with NOT before AND before OR, and parentheses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from graphlib import CycleError, TopologicalSorter

import msgspec

from cachefleet.model.alarm import AlarmValue, alarm_arn
from cachefleet.model.resource import Scope

LONGEST = 10_240  # characters
MOST_CHILDREN = 100
MOST_ELEMENTS = 500  # alarms, TRUE, FALSE and pairs of parentheses
DEEPEST = 40  # parentheses and NOT within each other

_TOKEN = re.compile(
    r"""\s*(?:(?P<state>ALARM|OK|INSUFFICIENT_DATA)\s*\(\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>[^()"]*?))\s*\)
    |(?P<word>AND|OR|NOT|TRUE|FALSE)\b
    |(?P<sign>[()]))""",
    re.ASCII | re.IGNORECASE | re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(.)")


class RuleError(Exception):
    """What is wrong with a rule, as a sentence."""


class Is(msgspec.Struct, frozen=True):
    """Whether that alarm is in that state."""

    value: AlarmValue
    name: str


class Constant(msgspec.Struct, frozen=True):
    holds: bool


class Not(msgspec.Struct, frozen=True):
    operand: AlarmRule


class All(msgspec.Struct, frozen=True):
    operands: tuple[AlarmRule, ...]


class Some(msgspec.Struct, frozen=True):
    operands: tuple[AlarmRule, ...]


AlarmRule = Is | Constant | Not | All | Some


def read_rule(text: str, scope: Scope) -> AlarmRule:
    """scope: whose alarms ARNs may name. Raises RuleError."""
    if len(text) > LONGEST:
        raise RuleError(f"it has {len(text)} characters; at most {LONGEST} are allowed")
    rule = _Reader(list(_tokens(text, scope))).whole()
    if len(children(rule)) > MOST_CHILDREN:
        raise RuleError(f"it names {len(children(rule))} alarms; at most {MOST_CHILDREN} are allowed")
    return rule


def children(rule: AlarmRule) -> tuple[str, ...]:
    """The names of the alarms that it is about, each once, in their order."""
    return tuple(dict.fromkeys(part.name for part in _parts(rule) if isinstance(part, Is)))


def holds(rule: AlarmRule, states: Mapping[str, AlarmValue]) -> bool:
    """An alarm that is not among states is in none."""
    if isinstance(rule, Is):
        return states.get(rule.name) is rule.value
    if isinstance(rule, Constant):
        return rule.holds
    if isinstance(rule, Not):
        return not holds(rule.operand, states)
    found = (holds(operand, states) for operand in rule.operands)
    return all(found) if isinstance(rule, All) else any(found)


def in_order(needs: Mapping[str, tuple[str, ...]]) -> list[str]:
    """The composite alarms, each after those of them that it depends on. needs: name -> children. Those that depend on each
    other in a circle, and what depends on them, are left out."""
    sorter = TopologicalSorter(needs)
    with suppress(CycleError):  # all that is not in its way can be sorted all the same
        sorter.prepare()
    order: list[str] = []
    while ready := sorter.get_ready():
        order += (name for name in ready if name in needs)
        sorter.done(*ready)
    return order


def _parts(rule: AlarmRule) -> Iterator[AlarmRule]:
    waiting = [rule]
    while waiting:
        part = waiting.pop()
        yield part
        if isinstance(part, Not):
            waiting.append(part.operand)
        elif isinstance(part, All | Some):
            waiting += reversed(part.operands)


_Token = Is | str  # a string: a word in capitals, a parenthesis, or "" at the end


def _tokens(text: str, scope: Scope) -> Iterator[_Token]:
    position, text = 0, text.rstrip()
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None:
            raise RuleError(f"unexpected {text[position:].strip()[:20]!r} at position {position + 1}")
        position = found.end()
        if found["state"]:
            name = _ESCAPE.sub(r"\1", found["quoted"]) if found["quoted"] is not None else found["plain"]
            yield Is(AlarmValue(found["state"].upper()), _name(name, scope))
        else:
            yield (found["word"] or found["sign"]).upper()
    yield ""


def _name(text: str, scope: Scope) -> str:
    """Of an alarm that is named by its name or its ARN."""
    own = alarm_arn(scope, "")
    if not text or text == own:
        raise RuleError("the name of an alarm is empty")
    if text.startswith("arn:") and not text.startswith(own):
        raise RuleError(f"{text[:120]!r} is no ARN of an alarm of this region and account, which begins with {own}")
    return text.removeprefix(own)


class _Reader:
    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0
        self._elements = 0

    def whole(self) -> AlarmRule:
        rule = self._some()
        if self._tokens[self._at] != "":
            raise self._unexpected()
        return rule

    def _take(self, token: str) -> bool:
        if self._tokens[self._at] != token:
            return False
        self._at += 1
        return True

    def _unexpected(self) -> RuleError:
        token = self._tokens[self._at]
        what = f"{token.value}({token.name})" if isinstance(token, Is) else token
        return RuleError(f"unexpected {what!r}" if what else "unexpected end")

    def _some(self) -> AlarmRule:
        operands = [self._all()]
        while self._take("OR"):
            operands.append(self._all())
        return Some(tuple(operands)) if len(operands) > 1 else operands[0]

    def _all(self) -> AlarmRule:
        operands = [self._not()]
        while self._take("AND"):
            operands.append(self._not())
        return All(tuple(operands)) if len(operands) > 1 else operands[0]

    def _not(self) -> AlarmRule:
        if not self._take("NOT"):
            return self._operand()
        self._deeper()
        rule = Not(self._not())
        self._depth -= 1
        return rule

    def _operand(self) -> AlarmRule:
        found = self._tokens[self._at]
        self._elements += 1
        if self._elements > MOST_ELEMENTS:
            raise RuleError(f"it has more than {MOST_ELEMENTS} elements")
        if self._take("("):
            self._deeper()
            rule = self._some()
            self._depth -= 1
            if not self._take(")"):
                raise self._unexpected()
            return rule
        if isinstance(found, Is):
            self._at += 1
            return found
        for word in ("TRUE", "FALSE"):
            if self._take(word):
                return Constant(word == "TRUE")
        raise self._unexpected()

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > DEEPEST:
            raise RuleError(f"it is nested more than {DEEPEST} levels deep")
