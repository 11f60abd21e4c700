"""Condition operators: what they compare, which values they take, and when a condition holds.

A wrong value is refused when the policy is stored, not when it is used. Called by document and evaluation.
"""

from __future__ import annotations

import ipaddress
import operator
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation

import msgspec

from cachefleet.policies.patterns import Values, matches, matches_arn, tokens

Holds = Callable[[str, str, Values | None], bool]  # the policy's value, the request's value, what variables stand for


class Operator(msgspec.Struct, frozen=True):
    """check: raises ValueError for what cannot be a value in a policy. holds: False for what cannot be one in a request."""

    holds: Holds
    check: Callable[[str], object] = str
    negated: bool = False


class Condition(msgspec.Struct, frozen=True):
    """key: in lower case. quantifier: "", "forallvalues" or "foranyvalue"."""

    operator: str
    key: str
    values: tuple[str, ...]
    quantifier: str = ""
    if_exists: bool = False


def _equal(wanted: str, given: str, values: Values | None) -> bool:
    return "".join(tokens(wanted, values, wild=False)) == given


def _equal_folded(wanted: str, given: str, values: Values | None) -> bool:
    return "".join(tokens(wanted, values, wild=False)).lower() == given.lower()


def _like(wanted: str, given: str, values: Values | None) -> bool:
    return matches(tokens(wanted, values), given)


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(f"{text!r} is neither true nor false")
    return text.lower() == "true"


def _number(text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite():
        raise ValueError(f"{text!r} is not a number")
    return number


def _moment(text: str) -> float:
    """Epoch seconds of an ISO 8601 text, or of a number of them."""
    if text.isascii() and text.isdecimal() and len(text) > 4:
        return float(text)
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is not a date as 2026-01-31T12:00:00Z, or seconds since 1970") from None


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"{text!r} is neither an IP address nor a range such as 10.0.0.0/8") from None


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    address = ipaddress.ip_address(text)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _compared(parse: Callable[[str], object], compare: Callable[[object, object], bool]) -> Holds:
    def holds(wanted: str, given: str, values: Values | None) -> bool:
        try:
            return compare(parse(given), parse(wanted))
        except ValueError:
            return False

    return holds


def _within(wanted: str, given: str, values: Values | None) -> bool:
    try:
        return _address(given) in _network(wanted)
    except ValueError:
        return False


_ORDERS: dict[str, Callable[[object, object], bool]] = {
    "lessthan": operator.lt,  # type: ignore[dict-item]
    "lessthanequals": operator.le,  # type: ignore[dict-item]
    "greaterthan": operator.gt,  # type: ignore[dict-item]
    "greaterthanequals": operator.ge,  # type: ignore[dict-item]
}
NULL = "null"

OPERATORS: dict[str, Operator] = {
    "stringequals": Operator(_equal),
    "stringnotequals": Operator(_equal, negated=True),
    "stringequalsignorecase": Operator(_equal_folded),
    "stringnotequalsignorecase": Operator(_equal_folded, negated=True),
    "stringlike": Operator(_like),
    "stringnotlike": Operator(_like, negated=True),
    "arnequals": Operator(matches_arn),
    "arnlike": Operator(matches_arn),
    "arnnotequals": Operator(matches_arn, negated=True),
    "arnnotlike": Operator(matches_arn, negated=True),
    "bool": Operator(_compared(_boolean, operator.eq), _boolean),
    "ipaddress": Operator(_within, _network),
    "notipaddress": Operator(_within, _network, negated=True),
    NULL: Operator(_equal, _boolean),
}
for _kind, _parse in (("numeric", _number), ("date", _moment)):
    OPERATORS[f"{_kind}equals"] = Operator(_compared(_parse, operator.eq), _parse)
    OPERATORS[f"{_kind}notequals"] = Operator(_compared(_parse, operator.eq), _parse, negated=True)
    for _order, _compare in _ORDERS.items():
        OPERATORS[f"{_kind}{_order}"] = Operator(_compared(_parse, _compare), _parse)


def takes_variables(name: str) -> bool:
    """Whether ${...} in the operator's values is a variable."""
    return name.startswith(("string", "arn"))


def holds(condition: Condition, request: Values, variables: bool) -> bool:
    """Whether a request fulfils it; it has a value for every variable without a default."""
    given = request.get(condition.key, ())
    if condition.operator == NULL:
        return any(_boolean(value) is not bool(given) for value in condition.values)
    known = OPERATORS[condition.operator]
    values = request if variables and takes_variables(condition.operator) else None

    def fits(one: str) -> bool:
        return any(known.holds(wanted, one, values) for wanted in condition.values) is not known.negated

    if condition.quantifier == "forallvalues":
        return all(map(fits, given))
    if not given:
        return condition.if_exists or (known.negated and not condition.quantifier)
    if condition.quantifier or not known.negated:
        return any(map(fits, given))
    return all(map(fits, given))
