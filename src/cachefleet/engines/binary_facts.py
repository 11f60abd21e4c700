"""What an engine binary says and shows of itself: version, allocator, TLS, modules, authentication by a module.

Every fact comes from the binary: its version line, its help, the names that it offers to modules, and three starts that end by
themselves before anything listens (one is asked for TLS without a certificate, two for a module that is not there). Looking
takes about 0.1 s, so facts are kept in a file, by path, size and time of change of the binary. Called by the catalogue.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import re
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from cachefleet.model.group import Engine

LOOK_TIMEOUT_S = 5.0
_KEPT_FORMAT = 2  # of the file; raise it when facts are found in another way
_ANSWERS = (
    (Engine.VALKEY, re.compile(r"^valkey server v=(\d+(?:\.\d+)+)", re.IGNORECASE)),
    (Engine.REDIS, re.compile(r"^redis server v=(\d+(?:\.\d+)+)", re.IGNORECASE)),
    (Engine.MEMCACHED, re.compile(r"^memcached (\d+(?:\.\d+)+)", re.IGNORECASE)),
)
_ALLOCATOR = re.compile(r"\bmalloc=([a-z_]+)")
_OFFERED = b"Module_RegisterAuthCallback"  # after Valkey or Redis; the name by which a module asks for it
_NO_CERTIFICATE = "No tls-cert-file configured"  # what is said where TLS could be done
_NO_MODULE = "No such file or directory"  # what the loader says where modules could be loaded


class Facts(msgspec.Struct, frozen=True):
    """Of one binary."""

    engine: Engine
    version: str  # full: "9.1.2"
    allocator: str = ""  # "jemalloc", "libc"; "" when it does not say (Memcached)
    tls: bool = False
    modules: bool = False  # it can load modules
    auth_callback: bool = False  # modules can decide who gets in (Valkey and Redis from 7.2)
    active_defrag: bool = False  # its allocator tells it what is fragmented

    def capabilities(self) -> frozenset[str]:
        """Those that the version does not tell; see engines/capabilities.py for the others."""
        told = {
            "tls": self.tls,
            "jemalloc": self.allocator == "jemalloc",
            "modules": self.modules,
            "auth-callback": self.auth_callback,
            "active-defrag": self.active_defrag,
        }
        return frozenset(name for name, can in told.items() if can)


class NoEngine(Exception):
    """A program that does not answer as an engine does; the message says why."""


class _Kept(msgspec.Struct, frozen=True):
    format: int = _KEPT_FORMAT
    facts: dict[str, tuple[int, int, Facts]] = {}  # path -> size, time of change in ns, facts


class FactsFinder:
    """Looks at binaries, once each for as long as they stay as they are."""

    def __init__(self, kept_in: Path | None = None) -> None:
        """kept_in: a file for what was found, which may be missing, damaged or not writable; None keeps nothing."""
        self._file = kept_in
        self._kept: dict[str, tuple[int, int, Facts]] = {}
        self._fresh: dict[str, tuple[int, int, Facts]] = {}
        if kept_in is not None:
            with contextlib.suppress(OSError, msgspec.DecodeError):
                kept = msgspec.json.decode(kept_in.read_bytes(), type=_Kept)
                self._kept = kept.facts if kept.format == _KEPT_FORMAT else {}

    def find(self, binary: str) -> Facts:
        """Raises NoEngine."""
        try:
            state = Path(binary).stat()
        except OSError as error:
            raise NoEngine(error.strerror or str(error)) from None
        path = str(Path(binary).absolute())  # by its name: one file may be several programs, by the name it is run by
        kept = self._kept.get(path)
        if kept is None or kept[:2] != (state.st_size, state.st_mtime_ns) or not os.access(path, os.X_OK):
            kept = (state.st_size, state.st_mtime_ns, look_at(binary))
            self._kept[path] = self._fresh[path] = kept
        return kept[2]

    def save(self) -> None:
        """Keep what was newly found, of binaries that are still there. A file that cannot be written is no error: the next look
        takes longer."""
        if not self._fresh or self._file is None:
            return
        there = {path: entry for path, entry in self._kept.items() if Path(path).exists()}
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor, fresh = tempfile.mkstemp(prefix=f".{self._file.name}.", dir=self._file.parent)
            try:
                with os.fdopen(descriptor, "wb") as stream:
                    stream.write(msgspec.json.encode(_Kept(facts=there)))
                Path(fresh).replace(self._file)
            except OSError:
                Path(fresh).unlink(missing_ok=True)
        self._fresh = {}


def kept_facts_file() -> Path | None:
    """In the user's cache folder: what a binary can do is the same for every data folder. None for a user without a home."""
    folder = os.environ.get("XDG_CACHE_HOME") or str(Path("~/.cache").expanduser())
    return Path(folder) / "cachefleet" / "engine-facts.json" if Path(folder).is_absolute() else None


def look_at(binary: str) -> Facts:
    """Runs it four times at most, each for at most 5 s. Raises NoEngine."""
    try:
        answer = _run([binary, "--version"])
    except subprocess.TimeoutExpired:
        raise NoEngine(f"did not tell its version within {LOOK_TIMEOUT_S:g} s") from None
    except OSError as error:
        raise NoEngine(error.strerror or str(error)) from None
    for engine, pattern in _ANSWERS:
        match = pattern.match(answer.strip())
        if match and engine is Engine.MEMCACHED:
            return Facts(engine, match.group(1), tls="--enable-ssl" in _said([binary, "-h"]))
        if match:
            return _of_resp_engine(binary, engine, match.group(1), answer)
    first = answer.strip().splitlines()[:1]
    raise NoEngine(f"not a known engine: it said {first[0][:80]!r}" if first else "said nothing")


def _of_resp_engine(binary: str, engine: Engine, version: str, answer: str) -> Facts:
    allocator = _ALLOCATOR.search(answer)
    with tempfile.TemporaryDirectory(prefix="cachefleet-look-") as folder:
        start = [binary, "--port", "0", "--save", "", "--daemonize", "no", "--dir", folder]
        for_tls = _said([*start, "--bind", "127.0.0.1", "--tls-port", "1"], folder)
        missing = f"{folder}/missing.so"
        for_modules = [*start, "--unixsocket", f"{folder}/socket", "--loadmodule", missing]
        modules = _looked_for(missing, _said(for_modules, folder))
        # Who refuses the directive ends before it looks for modules.
        active_defrag = modules and _looked_for(missing, _said([*for_modules, "--activedefrag", "yes"], folder))
    return Facts(
        engine,
        version,
        allocator.group(1).rstrip("_-") if allocator else "",
        tls=_NO_CERTIFICATE in for_tls,
        modules=modules,
        auth_callback=modules and _holds(binary, _OFFERED),
        active_defrag=active_defrag,
    )


def _looked_for(module: str, said: str) -> bool:
    return any(module in line and _NO_MODULE in line for line in said.splitlines())


def _said(command: Sequence[str], folder: str | None = None) -> str:
    """What it wrote; "" when it does not end by itself in time or cannot be run."""
    try:
        return _run(command, folder)
    except (OSError, subprocess.TimeoutExpired):
        return ""


def _run(command: Sequence[str], folder: str | None = None) -> str:
    """Raises OSError, subprocess.TimeoutExpired."""
    return subprocess.run(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=LOOK_TIMEOUT_S,
        check=False,
    ).stdout.decode("utf-8", "replace")


def _holds(binary: str, name: bytes) -> bool:
    try:
        with Path(binary).open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return content.find(name) >= 0
    except (OSError, ValueError):  # an empty file cannot be mapped
        return False
