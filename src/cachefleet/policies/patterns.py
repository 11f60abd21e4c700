"""Texts with wildcards and variables: `*` for any run of characters, `?` for one, ${key} for a value of the request.

What a variable stands for is taken literally, so a user named `*` is not everybody. Matching takes at most the product of both
lengths, whatever the pattern.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

Values = Mapping[str, tuple[str, ...]]  # condition keys in lower case -> what the request has for them; never empty

ANY, ONE = "any", "one"  # tokens; every other token is a single character
ARN_PARTS = 6
_VARIABLE = re.compile(r"\$\{([^${}]*)\}")
_COLON = re.compile(r":(?![^${}]*\})")  # not within a variable
_ESCAPED = ("*", "?", "$")
_DEFAULT = re.compile(r"([^,]*),\s*'([^']*)'\s*")


def variables_of(text: str) -> dict[str, bool]:
    """The keys of its variables, in lower case -> whether there is no default. Raises ValueError for braces that are not a
    variable's."""
    if re.search(r"[{}]", _VARIABLE.sub("", text)):
        raise ValueError(f"{text!r} has a brace that belongs to no policy variable")
    inner = [found.group(1) for found in _VARIABLE.finditer(text)]
    return {_key_of(one): not _DEFAULT.fullmatch(one) for one in inner if one not in _ESCAPED}


def _key_of(inner: str) -> str:
    found = _DEFAULT.fullmatch(inner)
    return (found.group(1) if found else inner).strip().lower()


def tokens(text: str, values: Values | None, *, wild: bool = True) -> list[str]:
    """values: what variables stand for, None where there are none; those without a default must be in it. wild: whether * and ?
    are more than themselves."""
    made: list[str] = []
    begin = 0
    for found in _VARIABLE.finditer(text) if values is not None else ():
        made += _wild(text[begin : found.start()]) if wild else text[begin : found.start()]
        made += _value(found.group(1), values or {})
        begin = found.end()
    return made + (_wild(text[begin:]) if wild else list(text[begin:]))


def _wild(text: str) -> list[str]:
    return [{"*": ANY, "?": ONE}.get(character, character) for character in text]


def _value(inner: str, values: Values) -> str:
    if inner in _ESCAPED:
        return inner
    found = values.get(_key_of(inner))
    default = _DEFAULT.fullmatch(inner)
    return default.group(2) if default and not found else values[_key_of(inner)][0]


def matches(pattern: Sequence[str], text: str) -> bool:
    """Whether all of the text is what the tokens say."""
    at, begin = 0, 0  # in the pattern, in the text
    star, resume = -1, 0  # the last ANY, and the first character that it has not taken yet
    while begin < len(text):
        if at < len(pattern) and pattern[at] == ANY:
            star, resume = at, begin
            at += 1
        elif at < len(pattern) and pattern[at] in (ONE, text[begin]):
            at += 1
            begin += 1
        elif star >= 0:
            resume += 1
            at, begin = star + 1, resume
        else:
            return False
    return all(token == ANY for token in pattern[at:])


def matches_arn(pattern: str, arn: str, values: Values | None) -> bool:
    """Part by part, so that a wildcard does not reach over a colon but in the last one; parts that the pattern lacks are
    anything. "*" is everything, also what is no ARN."""
    if pattern == "*":
        return True
    given = _parts_of(arn)
    if len(given) != ARN_PARTS:
        return False
    return all(matches_text(part, text, values) for part, text in zip(_parts_wanted(pattern), given, strict=False))


def matches_text(pattern: str, text: str, values: Values | None) -> bool:
    """As matches, of a pattern that is not read yet; most have no wildcard, and are soon compared."""
    if values is not None and "${" in pattern:
        return matches(tokens(pattern, values), text)
    if "*" not in pattern and "?" not in pattern:
        return pattern == text
    return matches(_plain_tokens(pattern), text)


# The same few patterns are asked about again and again, for many users and caches.


@lru_cache(4096)
def _plain_tokens(pattern: str) -> tuple[str, ...]:
    return tuple(tokens(pattern, None))


@lru_cache(4096)
def _parts_wanted(pattern: str) -> tuple[str, ...]:
    return tuple(_COLON.split(pattern, ARN_PARTS - 1))


@lru_cache(64)
def _parts_of(arn: str) -> tuple[str, ...]:
    return tuple(arn.split(":", ARN_PARTS - 1))
