"""Compiles the IAM module where a C compiler is, once for each state of its source. Blocks for about a second."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shlex
import subprocess
import tempfile
from pathlib import Path

from cachefleet.engines.build_tools import ToolsMissing, compiler_name, told_missing

SOURCES = ("sha256.c", "token.c", "module.c")
HEADERS = ("sha256.h", "token.h")
HERE = Path(__file__).parent
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


def module_file(folder: Path) -> Path:
    """The module, in that folder, compiled when it is not there yet. Another source or other options make another file.

    Raises build_tools.ToolsMissing, NotCompiled, OSError.
    """
    digest = hashlib.sha256(" ".join(_OPTIONS).encode())
    for name in (*SOURCES, *HEADERS):
        digest.update((HERE / name).read_bytes())
    place = folder / f"iam-{digest.hexdigest()[:16]}.so"
    if place.exists():
        return place
    compiler = compiler_name()
    if not compiler:
        missing = ["a C compiler", "the headers of the C library"]
        raise ToolsMissing(told_missing("the module for IAM authentication cannot be compiled here", missing))
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(folder / ".iam.lock", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600), "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several services of one data folder
        if not place.exists():
            _compile(compiler, place)
    return place


def _compile(compiler: str, place: Path) -> None:
    descriptor, fresh = tempfile.mkstemp(prefix=".iam-", suffix=".so", dir=place.parent)
    os.close(descriptor)
    try:
        command = [*shlex.split(compiler), *_OPTIONS, "-o", fresh, *(str(HERE / name) for name in SOURCES)]
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_COMPILE_TIMEOUT_S, check=False
        )
        if done.returncode != 0:
            lines = done.stderr.splitlines()
            said = next((line for line in lines if "error" in line), lines[0] if lines else "nothing")
            raise NotCompiled(f"the module for IAM authentication cannot be compiled; {compiler} said: {said.strip()[:200]}")
        Path(fresh).chmod(0o700)  # engines load only what they may execute
        with Path(fresh).open("rb") as whole:
            os.fsync(whole.fileno())  # never half of it under its name, whatever happens to the machine
        Path(fresh).replace(place)
    except subprocess.TimeoutExpired:
        raise NotCompiled(f"{compiler} did not compile the IAM module within {_COMPILE_TIMEOUT_S:g} s") from None
    finally:
        with contextlib.suppress(FileNotFoundError):
            Path(fresh).unlink()
