"""Requests without a signature that are taken all the same: links that subscribers were sent, which say by a secret part that
whoever follows them has got them. Pure; the gateway asks it of a GET without an Authorization header."""

from __future__ import annotations

import re
from urllib.parse import parse_qs

from cachefleet.api.access.permissions import needs
from cachefleet.model.topic import topic_key

SERVICE = "sns"
_ARNS = ("TopicArn", "SubscriptionArn")
_PARAMETERS = 8
_REGION = re.compile(r"[a-z0-9-]{1,32}", re.ASCII)


def unsigned_call(query: str, account: str) -> tuple[str, str] | None:
    """(service, region) that it is for, by the ARN that it names; None for what has to be signed."""
    try:
        found = parse_qs(query, max_num_fields=_PARAMETERS)
    except ValueError:
        return None
    known = needs(SERVICE, (found.get("Action") or [""])[0])
    named = topic_key(next((found[name][0] for name in _ARNS if name in found), ""))
    if known is None or not known.unsigned or named is None or named[0].account != account:
        return None
    if not _REGION.fullmatch(named[0].region):
        return None
    return SERVICE, named[0].region
