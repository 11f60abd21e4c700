"""Which alarms ask that something be scaled: those in ALARM that invoke a policy. Looked at anew by each look of the scaler.

There may be thousands of alarms, more than the store keeps decoded, and looks are a second apart: so a look lists versions, in
pages, and reads only rows that were changed since the last one. Decides nothing about what is scaled.
"""

from __future__ import annotations

from collections.abc import Sequence

from cachefleet.clock import Clock
from cachefleet.interfaces import Store
from cachefleet.model.alarm import AlarmDesired, AlarmValue
from cachefleet.model.resource import Key, Kind, Scope
from cachefleet.model.row import AlarmRow

_PAGE = 500  # alarms that are looked at in one go


class RaisedAlarms:
    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._versions: dict[Key, int] = {}
        self._raised: dict[Key, AlarmRow] = {}  # by name, as they are listed
        self._invoking: dict[tuple[Scope, str], list[AlarmRow]] = {}

    def invoking(self, scope: Scope, policy: str) -> Sequence[AlarmRow]:
        """By name, as of the last look. policy: its ARN."""
        return self._invoking.get((scope, policy), ())

    async def look(self) -> None:
        """Raises StoreError."""
        versions: dict[Key, int] = {}
        raised: dict[Key, AlarmRow] = {}
        after: Key | None = None
        while page := await self._store.versions(Kind.ALARM, after, _PAGE):
            for key, version in page:
                row = self._raised.get(key)
                if self._versions.get(key) != version:
                    row = await self._store.get(key)
                    version = row.version if row is not None else version
                versions[key] = version
                if row is not None and _is_raised(row.desired):
                    raised[key] = row
            after = page[-1][0]
            if len(page) < _PAGE:
                break
            await self._clock.sleep(0)
        self._versions, self._raised, self._invoking = versions, raised, {}
        for key, row in raised.items():
            for arn in row.desired.alarm_actions:
                self._invoking.setdefault((key.scope, arn), []).append(row)


def _is_raised(alarm: AlarmDesired) -> bool:
    return alarm.state.value is AlarmValue.ALARM and alarm.actions_enabled and not alarm.is_composite
