"""Mistakes in what engines are told of access keys and policies; as in mutants.py, each in a narrow place."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from msgspec.structs import replace

from cachefleet.app import access_keys
from cachefleet.control import iam_book
from cachefleet.model.plan import Action, TellIamRules
from cachefleet.model.row import IamUserRow
from cachefleet.planning import draft
from cachefleet.policies import connecting
from cachefleet.policies.credential import Credential


def looks_once() -> list[Any]:
    """What was found for a group stays, as long as that control plane leads."""
    return [patch.object(iam_book, "FRESH_S", 1e9)]


def tells_once() -> list[Any]:
    """Rules that a node has stay, whatever they are."""
    act = draft.Draft.act

    def first(self: draft.Draft, action: Action) -> None:
        view = self.live(action.node) if isinstance(action, TellIamRules) else None
        if view is None or not view.iam_rules:
            act(self, action)

    return [patch.object(draft.Draft, "act", first)]


def tells_primaries() -> list[Any]:
    act = draft.Draft.act

    def some(self: draft.Draft, action: Action) -> None:
        view = self.live(action.node) if isinstance(action, TellIamRules) else None
        if view is None or view.primary:
            act(self, action)

    return [patch.object(draft.Draft, "act", some)]


def keeps_verdicts() -> list[Any]:
    """What policies said of an access key once."""
    made = iam_book._made

    def again(subjects: Any, holder: Credential, now_s: float, present: tuple[str, ...], before: Any) -> Any:
        return made(subjects, holder if before is None else replace(before.holder), now_s, present, before)

    return [patch.object(iam_book, "_made", again)]


def keeps_tags() -> list[Any]:
    """Those that a user had when it was seen first."""
    users = iam_book.IamBook._users
    seen: dict[Any, Any] = {}

    async def first(self: iam_book.IamBook, row: Any, ids: Any) -> Any:
        found = await users(self, row, ids)
        return {name: seen.setdefault((self, name), subject) for name, subject in found.items()}

    return [patch.object(iam_book.IamBook, "_users", first)]


def takes_keys_that_are_off() -> list[Any]:
    credentials = access_keys.AccessKeys._credentials

    def every(self: access_keys.AccessKeys, row: IamUserRow) -> tuple[Credential, ...]:
        keys = tuple(replace(key, active=True) for key in row.desired.keys)
        return credentials(self, replace(row, desired=replace(row.desired, keys=keys)))

    return [patch.object(access_keys.AccessKeys, "_credentials", every)]


def passes_over_denials() -> list[Any]:
    decidable = connecting._decidable
    return [patch.object(connecting, "_decidable", lambda policy: [one for one in decidable(policy) if one.allow])]
