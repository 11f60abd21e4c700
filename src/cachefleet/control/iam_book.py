"""What the nodes of a group shall be told of IAM users: read from the store and decided by policies. Called by observer.

An access key that is switched off, or a policy that is changed, is known to all nodes a few seconds later, whichever service
changed it; between two looks at the keys what was found stays.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from cachefleet.clock import Clock
from cachefleet.control.seams import Holders
from cachefleet.interfaces import Store
from cachefleet.model.access import EngineUser
from cachefleet.model.group import Shape
from cachefleet.model.iam_rules import DayKey, IamRules, day_keys
from cachefleet.model.resource import Kind
from cachefleet.model.row import GroupRow, UserRow
from cachefleet.policies.connecting import Subject, connects_as

FRESH_S = 5.0
CAPACITY = 1024  # groups


class IamBook:
    def __init__(self, store: Store, holders: Holders, clock: Clock) -> None:
        self._store = store
        self._holders = holders
        self._clock = clock
        self._known: OrderedDict[str, tuple[float, tuple[str, ...], IamRules]] = OrderedDict()

    async def rules_of(self, row: GroupRow, users: Sequence[EngineUser]) -> IamRules | None:
        """None where no node can have to check tokens: clients never send them in the clear. Raises StoreError."""
        if row.desired.shape is Shape.MEMCACHED or not row.desired.transit:
            return None
        ids = tuple(user.user_id for user in users if user.iam)
        if not ids:
            return IamRules(row.key.name, row.key.region, (), ())
        known, now_s = self._known.get(row.desired.uid), self._clock.monotonic()
        if known is not None and known[1] == ids and now_s - known[0] < FRESH_S:
            return known[2]
        rules = IamRules(row.key.name, row.key.region, ids, await self._keys(row, ids))
        self._known[row.desired.uid] = now_s, ids, rules
        self._known.move_to_end(row.desired.uid)
        if len(self._known) > CAPACITY:
            self._known.popitem(last=False)
        return rules

    async def _keys(self, row: GroupRow, ids: Sequence[str]) -> tuple[DayKey, ...]:
        region, now_s = row.key.region, self._clock.now()
        cache, users = Subject(row.key.arn, row.tags), await self._subjects(row, ids)
        made: list[DayKey] = []
        for holder in await self._holders.all():
            permitted = connects_as(holder, cache, users, region, now_s)
            if permitted:
                made += day_keys(holder.access_key_id, holder.secret_access_key, region, permitted, now_s)
        return tuple(made)

    async def _subjects(self, row: GroupRow, ids: Sequence[str]) -> dict[str, Subject]:
        found = {}
        for user_id in ids:
            key = row.key.scope.key(Kind.USER, user_id)
            user: UserRow | None = await self._store.get(key)
            if user is not None:
                found[user_id] = Subject(key.arn, user.tags)
        return found
