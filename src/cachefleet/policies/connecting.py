"""As whom somebody may connect to a cache with IAM tokens: elasticache:Connect on the cache and on the user (reference 10.3).

Decided before anybody connects, so nothing is known of where from: conditions on aws:SourceIp and the like find no value. Pure.
Called by control.iam_book.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from cachefleet.policies.credential import Credential
from cachefleet.policies.evaluation import Decision, Question, decide
from cachefleet.policies.values import values_of_caller, values_of_tags, values_of_time

CONNECT = "elasticache:Connect"
EVERYBODY = ("*",)


class Subject(msgspec.Struct, frozen=True):
    """A cache, or a user of its engines."""

    arn: str
    tags: Mapping[str, str]


def connects_as(holder: Credential, cache: Subject, users: Mapping[str, Subject], region: str, now_s: float) -> Sequence[str]:
    """Ids among users (by id), or "*" for all of them; none where not even the cache is allowed."""
    if holder.is_root:
        return EVERYBODY
    known = {
        **values_of_caller(holder.arn, holder.account, holder.user_id, holder.user_name),
        **values_of_time(now_s),
        "aws:requestedregion": (region,),
    }

    def is_allowed(subject: Subject) -> bool:
        question = Question(CONNECT, subject.arn, {**known, **values_of_tags(subject.tags)})
        return decide(holder.policies, question) is Decision.ALLOWED

    return [user_id for user_id, user in users.items() if is_allowed(user)] if is_allowed(cache) else []
