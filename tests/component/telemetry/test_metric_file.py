"""Metrics go on when their database is deleted, damaged or somebody else's: what is lost is what was in it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest
from structlog.testing import capture_logs

from cachefleet.interfaces import StoreError
from cachefleet.metrics.blocks import encoded
from cachefleet.metrics.values import single
from cachefleet.model.metric import Block, MetricName, Series
from cachefleet.store import MetricFile

SERIES = Series("000000000000", "local-1", "N", ())
CPU = MetricName("CPUUtilization", "Percent")
BLOCK = Block(SERIES, 60, 0, "a", (CPU,), encoded({CPU: {0: single(1.0)}}))


def on_file(path: Path, body: Callable[[MetricFile], Awaitable[None]]) -> None:
    async def run() -> None:
        file = MetricFile(path)
        try:
            await body(file)
        finally:
            await file.close()

    asyncio.run(run())


async def works(file: MetricFile) -> None:
    await file.put([BLOCK], {SERIES: 1.0})
    assert await file.blocks([SERIES], 60, 0, 1) == [BLOCK]


def test_what_is_no_database_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "metrics.db"
    path.write_text("no database" * 1000)
    with capture_logs() as logs:
        on_file(path, works)
    assert (tmp_path / "metrics.db.damaged").read_text() == "no database" * 1000
    assert [entry["event"] for entry in logs] == ["the metrics' database was damaged: metrics begin anew"]
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("begin", [0, 4096])
def test_pages_that_were_overwritten(tmp_path: Path, begin: int) -> None:
    path = tmp_path / "metrics.db"
    on_file(path, works)
    size = path.stat().st_size
    with path.open("r+b") as opened:
        opened.seek(begin)
        opened.write(Random(1).randbytes(size))

    async def body(file: MetricFile) -> None:
        with suppress(StoreError):  # it may find out by opening it, or by using it
            await works(file)
        await works(file)

    on_file(path, body)
    assert (tmp_path / "metrics.db.damaged").exists()


def delete_all(folder: Path) -> None:
    for part in folder.iterdir():
        part.unlink()


def test_one_that_is_deleted_while_it_is_used(tmp_path: Path) -> None:
    path = tmp_path / "metrics.db"

    async def body(file: MetricFile) -> None:
        await works(file)
        delete_all(tmp_path)
        assert await file.blocks([SERIES], 60, 0, 1) == []
        await works(file)

    with capture_logs() as logs:
        on_file(path, body)
    assert ["deleted or replaced" in entry["event"] for entry in logs] == [True]
    on_file(path, works)


def test_rows_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "metrics.db"
    on_file(path, works)
    with sqlite3.connect(path) as connection:
        connection.execute("update metric_series set names = 'x'")
    connection.close()

    async def body(file: MetricFile) -> None:
        with pytest.raises(StoreError, match="is damaged"):
            await file.put([BLOCK], {SERIES: 1.0})
        await works(file)

    on_file(path, body)


def test_one_of_a_newer_version_or_that_is_no_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "metrics.db"
    path.mkdir()

    async def refuses(file: MetricFile) -> None:
        with pytest.raises(StoreError):
            await works(file)

    on_file(path, refuses)
    path.rmdir()
    on_file(path, works)
    with sqlite3.connect(path) as connection:
        connection.execute("update metric_schema set schema_version = 99")
    connection.close()
    on_file(path, refuses)
    assert [part.name for part in tmp_path.iterdir()] == ["metrics.db"]
