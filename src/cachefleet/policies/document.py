"""A policy document as text -> its statements. Whatever could not be evaluated as it is meant is refused here.

Pure. Called by the IAM operations, before a policy is stored, and for the callers' policies.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import msgspec

from cachefleet.policies.conditions import NULL, OPERATORS, Condition, takes_variables
from cachefleet.policies.patterns import ARN_PARTS, variables_of

WITH_VARIABLES = "2012-10-17"
_VERSIONS = ("2008-10-17", WITH_VARIABLES)
_ACTION = re.compile(r"[A-Za-z0-9-]+:[A-Za-z0-9*?]+", re.ASCII)
_PRINCIPALS = ("Principal", "NotPrincipal")
_STATEMENT = ("Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition")
_QUANTIFIERS = ("forallvalues", "foranyvalue")
_IF_EXISTS = "ifexists"

# What ${...} may name: the keys that a request always or sometimes has. Another one could never be resolved.
_VARIABLES = frozenset(
    {
        "aws:username",
        "aws:userid",
        "aws:principalarn",
        "aws:principalaccount",
        "aws:principaltype",
        "aws:sourceip",
        "aws:useragent",
        "aws:currenttime",
        "aws:epochtime",
        "aws:requestedregion",
    }
)
_TAG_VARIABLES = ("aws:requesttag/", "aws:resourcetag/")


class Malformed(Exception):
    """What is wrong with the document, in words for its author."""


class Statement(msgspec.Struct, frozen=True):
    """except_actions, except_resources: the list says to which it does not apply. Actions are in lower case. needs: keys of
    variables that have no default, in lower case."""

    allow: bool
    actions: tuple[str, ...]
    except_actions: bool
    resources: tuple[str, ...]
    except_resources: bool
    conditions: tuple[Condition, ...] = ()
    needs: frozenset[str] = frozenset()


class Policy(msgspec.Struct, frozen=True):
    """variables: whether ${...} stands for a value of the request (Version 2012-10-17). keys: every condition key that it asks
    for, variables included, in lower case."""

    statements: tuple[Statement, ...]
    variables: bool
    keys: frozenset[str]


def read_policy(text: str) -> Policy:
    """Raises Malformed."""
    try:
        document = json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
    except Malformed:
        raise
    except (ValueError, RecursionError):
        raise Malformed("Syntax errors in policy: it is not JSON.") from None
    if not isinstance(document, dict):
        raise Malformed("Syntax errors in policy: it must be a JSON object with a Statement.")
    _only(document, ("Version", "Id", "Statement"), "a policy")
    version = document.get("Version", _VERSIONS[0])
    if version not in _VERSIONS:
        raise Malformed(f"The policy's Version must be {' or '.join(_VERSIONS)}.")
    listed = document.get("Statement")
    found: list[Any] = listed if isinstance(listed, list) else [listed]
    if not found or not all(isinstance(one, dict) for one in found):
        raise Malformed("Syntax errors in policy: Statement must be a statement or a list of at least one.")
    variables = version == WITH_VARIABLES
    statements = tuple(_statement(one, variables) for one in found)
    names = [one["Sid"] for one in found if "Sid" in one]
    if len(set(names)) != len(names):
        raise Malformed("Statement IDs (SID) in a single policy must be unique.")
    return Policy(statements, variables, frozenset(keys_of(statements, variables)))


def _statement(found: dict[str, Any], variables: bool) -> Statement:
    if any(name in found for name in _PRINCIPALS):
        raise Malformed("Policy document should not specify a principal.")
    _only(found, _STATEMENT, "a statement")
    if "Sid" in found and not (isinstance(found["Sid"], str) and re.fullmatch(r"[A-Za-z0-9]*", found["Sid"], re.ASCII)):
        raise Malformed("Statement IDs (SID) must have letters and digits only.")
    if found.get("Effect") not in ("Allow", "Deny"):
        raise Malformed("A statement's Effect must be Allow or Deny.")
    actions, except_actions = _either(found, "Action", "NotAction")
    resources, except_resources = _either(found, "Resource", "NotResource")
    for action in actions:
        if action != "*" and not _ACTION.fullmatch(action):
            raise Malformed(
                f"Action {_shown(action)}: actions must be prefaced by a vendor, e.g. elasticache:DeleteSnapshot, or *."
            )
    for resource in resources:
        _check_resource(resource, variables)
    conditions = _conditions(found.get("Condition", {}), variables)
    texts = [*resources, *_values_with_variables(conditions)] if variables else []
    return Statement(
        allow=found["Effect"] == "Allow",
        actions=tuple(action.lower() for action in actions),
        except_actions=except_actions,
        resources=resources,
        except_resources=except_resources,
        conditions=conditions,
        needs=frozenset(key for text in texts for key, bare in variables_of(text).items() if bare),
    )


def _check_resource(resource: str, variables: bool) -> None:
    parts = resource.split(":", ARN_PARTS - 1)
    if resource != "*" and (parts[0] != "arn" or len(parts) < 3):
        raise Malformed(f'Resource {_shown(resource)} must be in ARN format or "*".')
    if variables:
        _check_variables(resource)


def _check_variables(text: str) -> None:
    try:
        named = variables_of(text)
    except ValueError as error:
        raise Malformed(f"{error}.") from None
    for key in named:
        if key not in _VARIABLES and not key.startswith(_TAG_VARIABLES):
            raise Malformed(f"The policy variable {_shown(key)} is not known here; there are {', '.join(sorted(_VARIABLES))}.")


def _conditions(found: Any, variables: bool) -> tuple[Condition, ...]:
    if not isinstance(found, dict):
        raise Malformed("Syntax errors in policy: Condition must be an object.")
    made = []
    for name, tests in found.items():
        operator, quantifier, if_exists = _operator(name)
        if not isinstance(tests, dict) or not tests:
            raise Malformed(f"Syntax errors in policy: {_shown(name)} must have an object of condition keys.")
        for key, given in tests.items():
            values = tuple(map(_text, given if isinstance(given, list) else [given]))
            if not key or not values:
                raise Malformed(
                    f"Syntax errors in policy: {_shown(name)} needs a condition key, and at least one value for it."
                )
            for value in values:
                _check_value(name, operator, value, variables)
            made.append(Condition(operator, key.lower(), values, quantifier, if_exists))
    return tuple(made)


def _operator(name: str) -> tuple[str, str, bool]:
    """(its name in lower case, quantifier, whether it ends with IfExists)."""
    quantifier, colon, rest = name.lower().rpartition(":")
    if_exists = rest.endswith(_IF_EXISTS)
    operator = rest.removesuffix(_IF_EXISTS)
    if operator not in OPERATORS or (colon and quantifier not in _QUANTIFIERS) or (operator == NULL and (if_exists or colon)):
        raise Malformed(f"Invalid Condition type : {_shown(name)}.")
    return operator, quantifier, if_exists


def _check_value(name: str, operator: str, value: str, variables: bool) -> None:
    if operator.startswith("arn") and value != "*" and not value.startswith("arn:"):
        raise Malformed(f"{name}: {_shown(value)} is not an ARN.")
    if variables and takes_variables(operator):
        _check_variables(value)
    try:
        OPERATORS[operator].check(value)
    except ValueError as error:
        raise Malformed(f"{name}: {error}.") from None


def _values_with_variables(conditions: Sequence[Condition]) -> list[str]:
    return [value for condition in conditions if takes_variables(condition.operator) for value in condition.values]


def keys_of(statements: Sequence[Statement], variables: bool) -> list[str]:
    """As Policy.keys."""
    tests = [condition for statement in statements for condition in statement.conditions]
    keys = [condition.key for condition in tests]
    if variables:
        texts = [resource for statement in statements for resource in statement.resources]
        keys += [key for text in [*texts, *_values_with_variables(tests)] for key in variables_of(text)]
    return keys


def _either(found: dict[str, Any], name: str, negation: str) -> tuple[tuple[str, ...], bool]:
    if (name in found) == (negation in found):
        raise Malformed(f"A statement must have exactly one of {name} and {negation}.")
    negated = negation in found
    given = found[negation] if negated else found[name]
    listed = given if isinstance(given, list) else [given]
    if not listed or not all(isinstance(one, str) and one for one in listed):
        raise Malformed(f"Syntax errors in policy: {negation if negated else name} must be a text, or a list of at least one.")
    return tuple(listed), negated


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return str(value)
    raise Malformed("Syntax errors in policy: values of conditions are texts, numbers, true or false.")


def _only(found: dict[str, Any], known: Sequence[str], what: str) -> None:
    for name in found:
        if name not in known:
            raise Malformed(f"Syntax errors in policy: {_shown(name)} is not an element of {what}.")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise Malformed("Syntax errors in policy: an element is there twice.")
    return made


def _no_constant(name: str) -> None:
    raise Malformed(f"Syntax errors in policy: {name} is not JSON.")


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:80] + "...")
