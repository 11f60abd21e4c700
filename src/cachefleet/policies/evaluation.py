"""Whether policies let a request pass: an explicit deny wins, and what nothing allows is denied. Pure.

Called by api.authorization, once for each action on each resource that a request needs.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

import msgspec

from cachefleet.policies.conditions import holds
from cachefleet.policies.document import Policy, Statement
from cachefleet.policies.patterns import Values, matches_arn, matches_text


class Decision(Enum):
    ALLOWED = "allowed"
    DENIED = "an explicit deny"
    NOT_ALLOWED = "nothing allows it"


class Question(msgspec.Struct, frozen=True):
    """action: "service:Operation". resource: an ARN, or "*" for what is on no resource. values: condition keys in lower case ->
    what the request has for them; absent, never empty."""

    action: str
    resource: str
    values: Values


def decide(policies: Iterable[Policy], question: Question) -> Decision:
    found = Decision.NOT_ALLOWED
    for policy in policies:
        for statement in policy.statements:
            if not _applies(statement, question, policy.variables):
                continue
            if not statement.allow:
                return Decision.DENIED
            found = Decision.ALLOWED
    return found


def concerns(statement: Statement, action: str) -> bool:
    """Whether it says something of that action, on whatever resource."""
    asked = action.lower()
    return any(matches_text(pattern, asked, None) for pattern in statement.actions) is not statement.except_actions


def _applies(statement: Statement, question: Question, variables: bool) -> bool:
    """A variable that the request has no value for makes a statement that needs it void."""
    values = question.values
    if not concerns(statement, question.action):
        return False
    if any(key not in values for key in statement.needs):
        return False
    stand_for = values if variables else None
    named = any(matches_arn(pattern, question.resource, stand_for) for pattern in statement.resources)
    if named is statement.except_resources:
        return False
    return all(holds(condition, values, variables) for condition in statement.conditions)
