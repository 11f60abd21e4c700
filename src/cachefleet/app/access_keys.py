"""Whose access key it is, and what its owner may do: the root's from the data folder, all others from the store.

What was read counts for a moment and no longer, so that a change in another service of the same database is seen within a
second; a change here is seen at once. Called by the gateway for each request.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import msgspec
import structlog

from cachefleet.access_interfaces import Sealer, Unsealable
from cachefleet.clock import Clock
from cachefleet.interfaces import Store
from cachefleet.model.iam import IamUserDesired, iam_scope, sealed_for, user_arn
from cachefleet.model.resource import Kind
from cachefleet.model.row import IamUserRow
from cachefleet.policies.credential import Credential
from cachefleet.policies.document import Malformed, Policy, read_policy

FRESH_S = 0.5
FRESH_ALL_S = 5.0
WORK_S = 0.005  # in one go; others of this process wait so long
CAPACITY = 4096  # keys, unknown ones included
_DENY_ALL = read_policy('{"Statement": {"Effect": "Deny", "Action": "*", "Resource": "*"}}')

log = structlog.get_logger("cachefleet.access")


class _Known(msgspec.Struct):
    """What was found at that time of the monotonic clock; user: the row it is of, to be told apart by its version."""

    at: float
    credential: Credential | None
    row: IamUserRow | None


class AccessKeys:
    """find is a gateway.Authenticate; also control.seams.Holders."""

    def __init__(self, root: Credential, store: Store, sealer: Sealer, clock: Clock) -> None:
        self._root = root
        self._store = store
        self._sealer = sealer
        self._clock = clock
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._changes = 0
        self._all: tuple[float, int, Sequence[Credential]] = (float("-inf"), 0, ())  # when, after how many changes, what
        self._of_users: dict[str, tuple[int, tuple[Credential, ...]]] = {}  # name -> version of the row, active keys

    def __len__(self) -> int:
        return len(self._known)

    def forget(self) -> None:
        """Users, keys or policies have changed."""
        self._changes += 1
        for known in self._known.values():
            known.at = float("-inf")

    async def find(self, access_key_id: str) -> Credential | None:
        """None for a key that is unknown or inactive. Raises StoreError."""
        if access_key_id == self._root.access_key_id:
            return self._root
        known = self._known.get(access_key_id)
        if known is not None and self._clock.monotonic() - known.at < FRESH_S:
            return known.credential
        changes, at = self._changes, self._clock.monotonic()
        row: IamUserRow | None = await self._store.owner(iam_scope(self._root.account), access_key_id)
        if known is not None and known.row is not None and row is not None and known.row.version == row.version:
            credential = known.credential
        else:
            credential = self._credential(access_key_id, row) if row is not None else None
        # What was read may be older than a change that was told of meanwhile: look again next time.
        self._known[access_key_id] = _Known(at if changes == self._changes else float("-inf"), credential, row)
        self._known.move_to_end(access_key_id)
        if len(self._known) > CAPACITY:
            self._known.popitem(last=False)
        return credential

    async def all(self) -> Sequence[Credential]:
        """Every key that is active; changes here are seen at once, others within FRESH_ALL_S. Raises StoreError."""
        at, changes, found = self._all
        now, current = self._clock.monotonic(), self._changes
        if changes == current and now - at < FRESH_ALL_S:
            return found
        rows: list[IamUserRow] = await self._store.rows(Kind.IAM_USER, iam_scope(self._root.account))
        known = self._of_users
        made: dict[str, tuple[int, tuple[Credential, ...]]] = {}
        began = self._clock.monotonic()
        for row in rows:
            version, credentials = known.get(row.key.name, (0, ()))
            if version != row.version:
                credentials = self._credentials(row)
            made[row.key.name] = row.version, credentials
            if self._clock.monotonic() - began > WORK_S:
                await self._clock.sleep(0)
                began = self._clock.monotonic()
        self._of_users = made
        self._all = now, current, (self._root, *(one for _, credentials in made.values() for one in credentials))
        return self._all[2]

    def _credentials(self, row: IamUserRow) -> tuple[Credential, ...]:
        made = (self._credential(key.key_id, row) for key in row.desired.keys if key.active)
        return tuple(one for one in made if one is not None)

    def _credential(self, access_key_id: str, row: IamUserRow) -> Credential | None:
        user: IamUserDesired = row.desired
        key = next((key for key in user.keys if key.key_id == access_key_id and key.active), None)
        if key is None:
            return None
        try:
            secret = self._sealer.open(key.sealed, sealed_for(access_key_id))
        except Unsealable as error:
            log.error("an access key cannot be used", access_key_id=access_key_id, user=user.name, why=str(error))
            return None
        return Credential(
            access_key_id=access_key_id,
            secret_access_key=secret,
            account=self._root.account,
            arn=user_arn(self._root.account, user.path, user.name),
            user_id=user.user_id,
            user_name=user.name,
            policies=tuple(self._policy(user, name) for name in user.policies),
        )

    def _policy(self, user: IamUserDesired, name: str) -> Policy:
        """One that cannot be read any more denies everything: it might have been a deny."""
        try:
            return read_policy(user.policies[name])
        except Malformed as malformed:
            log.error("a stored policy cannot be read", user=user.name, policy=name, why=str(malformed))
            return _DENY_ALL
