"""Whom engines let in, and to what. Plain data; what clients may never do is added where engines are told (engines.access)."""

from __future__ import annotations

import hashlib

import msgspec
from msgspec.structs import replace

RESERVED = "cachefleet"  # names of engine users that begin so are those of the control plane and the nodes
RULES = 1  # rises when what engines are told for the same users changes: running nodes are told again


class EngineUser(msgspec.Struct, frozen=True):
    """A user of an engine. rules: of its access string, without passwords and without on or off. user_id: who has that name at
    present, "" nobody's; another one with the same name is somebody else."""

    name: str
    rules: tuple[str, ...] = ()
    enabled: bool = True
    no_password: bool = False  # any password, and none, is right
    sha256: tuple[str, ...] = ()  # of each password, in hexadecimal digits
    user_id: str = ""
    iam: bool = False  # it shows tokens, which the engine's module checks by what it is told (model.iam_rules)
    config: str = ""  # what the group gives of CONFIG to those whose rules would give it (model.config_access)
    renames: str = ""  # the group's parameter rename-commands


OPEN = EngineUser("default", ("~*", "&*", "+@all"), no_password=True)  # what a group without access control has
CLOSED = EngineUser("default", ("-@all",), enabled=False, user_id="-")


class AuthTokens(msgspec.Struct, frozen=True):
    """What the default user of a group has to show (reference 10.4)."""

    sha256: tuple[str, ...]  # of the tokens that are right, oldest first; one or two
    required: bool  # else whoever shows none is let in, too
    changed_at: float  # epoch seconds


class AdmittedUser(msgspec.Struct, frozen=True):
    user_id: str
    fingerprint: str


class Admitted(msgspec.Struct, frozen=True):
    """Whom all nodes of a group were last seen to let in."""

    fingerprint: str
    users: dict[str, AdmittedUser]  # by name
    user_group: str = ""  # that of the group then
    tokens: tuple[str, ...] = ()  # as AuthTokens.sha256
    required: bool = False


def digest(secret: str) -> str:
    """SHA-256 of a password or token in hexadecimal digits, which is all that is kept of it, by engines too."""
    return hashlib.sha256(secret.encode()).hexdigest()


def admitted_users(users: tuple[EngineUser, ...]) -> dict[str, AdmittedUser]:
    """A user is the same in every group, whatever that gives beside."""
    return {user.name: AdmittedUser(user.user_id, fingerprint((replace(user, config="", renames=""),))) for user in users}


def fingerprint(users: tuple[EngineUser, ...]) -> str:
    """The same for the same users in any order; 16 hexadecimal digits."""
    text = msgspec.json.encode((RULES, sorted(users, key=lambda user: user.name)))
    return hashlib.sha256(text).hexdigest()[:16]
