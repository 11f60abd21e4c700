"""The store as a control plane sees it: every statement takes time, may fail, and the answer to a commit may be lost.

Works over any interfaces.Store; one Database is shared by all control planes, each has a StoreLink of its own. A transaction is
gathered, and carried out at its end in one go, so that a control plane that is stalled in the middle holds no lock.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Any, Protocol

import msgspec

from cachefleet.clock import Clock
from cachefleet.interfaces import AnyRow, Conflict, Lease, Store, StoreError, Transaction
from cachefleet.model.notice import Notice
from cachefleet.model.plan import EventDraft
from cachefleet.model.resource import Key, Kind, Scope
from cachefleet.store import open_store
from tests.fakes.store import MemoryStore
from tests.simulation.loop import WORLD, VirtualLoop

LATENCY_S = 0.002


class Rows(Protocol):
    def committed(self, row: AnyRow) -> None: ...

    def deleted(self, row: AnyRow) -> None: ...


class Database:
    """witness: told of every change, before whoever made it. failing: share of statements that
    fail; forgetful: share of commits whose answer gets lost; away: no statement succeeds."""

    def __init__(self, inner: Store, loop: VirtualLoop, chance: Random, witness: Rows) -> None:
        self.inner, self.loop, self.chance = inner, loop, chance
        self.committed, self.deleted = witness.committed, witness.deleted
        self.failing = self.forgetful = 0.0
        self.away = False
        self.on_commit: Callable[[str], None] = lambda name: None
        self.on_told: Callable[..., None] = lambda saved, gone, events, notices: None  # of one commit, before the rows are
        self.latency_s = LATENCY_S
        self.trouble_s = -1e9  # when it last failed somebody

    def heal(self) -> None:
        self.failing = self.forgetful = 0.0
        self.away = False
        self.latency_s = LATENCY_S

    async def travel(self) -> None:
        """The way there or back."""
        done = self.loop.create_future()
        self.loop.after(self.latency_s * self.chance.random(), _settle, done)
        await done

    async def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """A real database works in threads, whose speed must not matter: time stands still meanwhile."""
        if isinstance(self.inner, MemoryStore):
            return _driven(work)
        self.loop.outside += 1
        try:
            return await self.loop.create_task(work, context=WORLD)
        finally:
            self.loop.outside -= 1

    async def open_sqlite(self, clock: Clock) -> None:
        """In place of what there is: empty, in memory."""
        self.loop.outside += 1
        self.inner = await open_store("sqlite+aiosqlite:///:memory:", clock)
        self.loop.outside -= 1

    async def change(self, change: Callable[[Transaction], Awaitable[AnyRow]]) -> AnyRow:
        """A transaction of somebody who is no control plane, at once and without trouble."""

        async def work() -> AnyRow:
            async with self.inner.transaction() as transaction:
                return await change(transaction)

        return await self.run(work())  # type: ignore[no-any-return]

    def maybe_fail(self, share: float) -> None:
        if self.away or (share and self.chance.random() < share):
            self.trouble_s = self.loop.time()
            raise StoreError("the database does not answer")


class GatheredTransaction:
    """Records what is asked, against the state that was committed at the beginning."""

    def __init__(self, link: StoreLink) -> None:
        self._link = link
        self.steps: list[Callable[[Any], Awaitable[Any]]] = []
        self.rows: list[AnyRow] = []
        self.deleted: list[AnyRow] = []
        self.events: list[EventDraft] = []
        self.notices: list[Notice] = []

    async def insert(self, row: AnyRow, members: Sequence[str] = ()) -> AnyRow:
        self.steps.append(lambda transaction: self._stored(transaction.insert(row, members)))
        return msgspec.structs.replace(row, version=1)

    async def update(self, row: AnyRow, members: Sequence[str] | None = None) -> AnyRow:
        current = await self._link.get(row.key)
        if current is None or current.version != row.version:
            raise Conflict(f"{row.key} has no version {row.version} any more")
        self.steps.append(lambda transaction: self._stored(transaction.update(row, members)))
        return msgspec.structs.replace(row, version=row.version + 1)

    async def delete(self, row: AnyRow) -> None:
        self.steps.append(lambda transaction: transaction.delete(row))
        self.deleted.append(row)

    async def add_events(self, scope: Scope, at: float, events: Sequence[EventDraft]) -> None:
        self.steps.append(lambda transaction: transaction.add_events(scope, at, events))
        self.events += events

    async def fence(self, lease: str, token: int) -> None:
        self.steps.append(lambda transaction: transaction.fence(lease, token))

    async def wake(self, key: Key) -> None:
        self.steps.append(lambda transaction: transaction.wake(key))

    async def publish(self, notices: Sequence[Notice]) -> None:
        self.steps.append(lambda transaction: transaction.publish(notices))
        self.notices += notices

    async def _stored(self, storing: Awaitable[AnyRow]) -> None:
        self.rows.append(await storing)


class StoreLink:
    """interfaces.Store for one control plane. name: its own; alive: whether it still is."""

    def __init__(self, database: Database, name: str, alive: Callable[[], bool]) -> None:
        self._database = database
        self._name = name
        self._alive = alive

    async def _ask(self, asked: Callable[[Store], Coroutine[Any, Any, Any]]) -> Any:
        await self._database.travel()
        self._check()
        self._database.maybe_fail(self._database.failing)
        answer = await self._database.run(asked(self._database.inner))
        await self._database.travel()
        self._check()
        return answer

    def _check(self) -> None:
        if not self._alive():
            raise asyncio.CancelledError

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        gathered = GatheredTransaction(self)
        yield gathered
        await self._database.travel()
        self._check()
        self._database.maybe_fail(self._database.failing)
        await self._database.run(self._commit(gathered))
        self._database.on_commit(self._name)
        self._database.on_told(gathered.rows, gathered.deleted, gathered.events, gathered.notices)
        for row in gathered.rows:
            self._database.committed(row)
        for row in gathered.deleted:
            self._database.deleted(row)
        await self._database.travel()
        self._check()
        self._database.maybe_fail(self._database.forgetful)

    async def _commit(self, gathered: GatheredTransaction) -> None:
        async with self._database.inner.transaction() as transaction:
            for step in gathered.steps:
                await step(transaction)

    async def get(self, key: Key) -> AnyRow | None:
        return await self._ask(lambda store: store.get(key))  # type: ignore[no-any-return]

    async def keys(self, kinds: Sequence[Kind]) -> list[Key]:
        return await self._ask(lambda store: store.keys(kinds))  # type: ignore[no-any-return]

    async def every(self, kinds: Sequence[Kind]) -> list[AnyRow]:
        return await self._ask(lambda store: store.every(kinds))  # type: ignore[no-any-return]

    async def rows(self, kind: Kind, scope: Scope, after: str = "", limit: int | None = None) -> list[AnyRow]:
        return await self._ask(lambda store: store.rows(kind, scope, after, limit))  # type: ignore[no-any-return]

    async def owner(self, scope: Scope, member: str) -> AnyRow | None:
        return await self._ask(lambda store: store.owner(scope, member))  # type: ignore[no-any-return]

    async def forget_events(self, before: float) -> int:
        return await self._ask(lambda store: store.forget_events(before))  # type: ignore[no-any-return]

    async def hold_lease(self, name: str, holder: str, ttl_s: float, *, dead: str = "") -> Lease:
        return await self._ask(lambda store: store.hold_lease(name, holder, ttl_s, dead=dead))  # type: ignore[no-any-return]

    async def release_lease(self, name: str, lease: Lease) -> None:
        await self._ask(lambda store: store.release_lease(name, lease))

    async def take_wakes(self) -> list[Key]:
        return await self._ask(lambda store: store.take_wakes())  # type: ignore[no-any-return]

    async def close(self) -> None:
        """Nothing to let go of."""


def _driven(work: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that only gives way to others and waits for nobody."""
    try:
        while True:
            work.send(None)
    except StopIteration as end:
        return end.value


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
