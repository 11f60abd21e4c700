"""What the nodes of a group shall be told of IAM users: read from the store and decided by policies. Called by observer.

An access key that is switched off, or a policy that is changed, is known to all nodes a few seconds later, whichever service
changed it; between two looks at the keys what was found stays. What policies say of a key's owner is decided anew only when it,
the cache's tags or the users have changed. With very many of them that takes seconds: nobody waits for it, a failover least.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence

import msgspec
import structlog

from cachefleet.clock import Clock
from cachefleet.control.seams import Holders
from cachefleet.interfaces import Store
from cachefleet.model.access import EngineUser
from cachefleet.model.group import Shape
from cachefleet.model.iam_rules import EVERYBODY, MAX_BYTES, DayKey, IamRules, can_be_told, day_keys, days
from cachefleet.model.resource import Kind
from cachefleet.model.row import GroupRow, UserRow
from cachefleet.policies.connecting import Subject, changes_with_time, connects_as
from cachefleet.policies.credential import Credential

FRESH_S = 5.0
PATIENCE_S = 0.02
CAPACITY = 1024  # groups
WORK_S = 0.005  # in one go; others of this process wait so long

log = structlog.get_logger()


class _Subjects(msgspec.Struct, frozen=True):
    cache: Subject
    users: dict[str, Subject]  # by id
    region: str


class _Made(msgspec.Struct, frozen=True):
    """For a holder, as whom it may connect by these subjects, and by which keys in these days."""

    holder: Credential
    permitted: tuple[str, ...]
    days: tuple[str, ...]
    keys: tuple[DayKey, ...]


class _Known(msgspec.Struct):
    """Of a group. ids: of its IAM users; at: of the monotonic clock."""

    at: float
    ids: tuple[str, ...]
    subjects: _Subjects
    made: dict[str, _Made]  # by access key
    rules: IamRules


class IamBook:
    def __init__(self, store: Store, holders: Holders, clock: Clock) -> None:
        self._store = store
        self._holders = holders
        self._clock = clock
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._looks: dict[str, asyncio.Task[None]] = {}

    def __len__(self) -> int:
        return len(self._known)

    def forget(self) -> None:
        """Somebody else may have acted since."""
        for look in self._looks.values():
            look.cancel()
        self._looks.clear()
        self._known.clear()

    async def rules_of(self, row: GroupRow, users: Sequence[EngineUser]) -> IamRules | None:
        """None where no node can have to check tokens, since clients never send them in the clear, and where it is not known
        yet. Raises StoreError."""
        if row.desired.shape is Shape.MEMCACHED or not row.desired.transit:
            return None
        ids = tuple(user.user_id for user in users if user.iam)
        if not ids:
            self._known.pop(row.desired.uid, None)
            return _rules(row, ids, ())
        known = self._known.get(row.desired.uid)
        if known is not None and known.ids == ids and self._clock.monotonic() - known.at < FRESH_S:
            return known.rules
        known = await self._renewed(row, ids)
        return known.rules if known is not None and known.ids == ids else None

    async def _renewed(self, row: GroupRow, ids: tuple[str, ...]) -> _Known | None:
        """What is known after a moment, the same as before when the look goes on."""
        uid = row.desired.uid
        look = self._looks.get(uid)
        if look is None:
            look = self._looks[uid] = asyncio.create_task(self._renew(row, ids))
            look.add_done_callback(_hear)
        done, _ = await asyncio.wait({look}, timeout=PATIENCE_S)
        for one in done:
            one.result()
        return self._known.get(uid)

    async def _renew(self, row: GroupRow, ids: tuple[str, ...]) -> None:
        uid = row.desired.uid
        try:
            self._known[uid] = await self._look(row, ids, self._known.get(uid))
        finally:
            if self._looks.get(uid) is asyncio.current_task():
                del self._looks[uid]
        self._known.move_to_end(uid)
        if len(self._known) > CAPACITY:
            self._known.popitem(last=False)

    async def _look(self, row: GroupRow, ids: tuple[str, ...], known: _Known | None) -> _Known:
        at = self._clock.monotonic()  # what is found counts from the begin on
        subjects = _Subjects(Subject(row.key.arn, row.tags), await self._users(row, ids), row.key.region)
        now_s = self._clock.now()
        present = days(now_s)
        before = known.made if known is not None and known.subjects == subjects else {}
        made: dict[str, _Made] = {}
        began = self._clock.monotonic()
        for holder in await self._holders.all():
            if not can_be_told(holder.access_key_id):
                continue  # the root's, if somebody chose one that no client could sign with
            made[holder.access_key_id] = _made(subjects, holder, now_s, present, before.get(holder.access_key_id))
            if self._clock.monotonic() - began > WORK_S:
                await self._clock.sleep(0)
                began = self._clock.monotonic()
        rules = _rules(row, ids, [key for one in made.values() for key in one.keys])
        if known is not None and known.rules == rules:
            rules = known.rules  # whose fingerprint is known
        elif rules.size_bytes() > MAX_BYTES:
            log.error("too many access keys for IAM users: none of them is let in", group=str(row.key), keys=len(rules.keys))
            rules = _rules(row, ids, ())
        return _Known(at, ids, subjects, made, rules)

    async def _users(self, row: GroupRow, ids: Sequence[str]) -> dict[str, Subject]:
        wanted = set(ids)
        found: list[UserRow] = await self._store.rows(Kind.USER, row.key.scope)
        return {user.key.name: Subject(user.key.arn, user.tags) for user in found if user.key.name in wanted}


def _hear(look: asyncio.Task[None]) -> None:
    """Whoever waited has heard what failed; the next one who asks looks again."""
    if not look.cancelled():
        look.exception()


def _made(subjects: _Subjects, holder: Credential, now_s: float, present: tuple[str, ...], before: _Made | None) -> _Made:
    """present: days(now_s). before: what was found for the same subjects."""
    if before is not None and before.holder == holder and not changes_with_time(holder):
        permitted = before.permitted
        if before.days == present:
            return before
    else:
        permitted = tuple(connects_as(holder, subjects.cache, subjects.users, subjects.region, now_s))
        if permitted and len(permitted) == len(subjects.users):
            permitted = EVERYBODY
    if not permitted:
        return _Made(holder, permitted, present, ())
    keys = day_keys(holder.access_key_id, holder.secret_access_key, subjects.region, permitted, now_s)
    return _Made(holder, permitted, present, keys)


def _rules(row: GroupRow, ids: tuple[str, ...], keys: Sequence[DayKey]) -> IamRules:
    return IamRules(row.key.name, row.key.region, ids, tuple(keys))
