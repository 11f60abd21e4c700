"""How the IAM module gets compiled: once, whole or not at all, and with a message where it cannot be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cachefleet.engines.build_tools import ToolsMissing
from cachefleet.engines.iam_module.compiling import HEADERS, HERE, SOURCES, NotCompiled, module_file


@pytest.fixture(autouse=True)
def _compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that writes what it was asked for into its output, and fails when the file `broken` is there."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "cc").write_text(
        f"#!/bin/sh\necho run >>{tmp_path}/runs\n"
        f"[ -e {tmp_path}/broken ] && echo 'token.c:1: error: no' >&2 && exit 1\n"
        'while [ $# -gt 0 ]; do [ "$1" = -o ] && out="$2"; shift; done\necho module >"$out"\n'
    )
    (tmp_path / "bin" / "cc").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.delenv("CC", raising=False)


def test_it_is_compiled_once(tmp_path: Path) -> None:
    first = module_file(tmp_path / "data" / "modules")
    assert first.read_text() == "module\n" and first.stat().st_mode & 0o777 == 0o700
    assert module_file(first.parent) == first
    assert (tmp_path / "runs").read_text().count("run") == 1
    assert first.parent.stat().st_mode & 0o077 == 0


def test_what_the_compiler_refuses_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "broken").touch()
    with pytest.raises(NotCompiled, match=r"token\.c:1: error: no"):
        module_file(tmp_path / "modules")
    assert [path.name for path in (tmp_path / "modules").iterdir()] == [".iam.lock"]
    (tmp_path / "broken").unlink()
    assert module_file(tmp_path / "modules").exists()


def test_without_a_compiler_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolsMissing, match=r"IAM .* apt-get install gcc libc6-dev"):
        module_file(tmp_path / "modules")


def test_every_source_is_there_and_comes_along() -> None:
    assert {path.name for path in HERE.iterdir() if path.suffix in (".c", ".h")} == {*SOURCES, *HEADERS}
    packaged = (Path(__file__).parents[3] / "pyproject.toml").read_text()
    assert "engines/iam_module/*.c" in packaged and "engines/iam_module/*.h" in packaged
