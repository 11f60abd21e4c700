"""Whom a group's engines shall let in: from the group, its user group and the users in that. Pure.

Called by control.observer (what planners see) and by the API (what is not done yet).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec.structs import replace

from cachefleet.model.access import CLOSED, OPEN, AdmittedUser, EngineUser
from cachefleet.model.group import GroupDesired, GroupMemory
from cachefleet.model.row import GroupRow
from cachefleet.model.user import BUILT_IN, DEFAULT_USER, Authentication, UserDesired, UserGroupDesired


def users_without_group(desired: GroupDesired) -> tuple[EngineUser, ...]:
    """Of a group that has no user group: one user, that of who shows no name (reference 10.4)."""
    if desired.auth is None:
        return (OPEN,)
    return (replace(OPEN, no_password=not desired.auth.required, sha256=desired.auth.sha256),)


def with_config(users: tuple[EngineUser, ...], desired: GroupDesired) -> tuple[EngineUser, ...]:
    """The same, in a group that gives its clients part of CONFIG."""
    return tuple(replace(user, config=desired.config) for user in users) if desired.config else users


def with_renames(users: tuple[EngineUser, ...], renames: str) -> tuple[EngineUser, ...]:
    """The same, in a group whose parameter rename-commands is that."""
    return tuple(replace(user, renames=renames) for user in users) if renames else users


def users_of_group(group: UserGroupDesired, users: Mapping[str, UserDesired]) -> tuple[EngineUser, ...]:
    """users: by id, at least those of the group that there are. Where none of them has the name default, nobody gets in without
    a name (reference 10.5)."""
    known = {DEFAULT_USER: BUILT_IN, **users}
    admitted = tuple(engine_user(user_id, known[user_id]) for user_id in group.user_ids if user_id in known)
    return admitted if any(user.name == DEFAULT_USER for user in admitted) else (CLOSED, *admitted)


def engine_user(user_id: str, user: UserDesired) -> EngineUser:
    if user_id == DEFAULT_USER:
        return replace(OPEN, user_id=user_id)
    switch, *rules = rules_of(user.access_string)
    return EngineUser(
        name=user.user_name,
        rules=tuple(rules),
        enabled=switch == "on",
        no_password=user.authentication is Authentication.NO_PASSWORD,
        sha256=user.sha256,
        user_id=user_id,
        iam=user.authentication is Authentication.IAM,
    )


def rules_of(access_string: str) -> tuple[str, ...]:
    """Its rules; what is in parentheses is one."""
    return tuple(_rules(access_string.split()))


def _rules(words: list[str]) -> Iterator[str]:
    open_words: list[str] = []
    for word in words:
        if open_words or word.startswith("("):
            open_words.append(word)
            if word.endswith(")"):
                yield " ".join(open_words)
                open_words = []
        else:
            yield word
    if open_words:
        yield " ".join(open_words)


def swapped(memory: GroupMemory, users: tuple[EngineUser, ...]) -> tuple[str, ...]:
    """Names that belong to somebody else than when all nodes agreed last."""
    before: Mapping[str, AdmittedUser] = {} if memory.admitted is None else memory.admitted.users
    return tuple(user.name for user in users if user.name in before and before[user.name].user_id != user.user_id)


def lets_in(row: GroupRow, user_id: str) -> bool:
    """Whether nodes of the group may still let this user in, by what they were seen to have."""
    known = row.memory.admitted
    if known is None or row.desired.deleting or row.memory.failure:
        return False
    return any(user.user_id == user_id for user in known.users.values())
