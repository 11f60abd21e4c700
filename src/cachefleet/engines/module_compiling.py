"""Compiles a loadable module of ours where a C compiler is, once for each state of its source. Blocks for about a second.

Called by app.loadable_module; which modules there are: iam_module, config_module.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shlex
import subprocess
import tempfile
from pathlib import Path

import msgspec

from cachefleet.engines.build_tools import ToolsMissing, compiler_name, told_missing

STRICT = ("-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra")
_OPTIONS = (
    *STRICT,
    "-O2",
    "-fPIC",
    "-shared",
    "-fvisibility=hidden",
    "-fstack-protector-strong",
    "-D_FORTIFY_SOURCE=2",
    "-Wl,-z,relro,-z,now",
)
_COMPILE_TIMEOUT_S = 120.0


class NotCompiled(Exception):
    """The compiler refused the module's source; the message has what it said first."""


class ModuleSource(msgspec.Struct, frozen=True):
    """name: of its file, before a dash. called: in messages."""

    name: str
    called: str
    folder: Path
    sources: tuple[str, ...]
    headers: tuple[str, ...]


def compiled_module(source: ModuleSource, folder: Path) -> Path:
    """The module, in that folder, compiled when it is not there yet. Another source or other options make another file.

    Raises build_tools.ToolsMissing, NotCompiled, OSError.
    """
    digest = hashlib.sha256(" ".join(_OPTIONS).encode())
    for name in (*source.sources, *source.headers):
        digest.update((source.folder / name).read_bytes())
    place = folder / f"{source.name}-{digest.hexdigest()[:16]}.so"
    if place.exists():
        return place
    compiler = compiler_name()
    if not compiler:
        missing = ["a C compiler", "the headers of the C library"]
        raise ToolsMissing(told_missing(f"{source.called} cannot be compiled here", missing))
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(folder / f".{source.name}.lock", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600), "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several services of one data folder
        if not place.exists():
            _compile(compiler, source, place)
    return place


def _compile(compiler: str, source: ModuleSource, place: Path) -> None:
    descriptor, fresh = tempfile.mkstemp(prefix=f".{source.name}-", suffix=".so", dir=place.parent)
    os.close(descriptor)
    try:
        files = [str(source.folder / name) for name in source.sources]
        command = [*shlex.split(compiler), *_OPTIONS, "-o", fresh, *files]
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_COMPILE_TIMEOUT_S, check=False
        )
        if done.returncode != 0:
            lines = done.stderr.splitlines()
            said = next((line for line in lines if "error" in line), lines[0] if lines else "nothing")
            raise NotCompiled(f"{source.called} cannot be compiled; {compiler} said: {said.strip()[:200]}")
        Path(fresh).chmod(0o700)  # engines load only what they may execute
        with Path(fresh).open("rb") as whole:
            os.fsync(whole.fileno())  # never half of it under its name, whatever happens to the machine
        Path(fresh).replace(place)
    except subprocess.TimeoutExpired:
        raise NotCompiled(f"{compiler} did not compile {source.called} within {_COMPILE_TIMEOUT_S:g} s") from None
    finally:
        with contextlib.suppress(FileNotFoundError):
            Path(fresh).unlink()
