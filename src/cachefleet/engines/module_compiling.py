"""A loadable module of ours for engines, once for each state of its source: taken from those that came with the package, or
compiled where a C compiler is, which blocks for about a second.

Called by app.loadable_module, and by setup.py, which compiles them all into a wheel: so it needs nothing but Python.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import hashlib
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

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
INTERFACE = Path(__file__).parent / "module_interface"  # headers that all of them share
PREBUILT = Path(__file__).parent / "prebuilt"  # only in wheels


class NotCompiled(Exception):
    """The compiler refused the module's source; the message has what it said first."""


class ModuleSource(NamedTuple):
    """name: of its file, before a dash. called: in messages."""

    name: str
    called: str
    folder: Path
    sources: tuple[str, ...]
    headers: tuple[str, ...]

    def file_name(self) -> str:
        """Another source or shared header, or other options, have another one."""
        digest = hashlib.sha256(" ".join(_OPTIONS).encode())
        for file in (*(self.folder / name for name in (*self.sources, *self.headers)), *sorted(INTERFACE.glob("*.h"))):
            digest.update(file.read_bytes())
        return f"{self.name}-{digest.hexdigest()[:16]}.so"


def compiled_module(source: ModuleSource, folder: Path, prebuilt: Path = PREBUILT) -> Path:
    """The module, in that folder, where it is put when it is not there yet.

    prebuilt: a folder of compiled ones. One of this very source is taken, if this machine can load it; else it is compiled.
    Raises build_tools.ToolsMissing, NotCompiled, OSError.
    """
    place = folder / source.file_name()
    if place.exists():
        return place
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(folder / f".{source.name}.lock", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600), "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several services of one data folder
        if not place.exists():
            why = _why_not_taken(prebuilt / place.name, place)
            if why:
                compile_module(source, folder, f", and {why}")
    return place


def compile_module(source: ModuleSource, folder: Path, else_told: str = "") -> Path:
    """Into that folder, which is there. else_told: ends what is said where there is no compiler. Raises as compiled_module."""
    place = folder / source.file_name()
    compiler = compiler_name()
    if not compiler:
        missing = ["a C compiler", "the headers of the C library"]
        raise ToolsMissing(told_missing(f"{source.called} cannot be compiled here{else_told}", missing))
    _put(place, lambda fresh: _compile(compiler, source, fresh))
    return place


def _why_not_taken(came: Path, place: Path) -> str:
    """ "" when it was."""
    if not came.exists():
        return "none came with this package"
    try:
        _put(place, lambda fresh: _copy(came, fresh))
    except OSError as error:  # made for another processor, or for a newer C library
        return f"the one that came with this package cannot be used ({error.strerror or error})"
    return ""


def _put(place: Path, write: Callable[[Path], None]) -> None:
    """Whole or not at all."""
    descriptor, name = tempfile.mkstemp(prefix=f".{place.stem}-", suffix=".so", dir=place.parent)
    os.close(descriptor)
    fresh = Path(name)
    try:
        write(fresh)
        fresh.chmod(0o700)  # engines load only what they may execute
        with fresh.open("rb") as whole:
            os.fsync(whole.fileno())  # never half of it under its name, whatever happens to the machine
        fresh.replace(place)
    finally:
        with contextlib.suppress(FileNotFoundError):
            fresh.unlink()


def _copy(came: Path, fresh: Path) -> None:
    """Raises OSError, also for what cannot be loaded here."""
    shutil.copyfile(came, fresh)
    ctypes.CDLL(str(fresh))


def _compile(compiler: str, source: ModuleSource, fresh: Path) -> None:
    files = [str(source.folder / name) for name in source.sources]
    command = [*shlex.split(compiler), *_OPTIONS, f"-I{INTERFACE}", "-o", str(fresh), *files]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_COMPILE_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise NotCompiled(f"{compiler} did not compile {source.called} within {_COMPILE_TIMEOUT_S:g} s") from None
    if done.returncode != 0:
        lines = done.stderr.splitlines()
        said = next((line for line in lines if "error" in line), lines[0] if lines else "nothing")
        raise NotCompiled(f"{source.called} cannot be compiled; {compiler} said: {said.strip()[:200]}")
