"""Users and AUTH tokens as callers write them: checked, and brought into the form that is stored (reference 3.1, 10.4, 10.5).

Passwords and tokens leave this module as digests only, and no message has any part of one. Pure but for access strings, which
an engine reads. Called by the operations on users and groups.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from cachefleet.access_interfaces import AccessReading, AccessUnread
from cachefleet.api.context import Context
from cachefleet.api.names import quoted
from cachefleet.engine_interfaces import Build
from cachefleet.model.access import RESERVED, digest
from cachefleet.model.errors import AwsError, invalid_combination, invalid_value
from cachefleet.model.group import Engine
from cachefleet.model.user import Authentication, UserEngine

SHORTEST_SECRET, LONGEST_SECRET = 16, 128
MOST_PASSWORDS = 2
LONGEST_NAME = 120
_ID = re.compile(r"[a-zA-Z][a-zA-Z0-9-]*", re.ASCII)
_PRINTABLE = re.compile(r"[!-~]+", re.ASCII)
_TYPES = {
    "password": Authentication.PASSWORD,
    "no-password-required": Authentication.NO_PASSWORD,
    "iam": Authentication.IAM,
}
_MODE, _PASSWORDS, _NONE = "AuthenticationMode", "Passwords", "NoPasswordRequired"


class Proof(msgspec.Struct, frozen=True):
    """How a user shows who it is."""

    authentication: Authentication
    sha256: tuple[str, ...] = ()


def identifier(value: str, field: str) -> str:
    """The id of a user or user group in lower case. Raises InvalidParameterValue."""
    if len(value) > LONGEST_NAME or not _ID.fullmatch(value):
        raise invalid_value(
            f"{field} {quoted(value)} is not valid: it must have 1 to {LONGEST_NAME} ASCII letters, digits and hyphens, and "
            "begin with a letter."
        )
    return value.lower()


def user_name(value: str) -> str:
    """Raises InvalidParameterValue."""
    if len(value) > LONGEST_NAME or not _PRINTABLE.fullmatch(value):
        raise invalid_value(
            f"UserName {quoted(value)} is not valid: it must have 1 to {LONGEST_NAME} printable ASCII characters, and no space."
        )
    if value.lower().startswith(RESERVED):
        raise invalid_value(f"UserName {quoted(value)} is not valid: names that begin with {RESERVED} are reserved.")
    return value


def user_engine(value: str) -> UserEngine:
    """Raises InvalidParameterValue."""
    if value.lower() not in [engine.value for engine in UserEngine]:
        raise invalid_value(f"Engine: {quoted(value)} is not valid; use redis or valkey.")
    return UserEngine(value.lower())


# --- secrets -------------------------------------------------------------------------------------------------------


def asked_token(value: str) -> str:
    """The digest of an AUTH token. Raises InvalidParameterValue."""
    if not _is_secret(value, '/"@%'):
        raise invalid_value(
            f"Invalid AuthToken provided. It must have {SHORTEST_SECRET} to {LONGEST_SECRET} printable ASCII characters and "
            'none of space, /, ", @ and %.'
        )
    return digest(value)


def asked_passwords(values: Sequence[str], field: str) -> tuple[str, ...]:
    """Digests, in the order given. Raises InvalidParameterValue."""
    if not 1 <= len(values) <= MOST_PASSWORDS:
        raise invalid_value(f"{field}: a user has one or {MOST_PASSWORDS} passwords; {len(values)} were given.")
    for value in values:
        if not _is_secret(value, ',"/@'):
            raise invalid_value(
                f"{field}: a password must have {SHORTEST_SECRET} to {LONGEST_SECRET} printable ASCII characters and none of "
                'space, comma, ", / and @.'
            )
    return tuple(dict.fromkeys(map(digest, values)))


def _is_secret(value: str, forbidden: str) -> bool:
    if not SHORTEST_SECRET <= len(value) <= LONGEST_SECRET:
        return False
    return _PRINTABLE.fullmatch(value) is not None and not any(character in forbidden for character in value)


def asked_proof(request: Mapping[str, Any]) -> Proof | None:
    """None when the request says nothing of it. Raises InvalidParameterValue, InvalidParameterCombination."""
    passwords, none, mode = request.get(_PASSWORDS), request.get(_NONE), request.get(_MODE)
    if mode:
        if passwords or none:  # Terraform says false beside every mode
            raise invalid_combination(f"{_MODE} cannot be given together with {_PASSWORDS} or {_NONE}; use {_MODE} alone.")
        return _mode_proof(mode)
    if none and passwords:
        raise invalid_combination(f"{_NONE} cannot be true together with {_PASSWORDS}; leave one of them out.")
    if none:
        return Proof(Authentication.NO_PASSWORD)
    return Proof(Authentication.PASSWORD, asked_passwords(passwords, _PASSWORDS)) if passwords else None


def _mode_proof(mode: Mapping[str, Any]) -> Proof:
    kind, passwords = mode.get("Type") or "", mode.get("Passwords")
    if kind not in _TYPES:
        raise invalid_value(f"{_MODE}: Type {quoted(kind)} is not valid; use {', '.join(_TYPES)}.")
    if kind == "password":
        return Proof(Authentication.PASSWORD, asked_passwords(passwords or (), f"{_MODE}.Passwords"))
    if passwords:
        raise invalid_combination(f"{_MODE}: Type {kind} takes no Passwords; leave them out, or use Type password.")
    return Proof(_TYPES[kind])


# --- access strings ------------------------------------------------------------------------------------------------


async def read_access(context: Context, access_string: str, builds: Sequence[Build]) -> str:
    """In the form in which it is kept, when all these engines take it. Raises InvalidParameterValue, ServiceUnavailable."""
    (found,) = await readings(context, [access_string], builds, "AccessString")
    if found.refusal:
        raise invalid_value(f"AccessString: {found.refusal}.")
    return found.text


async def readings(context: Context, access_strings: Sequence[str], builds: Sequence[Build], field: str) -> list[AccessReading]:
    """Of each, what these engines say of it. field: what is to blame when they cannot be asked. Raises ServiceUnavailable."""
    try:
        return await context.read_access(access_strings, builds)
    except AccessUnread as error:
        raise AwsError(
            "ServiceUnavailable", f"{field}: access strings could not be checked: {error}; try again in a moment."
        ) from None


def reading_build(context: Context, engine: UserEngine) -> Build:
    """The newest engine that is installed for users of this engine; one of the other where there is none. Raises
    InvalidParameterValue."""
    order = (Engine.VALKEY, Engine.REDIS) if engine is UserEngine.VALKEY else (Engine.REDIS, Engine.VALKEY)
    builds = [build for wanted in order for build in context.catalogue.builds() if build.engine is wanted]
    if not builds:
        raise invalid_value("Engine: neither Valkey nor Redis is installed, so no access string can be checked.")
    return builds[0]


def minimum_version(engine: UserEngine, authentication: Authentication, access_string: str) -> str:
    """MinimumEngineVersion: by what the string uses (reference 10.5)."""
    if engine is UserEngine.VALKEY:
        return "7.2"
    rules = access_string.split()
    parts = any(rule.startswith("-") and "|" in rule for rule in rules)
    if authentication is Authentication.IAM or parts or any(rule.startswith(("%", "(")) for rule in rules):
        return "7.0"
    return "6.2" if any(rule.startswith("&") for rule in rules) else "6.0"
