"""Modules for engines, as the service makes them: once, known to load, and with a reason where there is none."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from cachefleet.app.loadable_module import FOLDER, LoadableModule
from cachefleet.engines.iam_module import IAM_SOURCE
from tests.fixtures.iam_tokens import require_compiler


def made(folder: Path) -> LoadableModule:
    return LoadableModule(folder, IAM_SOURCE, "engines cannot check IAM tokens")


@pytest.fixture
def compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The machine's own, which leaves a line for each run in the file `runs`; it fails while the file `broken` is there."""
    real, place = require_compiler(), tmp_path / "compiler"
    place.write_text(f'#!/bin/sh\necho run >>{tmp_path}/runs\n[ -e {tmp_path}/broken ] && exit 1\nexec {real} "$@"\n')
    place.chmod(0o755)
    monkeypatch.setenv("CC", str(place))
    return place


def runs(tmp_path: Path) -> int:
    return (tmp_path / "runs").read_text().count("run") if (tmp_path / "runs").exists() else 0


@pytest.mark.usefixtures("compiler")
def test_many_that_ask_at_once_get_one_module(tmp_path: Path) -> None:
    async def scenario() -> None:
        module = made(tmp_path)
        assert not module.is_there(), "it is made when it is wanted, not before"
        files = await asyncio.gather(*(module.file() for _ in range(8)), *(module.refuses() for _ in range(2)))
        assert len(set(files[:8])) == 1 and files[8:] == ["", ""]
        assert Path(files[0]).parent == tmp_path / FOLDER and os.access(files[0], os.X_OK)
        assert module.is_there() and runs(tmp_path) == 1
        assert await made(tmp_path).file() == files[0] and runs(tmp_path) == 1, "nor does the next service make it again"

    asyncio.run(scenario())


@pytest.mark.usefixtures("compiler")
def test_one_that_is_taken_away_is_made_again(tmp_path: Path) -> None:
    module = made(tmp_path)
    Path(asyncio.run(module.file())).unlink()
    assert not module.is_there()
    assert Path(asyncio.run(module.file())).exists() and runs(tmp_path) == 2


@pytest.mark.usefixtures("compiler")
def test_what_could_not_be_made_is_tried_again_when_it_is_wanted_again(tmp_path: Path) -> None:
    (tmp_path / "broken").touch()
    module = made(tmp_path)
    assert asyncio.run(module.file()) == "" and not module.is_there()
    assert "the module for IAM authentication cannot be compiled" in asyncio.run(module.refuses())
    (tmp_path / "broken").unlink()
    assert asyncio.run(module.refuses()) == "" and module.is_there()


@pytest.mark.usefixtures("compiler")
def test_one_that_engines_could_not_load_is_none(tmp_path: Path) -> None:
    """They would not start at all with it: better no IAM users than no caches."""
    name = Path(asyncio.run(made(tmp_path / "first").file())).name
    broken = tmp_path / "second" / FOLDER / name
    broken.parent.mkdir(parents=True)
    broken.write_text("what is this")
    module = made(tmp_path / "second")
    assert asyncio.run(module.file()) == "" and not module.is_there()
    assert f"cannot be kept in {broken.parent}" in asyncio.run(module.refuses())
