"""A wheel brings our modules along: where it is installed, no compiler is needed for IAM users and for CONFIG for clients."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from cachefleet.engines.modules import EVERY_MODULE
from cachefleet.model.group import Engine
from tests.engine.bare_engines import bare_engine
from tests.engine.engine_processes import build_of
from tests.fixtures.iam_tokens import require_compiler
from tests.fixtures.machine import data_folder

ROOT = Path(__file__).parents[2]
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-cache-dir")
MAKES_EACH = """
import asyncio, sys
from pathlib import Path
from cachefleet.app.loadable_module import LoadableModule
from cachefleet.engines.modules import EVERY_MODULE

for source in EVERY_MODULE:
    module = LoadableModule(Path(sys.argv[1]), source, "engines lack something")
    print(asyncio.run(module.file()) or asyncio.run(module.refuses()))
print(sys.modules["cachefleet"].__file__)
"""


def wheel_of(folder: Path, path: str) -> Path:
    """Of a copy of the source, without the network. path: where programs are looked for."""
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "src" / "cachefleet", folder / "src" / "cachefleet", ignore=shutil.ignore_patterns("__pycache__"))
    words = (*PIP, "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder / "dist"), str(folder))
    done = subprocess.run(words, env=surroundings(path), capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (made,) = (folder / "dist").iterdir()
    return made


def surroundings(path: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in ("CC", "PYTHONPATH")} | {"PATH": path}


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with data_folder() as made:
        (made / "nothing").mkdir()
        yield made


@pytest.fixture(scope="module")
def wheel(folder: Path) -> Path:
    require_compiler()
    (folder / "with").mkdir()
    return wheel_of(folder / "with", os.environ["PATH"])


def test_it_is_for_machines_of_this_kind_and_any_python(wheel: Path) -> None:
    assert "-py3-none-" in wheel.name and not wheel.name.endswith("-any.whl")
    with zipfile.ZipFile(wheel) as opened:
        names = opened.namelist()
    prebuilt = {name for name in names if name.startswith("cachefleet/engines/prebuilt/")}
    assert prebuilt == {f"cachefleet/engines/prebuilt/{source.file_name()}" for source in EVERY_MODULE}
    needed = {"cachefleet/engines/iam_module/token.c", "cachefleet/engines/module_interface/engine.h"}
    assert needed <= set(names), "where it cannot be used, it can be compiled"


def test_engines_load_what_it_brings_where_no_compiler_is(wheel: Path, folder: Path) -> None:
    site = folder / "site"
    subprocess.run((*PIP, "install", "--quiet", "--no-deps", "--target", str(site), str(wheel)), check=True, timeout=300)
    words = (sys.executable, "-c", MAKES_EACH, str(folder / "data"))
    bare = surroundings(str(folder / "nothing")) | {"PYTHONPATH": str(site)}
    done = subprocess.run(words, env=bare, capture_output=True, text=True, timeout=60, check=True)
    *modules, package = done.stdout.splitlines()
    assert package.startswith(str(site)), "it is not the installed one"
    assert [Path(module).name for module in modules] == [source.file_name() for source in EVERY_MODULE], done.stdout
    options = [word for module in modules for word in ("--loadmodule", module)]
    with bare_engine(build_of(Engine.VALKEY, "9.1"), *options) as engine:
        assert set(modules) <= {module[b"path"].decode() for module in engine.client().module_list()}
        with pytest.raises(redis.exceptions.NoPermissionError, match="only the controller"):
            engine.client().execute_command("CACHEFLEET.IAM", "STATE")


def test_it_is_made_without_a_compiler_too(folder: Path) -> None:
    (folder / "without").mkdir()
    made = wheel_of(folder / "without", str(folder / "nothing"))
    assert made.name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(made) as opened:
        assert not [name for name in opened.namelist() if name.endswith(".so")]
