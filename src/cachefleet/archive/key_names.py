"""Names of keys: what may be one, and which key an alias or an ARN means.

Pure; knows not which keys there are. Called by keyring.py and wherever users name keys.
"""

from __future__ import annotations

import re

from cachefleet.archive.key_errors import KeyMissing

DEFAULT = "default"
_NAME = re.compile(r"[a-zA-Z0-9_-]+(/[a-zA-Z0-9_-]+)*")
_ARN = re.compile(r"arn:[\w-]+:kms:[\w-]*:\d*:(?:key|alias)/(.*)", re.DOTALL)
_MAX_CHARACTERS = 200
_AMAZON_DEFAULT = "aws/elasticache"  # alias of the key that ElastiCache takes when none is named


def key_name(text: str) -> str:
    """x for x, key/x, alias/x and arn:aws:kms:REGION:ACCOUNT:key/x (or alias/x); "default" for "" and alias/aws/elasticache.

    Raises KeyMissing for what can be no name.
    """
    found = _ARN.fullmatch(text)
    name = found[1] if found else re.sub(r"\A(key|alias)/", "", text)
    if name in ("", _AMAZON_DEFAULT):
        return DEFAULT
    if len(name) > _MAX_CHARACTERS or not _NAME.fullmatch(name):
        allowed = f"letters, digits, _ and -, with / between parts, at most {_MAX_CHARACTERS}"
        raise KeyMissing(f"{text[:300]!r} names no key: a key's name has {allowed}")
    return name
