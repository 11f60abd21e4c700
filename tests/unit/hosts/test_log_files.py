"""Log files are read in order and once: through rotation, after the end, and after their folder is gone."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from cachefleet.hosts import log_files
from cachefleet.hosts.folders import Folders
from cachefleet.hosts.log_files import LocalLogFiles
from cachefleet.interfaces import always

LAUNCH = "u.demo-001.1"


class Engine:
    """Writes as an engine does: opens its file anew for every line."""

    def __init__(self, root: Path) -> None:
        self.folders = Folders(root / "nodes")
        self.folders.make_root()
        self.folders.create(LAUNCH, {})
        self.runs = True
        self.files = LocalLogFiles(self.folders, lambda: [LAUNCH] if self.runs else [], always)
        self.mark, self.offset = "", 0
        self.written = 0

    def log(self, many: int, end: str = "\n") -> None:
        for _ in range(many):
            with (self.folders.path(LAUNCH) / "engine.log").open("a") as opened:
                opened.write(f"1:M 23 Nov 2026 08:55:35.{self.written:03d} * line number {self.written}{end}")
            self.written += 1

    async def read(self, most_bytes: int = 300) -> tuple[list[int], bool]:
        """The numbers of the lines, and whether something was missed."""
        found: list[int] = []
        missed = False
        while True:
            chunk = await self.files.read(LAUNCH, self.mark, self.offset, most_bytes)
            missed |= chunk.missed
            if not chunk.data:
                return found, missed
            self.mark, self.offset = chunk.mark, chunk.offset
            found += [int(line.rpartition(" ")[2]) for line in chunk.data.decode().splitlines()]


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path)


def test_each_line_once_through_rotations(engine: Engine) -> None:
    async def body() -> None:
        found: list[int] = []
        for burst in range(6):
            engine.log(7)
            if burst % 2:
                found += (await engine.read())[0]
            await engine.files.rotate(LAUNCH, 100)
            engine.log(3)
            lines, missed = await engine.read()
            assert not missed
            found += lines
        assert found == list(range(60))

    asyncio.run(body())


def test_nothing_is_rotated_under_who_reads(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    real, threads = log_files._files, list[threading.Thread]()

    def interrupted(now: Path, kept: Path) -> list[tuple[str, Path]]:
        found = real(now, kept)
        if not threads:
            threads.append(threading.Thread(target=lambda: asyncio.run(engine.files.rotate(LAUNCH, 100))))
            threads[0].start()
            threads[0].join(0.2)  # it would have ended by then, if it could
            engine.log(20)
        return found

    async def body() -> None:
        engine.log(5)
        assert await engine.read() == ([0, 1, 2, 3, 4], False)
        engine.log(5)
        monkeypatch.setattr(log_files, "_files", interrupted)
        lines, missed = await engine.read()
        threads[0].join()
        later, missed_later = await engine.read()
        assert ([*lines, *later], missed or missed_later) == (list(range(5, 30)), False)

    asyncio.run(body())


def test_what_was_rotated_away_before_it_was_read_is_told(engine: Engine) -> None:
    async def body() -> None:
        engine.log(5)
        assert await engine.read() == ([0, 1, 2, 3, 4], False)
        engine.log(5)
        await engine.files.rotate(LAUNCH, 100)
        engine.log(5)
        await engine.files.rotate(LAUNCH, 100)
        engine.log(5)
        assert await engine.read() == (list(range(10, 20)), True)

    asyncio.run(body())


def test_a_short_file_is_not_rotated(engine: Engine) -> None:
    async def body() -> None:
        engine.log(3)
        await engine.files.rotate(LAUNCH, 100_000)
        await engine.files.rotate("u.never.1", 100)
        assert [path.name for path in engine.folders.path(LAUNCH).iterdir()] == ["engine.log"]

    asyncio.run(body())


def test_half_a_line_waits_for_its_end_or_the_end_of_the_process(engine: Engine) -> None:
    async def body() -> None:
        engine.log(2)
        engine.log(1, end="")
        assert await engine.read() == ([0, 1], False)
        assert await engine.read() == ([], False)
        engine.runs = False
        assert await engine.read() == ([2], False)

    asyncio.run(body())


def test_the_log_outlives_its_folder_until_it_is_discarded(engine: Engine) -> None:
    async def body() -> None:
        engine.log(3)
        assert await engine.read() == ([0, 1, 2], False)
        engine.log(3)
        await engine.files.rotate(LAUNCH, 100)
        engine.log(3)
        engine.runs = False
        engine.folders.erase(LAUNCH)
        assert await engine.files.known() == ([], [LAUNCH])
        assert await engine.read() == (list(range(3, 9)), False)
        await engine.files.discard(LAUNCH)
        await engine.files.discard(LAUNCH)
        assert await engine.files.known() == ([], [])
        assert await engine.read() == ([], False)

    asyncio.run(body())


def test_nothing_comes_twice_while_the_log_goes_to_where_it_is_kept(engine: Engine) -> None:
    async def body() -> None:
        engine.log(5)
        await engine.files.rotate(LAUNCH, 100)
        engine.log(5)
        assert await engine.read() == (list(range(10)), False)
        kept = engine.folders.kept_path(LAUNCH)
        kept.mkdir(parents=True)
        (engine.folders.path(LAUNCH) / "engine.log").replace(kept / "engine.log")
        assert await engine.read() == ([], False)

    asyncio.run(body())


def test_what_a_process_prints_is_bounded_while_it_has_the_file_open(engine: Engine) -> None:
    async def body() -> None:
        output = engine.folders.path(LAUNCH) / "output.log"
        with output.open("ab", buffering=0) as opened:
            opened.write(b"x" * 200)
            await engine.files.rotate(LAUNCH, 100)
            opened.write(b"y")
        assert output.read_bytes() == b"y"

    asyncio.run(body())


def test_a_line_longer_than_what_is_read_at_once_is_not_held_back(engine: Engine) -> None:
    async def body() -> None:
        (engine.folders.path(LAUNCH) / "engine.log").write_text("x" * 1000 + "\n")
        read = 0
        while (chunk := await engine.files.read(LAUNCH, engine.mark, engine.offset, 300)).data:
            engine.mark, engine.offset = chunk.mark, chunk.offset
            read += len(chunk.data)
        assert read == 1001

    asyncio.run(body())
