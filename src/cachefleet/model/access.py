"""Whom engines let in, and to what. Plain data; what clients may never do is added where engines are told (engines.access)."""

from __future__ import annotations

import hashlib

import msgspec

RULES = 1  # rises when what engines are told for the same users changes: running nodes are told again


class EngineUser(msgspec.Struct, frozen=True):
    """A user of an engine. rules: of its access string, without passwords and without on or off."""

    name: str
    rules: tuple[str, ...] = ()
    enabled: bool = True
    no_password: bool = False  # any password, and none, is right
    sha256: tuple[str, ...] = ()  # of each password, in hexadecimal digits


OPEN = EngineUser("default", ("~*", "&*", "+@all"), no_password=True)  # what a group without access control has
CLOSED = EngineUser("default", ("-@all",), enabled=False)


def fingerprint(users: tuple[EngineUser, ...]) -> str:
    """The same for the same users in any order; 16 hexadecimal digits."""
    text = msgspec.json.encode((RULES, sorted(users, key=lambda user: user.name)))
    return hashlib.sha256(text).hexdigest()[:16]
