"""A second reading of policies, as plain and slow as the documentation of IAM: what the real one is compared with.

Shares nothing with it but the shape of the question.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

Values = Mapping[str, tuple[str, ...]]


def decision(documents: list[str], action: str, resource: str, values: Values) -> str:
    """ "allowed", "an explicit deny" or "nothing allows it"."""
    effects = set()
    for text in documents:
        document = json.loads(text)
        variables = document.get("Version") == "2012-10-17"
        for statement in as_list(document["Statement"]):
            if applies(statement, action, resource, values, variables):
                effects.add(statement["Effect"])
    if "Deny" in effects:
        return "an explicit deny"
    return "allowed" if "Allow" in effects else "nothing allows it"


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def applies(statement: dict[str, Any], action: str, resource: str, values: Values, variables: bool) -> bool:
    texts = as_list(statement.get("Resource", statement.get("NotResource")))
    for operator, tests in statement.get("Condition", {}).items():
        if "String" in operator or "Arn" in operator:
            for wanted in tests.values():
                texts = texts + [str(one) for one in as_list(wanted)]
    if variables:
        for text in texts:
            for name in re.findall(r"\$\{(aws:\w+)\}", text):
                if name.lower() not in values:
                    return False
    if "Action" in statement:
        if not any(glob(wild(one.lower()), action.lower()) for one in as_list(statement["Action"])):
            return False
    elif any(glob(wild(one.lower()), action.lower()) for one in as_list(statement["NotAction"])):
        return False
    if "Resource" in statement:
        if not any(arn(one, resource, values, variables) for one in as_list(statement["Resource"])):
            return False
    elif any(arn(one, resource, values, variables) for one in as_list(statement["NotResource"])):
        return False
    for operator, tests in statement.get("Condition", {}).items():
        for key, wanted in tests.items():
            if not condition(operator, [plain(one) for one in as_list(wanted)], values.get(key.lower()), values, variables):
                return False
    return True


def plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


Marks = list[tuple[str, bool]]  # characters, and whether each may be a wildcard


def wild(text: str) -> Marks:
    return [(character, True) for character in text]


def glob(pattern: Marks, text: str) -> bool:
    if not pattern:
        return not text
    (first, may_be_wild), rest = pattern[0], pattern[1:]
    if may_be_wild and first == "*":
        return any(glob(rest, text[i:]) for i in range(len(text) + 1))
    return bool(text) and ((may_be_wild and first == "?") or first == text[0]) and glob(rest, text[1:])


def filled(text: str, values: Values, variables: bool) -> Marks:
    """With variables replaced, by what is no wildcard."""
    if not variables:
        return wild(text)
    made: Marks = []
    for part in re.split(r"(\$\{[^}]+\})", text):
        name = part[2:-1]
        if not part.startswith("${"):
            made += wild(part)
        else:
            made += [(character, False) for character in (name if name in "*?$" else values[name.lower()][0])]
    return made


def arn(pattern: str, text: str, values: Values, variables: bool) -> bool:
    if pattern == "*":
        return True
    parts: list[Marks] = [[]]
    for mark in filled(pattern, values, variables):
        if mark == (":", True) and len(parts) < 6:
            parts.append([])
        else:
            parts[-1].append(mark)
    given = text.split(":", 5)
    parts += [wild("*")] * (6 - len(parts))
    return len(given) == 6 and all(glob(one, other) for one, other in zip(parts, given, strict=True))


def condition(operator: str, wanted: list[str], given: tuple[str, ...] | None, values: Values, variables: bool) -> bool:
    quantifier, _, rest = operator.rpartition(":")
    if rest == "Null":
        return any((one.lower() == "true") == (given is None) for one in wanted)
    if_exists = rest.endswith("IfExists")
    rest = rest.removesuffix("IfExists")
    negated = "Not" in rest
    positive = rest.replace("NotEquals", "Equals").replace("NotLike", "Like").replace("NotIp", "Ip")
    if quantifier == "ForAllValues":
        return all(any_of(positive, wanted, one, values, variables) != negated for one in given or ())
    if given is None:
        return if_exists or (negated and not quantifier)
    if quantifier == "ForAnyValue":
        return any(any_of(positive, wanted, one, values, variables) != negated for one in given)
    hit = any(any_of(positive, wanted, one, values, variables) for one in given)
    return hit != negated


def any_of(operator: str, wanted: list[str], given: str, values: Values, variables: bool) -> bool:
    return any(compare(operator, one, given, values, variables) for one in wanted)


def compare(operator: str, wanted: str, given: str, values: Values, variables: bool) -> bool:
    if operator.startswith("Arn"):
        return arn(wanted, given, values, variables)
    if operator.startswith("String"):
        marks = filled(wanted, values, variables)
        if operator == "StringLike":
            return glob(marks, given)
        wanted = "".join(character for character, _ in marks)
        return wanted.lower() == given.lower() if "IgnoreCase" in operator else wanted == given
    if operator == "Bool":
        return wanted.lower() == given.lower()
    if operator == "IpAddress":
        return ipaddress.ip_address(given) in ipaddress.ip_network(wanted, strict=False)
    left, right = (float(given), float(wanted)) if operator.startswith("Numeric") else (moment(given), moment(wanted))
    word = operator.removeprefix("Numeric").removeprefix("Date")
    return {
        "Equals": left == right,
        "LessThan": left < right,
        "LessThanEquals": left <= right,
        "GreaterThan": left > right,
        "GreaterThanEquals": left >= right,
    }[word]


def moment(text: str) -> float:
    return float(text) if text.isdecimal() else datetime.fromisoformat(text).timestamp()
