"""Who may use which group, read from the store for the planners. Decides nothing; called by observer and controller.

A change of a user comes with a new version of every user group that it is in: as long as that of the user group stays, nothing
has to be read again.
"""

from __future__ import annotations

from collections import OrderedDict

from cachefleet.interfaces import Store
from cachefleet.model.access import CLOSED, EngineUser
from cachefleet.model.resource import Key, Kind
from cachefleet.model.row import GroupRow, UserGroupRow, UserRow
from cachefleet.planning.users import users_of_group, users_without_group, with_config

CAPACITY = 1024  # user groups


class UserBook:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: OrderedDict[Key, tuple[int, tuple[EngineUser, ...]]] = OrderedDict()

    async def users_of(self, row: GroupRow) -> tuple[EngineUser, ...]:
        """Whom the group's engines shall let in. Raises StoreError."""
        return with_config(await self._users_of(row), row.desired)

    async def _users_of(self, row: GroupRow) -> tuple[EngineUser, ...]:
        if not row.desired.user_group:
            return users_without_group(row.desired)
        key = row.key.scope.key(Kind.USER_GROUP, row.desired.user_group)
        group: UserGroupRow | None = await self._store.get(key)
        if group is None:  # is never deleted while it is in use
            return (CLOSED,)
        version, users = self._known.get(key, (0, ()))
        if version != group.version:
            users = await self._read(group)
            self._known[key] = group.version, users
        self._known.move_to_end(key)
        if len(self._known) > CAPACITY:
            self._known.popitem(last=False)
        return users

    async def _read(self, group: UserGroupRow) -> tuple[EngineUser, ...]:
        """A user that is newer than the group was given a new version of the group, too: it is read again soon."""
        found = {}
        for user_id in group.desired.user_ids:
            user: UserRow | None = await self._store.get(group.key.scope.key(Kind.USER, user_id))
            if user is not None:
                found[user_id] = user.desired
        return users_of_group(group.desired, found)
