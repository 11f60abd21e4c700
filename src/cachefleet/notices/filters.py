"""Filter policies of subscriptions: which messages one gets, by their attributes or by their body.

Pure. Keys are all to match, of a key's conditions one ("Subscription filter policies" of the SNS guide). Called by the api (to
check policies) and by the courier.
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from cachefleet.model.notice import Notice, NoticeAttribute

ATTRIBUTES, BODY = "MessageAttributes", "MessageBody"
SCOPES = (ATTRIBUTES, BODY)
MAX_BYTES = 262_144
MAX_KEYS = 5
MAX_COMBINATIONS = 150
_MAX_DEPTH = 20
_OR = "$or"
_WORDS = ("prefix", "suffix", "equals-ignore-case")
_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "=": lambda value, bound: value == bound,
    "<": lambda value, bound: value < bound,
    "<=": lambda value, bound: value <= bound,
    ">": lambda value, bound: value > bound,
    ">=": lambda value, bound: value >= bound,
}

Json = Any
Policy = Mapping[str, Json]


class FilterRefused(Exception):
    """The message says where, and which rule."""


def read_filter(text: str, scope: str) -> Policy:
    """Raises FilterRefused for what cannot be meant."""
    if len(text.encode(errors="replace")) > MAX_BYTES:
        raise FilterRefused(f"the policy is longer than {MAX_BYTES} bytes")
    try:
        policy = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        raise FilterRefused("the policy is not JSON") from None
    if not isinstance(policy, dict):
        raise FilterRefused("the policy must be a JSON object")
    keys, combinations = _measure(policy, scope, 1, "")
    if keys > MAX_KEYS:
        raise FilterRefused(f"the policy has {keys} keys; at most {MAX_KEYS} are allowed")
    if combinations > MAX_COMBINATIONS:
        raise FilterRefused(f"the policy has {combinations} combinations of values; at most {MAX_COMBINATIONS} are allowed")
    return policy


def accepts(text: str, scope: str, notice: Notice) -> bool:
    """Whether a subscription with this policy ("" none) gets the notice. text: as read_filter accepted it. A message without
    any attributes, or with an empty body, matches nothing."""
    if not text:
        return True
    policy = msgspec.json.decode(text)
    if not policy:
        return True
    if scope == ATTRIBUTES:
        values = {name: _values(one) for name, one in notice.attributes.items() if _values(one)}
        return bool(values) and _matches(policy, values)
    try:
        body = msgspec.json.decode(notice.message)
    except (msgspec.DecodeError, RecursionError):
        return False
    return isinstance(body, dict) and bool(body) and _matches(policy, _flat(body, policy))


# --- what a message has --------------------------------------------------------------------------------------------


def _values(attribute: NoticeAttribute) -> list[Json]:
    """Empty for what filters do not see."""
    kind = "String.Array" if attribute.type.startswith("String.Array") else attribute.type.partition(".")[0]
    if kind == "String":
        return [attribute.value]
    try:
        found = msgspec.json.decode(attribute.value) if kind == "String.Array" else [float(attribute.value)]
    except (msgspec.DecodeError, ValueError):
        return []
    return list(found) if isinstance(found, list) and kind in ("Number", "String.Array") else []


def _flat(body: Mapping[str, Json], policy: Policy) -> dict[str, Json]:
    """The leaves as lists of values; objects where the policy has objects. Objects in an array count as each of them."""
    flat: dict[str, Json] = {}
    for name, value in body.items():
        below = _below(policy, name)
        if below is not None:
            parts = [part for part in (value if isinstance(value, list) else [value]) if isinstance(part, dict)]
            if parts:
                flat[name] = [_flat(part, below) for part in parts]
        elif not isinstance(value, dict):
            flat[name] = _leaves(value)
    return flat


def _below(policy: Policy, name: str) -> Policy | None:
    """What the policy wants of the members of an object with that name, also in branches of $or."""
    found = [branch[name] for branch in (policy, *(policy.get(_OR) or ())) if isinstance(branch.get(name), dict)]
    return {key: value for one in found for key, value in one.items()} if found else None


def _leaves(value: Json) -> list[Json]:
    return [leaf for item in value for leaf in _leaves(item)] if isinstance(value, list) else [value]


# --- whether it matches --------------------------------------------------------------------------------------------


def _matches(policy: Policy, values: Mapping[str, Json]) -> bool:
    for name, wanted in policy.items():
        if name == _OR:
            if not any(_matches(branch, values) for branch in wanted):
                return False
        elif isinstance(wanted, dict):
            if not any(_matches(wanted, part) for part in values.get(name) or [{}]):
                return False
        elif not any(_meets(condition, values.get(name)) for condition in wanted):
            return False
    return True


def _meets(condition: Json, found: Sequence[Json] | None) -> bool:
    """found: None where the message has no such key."""
    if isinstance(condition, dict) and "exists" in condition:
        return any(value not in (None, "") for value in found or ()) if condition["exists"] else found is None
    return found is not None and any(_meets_value(condition, value) for value in found)


def _meets_value(condition: Json, value: Json) -> bool:
    if not isinstance(condition, dict):
        return _same(condition, value)
    ((word, wanted),) = condition.items()
    if word == "anything-but":
        return not _is_but(wanted, value)
    if word == "numeric":
        return _is_number(value) and all(
            _COMPARISONS[operator](value, bound) for operator, bound in zip(wanted[::2], wanted[1::2], strict=True)
        )
    if not isinstance(value, str):
        return False
    if word == "prefix":
        return value.startswith(wanted)
    if word == "suffix":
        return value.endswith(wanted)
    if word == "equals-ignore-case":
        return value.casefold() == str(wanted).casefold()
    try:  # cidr
        return ipaddress.ip_address(value) in ipaddress.ip_network(wanted, strict=False)
    except ValueError:
        return False


def _is_but(wanted: Json, value: Json) -> bool:
    """Whether it is what it must not be."""
    if isinstance(wanted, dict):
        return _meets_value(wanted, value)
    return any(_same(one, value) for one in (wanted if isinstance(wanted, list) else [wanted]))


def _same(wanted: Json, value: Json) -> bool:
    if isinstance(wanted, bool) or isinstance(value, bool) or wanted is None or value is None:
        return wanted is value
    if _is_number(wanted) and _is_number(value):
        return bool(wanted == value)
    return isinstance(wanted, str) and isinstance(value, str) and wanted == value


def _is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


# --- whether a policy can be meant ---------------------------------------------------------------------------------


def _measure(policy: Policy, scope: str, depth: int, where: str) -> tuple[int, int]:
    """How many keys, how many combinations of their conditions. Raises FilterRefused."""
    if depth > _MAX_DEPTH:
        raise FilterRefused(f"the policy is deeper than {_MAX_DEPTH} levels")
    keys, combinations = 0, 1
    for name, wanted in policy.items():
        place = f"{where}{name}"
        if name == _OR:
            inner = [_measure(_object(branch, place), scope, depth, where) for branch in _branches(wanted, place)]
            keys += max(count for count, _ in inner)
            combinations *= sum(count for _, count in inner)
        elif isinstance(wanted, dict):
            if scope != BODY:
                raise FilterRefused(
                    f"{place}: objects are for FilterPolicyScope {BODY}; an attribute takes a list of conditions"
                )
            count, times = _measure(wanted, scope, depth + 1, f"{place}.")
            keys, combinations = keys + count, combinations * times * depth
        else:
            if not isinstance(wanted, list) or not wanted:
                raise FilterRefused(f"{place} must be a list of at least one condition")
            for condition in wanted:
                _check_condition(condition, place)
            keys, combinations = keys + 1, combinations * len(wanted)
    return keys, combinations


def _branches(wanted: Json, place: str) -> list[Json]:
    if not isinstance(wanted, list) or len(wanted) < 2:
        raise FilterRefused(f"{place} must be a list of at least two objects")
    return wanted


def _object(branch: Json, place: str) -> Policy:
    if not isinstance(branch, dict) or not branch:
        raise FilterRefused(f"{place} must be a list of objects that are not empty")
    return branch


def _check_condition(condition: Json, place: str) -> None:
    if not isinstance(condition, dict):
        if isinstance(condition, list):
            raise FilterRefused(f"{place}: a condition is a text, a number, true, false, null or an object, no list")
        return
    if len(condition) != 1:
        raise FilterRefused(f"{place}: an object of a condition has exactly one key")
    ((word, wanted),) = condition.items()
    if word in _WORDS:
        if not isinstance(wanted, str) or not wanted:
            raise FilterRefused(f"{place}: {word} must be a text that is not empty")
    elif word == "exists":
        if not isinstance(wanted, bool):
            raise FilterRefused(f"{place}: exists must be true or false")
    elif word == "anything-but":
        _check_but(wanted, place)
    elif word == "numeric":
        _check_numeric(wanted, place)
    elif word == "cidr":
        try:
            ipaddress.ip_network(wanted if isinstance(wanted, str) else "", strict=False)
        except ValueError:
            raise FilterRefused(f"{place}: cidr must be a network such as 10.0.0.0/24") from None
    else:
        known = ", ".join((*_WORDS, "anything-but", "numeric", "exists", "cidr"))
        raise FilterRefused(f"{place}: there is no condition {word[:40]!r}; there are {known}")


def _check_but(wanted: Json, place: str) -> None:
    if isinstance(wanted, dict):
        if set(wanted) not in ({"prefix"}, {"suffix"}) or not all(isinstance(one, str) and one for one in wanted.values()):
            raise FilterRefused(f"{place}: anything-but takes values, or one prefix or suffix")
        return
    values = wanted if isinstance(wanted, list) else [wanted]
    if not values or not all(isinstance(one, str) or _is_number(one) for one in values):
        raise FilterRefused(f"{place}: anything-but must be texts or numbers")


def _check_numeric(wanted: Json, place: str) -> None:
    pairs = list(zip(wanted[::2], wanted[1::2], strict=False)) if isinstance(wanted, list) else []
    if len(pairs) not in (1, 2) or len(wanted) != 2 * len(pairs):
        raise FilterRefused(f'{place}: numeric must be an operator and a number, or two of both: [">", 0, "<=", 5]')
    for operator, bound in pairs:
        if operator not in _COMPARISONS or not _is_number(bound) or not math.isfinite(bound):
            raise FilterRefused(f"{place}: numeric takes {', '.join(_COMPARISONS)} with a number")
    if len(pairs) == 2 and not (pairs[0][0] in (">", ">=") and pairs[1][0] in ("<", "<=") and pairs[0][1] <= pairs[1][1]):
        raise FilterRefused(f"{place}: a range of numeric is a lower bound (> or >=) and then an upper one (< or <=)")
