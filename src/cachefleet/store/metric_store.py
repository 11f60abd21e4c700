"""metric_interfaces.MetricStore over SQL: series, and blocks of their values. Opened by `app`.

In a database of its own with SQLite; with PostgreSQL beside the other tables, over connections of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from cachefleet.model.metric import Block, ListedSeries, MetricName, Series
from cachefleet.model.resource import Scope
from cachefleet.store.metric_tables import METRIC_SCHEMA_VERSION, blocks_table, metric_about, series_table
from cachefleet.store.side_schema import open_tables
from cachefleet.store.spare_file import SpareFile, Tables

_AT_ONCE = 500  # names in one statement
_LARGEST_LIMIT = 2**31 - 1

_Identity = tuple[str, str, str, str]  # account, region, namespace, dimensions


async def open_metric_store(url: str) -> SqlMetricStore:
    """As open_store; creates missing tables. Raises StoreError."""
    return SqlMetricStore(await open_tables(url, metric_about, METRIC_SCHEMA_VERSION, "metrics"))


class SqlMetricStore:
    """See metric_interfaces.MetricStore. Made by open_metric_store."""

    def __init__(self, database: Tables) -> None:
        self._database = database

    async def put(self, blocks: Sequence[Block], last_at: Mapping[Series, float]) -> None:
        names: dict[Series, set[MetricName]] = {series: set() for series in last_at}
        for block in blocks:
            names.setdefault(block.series, set()).update(block.names)
        await self._database.write(lambda connection: self._put(connection, blocks, names, last_at))

    async def _put(
        self,
        connection: AsyncConnection,
        blocks: Sequence[Block],
        names: Mapping[Series, set[MetricName]],
        last_at: Mapping[Series, float],
    ) -> None:
        insert: Any = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
        known = await _found(connection, names)
        rows = [
            {**_columns(series), "names": _text({*fresh, *known.get(series, ())}), "last_at": last_at.get(series, 0.0)}
            for series, fresh in sorted(names.items())
        ]
        if rows:
            statement = insert(series_table)
            youngest = _greatest(connection.dialect.name)(series_table.c.last_at, statement.excluded.last_at)
            changed = {"names": statement.excluded.names, "last_at": youngest}
            identity = ["account", "region", "namespace", "dimensions"]
            await connection.execute(statement.on_conflict_do_update(index_elements=identity, set_=changed), rows)
        ids = await _ids(connection, names)
        if blocks:
            statement = insert(blocks_table)
            key = ["series", "resolution_s", "begins_at", "writer"]
            changed = {"names": statement.excluded.names, "data": statement.excluded.data}
            values = [
                {
                    "series": ids[block.series],
                    "resolution_s": block.resolution_s,
                    "begins_at": block.begins_at,
                    "writer": block.writer,
                    "names": _text(block.names),
                    "data": block.data,
                }
                for block in blocks
            ]
            await connection.execute(statement.on_conflict_do_update(index_elements=key, set_=changed), values)

    async def blocks(self, series: Sequence[Series], resolution_s: int, begin: int, end: int) -> list[Block]:
        async def read(connection: AsyncConnection) -> list[Block]:
            by_id = {number: one for one, number in (await _ids(connection, series)).items()}
            found: list[Block] = []
            numbers = sorted(by_id)
            for first in range(0, len(numbers), _AT_ONCE):
                query = sa.select(blocks_table).where(
                    blocks_table.c.series.in_(numbers[first : first + _AT_ONCE]),
                    blocks_table.c.resolution_s == resolution_s,
                    blocks_table.c.begins_at >= begin,
                    blocks_table.c.begins_at < end,
                )
                found += [_block(by_id[row.series], row) for row in await connection.execute(query)]
            return found

        return await self._database.read(read)

    async def listed(
        self, scope: Scope, namespace: str = "", since: float = 0.0, after: Series | None = None, limit: int | None = None
    ) -> list[ListedSeries]:
        order = (series_table.c.namespace, series_table.c.dimensions)
        query = (
            sa.select(series_table)
            .where(
                series_table.c.account == scope.account,
                series_table.c.region == scope.region,
                series_table.c.last_at >= since,
            )
            .order_by(*order)
            .limit(_LARGEST_LIMIT if limit is None else limit)
        )
        if namespace:
            query = query.where(series_table.c.namespace == namespace)
        if after is not None:
            query = query.where(sa.tuple_(*order) > sa.tuple_(sa.literal(after.namespace), sa.literal(_pairs(after))))

        async def read(connection: AsyncConnection) -> list[ListedSeries]:
            return [_listed(row) for row in await connection.execute(query)]

        return await self._database.read(read)

    async def forget(self, resolution_s: int, before: float) -> int:
        old = (blocks_table.c.resolution_s == resolution_s, blocks_table.c.begins_at < before)
        return await self._delete(blocks_table.delete().where(*old))

    async def forget_series(self, before: float) -> int:
        kept = sa.select(blocks_table.c.series)
        return await self._delete(series_table.delete().where(series_table.c.last_at < before, series_table.c.id.not_in(kept)))

    async def _delete(self, statement: sa.Delete) -> int:
        async def delete(connection: AsyncConnection) -> int:
            return (await connection.execute(statement)).rowcount

        return await self._database.write(delete)

    async def close(self) -> None:
        await self._database.close()


class MetricFile(SqlMetricStore):
    """On a file that may get lost."""

    def __init__(self, path: Path) -> None:
        """Opens nothing yet."""
        super().__init__(SpareFile(path, metric_about, METRIC_SCHEMA_VERSION, "metrics"))


def _greatest(dialect: str) -> Any:
    return sa.func.greatest if dialect == "postgresql" else sa.func.max


def _pairs(series: Series) -> str:
    return msgspec.json.encode(series.dimensions).decode()


def _columns(series: Series) -> dict[str, str]:
    return {
        "account": series.account,
        "region": series.region,
        "namespace": series.namespace,
        "dimensions": _pairs(series),
    }


def _identity(series: Series) -> _Identity:
    return series.account, series.region, series.namespace, _pairs(series)


def _series(row: Any) -> Series:
    pairs = msgspec.json.decode(row.dimensions, type=tuple[tuple[str, str], ...])
    return Series(row.account, row.region, row.namespace, pairs)


def _listed(row: Any) -> ListedSeries:
    return ListedSeries(_series(row), _names(row.names), row.last_at)


def _block(series: Series, row: Any) -> Block:
    return Block(series, row.resolution_s, row.begins_at, row.writer, _names(row.names), bytes(row.data))


def _text(names: Any) -> str:
    return msgspec.json.encode([(name.name, name.unit) for name in sorted(names)]).decode()


def _names(text: str) -> tuple[MetricName, ...]:
    return tuple(MetricName(*pair) for pair in msgspec.json.decode(text, type=list[tuple[str, str]]))


async def _rows(connection: AsyncConnection, series: Any) -> list[Any]:
    """Of series_table, those that there are of these."""
    wanted: dict[tuple[str, str, str], list[str]] = {}
    for one in series:
        account, region, namespace, dimensions = _identity(one)
        wanted.setdefault((account, region, namespace), []).append(dimensions)
    found: list[Any] = []
    for (account, region, namespace), several in sorted(wanted.items()):
        table = series_table.c
        there = (table.account == account, table.region == region, table.namespace == namespace)
        for first in range(0, len(several), _AT_ONCE):
            query = sa.select(series_table).where(*there, table.dimensions.in_(several[first : first + _AT_ONCE]))
            found += (await connection.execute(query)).all()
    return found


async def _ids(connection: AsyncConnection, series: Any) -> dict[Series, int]:
    return {_series(row): row.id for row in await _rows(connection, series)}


async def _found(connection: AsyncConnection, series: Any) -> dict[Series, tuple[MetricName, ...]]:
    return {_series(row): _names(row.names) for row in await _rows(connection, series)}
