"""Access strings are read by throw-away engines of every installed version, which leave nothing behind."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import pytest

from cachefleet.access_interfaces import AccessRefused, AccessUnread
from cachefleet.app.access_reader import EngineAccessStrings
from cachefleet.clock import SystemClock
from cachefleet.engine_interfaces import Build
from cachefleet.engines.catalogue import InstalledEngines
from cachefleet.model.group import Engine
from cachefleet.settings import EngineSettings

BUILDS = [build for build in InstalledEngines(EngineSettings()).builds() if build.engine is not Engine.MEMCACHED]
IDS = [f"{build.engine}-{build.version}" for build in BUILDS]


@pytest.fixture(autouse=True)
def nothing_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Throw-away folders are made in the test's own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def read(text: str, *builds: Build) -> str:
    return asyncio.run(EngineAccessStrings(SystemClock()).read(text, builds))


def remains(folder: Path) -> list[str]:
    """Folders, and processes that work in one."""
    working = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            working.append(str((process / "cwd").readlink()))
        except OSError:
            continue
    return [str(path) for path in folder.iterdir()] + [path for path in working if path.startswith(str(folder))]


@pytest.mark.parametrize("build", BUILDS, ids=IDS)
def test_every_version_reads(build: Build, tmp_path: Path) -> None:
    assert read("on ~app::* &news +@read -get", build) == "on ~app::* &news -@all +@read -get"
    for text, why in (("on ~a +nosuch", r"\+nosuch"), ("on ~* ~b +get", "~b"), ("on ~a b", "'b'"), ("on +@nosuch", "nosuch")):
        with pytest.raises(AccessRefused, match=why) as refused:
            read(text, build)
        assert build.version in str(refused.value)
    assert remains(tmp_path) == []


def test_what_one_version_takes_another_may_not(tmp_path: Path) -> None:
    old = [build for build in BUILDS if build.version.startswith("6.2")]
    if not old or len(BUILDS) < 2:
        pytest.skip("needs an engine of 6.2 and a newer one")
    assert read("on ~a (~b +get)", BUILDS[0]) == "on ~a -@all (~b -@all +get)"
    with pytest.raises(AccessRefused, match=r"6\.2"):
        read("on ~a (~b +get)", BUILDS[0], *old)
    assert remains(tmp_path) == []


def test_what_nobody_may_write_needs_no_engine(tmp_path: Path) -> None:
    gone = Build(Engine.VALKEY, "9.9.9", "/nowhere/valkey-server", "settings")
    with pytest.raises(AccessRefused, match="passwords"):
        read("on ~* >a-password", gone)
    assert remains(tmp_path) == []


def test_an_engine_that_does_not_start_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cachefleet.app.access_reader.DEADLINE_S", 0.3)
    gone = Build(Engine.VALKEY, "9.9.9", "/nowhere/valkey-server", "settings")
    with pytest.raises(AccessUnread, match="did not answer"):
        read("on ~* +get", gone)
    assert remains(tmp_path) == []


def test_many_at_once(tmp_path: Path) -> None:
    async def ask() -> list[str]:
        reader = EngineAccessStrings(SystemClock())
        return await asyncio.gather(*(reader.read(f"on ~a{number % 4} +get", BUILDS[:1]) for number in range(20)))

    assert len(set(asyncio.run(ask()))) == 4
    assert remains(tmp_path) == []
