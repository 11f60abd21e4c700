"""Users and user groups: who may do what in the caches that refer to them (reference 10.5). Plain data.

Written by the API only; the controller takes away the row of a user that is being deleted, once no cache lets it in any more.
Passwords are kept as engines keep them: their SHA-256 in hexadecimal digits.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

DEFAULT_USER = "default"  # id and name of the built-in user; the name is that of who shows no name to an engine


class UserEngine(StrEnum):
    REDIS = "redis"
    VALKEY = "valkey"


class Authentication(StrEnum):
    """How a user shows who it is. The values are those of Authentication.Type."""

    PASSWORD = "password"  # noqa: S105
    NO_PASSWORD = "no-password"  # noqa: S105
    IAM = "iam"


class UserDesired(msgspec.Struct, frozen=True, kw_only=True):
    user_name: str
    engine: UserEngine
    access_string: str  # as engines.access_strings has put it; begins with on or off
    authentication: Authentication
    sha256: tuple[str, ...] = ()  # of each password
    minimum_engine_version: str = ""
    deleting: bool = False
    written: str = ""  # the access string as it was written; "" where something was appended to it


class UserGroupDesired(msgspec.Struct, frozen=True, kw_only=True):
    engine: UserEngine
    user_ids: tuple[str, ...] = ()  # in their order by id
    before: tuple[str, ...] = ()  # what user_ids were before the last change


# Always there, in no store; cannot be changed.
BUILT_IN = UserDesired(
    user_name=DEFAULT_USER,
    engine=UserEngine.REDIS,
    access_string="on ~* +@all",
    authentication=Authentication.NO_PASSWORD,
    minimum_engine_version="6.0",
)
