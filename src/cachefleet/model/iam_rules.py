"""What an engine's IAM module is told: which users show tokens, for which cache, and by which keys they are signed. Pure.

The keys are derived from secret keys, for one day, region and service: who reads them out of an engine's memory can make tokens
for caches of that region until that day is over, and nothing else. Secret keys never get here. Format: iam_module/token.h.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache

import msgspec

from cachefleet.model.signing import signing_key

SERVICE = "elasticache"
LIFETIME_S = 12 * 3600  # of a connection (reference 10.3)
TOKEN_LIFE_S = 900  # reference 10.3
SKEW_S = 300  # how far a client's clock may be ahead
MAX_BYTES = 16 << 20  # of text(); iam_module/token.c
EVERYBODY = ("*",)
_NAME = re.compile(r"[A-Za-z0-9._~-]{1,128}", re.ASCII)


class DayKey(msgspec.Struct, frozen=True):
    """Of one access key, for the tokens of one day. users: ids of those as whom it may connect; ("*",) all of them."""

    access_key_id: str
    day: str  # "20260131", UTC
    key: bytes  # 32
    until_s: int  # epoch seconds; not used from then on
    users: tuple[str, ...]
    session_sha256: str = ""  # of the session token of temporary credentials

    def __repr__(self) -> str:
        return f"DayKey({self.access_key_id!r}, {self.day!r})"  # never the key


class IamRules(msgspec.Struct, frozen=True, dict=True):
    """All that a node's module knows. users: ids of those that show tokens."""

    cache: str  # id of the replication group, as clients sign it
    region: str
    users: tuple[str, ...]
    keys: tuple[DayKey, ...]
    skew_s: int = SKEW_S
    lifetime_s: int = LIFETIME_S

    def text(self) -> bytes:
        """The same for the same rules in any order. Raises ValueError for a name that cannot be in it."""
        for name in (self.cache, self.region, *self.users, *(key.access_key_id for key in self.keys)):
            if not can_be_told(name):
                raise ValueError(f"{name!r} cannot be in rules: a name has 1 to 128 letters, digits, dots, hyphens, _ and ~")
        lists = {users: _listed(users) for users in {key.users for key in self.keys}}
        lines = [f"cache {self.cache}", f"region {self.region}", f"skew {self.skew_s}", f"lifetime {self.lifetime_s}"]
        lines += [f"user {user}" for user in sorted(set(self.users))]
        lines += sorted(_line(key, lists[key.users]) for key in self.keys if key.users)
        return "\n".join(lines).encode() + b"\n"

    def fingerprint(self) -> str:
        """What the module tells it has (the SHA-256 of text(), in hexadecimal digits). Cheap when asked again."""
        return self._measures[0]

    def size_bytes(self) -> int:
        """Of text(); no engine takes more than MAX_BYTES."""
        return self._measures[1]

    @cached_property
    def _measures(self) -> tuple[str, int]:
        text = self.text()
        return hashlib.sha256(text).hexdigest(), len(text)


def can_be_told(name: str) -> bool:
    """Whether rules can have it: the id of a cache, user or access key, or a region."""
    return bool(_NAME.fullmatch(name))


def day_keys(
    access_key_id: str,
    secret_access_key: str,
    region: str,
    users: Sequence[str],
    now_s: float,
    *,
    session_token: str = "",
    until_s: float | None = None,
) -> tuple[DayKey, ...]:
    """One for each of days(now_s).

    until_s: when the access key itself ends. Each is good for as long as a token of its day can be.
    """
    session = hashlib.sha256(session_token.encode()).hexdigest() if session_token else ""
    made = []
    for day in days(now_s):
        end_s = _end_s(day) if until_s is None else min(_end_s(day), int(until_s))
        key = signing_key(secret_access_key, day, region, SERVICE)
        made.append(DayKey(access_key_id, day, key, end_s, tuple(users), session))
    return tuple(made)


def days(now_s: float) -> tuple[str, ...]:
    """Today and tomorrow, so that engines can do without us over midnight; and yesterday just after it."""
    now = datetime.fromtimestamp(now_s, UTC)
    near = ((now + timedelta(days=offset)).strftime("%Y%m%d") for offset in (-1, 0, 1))
    return tuple(day for day in near if _end_s(day) > now_s)


@lru_cache(8)
def _end_s(day: str) -> int:
    """When the last token of that day has ended."""
    return int(datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC).timestamp()) + 86400 + TOKEN_LIFE_S


def _line(key: DayKey, users: str) -> str:
    return f"key {key.access_key_id} {key.day} {key.key.hex()} {key.until_s} {key.session_sha256 or '-'} {users}"


def _listed(users: Sequence[str]) -> str:
    for user in users:
        if user != "*" and not can_be_told(user):
            raise ValueError(f"{user!r} cannot be the id of a user in rules")
    return ",".join(sorted(set(users)))
