"""interfaces.Store over SQL. Reads name versions first and fetch only the documents that the cache does not hold.

Every statement sees the last committed state. Opened by `app`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from cachefleet.clock import Clock
from cachefleet.interfaces import AnyRow, Conflict, Deposed, Lease, NameTaken
from cachefleet.metrics.instruments import Counter, Instruments
from cachefleet.model.event import Event
from cachefleet.model.resource import Key, Kind, Scope
from cachefleet.store import leases
from cachefleet.store.columns import TEXT
from cachefleet.store.database import Database
from cachefleet.store.documents import decoded
from cachefleet.store.engines import connect
from cachefleet.store.errors import StoreError
from cachefleet.store.outbox import SqlOutbox
from cachefleet.store.row_cache import RowCache
from cachefleet.store.schema import prepare
from cachefleet.store.tables import about, events, members, resources
from cachefleet.store.text import marker, storable
from cachefleet.store.transaction import SqlTransaction
from cachefleet.store.usage_store import SqlUsageLedger

_LARGEST_LIMIT = 2**31 - 1
_LARGEST_ID = 2**63 - 1
_DOCUMENTS_AT_ONCE = 500  # names in one statement

_KINDS = {kind.value: kind for kind in Kind}
# How transactions end, as they are counted; all else is rolled back because those who write want it so.
_ENDS = ((Conflict, "conflict"), (NameTaken, "name-taken"), (Deposed, "deposed"), (StoreError, "failed"))

Head = tuple[Key, int]  # and version

_in_scope = sa.and_(resources.c.account == sa.bindparam("account"), resources.c.region == sa.bindparam("region"))
_of_kind = sa.and_(_in_scope, resources.c.kind == sa.bindparam("kind"))
_get = sa.select(resources.c.version).where(_of_kind, resources.c.name == sa.bindparam("name"))
_rows = (
    sa.select(resources.c.name, resources.c.version)
    .where(_of_kind, resources.c.name > sa.bindparam("after"))
    .order_by(resources.c.name)
    .limit(sa.bindparam("limit", type_=sa.Integer))
)
_documents = sa.select(
    resources.c.name, resources.c.version, resources.c.desired, resources.c.memory, resources.c.status, resources.c.tags
).where(_of_kind, resources.c.name.in_(sa.bindparam("names", expanding=True)))
_count = sa.select(sa.func.count()).select_from(resources).where(_of_kind)
_members = (
    sa.select(members.c.member, resources.c.kind, resources.c.name, resources.c.version)
    .join_from(members, resources)
    .where(members.c.account == sa.bindparam("account"), members.c.region == sa.bindparam("region"))
)
_owner = _members.where(members.c.member == sa.bindparam("member"))
_members_after = (
    _members.where(members.c.member > sa.bindparam("after"))
    .order_by(members.c.member)
    .limit(sa.bindparam("limit", type_=sa.Integer))
)
_of_kinds = resources.c.kind.in_(sa.bindparam("kinds", expanding=True))
_keys = sa.select(resources.c.kind, resources.c.account, resources.c.region, resources.c.name).where(_of_kinds)
_every = _keys.add_columns(resources.c.version)
_place = sa.tuple_(resources.c.account, resources.c.region, resources.c.name)
_versions = (
    sa.select(resources.c.account, resources.c.region, resources.c.name, resources.c.version)
    .where(resources.c.kind == sa.bindparam("kind"))
    .where(_place > sa.tuple_(*(sa.bindparam(f"after_{column}", type_=TEXT) for column in ("account", "region", "name"))))
    .order_by(resources.c.account, resources.c.region, resources.c.name)
    .limit(sa.bindparam("limit", type_=sa.Integer))
)
_event_columns = (events.c.source_type, events.c.source_id, events.c.message, events.c.at, events.c.id)


async def open_store(url: str, clock: Clock, transactions: Counter | None = None) -> SqlStore:
    """url: sqlite+aiosqlite:///path (":memory:" or no path: a database that ends with the store), or
    postgresql+asyncpg://user:password@host:port/name. Creates missing tables. transactions: counts them. Raises StoreError."""
    database = connect(url)
    try:
        await database.write(lambda connection: prepare(connection, database.name, clock.now()))
    except (TypeError, ValueError) as error:  # of an argument in the URL that the driver does not know or want
        await database.close()
        raise StoreError(f"database {database.name} cannot be opened: {error}") from None
    except BaseException:
        await database.close()
        raise
    return SqlStore(database, clock, transactions)


class SqlStore:
    """See interfaces.Store; every method raises StoreError when the database cannot be used. Made by open_store."""

    def __init__(self, database: Database, clock: Clock, transactions: Counter | None = None) -> None:
        self._transactions = transactions or Instruments().transactions
        self._database = database
        self._clock = clock
        self._cache = RowCache()
        self.outbox = SqlOutbox(database)
        self.usage = SqlUsageLedger(database)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[SqlTransaction]:
        """Transactions queue up; reads do not wait for them. A cancelled one is rolled back, except while it commits."""
        outcome = "rolled-back"
        try:
            async with self._database.writing() as connection:
                transaction = SqlTransaction(connection, self._database.translated)
                yield transaction
                transaction.check()
            outcome = "committed"
        except Exception as error:
            outcome = next((word for kind, word in _ENDS if isinstance(error, kind)), outcome)
            raise
        finally:
            self._transactions.add(outcome)
        for key, row in transaction.written.items():
            if row is None:
                self._cache.drop(key)
            else:
                self._cache.put(row)
        if transaction.published:
            self.outbox.published()

    async def get(self, key: Key) -> AnyRow | None:
        if not storable(key.name):
            return None
        return await self._database.read(partial(self._get, key))

    async def _get(self, key: Key, connection: AsyncConnection) -> AnyRow | None:
        version = await connection.scalar(_get, {**_scoped(key.scope), "kind": key.kind.value, "name": key.name})
        if version is None:
            return None
        return (await self._load(connection, [(key, version)])).get(key)

    async def rows(self, kind: Kind, scope: Scope, after: str = "", limit: int | None = None) -> list[AnyRow]:
        parameters = {**_scoped(scope), "kind": kind.value, **_page(after, limit)}

        async def heads(connection: AsyncConnection) -> list[Head]:
            found = (await connection.execute(_rows, parameters)).all()
            return [(Key(kind, scope.account, scope.region, name), version) for name, version in found]

        return await self._database.read(partial(self._all, heads))

    async def count(self, kind: Kind, scope: Scope) -> int:
        async def read(connection: AsyncConnection) -> int:
            return int(await connection.scalar(_count, {**_scoped(scope), "kind": kind.value}) or 0)

        return await self._database.read(read)

    async def owner(self, scope: Scope, member: str) -> AnyRow | None:
        if not storable(member):
            return None
        owners = await self._database.read(partial(self._owners, scope, _owner, {"member": member}))
        return owners[0][1] if owners else None

    async def members(self, scope: Scope, after: str = "", limit: int | None = None) -> list[tuple[str, AnyRow]]:
        return await self._database.read(partial(self._owners, scope, _members_after, _page(after, limit)))

    async def _owners(
        self, scope: Scope, statement: sa.Select[Any], parameters: dict[str, Any], connection: AsyncConnection
    ) -> list[tuple[str, AnyRow]]:
        while True:
            found = (await connection.execute(statement, {**_scoped(scope), **parameters})).all()
            names = [(member, scope.key(_KINDS[kind], name)) for member, kind, name, _ in found]
            heads = {key: version for (_, key), (*_, version) in zip(names, found, strict=True)}
            loaded = await self._load(connection, list(heads.items()))
            if len(loaded) == len(heads):
                return [(member, loaded[key]) for member, key in names]

    async def keys(self, kinds: Sequence[Kind]) -> list[Key]:
        async def read(connection: AsyncConnection) -> list[Key]:
            found = (await connection.execute(_keys, {"kinds": [kind.value for kind in kinds]})).all()
            return sorted(Key(_KINDS[kind], account, region, name) for kind, account, region, name in found)

        return await self._database.read(read)

    async def every(self, kinds: Sequence[Kind]) -> list[AnyRow]:
        async def heads(connection: AsyncConnection) -> list[Head]:
            found = (await connection.execute(_every, {"kinds": [kind.value for kind in kinds]})).all()
            return sorted((Key(_KINDS[kind], account, region, name), version) for kind, account, region, name, version in found)

        return await self._database.read(partial(self._all, heads))

    async def versions(self, kind: Kind, after: Key | None = None, limit: int | None = None) -> list[tuple[Key, int]]:
        begin = after or Key(kind, "", "", "")
        places = {"after_account": begin.account, "after_region": begin.region, "after_name": begin.name}
        parameters = {"kind": kind.value, **places, "limit": _page("", limit)["limit"]}

        async def read(connection: AsyncConnection) -> list[tuple[Key, int]]:
            found = (await connection.execute(_versions, parameters)).all()
            return [(Key(kind, account, region, name), version) for account, region, name, version in found]

        return await self._database.read(read)

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
        if not (storable(source_type) and storable(source_id)):
            return []
        statement = (
            sa.select(*_event_columns)
            .where(events.c.account == scope.account, events.c.region == scope.region)
            .where(events.c.at >= start, events.c.at < end)
            .order_by(events.c.id.desc())
            .limit(min(limit, _LARGEST_LIMIT))
        )
        if source_type:
            statement = statement.where(events.c.source_type == source_type)
        if source_id:
            statement = statement.where(events.c.source_id == source_id)
        if before_id is not None:
            statement = statement.where(events.c.id < max(0, min(before_id, _LARGEST_ID)))

        async def read(connection: AsyncConnection) -> list[Event]:
            return [Event(*found) for found in (await connection.execute(statement)).all()]

        return await self._database.read(read)

    async def forget_events(self, before: float) -> int:
        async def forget(connection: AsyncConnection) -> int:
            return (await connection.execute(events.delete().where(events.c.at < before))).rowcount

        return await self._database.write(forget)

    @property
    def shared(self) -> bool:
        """Whether other processes may use this database at the same time."""
        return self._database.shared

    async def claim(self, installation: str, place: str) -> tuple[str, str]:
        """Whose caches the rows of this database are: the first to claim it, and where that one last was. place: where the
        caller is, remembered when it is the one."""
        return await self._database.write(lambda connection: _claim(connection, installation, place))

    async def hold_lease(self, name: str, holder: str, ttl_s: float, *, dead: str = "") -> Lease:
        now = self._clock.now()
        lease, free = await self._database.read(partial(leases.standing, name=name, now=now))
        if not free and lease.holder not in (holder, dead):
            return lease

        async def take(connection: AsyncConnection) -> Lease | None:
            return await leases.take(connection, name, holder, ttl_s, dead, now)

        taken = await self._database.at_once(take)
        return taken or (await self._database.read(partial(leases.standing, name=name, now=now)))[0]

    async def release_lease(self, name: str, lease: Lease) -> None:
        await self._database.at_once(partial(leases.release, name=name, lease=lease))

    async def take_wakes(self) -> list[Key]:
        return await self._database.at_once(leases.take_wakes)

    async def close(self) -> None:
        """Waits for transactions and reads that are under way; then nothing is left open. Later calls raise StoreError."""
        await self._database.close()

    async def _all(
        self, heads_of: Callable[[AsyncConnection], Awaitable[list[Head]]], connection: AsyncConnection
    ) -> list[AnyRow]:
        """The rows of all these heads, in their order."""
        while True:
            heads = await heads_of(connection)
            loaded = await self._load(connection, heads)
            if len(loaded) == len(heads):  # else one was deleted just now: the list would be too short, or never have been
                return [loaded[key] for key, _ in heads]

    async def _load(self, connection: AsyncConnection, heads: Sequence[Head]) -> dict[Key, AnyRow]:
        """The rows, from the cache where it has that version. Absent: deleted meanwhile. Newer than asked for: changed
        meanwhile, which is just as well."""
        loaded: dict[Key, AnyRow] = {}
        missing: dict[tuple[Kind, Scope], list[Key]] = {}
        for key, version in heads:
            row = self._cache.find(key, version)
            if row is None:
                missing.setdefault((key.kind, key.scope), []).append(key)
            else:
                loaded[key] = row
        for keys in missing.values():
            for begin in range(0, len(keys), _DOCUMENTS_AT_ONCE):
                for row in await self._fetch(connection, keys[begin : begin + _DOCUMENTS_AT_ONCE]):
                    self._cache.put(row)
                    loaded[row.key] = row
        return loaded

    async def _fetch(self, connection: AsyncConnection, keys: Sequence[Key]) -> list[AnyRow]:
        """Of one kind and scope."""
        kind, scope = keys[0].kind, keys[0].scope
        parameters = {**_scoped(scope), "kind": kind.value, "names": [key.name for key in keys]}
        found = (await connection.execute(_documents, parameters)).mappings().all()
        return [decoded(scope.key(kind, columns["name"]), columns["version"], _texts(columns)) for columns in found]


async def _claim(connection: AsyncConnection, installation: str, place: str) -> tuple[str, str]:
    mine = about.c.installation.in_(["", installation])
    await connection.execute(about.update().where(mine).values(installation=installation, place=place))
    found = (await connection.execute(sa.select(about.c.installation, about.c.place))).one()
    return found.installation, found.place


def _texts(columns: Any) -> dict[str, str]:
    return {name: columns[name] for name in ("desired", "memory", "status", "tags")}


def _scoped(scope: Scope) -> dict[str, Any]:
    return {"account": scope.account, "region": scope.region}


def _page(after: str, limit: int | None) -> dict[str, Any]:
    return {"after": marker(after), "limit": _LARGEST_LIMIT if limit is None else min(limit, _LARGEST_LIMIT)}
