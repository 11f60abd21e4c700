"""What condition keys have as values, as far as it depends on the caller, the time and tags alone. Pure.

Called by api.condition_values for requests, and by connecting for tokens that are yet to be made.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from cachefleet.policies.patterns import Values


def values_of_caller(arn: str, account: str, user_id: str, user_name: str) -> Values:
    told = {
        "aws:username": user_name,
        "aws:userid": user_id,
        "aws:principalarn": arn,
        "aws:principalaccount": account,
        "aws:principaltype": "User",
    }
    return {key: (value,) for key, value in told.items() if value}


def values_of_time(now_s: float) -> Values:
    """now_s: epoch seconds."""
    moment = datetime.fromtimestamp(now_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"aws:currenttime": (moment,), "aws:epochtime": (str(int(now_s)),)}


def values_of_tags(tags: Mapping[str, str]) -> Values:
    prefixes = ("aws:resourcetag/", "ec2:resourcetag/")
    return {f"{prefix}{key.lower()}": (text,) for key, text in tags.items() for prefix in prefixes}
