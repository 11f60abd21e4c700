"""As whom somebody may connect to a cache with IAM tokens: elasticache:Connect on the cache and on the user (reference 10.3).

Decided before anybody connects, so it is not known from where, nor with which program. What a policy says of that can be
checked by nobody, so it never lets anybody in: a statement that allows under such a condition is passed over, and one that
denies counts as if the condition held. Pure. Called by control.iam_book.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from msgspec.structs import replace

from cachefleet.model.iam_rules import EVERYBODY
from cachefleet.policies.conditions import takes_variables
from cachefleet.policies.credential import Credential
from cachefleet.policies.document import Policy, Statement, keys_of
from cachefleet.policies.evaluation import Decision, Question, concerns, decide
from cachefleet.policies.patterns import variables_of
from cachefleet.policies.values import values_of_caller, values_of_tags, values_of_time

CONNECT = "elasticache:Connect"
_NOT_KNOWN = frozenset({"aws:sourceip", "aws:useragent"})
_OF_TIME = frozenset({"aws:currenttime", "aws:epochtime"})


class Subject(msgspec.Struct, frozen=True):
    """A cache, or a user of its engines."""

    arn: str
    tags: Mapping[str, str]


def changes_with_time(holder: Credential) -> bool:
    """Whether its policies may say otherwise later, though nobody changed them."""
    return any(policy.keys & _OF_TIME for policy in holder.policies)


def connects_as(holder: Credential, cache: Subject, users: Mapping[str, Subject], region: str, now_s: float) -> Sequence[str]:
    """Ids among users (by id), or "*" for all of them; none where not even the cache is allowed."""
    if holder.is_root:
        return EVERYBODY
    policies = _that_matter(holder.policies)
    if not any(statement.allow for policy in policies for statement in policy.statements):
        return ()
    known = {
        **values_of_caller(holder.arn, holder.account, holder.user_id, holder.user_name),
        **values_of_time(now_s),
        "aws:requestedregion": (region,),
        "aws:securetransport": ("true",),
    }

    def is_allowed(subject: Subject) -> bool:
        question = Question(CONNECT, subject.arn, {**known, **values_of_tags(subject.tags)})
        return decide(policies, question) is Decision.ALLOWED

    return [user_id for user_id, user in users.items() if is_allowed(user)] if is_allowed(cache) else []


def _that_matter(policies: Sequence[Policy]) -> list[Policy]:
    """The policies with those statements only that say something of connecting, and can be decided."""
    return [replace(policy, statements=tuple(_decidable(policy))) for policy in policies]


def _decidable(policy: Policy) -> list[Statement]:
    made = [statement for statement in policy.statements if concerns(statement, CONNECT)]
    if not policy.keys & _NOT_KNOWN:
        return made
    return [
        _without_unknown(statement, policy.variables) if _NOT_KNOWN & set(keys_of([statement], policy.variables)) else statement
        for statement in made
        if not (statement.allow and _NOT_KNOWN & set(keys_of([statement], policy.variables)))
    ]


def _without_unknown(statement: Statement, variables: bool) -> Statement:
    """One that denies, as wide as it could be meant."""

    def is_known(text: str) -> bool:
        return not (variables and _NOT_KNOWN & variables_of(text).keys())

    conditions = tuple(
        condition
        for condition in statement.conditions
        if condition.key not in _NOT_KNOWN and (not takes_variables(condition.operator) or all(map(is_known, condition.values)))
    )
    named = all(map(is_known, statement.resources))
    return replace(
        statement,
        conditions=conditions,
        needs=statement.needs - _NOT_KNOWN,
        resources=statement.resources if named else EVERYBODY,
        except_resources=statement.except_resources and named,
    )
