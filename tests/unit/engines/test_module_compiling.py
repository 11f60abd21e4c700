"""How our modules for engines are had: as they came with the package, else compiled, once, whole or not at all, and with a
message where neither can be."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from cachefleet.engines import module_compiling
from cachefleet.engines.build_tools import ToolsMissing
from cachefleet.engines.iam_module import IAM_SOURCE
from cachefleet.engines.module_compiling import ModuleSource, NotCompiled, compiled_module
from cachefleet.engines.modules import EVERY_MODULE
from tests.fixtures.iam_tokens import require_compiler

every_source = pytest.mark.parametrize("source", EVERY_MODULE, ids=lambda source: source.name)


@pytest.fixture(autouse=True)
def _compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that writes what it was asked for into its output, and fails when the file `broken` is there."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "cc").write_text(
        f"#!/bin/sh\necho run >>{tmp_path}/runs\n"
        f"[ -e {tmp_path}/broken ] && echo 'names.c:1: error: no' >&2 && exit 1\n"
        'while [ $# -gt 0 ]; do [ "$1" = -o ] && out="$2"; shift; done\necho module >"$out"\n'
    )
    (tmp_path / "bin" / "cc").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.delenv("CC", raising=False)


@every_source
def test_it_is_compiled_once(source: ModuleSource, tmp_path: Path) -> None:
    first = compiled_module(source, tmp_path / "data" / "modules")
    assert first.read_text() == "module\n" and first.stat().st_mode & 0o777 == 0o700
    assert compiled_module(source, first.parent) == first
    assert (tmp_path / "runs").read_text().count("run") == 1
    assert first.parent.stat().st_mode & 0o077 == 0


def test_each_has_a_file_of_its_own(tmp_path: Path) -> None:
    made = {compiled_module(source, tmp_path / "modules").name for source in EVERY_MODULE}
    assert {name.partition("-")[0] for name in made} == {source.name for source in EVERY_MODULE}


def test_every_module_is_on_the_list() -> None:
    engines = Path(__file__).parents[3] / "src" / "cachefleet" / "engines"
    assert {source.folder.name for source in EVERY_MODULE} == {
        path.name for path in engines.glob("*_module") if any(path.iterdir())
    }


@every_source
def test_what_the_compiler_refuses_leaves_nothing(source: ModuleSource, tmp_path: Path) -> None:
    (tmp_path / "broken").touch()
    with pytest.raises(NotCompiled, match=rf"{source.called} .*names\.c:1: error: no"):
        compiled_module(source, tmp_path / "modules")
    assert [path.name for path in (tmp_path / "modules").iterdir()] == [f".{source.name}.lock"]
    (tmp_path / "broken").unlink()
    assert compiled_module(source, tmp_path / "modules").exists()


@every_source
def test_without_a_compiler_it_says_what_to_install(
    source: ModuleSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolsMissing, match=rf"{source.called} .* apt-get install gcc libc6-dev"):
        compiled_module(source, tmp_path / "modules")


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a module that this machine can load."""
    folder = tmp_path_factory.mktemp("prebuilt")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CC", require_compiler())
        compiled_module(IAM_SOURCE, folder)
    return folder


def test_one_that_came_with_the_package_is_taken(real: Path, tmp_path: Path) -> None:
    made = compiled_module(IAM_SOURCE, tmp_path / "modules", prebuilt=real)
    assert made.read_bytes() == (real / made.name).read_bytes() and made.stat().st_mode & 0o777 == 0o700
    assert not (tmp_path / "runs").exists(), "nothing was compiled"


def test_one_that_came_and_cannot_be_loaded_is_compiled(tmp_path: Path) -> None:
    (tmp_path / "prebuilt").mkdir()
    (tmp_path / "prebuilt" / IAM_SOURCE.file_name()).write_text("of another machine")
    assert compiled_module(IAM_SOURCE, tmp_path / "modules", tmp_path / "prebuilt").read_text() == "module\n"
    assert {path.name for path in (tmp_path / "modules").iterdir()} == {IAM_SOURCE.file_name(), ".iam.lock"}


def test_without_a_compiler_it_says_what_is_wrong_with_the_one_that_came(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolsMissing, match=r"and none came with this package: .* apt-get install gcc"):
        compiled_module(IAM_SOURCE, tmp_path / "modules", tmp_path / "prebuilt")
    (tmp_path / "prebuilt").mkdir()
    (tmp_path / "prebuilt" / IAM_SOURCE.file_name()).write_text("of another machine")
    with pytest.raises(ToolsMissing, match=r"the one that came with this package cannot be used \(.*file too short.*\)"):
        compiled_module(IAM_SOURCE, tmp_path / "modules", tmp_path / "prebuilt")


def test_one_of_another_source_is_not_taken(real: Path, tmp_path: Path) -> None:
    shutil.copytree(IAM_SOURCE.folder, tmp_path / "source")
    with (tmp_path / "source" / "token.c").open("a") as file:
        file.write("/* changed */\n")
    changed = IAM_SOURCE._replace(folder=tmp_path / "source")
    assert compiled_module(changed, tmp_path / "modules", prebuilt=real).read_text() == "module\n"


def test_one_of_another_shared_header_is_not_taken(real: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(module_compiling.INTERFACE, tmp_path / "interface")
    with (tmp_path / "interface" / "engine.h").open("a") as file:
        file.write("/* changed */\n")
    monkeypatch.setattr(module_compiling, "INTERFACE", tmp_path / "interface")
    assert compiled_module(IAM_SOURCE, tmp_path / "modules", prebuilt=real).read_text() == "module\n"


def test_shared_headers_come_along() -> None:
    assert {path.suffix for path in module_compiling.INTERFACE.iterdir()} == {".h"}
    packaged = (Path(__file__).parents[3] / "pyproject.toml").read_text()
    assert f"engines/{module_compiling.INTERFACE.name}/*.h" in packaged


@every_source
def test_every_source_is_there_and_comes_along(source: ModuleSource) -> None:
    there = {path.name for path in source.folder.iterdir() if path.suffix in (".c", ".h")}
    assert there == {*source.sources, *source.headers}
    packaged = (Path(__file__).parents[3] / "pyproject.toml").read_text()
    assert f"engines/{source.folder.name}/*.c" in packaged and f"engines/{source.folder.name}/*.h" in packaged
