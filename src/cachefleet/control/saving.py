"""Saves groups for a planned stop of everything, as their tags ask for: begins the snapshot, and tidies up when it has served.

What comes of the snapshot is written by control.backups, which makes it as any other. Decides nothing itself (planning.saving).
Called by control.backups.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from msgspec.structs import replace

from cachefleet.control.leadership import LEASE
from cachefleet.control.seams import Seams
from cachefleet.interfaces import Conflict, NameTaken
from cachefleet.model.resource import Key, Kind
from cachefleet.model.row import GroupRow, Row, SnapshotRow
from cachefleet.model.saving import ASKED
from cachefleet.planning.saving import Step, abandoned, concerns, is_open, name_of, next_step, tidied
from cachefleet.planning.snapshot_schedule import begun

AGAIN_S = 0.2
UID_BYTES = 8


class Saving:
    """step(key) when a group's row has changed. begin: looks at a snapshot that has to be made."""

    def __init__(self, seams: Seams, wake_group: Callable[[Key], None], begin: Callable[[Key], None]) -> None:
        self._seams = seams
        self._wake_group = wake_group
        self._begin = begin

    async def step(self, key: Key) -> float | None:
        """Returns when to look again in seconds, None when there is nothing to do. Raises Conflict, Deposed, StoreError."""
        row: GroupRow | None = await self._seams.store.get(key)
        if row is None or not concerns(row):
            return None
        step = next_step(row)
        if step is Step.CHANGE:
            await self._change(tidied(row))
        elif step is Step.BEGIN:
            await self._save(row)
        return None if step is Step.NOTHING else AGAIN_S

    async def abandon(self, key: Key) -> None:
        """A request that was not answered in an earlier term: whoever asked has seen its service end. Raises Deposed,
        StoreError."""
        while True:
            row: GroupRow | None = await self._seams.store.get(key)
            if row is None or not is_open(row):
                return
            with suppress(Conflict):  # the controller has written it meanwhile
                await self._change(abandoned(row))

    async def _change(self, row: GroupRow) -> None:
        async with self._seams.store.transaction() as transaction:
            await transaction.fence(LEASE, self._seams.authority.token())
            await transaction.update(row)
        self._wake_group(row.key)

    async def _save(self, group: GroupRow) -> None:
        now = self._seams.clock.now()
        name = name_of(group, now)
        made = replace(
            begun(group, self._seams.entropy.hex(UID_BYTES), now), for_restart=group.tags[ASKED], node="", expires_at=0.0
        )
        row: SnapshotRow = Row(key=group.key.scope.key(Kind.SNAPSHOT, name), desired=made)
        try:
            async with self._seams.store.transaction() as transaction:
                await transaction.fence(LEASE, self._seams.authority.token())
                await transaction.insert(row)
                status = replace(group.status, state="snapshotting")
                await transaction.update(replace(group, desired=replace(group.desired, snapshotting=name), status=status))
        except NameTaken:
            return  # one was made within this second
        self._wake_group(group.key)
        self._begin(row.key)
