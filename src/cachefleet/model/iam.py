"""An IAM user: a row of its own, whose member names are the ids of its access keys. Written by the IAM operations alone."""

from __future__ import annotations

import msgspec

from cachefleet.model.resource import Scope

EVERYWHERE = "*"  # the region of IAM's rows, which no request can be signed for


class AccessKey(msgspec.Struct, frozen=True):
    """sealed: the secret, as access_interfaces.Sealer gave it. created_at: epoch seconds."""

    key_id: str
    sealed: str
    created_at: float
    active: bool = True


class IamUserDesired(msgspec.Struct, frozen=True):
    """policies: name -> document, as it was put. created_at: epoch seconds. The row's name is the user's in lower case."""

    name: str
    path: str
    user_id: str
    created_at: float
    keys: tuple[AccessKey, ...] = ()
    policies: dict[str, str] = {}

    @property
    def key_ids(self) -> tuple[str, ...]:
        return tuple(key.key_id for key in self.keys)


def iam_scope(account: str) -> Scope:
    """Where the users of an account are: IAM knows no regions."""
    return Scope(account, EVERYWHERE)


def user_arn(account: str, path: str, name: str) -> str:
    return f"arn:aws:iam::{account}:user{path}{name}"


def sealed_for(key_id: str) -> str:
    """What an access key's secret is sealed for."""
    return f"the secret of access key {key_id}"
