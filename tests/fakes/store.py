"""interfaces.Store in memory: for tests that run in virtual time, where a database's threads would not fit.

The store's conformance suite runs over it too. Rows are copied in, so that nobody shares a memory document with it.
"""

from __future__ import annotations

import asyncio
import copy
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import msgspec

from cachefleet.clock import Clock
from cachefleet.interfaces import AnyRow, Conflict, Deposed, Lease, NameTaken
from cachefleet.model.event import Event
from cachefleet.model.notice import Delivery, Notice, Posted
from cachefleet.model.plan import EventDraft
from cachefleet.model.resource import Key, Kind, Scope
from tests.fakes.clock import ManualClock


class Contents(msgspec.Struct):
    """Committed state. owners: (scope, member name) -> key. floor: version of the youngest deleted row: none returns.
    leases: by name, with the time when they run out."""

    rows: dict[Key, AnyRow] = {}
    owners: dict[tuple[Scope, str], Key] = {}
    events: list[tuple[Scope, Event]] = []
    floor: int = 0
    last_event: int = 0
    leases: dict[str, tuple[Lease, float]] = {}
    wakes: set[Key] = set()
    posted: list[Posted] = []
    deliveries: list[Delivery] = []
    last_notice: int = 0

    def copied(self) -> Contents:
        return Contents(
            dict(self.rows),
            dict(self.owners),
            list(self.events),
            self.floor,
            self.last_event,
            dict(self.leases),
            set(self.wakes),
            list(self.posted),
            list(self.deliveries),
            self.last_notice,
        )


class MemoryTransaction:
    """Works on a copy, which replaces the original at the end. After a refusal it can only be rolled back."""

    def __init__(self, contents: Contents) -> None:
        self.contents = contents
        self.refusal: Exception | None = None
        self.published = False

    async def insert(self, row: AnyRow, members: Sequence[str] = ()) -> AnyRow:
        self.check()
        if row.key in self.contents.rows:
            raise self._refuse(NameTaken(row.key.name))
        return self._put(row, self.contents.floor + 1, members)

    async def update(self, row: AnyRow, members: Sequence[str] | None = None) -> AnyRow:
        self._demand(row)
        return self._put(row, row.version + 1, members)

    async def delete(self, row: AnyRow) -> None:
        self._demand(row)
        del self.contents.rows[row.key]
        self._release(row.key)
        self.contents.floor = max(self.contents.floor, row.version)

    async def add_events(self, scope: Scope, at: float, events: Sequence[EventDraft]) -> None:
        self.check()
        for draft in events:
            self.contents.last_event += 1
            event = Event(draft.source_type, draft.source_id, draft.message, at, self.contents.last_event)
            self.contents.events.append((scope, event))

    async def take_turn(self) -> None:
        self.check()

    async def count_events(self, scope: Scope, *, since: float, source_type: str, beginning: str) -> int:
        self.check()
        return sum(
            event_scope == scope
            and event.at > since
            and event.source_type == source_type
            and event.message.startswith(beginning)
            for event_scope, event in self.contents.events
        )

    async def fence(self, lease: str, token: int) -> None:
        self.check()
        current = self.contents.leases.get(lease, (Lease("", 0), 0.0))[0].token
        if current != token:
            raise self._refuse(Deposed(f"the lease {lease} has the token {current} by now, not {token}"))

    async def wake(self, key: Key) -> None:
        self.check()
        self.contents.wakes.add(key)

    async def publish(self, notices: Sequence[Notice]) -> None:
        self.check()
        for notice in notices:
            self.contents.last_notice += 1
            self.contents.posted.append(Posted(self.contents.last_notice, notice))
            self.published = True

    def check(self) -> None:
        if self.refusal is not None:
            raise self.refusal

    def _demand(self, row: AnyRow) -> None:
        self.check()
        found = self.contents.rows.get(row.key)
        if found is None or found.version != row.version:
            raise self._refuse(Conflict(f"{row.key} has no version {row.version} any more"))

    def _put(self, row: AnyRow, version: int, members: Sequence[str] | None) -> AnyRow:
        if members is not None:
            self._release(row.key)
            for name in sorted(set(members)):
                if self.contents.owners.setdefault((row.key.scope, name), row.key) != row.key:
                    raise self._refuse(NameTaken(name))
        stored = copy.deepcopy(msgspec.structs.replace(row, version=version))
        self.contents.rows[row.key] = stored
        return stored

    def _release(self, key: Key) -> None:
        self.contents.owners = {member: owner for member, owner in self.contents.owners.items() if owner != key}

    def _refuse(self, error: Exception) -> Exception:
        self.refusal = error
        return error


class MemoryStore:
    """See interfaces.Store. clock: by which leases run out; without one they do not."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or ManualClock()
        self._contents = Contents()
        self._lock = asyncio.Lock()
        self.outbox = MemoryOutbox(self)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[MemoryTransaction]:
        await _give_way()
        async with self._lock:
            transaction = MemoryTransaction(self._contents.copied())
            yield transaction
            transaction.check()
            self._contents = transaction.contents
        if transaction.published:
            self.outbox.published()

    async def get(self, key: Key) -> AnyRow | None:
        await _give_way()
        return self._contents.rows.get(key)

    async def rows(self, kind: Kind, scope: Scope, after: str = "", limit: int | None = None) -> list[AnyRow]:
        await _give_way()
        found = [
            row for key, row in self._contents.rows.items() if key.kind == kind and key.scope == scope and key.name > after
        ]
        return sorted(found, key=lambda row: row.key.name)[:limit]

    async def count(self, kind: Kind, scope: Scope) -> int:
        return len(await self.rows(kind, scope))

    async def owner(self, scope: Scope, member: str) -> AnyRow | None:
        await _give_way()
        key = self._contents.owners.get((scope, member))
        return self._contents.rows[key] if key is not None else None

    async def members(self, scope: Scope, after: str = "", limit: int | None = None) -> list[tuple[str, AnyRow]]:
        await _give_way()
        names = sorted(name for owner_scope, name in self._contents.owners if owner_scope == scope and name > after)
        return [(name, self._contents.rows[self._contents.owners[scope, name]]) for name in names[:limit]]

    async def keys(self, kinds: Sequence[Kind]) -> list[Key]:
        await _give_way()
        return sorted(key for key in self._contents.rows if key.kind in kinds)

    async def every(self, kinds: Sequence[Kind]) -> list[AnyRow]:
        await _give_way()
        return [row for key, row in sorted(self._contents.rows.items()) if key.kind in kinds]

    async def versions(self, kind: Kind, after: Key | None = None, limit: int | None = None) -> list[tuple[Key, int]]:
        await _give_way()
        found = sorted((key, row.version) for key, row in self._contents.rows.items() if key.kind == kind)
        return [one for one in found if after is None or one[0] > after][:limit]

    async def events(
        self,
        scope: Scope,
        *,
        start: float,
        end: float,
        source_type: str = "",
        source_id: str = "",
        before_id: int | None = None,
        limit: int = 100,
    ) -> list[Event]:
        await _give_way()
        found = [
            event
            for event_scope, event in reversed(self._contents.events)
            if event_scope == scope
            and start <= event.at < end
            and source_type in ("", event.source_type)
            and source_id in ("", event.source_id)
            and (before_id is None or event.id < before_id)
        ]
        return found[:limit]

    async def forget_events(self, before: float) -> int:
        kept = [(scope, event) for scope, event in self._contents.events if event.at >= before]
        forgotten = len(self._contents.events) - len(kept)
        self._contents.events = kept
        return forgotten

    async def hold_lease(self, name: str, holder: str, ttl_s: float, *, dead: str = "") -> Lease:
        await _give_way()
        async with self._lock:
            lease, runs_out = self._contents.leases.get(name, (Lease("", 0), 0.0))
            now = self._clock.now()
            if lease.holder not in (holder, dead) and runs_out > now:
                return lease
            held = Lease(holder, lease.token if lease.holder == holder else lease.token + 1)
            self._contents.leases[name] = held, now + ttl_s
        await _give_way()
        return held

    async def release_lease(self, name: str, lease: Lease) -> None:
        await _give_way()
        async with self._lock:
            held, _ = self._contents.leases.get(name, (Lease("", 0), 0.0))
            if held == lease:
                self._contents.leases[name] = Lease("", held.token), 0.0

    async def take_wakes(self) -> list[Key]:
        await _give_way()
        async with self._lock:
            taken, self._contents.wakes = sorted(self._contents.wakes), set()
        return taken

    async def close(self) -> None:
        """Nothing to let go of."""


class MemoryOutbox:
    """See notice_interfaces.Outbox."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._callbacks: list[Callable[[], None]] = []

    @property
    def _contents(self) -> Contents:
        return self._store._contents

    def on_publish(self, callback: Callable[[], None]) -> None:
        self._callbacks.append(callback)

    def published(self) -> None:
        for callback in self._callbacks:
            callback()

    async def posted(self, limit: int) -> list[Posted]:
        await _give_way()
        return self._contents.posted[:limit]

    async def hand_out(self, posted: Sequence[tuple[Posted, Sequence[str]]]) -> None:
        await _give_way()
        async with self._store._lock:
            contents = self._contents
            for one, subscriptions in posted:
                if one not in contents.posted:
                    continue
                contents.posted.remove(one)
                for subscription in subscriptions:
                    contents.last_notice += 1
                    delivery = Delivery(contents.last_notice, subscription, one.notice, 0, one.notice.at)
                    contents.deliveries.append(delivery)

    async def waiting(self) -> dict[str, int]:
        await _give_way()
        return dict(Counter(delivery.subscription for delivery in self._contents.deliveries))

    async def next_delivery(self, subscription: str) -> Delivery | None:
        await _give_way()
        return next((one for one in self._contents.deliveries if one.subscription == subscription), None)

    async def postpone(self, delivery: Delivery) -> None:
        await _give_way()
        async with self._store._lock:
            deliveries = self._contents.deliveries
            self._contents.deliveries = [delivery if one.id == delivery.id else one for one in deliveries]

    async def done(self, delivery: Delivery) -> None:
        await _give_way()
        async with self._store._lock:
            self._contents.deliveries = [one for one in self._contents.deliveries if one.id != delivery.id]

    async def forget(self, subscription: str, before: float) -> int:
        await _give_way()
        async with self._store._lock:
            deliveries = self._contents.deliveries
            kept = [one for one in deliveries if one.subscription != subscription or one.notice.at >= before]
            self._contents.deliveries = kept
        return len(deliveries) - len(kept)


async def _give_way() -> None:
    """Others get their turn before every statement, as they do while a database works."""
    await asyncio.sleep(0)
